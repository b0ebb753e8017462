"""The plugin works where wagtail-vector-index is not installed: only its adapter needs that."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demo_site.standin import StandIn
from demo_site.standin.behaviours import TEST_ANSWER
from tests.installed import (
    ROOT,
    Environment,
    environment_with_vector_index,
    indexed,
    migrated_environment,
)

OPENING = "The harbour opens at nine on every day but Christmas."
CHECK = "check --fail-level WARNING"
INIT = "finetune_switch init --json"
LIST = "finetune_switch list --json"
DOCTOR = "finetune_switch doctor --offline"
MAKEMIGRATIONS = "makemigrations finetune_switch --check --dry-run"


@pytest.fixture(scope="module")
def bare() -> Environment:
    return migrated_environment()


@pytest.fixture(scope="module")
def commands(bare: Environment) -> dict[str, Any]:
    """What these commands said, one after the other in one process."""
    return bare.json("run_commands.py", CHECK, MAKEMIGRATIONS, INIT, LIST, DOCTOR)["said"]


@pytest.fixture(scope="module")
def imported(bare: Environment) -> dict[str, Any]:
    return bare.json("import_everything.py")


@pytest.fixture
def own_database(bare: Environment, tmp_path: Path) -> dict[str, str]:
    """A copy of the migrated database, for a test that changes it."""
    path = tmp_path / "bare.sqlite3"
    shutil.copy(bare.database, path)
    return {"BARE_DATABASE": str(path)}


def errors(output: str) -> list[str]:
    return re.findall(r"finetune_switch\.[EW]\d+", output)


def tables(database: str) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [name for (name,) in rows]


@pytest.mark.wheel
class TestProject:
    def test_check_finds_nothing_wrong(self, commands):
        assert commands[CHECK]["code"] == 0
        assert "no issues" in commands[CHECK]["output"]

    def test_check_does_not_import_litellm(self, commands):
        assert commands[CHECK]["litellm"] is False

    def test_its_migrations_are_complete(self, bare, commands):
        assert "finetune_switch_switch" in tables(str(bare.database))
        assert commands[MAKEMIGRATIONS]["code"] == 0, commands[MAKEMIGRATIONS]["output"]

    def test_init_says_that_nothing_is_missing(self, commands):
        assert json.loads(commands[INIT]["output"]) == []
        assert commands[INIT]["code"] == 0

    def test_list_shows_the_backends(self, commands):
        rows = json.loads(commands[LIST]["output"])
        assert [(row["alias"], row["active"]) for row in rows] == [
            ("extractive", True),
            ("test-model", False),
        ]

    def test_doctor_goes_through_it(self, commands):
        said = commands[DOCTOR]["output"]
        assert "wagtail-vector-index is not here" in said
        assert "All migrations are applied." in said
        assert "Traceback" not in said

    def test_it_can_be_taken_out_again(self, bare, own_database):
        bare.manage("migrate", "finetune_switch", "zero", "--verbosity", "0", **own_database)
        left = tables(own_database["BARE_DATABASE"])
        assert "wagtailcore_page" in left
        assert [name for name in left if name.startswith("finetune_switch")] == []

    def test_the_project_works_without_its_lines(self, bare):
        assert "no issues" in bare.manage("check", BARE_PLUGIN="0").stdout


@pytest.mark.wheel
class TestModules:
    def test_every_module_but_the_adapter_can_be_imported(self, bare, imported):
        expected = {
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for path in (ROOT / "finetune_switch").rglob("*.py")
            if "vector_index" not in path.parts
        }
        assert set(imported["names"]) == expected - {"finetune_switch"}
        assert imported["file"].startswith(str(bare.python.parent.parent))

    def test_none_of_them_imports_litellm_or_the_missing_package(self, imported):
        assert {"litellm", "wagtail_vector_index"} & set(imported["all"]) == set()


@pytest.mark.wheel
class TestAsking:
    """A question over given passages, by ``answer()`` and ``aanswer()`` alike."""

    def test_extractive_backend(self, bare):
        said = bare.json("ask.py")
        assert said["sync"] == said["async"] == f"{OPENING} [1]"
        assert said["recorded"] == [[f"{OPENING} [1]", "complete", OPENING]] * 2

    def test_model_on_ollama(self, bare, own_database):
        with StandIn("ollama") as server:
            said = bare.json("ask.py", "test-model", OLLAMA_API_BASE=server.url, **own_database)
            asked = [request for request in server.requests if request.path == "/api/chat"]
        assert said["sync"] == said["async"] == TEST_ANSWER
        assert [request.model for request in asked] == ["test-model", "test-model"]
        assert OPENING in asked[0].json["messages"][-1]["content"]
        assert [outcome for _answer, outcome, _passage in said["recorded"]] == ["complete"] * 2


@pytest.mark.wheel
class TestIndex:
    def test_pages_of_three_types_are_indexed_with_no_change_to_their_models(self):
        _environment, said = indexed()
        # Wagtail's own first page is the fourth.
        assert said["built"] == {
            "status": "complete",
            "added": 4,
            "kept": 0,
            "removed": 0,
            "failed": 0,
            "error": "",
        }
        assert said["sources"] == ["Opening times", "Tides", "Ada Pender"]
        assert said["answer"] == f"{OPENING} [1]"
        assert said["unpublished"][:2] == ["Opening times", "Tides"]
        assert "Ada Pender" not in said["unpublished"]
        assert (said["changed"]["removed"], said["changed"]["failed"]) == (1, 0)


@pytest.mark.wheel
class TestAdapterWithoutThePackage:
    def test_check_names_the_remedy(self, bare):
        finished = bare.manage("check", check=False, BARE_ADAPTER="1")
        assert finished.returncode == 1
        assert errors(finished.stderr) == ["finetune_switch.E008"]
        assert 'pip install --no-deps "wagtail-vector-index==0.10.*"' in finished.stderr
        assert "Traceback" not in finished.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """What was said, and the messages that the model got."""
    environment = environment_with_vector_index()
    copied = tmp_path_factory.mktemp("asked") / "bare.sqlite3"
    own = {"BARE_DATABASE": str(shutil.copy(environment.database, copied))}
    with StandIn("ollama") as server:
        own["OLLAMA_API_BASE"] = server.url
        said = environment.json("query_index.py", "test-model", **own)
        asked = [request for request in server.requests if request.path == "/api/chat"]
    return said, [str(request.json["messages"]) for request in asked]


@pytest.mark.wheel
class TestSecondLine:
    """The README's second line adds wagtail-vector-index where it is wanted."""

    def test_check_finds_nothing_wrong_and_imports_no_litellm(self):
        after = environment_with_vector_index().json("run_commands.py", CHECK)
        assert "no issues" in after["said"][CHECK]["output"]
        assert "finetune_switch.vector_index.indexes" in after["modules"]
        assert after["said"][CHECK]["litellm"] is False

    def test_chat_follows_the_switch(self, asked):
        said, _messages = asked
        # The messages are not ours, and what "[1]" stands for is theirs to know.
        assert said["chat"] == TEST_ANSWER

    def test_pages_are_indexed_and_found(self, asked):
        """``--no-deps`` must not have left out what its index and its store need."""
        said, messages = asked
        assert said["query"] == said["answer"] == [TEST_ANSWER, ["Opening times"]]
        assert [OPENING in message for message in messages] == [False, True, True]


class TestAdapterThatIsIdle:
    def test_check_names_what_is_missing(self, monkeypatch):
        """Installed with --no-deps, the package is there and what it needs may not be."""
        from django.apps import apps

        from finetune_switch.checks import check_vector_index

        adapter = apps.get_app_config("finetune_switch_vector_index")
        assert check_vector_index(None) == []
        error = ModuleNotFoundError("No module named 'numpy'", name="numpy")
        monkeypatch.setattr(adapter, "import_error", error)
        (message,) = check_vector_index(None)
        assert message.id == "finetune_switch.E008"
        assert "No module named 'numpy'" in message.msg
        assert message.hint == "Install what is missing: pip install numpy"

    def test_check_wants_both_apps(self, monkeypatch):
        from django.apps import apps

        from finetune_switch.checks import check_vector_index

        is_installed = apps.is_installed
        monkeypatch.setattr(
            apps, "is_installed", lambda name: name != "wagtail_vector_index" and is_installed(name)
        )
        (message,) = check_vector_index(None)
        assert message.id == "finetune_switch.E009"
        assert '"wagtail_vector_index"' in message.hint
