"""``manage.py check`` names what is wrong, and how to mend it."""

from __future__ import annotations

import pytest
from django.core import checks

from finetune_switch.checks import apps as checked_apps
from finetune_switch.checks import (
    check_limits_are_shared,
    check_middleware,
    check_options,
    check_sqlite,
    check_vector_index,
)

CONNECTION = {"PROVIDER": "openai", "DATA_DESTINATION": "OpenAI, United States"}


def run(*functions):
    return [message for function in functions for message in function(app_configs=None)]


def connect(**options):
    return {"CONNECTIONS": {"hosted": {**CONNECTION, **options}}}


def embed(**options):
    chosen = {"CONNECTION": "hosted", "MODEL_NAME": "text-embedding-3-small", **options}
    return connect() | {"INDEX": {"EMBEDDINGS": chosen}}


def visit(**options):
    return {"VISITORS": options}


@pytest.mark.parametrize(
    ("declared", "check_id", "named"),
    [
        ([], "E001", "FINETUNE_SWITCH must be a dictionary"),
        ({"CONNECTIONS": ["openai"]}, "E001", 'FINETUNE_SWITCH["CONNECTIONS"]'),
        ({"CONNECTIONS": {"hosted": "http://x"}}, "E001", '["hosted"] must be a dictionary'),
        ({"DEADLINES": 30}, "E001", '["DEADLINES"] must be a dictionary'),
        (connect(DEADLINES=5), "E001", '["hosted"]["DEADLINES"]'),
        ({"CONECTIONS": {}}, "E002", '"CONECTIONS"'),
        ({"DEADLINES": {"FIRST": 5}}, "E004", '"FIRST"'),
        ({"DEADLINES": {"IDLE": 0}}, "E003", '["IDLE"]'),
        ({"DEADLINES": {"TOTAL": "60"}}, "E003", "'60'"),
        ({"DEADLINES": {"TOTAL": True}}, "E003", "True"),
        ({"RETENTION_DAYS": 0}, "E003", '["RETENTION_DAYS"]'),
        ({"RETENTION_DAYS": "30"}, "E003", '["RETENTION_DAYS"]'),
        (connect(API_KEYS="x"), "E004", '"API_KEYS"'),
        ({"CONNECTIONS": {"hosted": {"PROVIDER": "openai"}}}, "E005", '"DATA_DESTINATION"'),
        ({"CONNECTIONS": {"hosted": {"DATA_DESTINATION": "x"}}}, "E005", '"PROVIDER"'),
        (
            connect() | {"SEED_BACKEND": {"CONNECTION": "nowhere", "MODEL_NAME": "m"}},
            "E006", "'nowhere'",
        ),
        (connect() | {"SEED_BACKEND": {"CONNECTION": "hosted", "NAME": "m"}}, "E002", '"NAME"'),
        (connect(API_BASE="gpu.example"), "E007", '["API_BASE"]'),
        (connect(API_BASE="http://"), "E007", '["API_BASE"]'),
        (connect(API_KEY=("sk-1",)), "E001", '["API_KEY"] must be a string'),
        ({"RECORD_VISITOR_QUESTIONS": "False"}, "E001", "must be True or False, not 'False'"),
        ({"SEED_BACKEND": {"MODEL_NAME": "m"}}, "E005", '["SEED_BACKEND"] requires'),
        ({"INDEX": ["page"]}, "E001", 'FINETUNE_SWITCH["INDEX"] must be a dictionary'),
        ({"INDEX": {"STORES": "memory"}}, "E004", '"STORES"'),
        ({"INDEX": {"MODELS": "app.Event"}}, "E001", '["INDEX"]["MODELS"] must be a list'),
        ({"INDEX": {"EXCLUDE_FIELDS": ["a.B.c", 7]}}, "E001", '["EXCLUDE_FIELDS"][1]'),
        ({"INDEX": {"STORE": "pgvektor"}}, "E010", "one of memory, pgvector, not 'pgvektor'"),
        ({"INDEX": {"EMBEDDINGS": "words"}}, "E010", '["EMBEDDINGS"] must be one of auto'),
        ({"VISITORS": {"FACTLOCK": True}}, "E004", '"FACTLOCK"'),
        (visit(QUESTIONS_A_MINUTE=0), "E003", '["QUESTIONS_A_MINUTE"]'),
        (visit(STREAMS="many"), "E003", "'many'"),
        (visit(SITE_QUESTIONS_A_DAY=True), "E003", "True"),
        (visit(SITE_DOLLARS_A_MONTH="50"), "E003", '["SITE_DOLLARS_A_MONTH"]'),
        (visit(TRUSTED_PROXIES=-1), "E003", '["TRUSTED_PROXIES"]'),
        (visit(WHEN_USED_UP="close"), "E010", "'close'"),
        (visit(CACHE="limits"), "E010", "'limits'"),
        (visit(CACHE=["default"]), "E010", "['default']"),
        (visit(FACT_LOCK="no"), "E001", '["FACT_LOCK"]'),
        (visit(ALLOWED_ORIGINS="https://shop.example"), "E001", '["ALLOWED_ORIGINS"]'),
        (visit(ALLOWED_ORIGINS=["https://shop.example/"]), "E010", "'https://shop.example/'"),
        (visit(ALLOWED_ORIGINS=["https://shop.example:443"]), "E010", "shop.example:443"),
        (visit(ALLOWED_ORIGINS=["*"]), "E010", "'*'"),
        (visit(ALLOWED_ORIGINS=["null"]), "E010", "'null'"),
        ({"VISITORS": True}, "E001", '["VISITORS"] must be a dictionary'),
        (embed(MODEL="m"), "E004", '"MODEL"'),
        (embed(MODEL_NAME=""), "E005", '"MODEL_NAME"'),
        (embed(CONNECTION=None), "E005", '"CONNECTION"'),
        (embed(CONNECTION="nowhere"), "E006", "'nowhere'"),
        (embed(DIMENSIONS="256"), "E003", '["DIMENSIONS"]'),
        (embed(BATCH_SIZE=0), "E003", '["BATCH_SIZE"]'),
        (embed(MAX_TOKENS=True), "E003", '["MAX_TOKENS"]'),
        (embed(PARAMETERS="user"), "E001", '["PARAMETERS"]'),
    ],
)  # fmt: skip
def test_an_option_that_is_wrong_is_named(settings, declared, check_id, named):
    settings.FINETUNE_SWITCH = declared
    (message,) = {message.msg: message for message in run(check_options)}.values()
    assert message.id == f"finetune_switch.{check_id}"
    assert message.is_serious()
    assert named in message.msg


@pytest.mark.parametrize(
    ("declared", "place", "meant"),
    [
        (connect(API_BSE="x"), '["CONNECTIONS"]["hosted"]["API_BSE"]', '"API_BASE"'),
        (connect(api_key="x"), '["CONNECTIONS"]["hosted"]["api_key"]', '"API_KEY"'),
        ({"CONECTIONS": {}}, '["CONECTIONS"]', '"CONNECTIONS"'),
        ({"DEADLINES": {"FIRST": 5}}, '["DEADLINES"]["FIRST"]', '"FIRST_TOKEN"'),
        (visit(ORIGINS=[]), '["VISITORS"]["ORIGINS"]', '"ALLOWED_ORIGINS"'),
    ],
)
def test_an_unknown_option_is_told_with_its_place_and_the_nearest_known(
    settings, declared, place, meant
):
    settings.FINETUNE_SWITCH = declared
    (message,) = run(check_options)
    assert message.msg == f"FINETUNE_SWITCH{place} is an unknown option."
    assert message.hint.startswith(f"Did you mean {meant}? The options are: ")


@pytest.mark.parametrize(
    "declared",
    [
        connect(API_KEYS="sk-secret"),
        connect(API_KEY=("sk-secret",)),
        connect(API_KEY=b"sk-secret"),
        connect(LABEL=["sk-secret"]),
        connect(API_BASE="sk-secret"),
        connect(API_BASE="me:sk-secret@gpu.example"),
        {"CONNECTIONS": {"hosted": "sk-secret"}},
        {"CONNECTIONS": ["https://me:sk-secret@gpu.example"]},
        embed(PARAMETERS=[("api_key", "sk-secret")]),
        embed(CONNECTION="https://me:sk-secret@gpu.example"),
        visit(ALLOWED_ORIGINS=["https://me:sk-secret@shop.example"]),
        visit(ALLOWED_ORIGINS="https://me:sk-secret@shop.example"),
        visit(CACHE="redis://:sk-secret@cache.example"),
    ],
)
def test_a_key_is_never_shown(settings, declared):
    settings.FINETUNE_SWITCH = declared
    messages = run(check_options)
    assert messages
    assert "sk-secret" not in " ".join(f"{message} {message.hint}" for message in messages)


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"CONNECTIONS": {}, "RETENTION_DAYS": None, "SEED_BACKEND": None},
        {"VISITORS": {"FACT_LOCK": False}},
        connect(API_BASE=lambda: "http://x", API_KEY="", DEADLINES={"IDLE": 2.5}, LABEL="Hosted"),
        connect() | {"SEED_BACKEND": {"CONNECTION": "hosted", "MODEL_NAME": "m", "LABEL": "M"}},
        embed(DIMENSIONS=256, BATCH_SIZE=10, MAX_TOKENS=8000, PARAMETERS={"user": "site"}),
        {
            "INDEX": {
                "EMBEDDINGS": {},
                "STORE": "memory",
                "MODELS": ["events.Event"],
                "EXCLUDE_PAGE_TYPES": ("home.HomePage",),
                "EXCLUDE_FIELDS": None,
                "BLOCK_ANCHOR": "block-{id}",
            }
        },
    ],
)
def test_what_is_right_is_silent(settings, declared):
    settings.FINETUNE_SWITCH = declared
    assert run(check_options) == []


def test_without_the_setting_nothing_is_wrong(settings):
    del settings.FINETUNE_SWITCH
    assert run(check_options) == []


class TestVectorIndex:
    def ids(self):
        return [(message.id, message.hint) for message in run(check_vector_index)]

    def test_as_in_the_demo(self):
        assert self.ids() == []

    def test_not_installed(self, monkeypatch):
        from importlib.metadata import PackageNotFoundError

        def version(name):
            raise PackageNotFoundError(name)

        monkeypatch.setattr("finetune_switch.checks.version", version)
        ((check_id, hint),) = self.ids()
        assert check_id == "finetune_switch.E008"
        assert "wagtail-vector-index==0.10" in hint

    @pytest.fixture
    def installed(self, monkeypatch):
        """Which of the two apps INSTALLED_APPS names; set up for real they cannot be left out."""
        names = set()
        monkeypatch.setattr(checked_apps, "is_installed", names.__contains__)
        return names

    def test_without_its_adapter(self, installed):
        installed.add("wagtail_vector_index")
        ((check_id, hint),) = self.ids()
        assert check_id == "finetune_switch.W002"
        assert '"finetune_switch.vector_index"' in hint

    def test_the_adapter_alone(self, installed):
        installed.add("finetune_switch.vector_index")
        ((check_id, hint),) = self.ids()
        assert check_id == "finetune_switch.E009"
        assert '"wagtail_vector_index"' in hint

    def test_neither_of_them(self, installed):
        assert self.ids() == []


class TestSQLite:
    OPTIONS = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

    def check(self, settings, options):
        settings.DATABASES = {"main": {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": options}}
        return run(check_sqlite)

    def test_with_all_of_them(self, settings):
        assert self.check(settings, self.OPTIONS) == []

    @pytest.mark.parametrize("missing", list(OPTIONS))
    def test_without_one(self, settings, missing):
        options = {name: value for name, value in self.OPTIONS.items() if name != missing}
        (message,) = self.check(settings, options)
        assert message.id == "finetune_switch.W003"
        assert '"main"' in message.msg
        assert f'"{missing}"' in message.hint
        assert not [name for name in options if f'"{name}"' in message.hint]

    def test_with_none(self, settings):
        (message,) = self.check(settings, None)
        assert all(name in message.hint for name in self.OPTIONS)

    def test_another_database(self, settings):
        settings.DATABASES = {"main": {"ENGINE": "django.db.backends.postgresql"}}
        assert run(check_sqlite) == []


def test_middleware(settings):
    assert run(check_middleware) == []
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "finetune" not in name]
    (message,) = run(check_middleware)
    assert message.id == "finetune_switch.W004"
    assert "CurrentSiteMiddleware" in message.hint


def test_they_run_with_manage_check(settings):
    settings.FINETUNE_SWITCH = {"WIBBLE": 1}
    messages = checks.run_checks(tags=["finetune_switch"])
    assert "finetune_switch.E002" in [message.id for message in messages]


class TestSharedLimits:
    def run(self, settings, backend, **visitors):
        settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
        settings.FINETUNE_SWITCH = visit(**visitors)
        return [message.id for message in run(check_limits_are_shared)]

    def test_a_cache_of_each_process_is_named_before_a_site_goes_public(self, settings):
        assert self.run(settings, "locmem.LocMemCache") == ["finetune_switch.W007"]
        assert self.run(settings, "redis.RedisCache") == []
        assert self.run(settings, "locmem.LocMemCache", CACHE="elsewhere") == []
        assert check_limits_are_shared not in checks.registry.registry.get_checks()
