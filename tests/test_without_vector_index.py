"""The plugin works where wagtail-vector-index is not installed: only its adapter needs that."""

from __future__ import annotations

import json
import re

import pytest

from demo_site.standin import StandIn
from demo_site.standin.behaviours import TEST_ANSWER
from tests.installed import ROOT, Environment, environment_with_vector_index, plain_environment

pytestmark = pytest.mark.wheel

OPENING = "The harbour opens at nine on every day but Christmas."


@pytest.fixture(scope="module")
def bare() -> Environment:
    return plain_environment()


def imports(stderr: str) -> set[str]:
    """The modules that ``python -X importtime`` says were imported."""
    return {line.rsplit("|", 1)[1].strip() for line in stderr.splitlines() if "|" in line}


def errors(output: str) -> list[str]:
    return re.findall(r"finetune_switch\.[EW]\d+", output)


class TestProject:
    def test_check_finds_nothing_wrong(self, bare):
        assert "no issues" in bare.manage("check", "--fail-level", "WARNING").stdout

    def test_check_does_not_import_litellm(self, bare):
        seen = imports(bare.run("-X", "importtime", "manage.py", "check").stderr)
        assert "finetune_switch.checks" in seen
        assert "finetune_switch.wagtail_hooks" in seen
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


class TestAdapterWithoutThePackage:
    def test_check_names_the_remedy(self, bare):
        finished = bare.manage("check", check=False, BARE_ADAPTER="1")
        assert finished.returncode == 1
        assert errors(finished.stderr) == ["finetune_switch.E008"]
        assert 'pip install --no-deps "wagtail-vector-index==0.10.*"' in finished.stderr
        assert "Traceback" not in finished.stderr

    def test_questions_are_answered_all_the_same(self, bare):
        assert bare.json("ask.py", BARE_ADAPTER="1")["sync"] == f"{OPENING} [1]"


class TestSecondLine:
    """The README's second line adds wagtail-vector-index where it is wanted."""

    @pytest.fixture(scope="class")
    def indexed(self) -> Environment:
        return environment_with_vector_index()

    def test_check_finds_nothing_wrong(self, indexed):
        assert "wagtail-vector-index" in indexed.packages()
        assert "no issues" in indexed.manage("check", "--fail-level", "WARNING").stdout

    def test_query_follows_the_switch(self, indexed):
        indexed.manage("migrate", "--verbosity", "0")
        code = (
            "import django; django.setup()\n"
            "from wagtail_vector_index.ai import get_chat_backend\n"
            "print(get_chat_backend('default').chat(messages=["
            "{'role': 'user', 'content': 'When?'}]).choices)"
        )
        with StandIn("ollama") as server:
            own = {"OLLAMA_API_BASE": server.url, "DJANGO_SETTINGS_MODULE": "bare.settings"}
            indexed.manage("finetune_switch", "use", "test-model", **own)
            assert indexed.run("-c", code, **own).stdout.strip() == repr([TEST_ANSWER])

    def test_check_names_what_the_package_brings_not(self, indexed):
        """Installed with --no-deps, it lacks numpy where nothing else brings that."""
        hide = "import sys; sys.modules['numpy'] = None; sys.argv = ['manage.py', 'check']\n"
        code = f"{hide}import runpy; runpy.run_path('manage.py', run_name='__main__')"
        finished = indexed.run("-c", code, check=False)
        assert errors(finished.stderr) == ["finetune_switch.E008"]
        assert "pip install numpy" in finished.stderr

    def test_check_wants_both_apps(self, indexed):
        finished = indexed.manage("check", check=False, BARE_VECTOR_INDEX="0")
        assert errors(finished.stderr) == ["finetune_switch.E009"]
