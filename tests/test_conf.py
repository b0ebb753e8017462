"""The settings are read when they are needed, and what they hide stays hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_switch import conf
from finetune_switch.connections import connections, get_connection
from finetune_switch.exceptions import ConnectionNotConfigured
from finetune_switch.models import ChatBackend
from tests.conftest import API_KEY


def declare(settings, **connection):
    settings.FINETUNE_SWITCH = {
        "CONNECTIONS": {
            "ours": {"PROVIDER": "ollama_chat", "DATA_DESTINATION": "here", **connection}
        }
    }
    return get_connection("ours")


def test_without_any_settings(settings):
    del settings.FINETUNE_SWITCH
    assert (conf.connection_aliases(), connections(), conf.seed_backend()) == ([], {}, None)
    assert conf.default_deadlines() == conf.Deadlines(30, 20, 120)
    assert (conf.retention_days(), conf.record_visitor_questions()) == (90, True)


def test_a_change_counts_at_once(settings):
    assert declare(settings, LABEL="One").label == "One"
    assert declare(settings, LABEL="Two").label == "Two"
    assert declare(settings).label == "ours"


def test_the_nearest_deadline_counts(settings):
    settings.FINETUNE_SWITCH = {
        "DEADLINES": {"FIRST_TOKEN": 10, "TOTAL": 60},
        "CONNECTIONS": {
            "slow": {"PROVIDER": "x", "DATA_DESTINATION": "y", "DEADLINES": {"FIRST_TOKEN": 90}}
        },
    }
    assert get_connection("slow").deadlines == conf.Deadlines(90, 20, 60)
    row = ChatBackend(connection="slow", idle_seconds=3)
    assert row.deadlines == conf.Deadlines(90, 3, 60)
    assert ChatBackend(connection="gone").deadlines == conf.Deadlines(10, 20, 60)


class TestAddresses:
    def test_of_each_kind(self, settings, tmp_path):
        file = tmp_path / "address"
        file.write_text(" http://gpu.example:11434/\n")
        for option in (
            {"API_BASE": "http://gpu.example:11434"},
            {"API_BASE": lambda: "http://gpu.example:11434/"},
            {"API_BASE": file.read_text},
        ):
            assert declare(settings, **option).get_api_base() == "http://gpu.example:11434"
        assert declare(settings).get_api_base() is None

    def test_is_read_each_time(self, settings):
        addresses = iter(["http://one.example", "http://two.example"])
        connection = declare(settings, API_BASE=lambda: next(addresses))
        assert connection.get_api_base() == "http://one.example"
        assert connection.get_api_base() == "http://two.example"

    @pytest.mark.parametrize(
        "option",
        [
            {"API_BASE": "gpu.example:11434"},
            {"API_BASE": "file:///etc/passwd"},
            {"API_BASE": "http://"},
            {"API_BASE": lambda: {}["missing"]},
            {"API_BASE": lambda: 7},
            {"API_BASE": "http://[::1"},
            {"API_BASE": Path("/no/such/file").read_text},
            {"API_BASE": lambda: ""},
            {"API_BASE": lambda: None},
            {"API_BASE": lambda: " \n"},
        ],
    )
    def test_that_is_none(self, settings, option):
        with pytest.raises(ConnectionNotConfigured) as caught:
            declare(settings, **option).get_api_base()
        assert "address of the model server" in str(caught.value)
        assert "/etc" not in str(caught.value)
        assert '"ours"' in caught.value.remedy


def test_a_connection_that_is_gone_or_incomplete(settings):
    settings.FINETUNE_SWITCH = {"CONNECTIONS": {"half": {"API_KEY": "x"}, "odd": "http://x"}}
    assert connections() == {}
    for alias in ("half", "odd", "never-was"):
        with pytest.raises(ConnectionNotConfigured, match="no longer configured"):
            get_connection(alias)


@pytest.mark.parametrize(
    "wrong",
    [
        ["openai"],
        {"CONNECTIONS": ["openai"]},
        {"DEADLINES": 30},
        {"DEADLINES": {"FIRST": 5}},
        {"DEADLINES": {"IDLE": None}},
        {"CONNECTIONS": {"ours": {"PROVIDER": "openai", "DEADLINES": 5}}},
        {"CONNECTIONS": {"ours": {"PROVIDER": "openai", "DEADLINES": {"FIRST": 5}}}},
        {"SEED_BACKEND": "gpt"},
        {"INDEX": ["page"]},
        {"VISITORS": True},
        {"VISITORS": {"FACTLOCK": False}},
    ],
)
def test_a_value_of_the_wrong_kind_counts_as_left_out(settings, wrong):
    """A check reports it; a site that is running goes on."""
    settings.FINETUNE_SWITCH = wrong
    assert all(one.deadlines == conf.Deadlines() for one in connections().values())
    assert conf.default_deadlines() == conf.Deadlines()
    assert conf.seed_backend() is None
    assert conf.embedding_settings() is None
    assert conf.visitors() == conf.VisitorSettings()
    assert conf.excluded_fields() == []


def test_an_embedding_model_of_the_wrong_kind_is_not_the_embedded_one(settings):
    settings.FINETUNE_SWITCH = {"INDEX": {"EMBEDDINGS": "text-embedding-3-small"}}
    assert conf.embedding_settings() is None


def test_a_key_is_never_shown(connections):
    connection = get_connection("openai")
    assert connection.api_key == API_KEY
    assert API_KEY not in repr(connection) + str(connection)
    assert "http" not in repr(connection)


@pytest.mark.parametrize(
    ("seed", "is_one"),
    [
        ({"CONNECTION": "ours", "MODEL_NAME": "m"}, True),
        ({"CONNECTION": "ours", "MODEL_NAME": ""}, False),
        ({"MODEL_NAME": "m"}, False),
        (None, False),
    ],
)
def test_a_seed_needs_its_model_and_connection(settings, seed, is_one):
    settings.FINETUNE_SWITCH = {"SEED_BACKEND": seed}
    assert bool(conf.seed_backend()) is is_one
