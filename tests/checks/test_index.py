"""What ``manage.py check`` says of labels in ``FINETUNE_SWITCH["INDEX"]``."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from finetune_switch import checks
from finetune_switch.index.stores import extension


def found(settings, index):
    settings.FINETUNE_SWITCH = {"INDEX": index}
    return checks.check_index_models(None)


@pytest.mark.parametrize("option", ["MODELS", "EXCLUDE_PAGE_TYPES"])
@pytest.mark.parametrize("label", ["demo_site.Typo", "gone.Thing", "no label", 5, None])
def test_no_such_model(settings, option, label):
    (message,) = found(settings, {option: [label]})
    assert message.id == "finetune_switch.E011"
    assert f'["{option}"] contains {label!r}' in message.msg
    assert "no app in INSTALLED_APPS has a model with that name" in message.msg
    assert "app_label.ModelName" in message.hint


@pytest.mark.parametrize(
    ("option", "label", "fault"),
    [
        ("MODELS", "demo_site.ArticlePage", "pages are always indexed"),
        ("MODELS", "wagtailcore.page", "pages are always indexed"),
        ("EXCLUDE_PAGE_TYPES", "auth.User", "it is not a page type"),
    ],
)
def test_a_model_that_the_option_is_not_about(settings, option, label, fault):
    (message,) = found(settings, {option: [label]})
    assert fault in message.msg


@pytest.mark.parametrize(
    "index",
    [
        {},
        None,
        [],
        {"MODELS": ["auth.User", "wagtaildocs.document"]},
        {"EXCLUDE_PAGE_TYPES": ["demo_site.ArticlePage"]},
        # Said by another check.
        {"MODELS": "auth.User"},
    ],
)
def test_nothing_to_say(settings, index):
    assert found(settings, index) == []


def test_it_is_asked(settings):
    settings.FINETUNE_SWITCH = {"INDEX": {"MODELS": ["demo_site.Typo"]}}
    with pytest.raises(SystemCheckError, match=r"demo_site\.Typo"):
        call_command("check")


class TestStore:
    @pytest.fixture(autouse=True)
    def postgresql(self, settings):
        database = {"ENGINE": "django.db.backends.postgresql"}
        settings.DATABASES = {"default": database}

    @pytest.fixture
    def missing(self, monkeypatch):
        monkeypatch.setattr(
            extension, "find_spec", lambda name: None if name == "pgvector" else True
        )

    def test_the_package_is_missing(self, missing):
        (message,) = checks.check_store(None)
        assert message.id == "finetune_switch.W008"
        assert "pgvector cannot be imported" in message.msg
        assert 'pip install "wagtail-finetune-switch[postgres]"' in message.hint

    def test_it_is_not_needed(self, missing, settings):
        settings.FINETUNE_SWITCH = {"INDEX": {"STORE": "memory"}}
        assert checks.check_store(None) == []
        settings.FINETUNE_SWITCH = {}
        settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
        assert checks.check_store(None) == []

    def test_nothing_is_missing(self):
        assert checks.check_store(None) == []
