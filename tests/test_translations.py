"""Every text has its German, with the same placeholders, and the compiled file says the same."""

from __future__ import annotations

import gettext
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.utils.translation import gettext as _
from django.utils.translation import override

from finetune_switch.answers.prompts import is_dont_know
from finetune_switch.models import Switch
from tests.installed import ROOT

CATALOGUE = ROOT / "finetune_switch" / "locale" / "de" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z](?![a-z])|\{\w*\}|</?\w+>")
TOOLS = ("xgettext", "msgmerge", "msgattrib", "msgfmt", "msguniq")

needs_gettext = pytest.mark.skipif(
    "CI" not in os.environ and not all(map(shutil.which, TOOLS)),
    reason="the gettext tools are not here (Debian's package is called gettext)",
)


def compiled(path: Path = CATALOGUE / "django.mo") -> gettext.GNUTranslations:
    with path.open("rb") as file:
        return gettext.GNUTranslations(file)


def messages(catalogue: gettext.GNUTranslations) -> dict[str, str]:
    """Every text with its translation; of a plural, each form by itself."""
    return {
        (f"{key[0]} [{key[1]}]" if isinstance(key, tuple) else key): text
        for key, text in catalogue._catalog.items()
        if key
    }


@pytest.fixture(scope="module")
def collected(tmp_path_factory) -> Path:
    """The German file as it is after collecting the texts of the source anew."""
    package = tmp_path_factory.mktemp("translations") / "finetune_switch"
    shutil.copytree(ROOT / "finetune_switch", package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "django", "makemessages", "--locale", "de", "--no-location"],
        cwd=package,
        env={k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
        check=True,
        capture_output=True,
    )
    return package / "locale" / "de" / "LC_MESSAGES" / "django.po"


def entries(path: Path, *options: str) -> str:
    return subprocess.run(
        ["msgattrib", *options, "--no-wrap", str(path)], check=True, capture_output=True, text=True
    ).stdout


@needs_gettext
@pytest.mark.parametrize(
    "options",
    [("--untranslated",), ("--only-fuzzy",), ("--only-obsolete",)],
    ids=["untranslated", "fuzzy", "obsolete"],
)
def test_no_text_is(collected, options):
    assert entries(collected, *options) == ""


@needs_gettext
def test_the_compiled_file_is_up_to_date(tmp_path):
    fresh = tmp_path / "django.mo"
    subprocess.run(
        ["msgfmt", "--check-format", "-o", str(fresh), str(CATALOGUE / "django.po")], check=True
    )
    assert messages(compiled(fresh)) == messages(compiled())


def test_placeholders_agree():
    differing = {
        text: german
        for text, german in messages(compiled()).items()
        if " [" not in text
        and sorted(PLACEHOLDER.findall(text)) != sorted(PLACEHOLDER.findall(german))
    }
    assert differing == {}


def test_plurals_keep_their_placeholder():
    forms = {
        text: german
        for text, german in messages(compiled()).items()
        if text.endswith(("[0]", "[1]"))
    }
    assert forms
    for text, german in forms.items():
        assert PLACEHOLDER.findall(text), text
        assert sorted(PLACEHOLDER.findall(german)) == sorted(PLACEHOLDER.findall(text)), text


def test_editors_are_addressed_politely():
    familiar = re.compile(r"\b(du|dein\w*|dich|dir|euch|euer)\b", re.IGNORECASE)
    assert [german for german in messages(compiled()).values() if familiar.search(german)] == []


def test_german_is_found_by_django():
    with override("de"):
        assert _("Switch all the same") == "Trotzdem umschalten"


class TestDontKnow:
    def test_is_said_in_german(self):
        assert Switch().nothing_found_text("de") == "Das weiß ich nicht."

    def test_is_said_in_german_in_austria(self):
        assert Switch().nothing_found_text("de-at") == "Das weiß ich nicht."

    @pytest.mark.parametrize(
        "said",
        [
            "Das weiß ich nicht.",
            "„Das weiß ich nicht.“",
            "Das weiss ich nicht",
            "Das weiß ich nicht. [1]",
            "Das weiß ich nicht. Fragen Sie bitte am Schalter.",
        ],
    )
    def test_is_recognised_as_models_say_it(self, said):
        assert is_dont_know(said, Switch().nothing_found_text("de"))

    def test_is_not_seen_in_an_answer(self):
        assert not is_dont_know("Wir öffnen um neun.", Switch().nothing_found_text("de"))
