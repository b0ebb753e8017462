"""``manage.py finetune_switch doctor``: each thing that can be wrong, as a user reads of it."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

import pytest
from django.apps import apps
from django.utils import timezone

from finetune_switch import adapters
from finetune_switch.management.subcommands import installing
from finetune_switch.models import EmbeddingSpace, IndexBuild, PendingUpdate
from tests.helpers import make_backend, manage
from tests.index_helpers import build

pytestmark = pytest.mark.django_db

COMMAND = "manage.py finetune_switch index"
REFUSED = "Embeddings: the server of the embedding model does not take connections."
IMMEDIATE = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}


@pytest.fixture
def tuned(site, connections):
    return make_backend("ollama", alias="fine-tune", label="Our fine-tune")


def without_vector_index(name):
    if name == "wagtail-vector-index":
        raise PackageNotFoundError(name)
    return version(name)


class TestDoctor:
    def test_nothing_to_fix(self, tuned):
        manage("use", "fine-tune")
        ran = manage("doctor")
        assert "Nothing to fix." in ran.out, ran.out
        assert ran.code == 0
        assert "“Our fine-tune” answers." in ran.out
        assert "To remove the plugin" in ran.out
        areas = {finding["area"] for finding in manage("doctor", "--json").json}
        assert {"install", "database", "settings", "index", "connections", "workers", "cache"} <= (
            areas
        )

    def test_what_to_fix(self, tuned, connections, settings):
        manage("use", "fine-tune")
        connections["ollama"]["API_KEYS"] = "x"
        make_backend("ollama", "nobody-made-this", alias="unknown")
        manage("use", "unknown")
        ran = manage("doctor")
        assert ran.code == 1
        assert "To fix:" in ran.out
        assert '"API_KEYS"' in ran.out
        assert "no model of this name" in ran.out
        failed = [f for f in manage("doctor", "--json").json if not f["passed"]]
        assert {finding["area"] for finding in failed} == {"settings", "connections"}
        assert all(finding["remedy"] for finding in failed)

    @pytest.mark.parametrize("theirs", [False, True])
    def test_what_gives_an_index(self, site, connections, monkeypatch, theirs):
        """The adapter is of use beside wagtail-vector-index alone; our own index needs neither."""
        monkeypatch.setattr(adapters, "_index_sources", [])
        installed = {"wagtail_vector_index": theirs, "finetune_switch.vector_index": False}
        monkeypatch.setattr(apps, "is_installed", lambda name: installed.get(name, True))
        if not theirs:
            monkeypatch.setattr(installing, "version", without_vector_index)
        findings = manage("doctor", "--offline", "--json").json
        (remedy,) = [f["remedy"] for f in findings if f["area"] == "index" and not f["passed"]]
        assert "manage.py finetune_switch index" in remedy
        everything = " ".join(f"{f['message']} {f['remedy']}" for f in findings)
        assert ("finetune_switch.vector_index" in everything) == theirs
        assert ("finetune_switch.vector_index" in remedy) == theirs
        assert ("--no-deps" in everything) is False

    def test_offline_asks_nothing(self, tuned, standin):
        manage("use", "fine-tune")
        assert "(not contacted)" in manage("doctor", "--offline").out
        assert standin.requests == []


@pytest.fixture
def indexed(make_page, connections):
    """A page that is indexed, and nothing that waits."""
    make_page("Lamp", "The lamp was first lit in 1871.")
    build()
    PendingUpdate.objects.all().delete()


def embed_with(settings, model="standin-embed", connection="openai", **more):
    settings.FINETUNE_SWITCH = {
        **settings.FINETUNE_SWITCH,
        "INDEX": {"EMBEDDINGS": {"CONNECTION": connection, "MODEL_NAME": model, **more}},
    }


def examine(*options):
    """The lines about the index and its embeddings, and what stands under "To fix"."""
    ran = manage("doctor", *options)
    lines, _heading, rest = ran.out.partition("To fix:")
    found = [line for line in lines.splitlines() if line[2:7] in ("index", "embed")]
    to_fix = rest.partition("To remove the plugin")[0].strip().splitlines()
    assert ran.code == (1 if to_fix else 0)
    assert ("Nothing to fix." in ran.out) == (not to_fix)
    assert ran.err == ""
    return found, to_fix


def line(mark, area, text):
    return f"{mark} {area:<12} {text}"


class TestIndex:
    def test_all_is_well(self, indexed):
        found, to_fix = examine()
        assert to_fix == []
        assert line("✓", "index", "2 documents, embedded by use-multilingual-v3 (512).") in found
        assert line("✓", "embeddings", "“use-multilingual-v3” answers.") in found
        assert line("✓", "index", "0 changes waiting to be indexed.") in found

    def test_nothing_to_ask_at_all(self, site, connections, monkeypatch):
        monkeypatch.setattr(adapters, "_index_sources", [])
        found, to_fix = examine("--offline")
        assert line("✗", "index", "There is no index.") in found
        assert to_fix == [f"1. Index the site's pages: {COMMAND}"]

    def test_not_built_beside_other_indexes(self, site, connections):
        found, to_fix = examine("--offline")
        text = f"The site's own index has not been built. Run {COMMAND}."
        assert line("✓", "index", text) in found
        assert to_fix == []

    def test_a_rebuild_is_needed(self, indexed, settings):
        embed_with(settings)
        found, to_fix = examine("--offline")
        text = "A rebuild is needed: the settings specify another embedding model."
        assert line("✗", "index", text) in found
        assert to_fix == [f"1. Run {COMMAND}."]

    def test_a_store_that_does_not_exist(self, indexed, settings):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": {"STORE": "nonsense"}}
        _found, to_fix = examine()
        store = 'FINETUNE_SWITCH["INDEX"]["STORE"]'
        assert to_fix == [f"1. {store} must be one of memory, pgvector, not 'nonsense'."]


class TestBuilds:
    def test_the_last_one_failed(self, indexed):
        IndexBuild.objects.create(status="failed", error=REFUSED)
        found, to_fix = examine()
        assert line("✗", "index", f"The last build failed: {REFUSED}") in found
        assert to_fix == [f"1. Fix the cause, then run {COMMAND}."]

    def test_the_very_first_one_failed(self, site, connections):
        """Until now there is no index, and this is why."""
        IndexBuild.objects.create(status="failed", error=REFUSED)
        found, _to_fix = examine()
        assert line("✗", "index", f"The last build failed: {REFUSED}") in found

    def test_an_earlier_one_failed(self, indexed):
        IndexBuild.objects.create(
            status="failed", error=REFUSED, queued_at=timezone.now() - timedelta(days=1)
        )
        assert examine()[1] == []

    def test_one_was_killed(self, indexed):
        silent = timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT - timedelta(seconds=1)
        IndexBuild.objects.create(status="running", heard_of_at=silent)
        found, to_fix = examine()
        assert any("The last build failed: The build was interrupted." in one for one in found), (
            found
        )
        assert len(to_fix) == 1

    def test_one_that_no_worker_took_up(self, indexed):
        IndexBuild.objects.update(queued_at=timezone.now() - timedelta(hours=1))
        IndexBuild.objects.create(status="queued", queued_at=timezone.now() - timedelta(minutes=1))
        found, to_fix = examine()
        assert line("✗", "index", "A build is waiting, but no worker has started it.") in found
        assert to_fix == [f"1. Start a task worker, or run {COMMAND}."]

    def test_one_is_running(self, indexed):
        IndexBuild.objects.create(status="running", total=10, done=4, added=4)
        found, to_fix = examine()
        text = "A build is running. 4 of 10 done: 4 added or changed, 0 kept, 0 removed."
        assert line("✓", "index", text) in found
        assert to_fix == []


class TestChanges:
    def test_a_worker_is_given_its_time(self, indexed):
        PendingUpdate.objects.create(model="a.b", object_id="1")
        found, to_fix = examine()
        assert line("✓", "index", "1 change waiting to be indexed.") in found
        assert to_fix == []

    def test_no_worker_is_running(self, indexed):
        long_ago = timezone.now() - timedelta(hours=1)
        PendingUpdate.objects.create(model="a.b", object_id="1", marked_at=long_ago)
        found, to_fix = examine()
        assert line("✗", "index", "1 change waiting to be indexed.") in found
        assert to_fix == [f"1. Start a task worker, or run {COMMAND} --changed."]

    def test_tasks_have_no_worker(self, indexed, settings):
        settings.TASKS = IMMEDIATE
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": {}}
        assert examine()[1] == []
        PendingUpdate.objects.create(model="a.b", object_id="1")
        found, to_fix = examine()
        assert line("✗", "index", "1 change waiting to be indexed.") in found
        assert to_fix == [f"1. Run {COMMAND} --changed, and schedule it: there is no task worker."]
        assert "Changed pages are not indexed until" in manage("doctor").out

    def test_those_that_failed(self, indexed):
        for number in range(3):
            PendingUpdate.objects.create(model="a.b", object_id=str(number), error=REFUSED)
        found, to_fix = examine()
        assert line("✓", "index", "0 changes waiting to be indexed.") in found
        assert line("✗", "index", f"3 changes not indexed: {REFUSED}") in found
        assert to_fix == [f"1. Fix the cause, then run {COMMAND} --changed."]


class TestEmbeddings:
    @pytest.fixture
    def hosted(self, indexed, settings):
        """The index was made over a connection, as the settings still say."""
        embed_with(settings)
        build()
        PendingUpdate.objects.all().delete()

    def test_the_server_answers(self, hosted):
        found, to_fix = examine()
        assert line("✓", "embeddings", "“standin-embed” answers.") in found
        assert to_fix == []

    def test_offline_asks_nothing(self, hosted, standin):
        standin.clear()
        found, to_fix = examine("--offline")
        assert line("✓", "embeddings", "“standin-embed” (not contacted).") in found
        assert (to_fix, standin.requests) == ([], [])

    def test_the_server_is_down(self, hosted, connections, unused_tcp_port):
        connections["openai"]["API_BASE"] = f"http://127.0.0.1:{unused_tcp_port}/v1"
        found, to_fix = examine()
        (failed,) = [one for one in found if one.startswith("✗")]
        assert failed.startswith(line("✗", "embeddings", "Embeddings: "))
        assert "does not take connections" in failed
        assert len(to_fix) == 1
        assert str(unused_tcp_port) not in failed + to_fix[0]

    def test_before_the_first_build(self, site, connections, settings, unused_tcp_port):
        """What would keep the build from succeeding is said before it is tried."""
        embed_with(settings)
        connections["openai"]["API_BASE"] = f"http://127.0.0.1:{unused_tcp_port}/v1"
        found, _to_fix = examine()
        assert [one[:12] for one in found if one.startswith("✗")] == ["✗ embeddings"]

    def test_its_connection_has_left_the_settings(self, hosted, connections):
        del connections["openai"]
        found, to_fix = examine()
        text = "Embeddings: the connection of the embedding model is not configured."
        assert found.count(line("✗", "embeddings", text)) == 1
        assert any('Declare FINETUNE_SWITCH["CONNECTIONS"]["openai"]' in one for one in to_fix)

    def test_both_models_are_asked_while_a_rebuild_is_needed(self, hosted, settings):
        index = {"EMBEDDINGS": "multilingual"}
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": index}
        found, to_fix = examine()
        assert line("✓", "embeddings", "“use-multilingual-v3” answers.") in found
        assert line("✓", "embeddings", "“standin-embed” answers.") in found
        assert to_fix == [f"1. Run {COMMAND}."]

    def test_the_built_in_model_is_another_one_now(self, indexed):
        EmbeddingSpace.objects.update(model_name="wordllama-128")
        found, to_fix = examine()
        text = "Embeddings: the model that this index was made with is gone."
        assert line("✗", "embeddings", text) in found
        assert f"1. Run {COMMAND}." in to_fix
