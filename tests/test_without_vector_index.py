"""The plugin works where wagtail-vector-index is not installed: only its adapter needs that."""

from __future__ import annotations

import json
import re

import pytest

from demo_site.standin import StandIn
from demo_site.standin.behaviours import TEST_ANSWER
from tests.installed import ROOT, Environment, environment_with_vector_index, plain_environment


OPENING = "The harbour opens at nine on every day but Christmas."


@pytest.fixture(scope="module")
def bare() -> Environment:
    return plain_environment()


def modules_after_check(environment: Environment) -> set[str]:
    output = environment.run("modules_after.py", "check").stdout
    return set(json.loads(output.splitlines()[-1]))


def errors(output: str) -> list[str]:
    return re.findall(r"finetune_switch\.[EW]\d+", output)


@pytest.mark.wheel
class TestProject:
    def test_check_finds_nothing_wrong(self, bare):
        assert "no issues" in bare.manage("check", "--fail-level", "WARNING").stdout

    def test_check_does_not_import_litellm(self, bare):
        seen = modules_after_check(bare)
        assert {"finetune_switch.checks", "finetune_switch.models"} <= seen
        assert "litellm" not in seen

    def test_its_migrations_are_complete(self, bare):
        plan = bare.manage("showmigrations", "finetune_switch").stdout
        assert "[X] 0001_initial" in plan
        assert "[ ]" not in plan
        bare.manage("makemigrations", "finetune_switch", "--check", "--dry-run")

    def test_init_says_that_nothing_is_missing(self, bare):
        finished = bare.manage("finetune_switch", "init", "--json")
        assert json.loads(finished.stdout) == []

    def test_list_shows_the_backends(self, bare):
        rows = bare.json("manage.py", "finetune_switch", "list", "--json")
        assert [(row["alias"], row["active"]) for row in rows] == [
            ("extractive", True),
            ("test-model", False),
        ]

    def test_doctor_goes_through_it(self, bare):
        finished = bare.manage("finetune_switch", "doctor", "--offline", check=False)
        assert "wagtail-vector-index is not here" in finished.stdout
        assert "Traceback" not in finished.stderr

    def test_it_can_be_taken_out_again(self, bare, tmp_path):
        own = {"BARE_DATABASE": str(tmp_path / "removed.sqlite3")}
        bare.manage("migrate", "--verbosity", "0", **own)
        bare.manage("migrate", "finetune_switch", "zero", "--verbosity", "0", **own)
        tables = bare.run(
            "-c",
            "import django; django.setup()\n"
            "from django.db import connection\n"
            "print(connection.introspection.table_names())",
            DJANGO_SETTINGS_MODULE="bare.settings",
            **own,
        ).stdout
        assert "wagtailcore_page" in tables
        assert "finetune_switch" not in tables
        bare.manage("check", BARE_PLUGIN="0", **own)


@pytest.mark.wheel
class TestModules:
    @pytest.fixture(scope="class")
    def imported(self, bare):
        return bare.json("import_everything.py")

    def test_every_module_but_the_adapter_can_be_imported(self, bare, imported):
        expected = {
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for path in (ROOT / "finetune_switch").rglob("*.py")
            if "vector_index" not in path.parts
        }
        assert set(imported["names"]) == expected - {"finetune_switch"}
        assert imported["file"].startswith(str(bare.python.parent.parent))

    def test_none_of_them_imports_litellm_or_the_missing_package(self, imported):
        assert {"litellm", "wagtail_vector_index", "numpy"} & set(imported["all"]) == set()


@pytest.mark.wheel
class TestAsking:
    """A question over given passages, by ``answer()`` and ``aanswer()`` alike."""

    def test_extractive_backend(self, bare):
        said = bare.json("ask.py")
        assert said["sync"] == said["async"] == f"{OPENING} [1]"
        assert said["recorded"] == [[f"{OPENING} [1]", "complete", OPENING]] * 2

    def test_model_on_ollama(self, bare, tmp_path):
        own = {"BARE_DATABASE": str(tmp_path / "switched.sqlite3")}
        with StandIn("ollama") as server:
            own["OLLAMA_API_BASE"] = server.url
            bare.manage("migrate", "--verbosity", "0", **own)
            bare.manage("finetune_switch", "use", "test-model", **own)
            said = bare.json("ask.py", **own)
            asked = [request for request in server.requests if request.path == "/api/chat"]
        assert said["sync"] == said["async"] == TEST_ANSWER
        assert [request.model for request in asked] == ["test-model", "test-model"]
        assert OPENING in asked[0].json["messages"][-1]["content"]
        assert [outcome for _answer, outcome, _passage in said["recorded"]] == ["complete"] * 2


@pytest.mark.wheel
class TestAdapterWithoutThePackage:
    def test_check_names_the_remedy(self, bare):
        finished = bare.manage("check", check=False, BARE_ADAPTER="1")
        assert finished.returncode == 1
        assert errors(finished.stderr) == ["finetune_switch.E008"]
        assert 'pip install --no-deps "wagtail-vector-index==0.10.*"' in finished.stderr
        assert "Traceback" not in finished.stderr

    def test_questions_are_answered_all_the_same(self, bare):
        assert bare.json("ask.py", BARE_ADAPTER="1")["sync"] == f"{OPENING} [1]"


@pytest.mark.wheel
class TestSecondLine:
    """The README's second line adds wagtail-vector-index where it is wanted."""

    @pytest.fixture(scope="class")
    def indexed(self) -> Environment:
        return environment_with_vector_index()

    def test_check_finds_nothing_wrong(self, indexed):
        assert "wagtail-vector-index" in indexed.packages()
        assert "no issues" in indexed.manage("check", "--fail-level", "WARNING").stdout

    def test_check_does_not_import_litellm(self, indexed):
        seen = modules_after_check(indexed)
        assert {"finetune_switch.vector_index.indexes", "wagtail_vector_index.apps"} <= seen
        assert "litellm" not in seen

    def test_query_follows_the_switch(self, indexed):
        code = (
            "import django; django.setup()\n"
            "from wagtail_vector_index.ai import get_chat_backend\n"
            "messages = [{'role': 'user', 'content': 'When?'}]\n"
            "print(get_chat_backend('default').chat(messages=messages).choices[0])"
        )
        with StandIn("ollama") as server:
            own = {"OLLAMA_API_BASE": server.url, "DJANGO_SETTINGS_MODULE": "bare.settings"}
            indexed.manage("finetune_switch", "use", "test-model", **own)
            said = indexed.run("-c", code, **own).stdout.strip()
        # There are no passages here, so the citation is of nothing, and is dropped.
        assert said == TEST_ANSWER.removesuffix(" [1]")

    def test_check_wants_both_apps(self, indexed):
        finished = indexed.manage("check", check=False, BARE_VECTOR_INDEX="0")
        assert errors(finished.stderr) == ["finetune_switch.E009"]


class TestAdapterThatCannotBeImported:
    """Installed with --no-deps, the package is there and what it needs may not be."""

    def test_check_names_what_is_missing(self, monkeypatch):
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
