"""Builds and a killed process, a database restart, or a failing service."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest
from django.db import connection
from django.utils import timezone
from wagtail.images.models import Image
from wagtail.models import Collection
from wagtail.search import index

from benchmarks.articles import grow
from demo_site.models import ArticlePage
from finetune_switch.index import heartbeat
from finetune_switch.index.building import run_build
from finetune_switch.index.builds import start_build
from finetune_switch.models import Document, IndexBuild
from finetune_switch.models.index import active_space
from tests.embedding_helpers import chooser
from tests.index_helpers import build, counts, embedded, titles
from tests.servers import processes

pytestmark = pytest.mark.django_db(transaction=True)

Status = IndexBuild.Status
ALL = {"Harbour", "Lamp", "Café"}
LOST = "The database did not answer. Start the build again: it resumes where it stopped."

needs_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="an SQLite does not restart"
)


@pytest.fixture
def pages(make_page):
    return [make_page("Lamp", "The lamp was lit in 1871."), make_page("Café", "Kipper soup.")]


@pytest.fixture
def choose(settings, connections):
    return chooser(settings)


@pytest.fixture
def command(standin, choose):
    """Starts ``finetune_switch index`` in a process, with the test database and a slow embedding
    model of the stand-in."""
    started = []

    def start(*options, seconds=0.4):
        model = standin.add_model("slow-embed", fault="slow-load", seconds=seconds).name
        choose("openai", model, DIMENSIONS=256)
        embeddings = {"CONNECTION": "openai", "MODEL_NAME": model, "DIMENSIONS": 256}
        environment = {
            "DATABASE_URL": processes.database_url(connection.settings_dict["NAME"]),
            "TEST_OPENAI_BASE": standin.openai_url,
            "TEST_EMBEDDINGS": json.dumps(embeddings),
        }
        process = processes.start_command(environment, "finetune_switch", "index", *options)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.django_db(transaction=True)
def test_killed_process(site, standin, command):
    """100 of 104 documents are written; the process is killed while it embeds the others."""
    grow(site, 103, indexed=False)
    build()
    everything = titles(limit=200)
    assert Document.objects.count() == 104
    old = active_space()

    killed = command()
    made = Document.objects.exclude(space=old)
    running = IndexBuild.objects.filter(status=Status.RUNNING, done__gte=100)
    processes.wait_for(running.exists, seconds=60)
    killed.kill()
    assert killed.wait(10) == -9
    written = made.count()
    assert 100 <= written < 104

    # The killed build is still running in the database, and blocks the next one until the timeout.
    # The old index answers.
    row = IndexBuild.objects.get(status=Status.RUNNING)
    assert row.done == written
    assert active_space() == old
    assert titles(limit=200) == everything
    early = command()
    assert "already" in early.communicate(timeout=60)[1]
    assert early.returncode == 1

    IndexBuild.objects.filter(pk=row.pk).update(
        heard_of_at=timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT
    )
    standin.clear()
    output, errors = command("--json").communicate(timeout=60)
    assert json.loads(output) == {
        "status": "complete",
        "added": 104 - written,
        "kept": written,
        "removed": 0,
        "failed": 0,
        "error": "",
    }, errors
    assert len(embedded(standin)) == 104 - written
    assert active_space().model_name == "slow-embed"
    assert titles(limit=200) == everything
    row.refresh_from_db()
    assert (row.status, row.error) == (
        Status.FAILED,
        "The build was interrupted. Start it again: it resumes where it stopped.",
    )


class Outage:
    """Simulates a restart of PostgreSQL: all sessions end, and new ones fail for a while."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.is_down = threading.Event()
        self.name = connection.settings_dict["NAME"]

    def start(self):
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self.is_down.wait(10)

    def _run(self):
        allow = f'ALTER DATABASE "{self.name}" WITH ALLOW_CONNECTIONS'
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"{allow} false")
            try:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = %s",
                    [self.name],
                )
                self.is_down.set()
                time.sleep(self.seconds)
            finally:
                cursor.execute(f"{allow} true")

    def wait(self):
        if self.is_down.is_set():
            self.thread.join(20)


@pytest.fixture
def outage(site):
    """Returns an outage of so many seconds, begun by ``start()``."""
    made = []

    def make(seconds):
        made.append(Outage(seconds))
        return made[-1]

    yield make
    for one in made:
        one.wait()
    # Do not leave a lost connection to other tests.
    connection.close()


@needs_postgresql
@pytest.mark.django_db(transaction=True)
class TestDatabaseRestart:
    @pytest.mark.parametrize("seconds", [0, 1.2], ids=["sessions lost", "away for a while"])
    def test_between_two_batches(
        self, pages, choose, standin, monkeypatch, caplog, outage, seconds
    ):
        monkeypatch.setattr(heartbeat, "EVERY_SECONDS", 0.1)
        build()
        standin.add_model("slow-embed", fault="slow-load", seconds=0.3)
        choose("openai", "slow-embed", DIMENSIONS=256)
        down = outage(seconds)

        def strike(build):
            if not down.is_down.is_set():
                down.start()

        failed = run_build(start_build(), strike)
        down.wait()
        assert (failed.status, failed.error) == (Status.FAILED, LOST)
        assert "Traceback" not in caplog.text
        failed.refresh_from_db()
        assert (failed.status, failed.error) == (Status.FAILED, LOST)
        assert active_space().model_name == "use-multilingual-v3"
        assert titles() == ALL
        written = failed.added
        assert counts(build()) == (3 - written, written, 0, 0)
        assert active_space().model_name == "slow-embed"
        assert titles() == ALL

    def test_output_of_the_command(self, pages, command, standin, outage):
        build()
        process = command(seconds=1)
        processes.wait_for(lambda: standin.active_streams, seconds=60)
        down = outage(1)
        down.start()
        _output, errors = process.communicate(timeout=30)
        down.wait()
        connection.close()
        assert process.returncode == 1
        assert LOST in errors
        assert "Traceback" not in errors
        assert IndexBuild.objects.first().error == LOST
        assert titles() == ALL
        assert build().failed == 0
        assert titles() == ALL

    def test_database_stays_down(self, pages, monkeypatch, caplog, outage):
        """The process ends with the reason; the build is closed after a timeout."""
        monkeypatch.setattr("finetune_switch.index.building.PAUSES", (0, 0.1))
        down = outage(2)
        failed = run_build(start_build(), lambda build: down.start())
        assert (failed.status, failed.error) == (Status.FAILED, LOST)
        assert "could not be saved" in caplog.text
        down.wait()
        row = IndexBuild.objects.get()
        assert row.status == Status.RUNNING
        IndexBuild.objects.update(heard_of_at=row.heard_of_at - IndexBuild.HEARTBEAT_TIMEOUT)
        assert build().failed == 0


# Of a batch the last vector is the one without a length, and the sentence names it.
FAULTS = {
    "half-batch": "vectors for",
    "wrong-dimensions": "255 numbers instead of 256",
    "nan-vectors": "NaN",
    "zero-vectors": r"the vector of text (\d) of \1 has length 0",
    "slow-first-token": r"within 0\.5 seconds",
    "cut": "",
    "unauthorized": "did not accept our key",
}


class TestFailingService:
    """The old index answers, nothing is saved, and the next build succeeds."""

    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_fault(self, pages, choose, connections, standin, fault):
        build()
        connections["openai"]["DEADLINES"] = {"FIRST_TOKEN": 0.5, "IDLE": 0.5, "TOTAL": 0.5}
        standin.add_model(f"bad-{fault}", fault=fault)
        choose("openai", f"bad-{fault}", DIMENSIONS=256)
        failed = run_build(start_build())
        assert failed.status == Status.FAILED
        assert failed.error.startswith("Embeddings: ")
        assert re.search(FAULTS[fault], failed.error)
        assert active_space().model_name == "use-multilingual-v3"
        assert set(Document.objects.values_list("space", flat=True)) == {active_space().pk}
        assert titles() == ALL

        connections["openai"]["DEADLINES"] = {}
        standin.add_model(f"bad-{fault}")
        assert counts(build()) == (3, 0, 0, 0)
        assert active_space().model_name == f"bad-{fault}"
        assert titles() == ALL

    def test_server_is_down(self, pages, choose, connections, standin):
        build()
        connections["openai"]["API_BASE"] = f"http://127.0.0.1:{processes.free_port()}/v1"
        choose("openai", "standin-embed", DIMENSIONS=256)
        failed = run_build(start_build())
        assert failed.status == Status.FAILED
        assert "does not take connections" in failed.error
        assert titles() == ALL
        connections["openai"]["API_BASE"] = standin.openai_url
        assert counts(build()) == (3, 0, 0, 0)


class TestUnusualPages:
    @pytest.fixture(params=["embedded", "served"])
    def model(self, request, choose):
        if request.param == "served":
            choose("openai", "standin-embed")

    def test_all_of_them(self, make_page, model, monkeypatch):
        """A megabyte, an empty page, only an image, emoji, right-to-left text, NUL."""
        everything = [index.SearchField("said"), *ArticlePage.search_fields]
        monkeypatch.setattr(ArticlePage, "search_fields", everything)
        monkeypatch.setattr(ArticlePage, "said", lambda page: f"{page.title}\x00!", raising=False)
        Collection.objects.filter(depth=1).exists() or Collection.add_root(name="Root")
        Image.objects.bulk_create([Image(title="Mary Ann", file="x.png", width=1, height=1)])
        image = f'<embed alt="" embedtype="image" id="{Image.objects.get().pk}"/>'
        make_page("Rope", "rope is coiled. " * 65_000)
        make_page("Whale bones", "x", slug="nothing")
        make_page("Gallery", "x", slug="only-images")
        ArticlePage.objects.filter(slug="nothing").update(introduction="", body="[]")
        pictures = ArticlePage.objects.get(slug="only-images")
        pictures.introduction, pictures.body = "", [("paragraph", image)]
        pictures.save(clean=False)
        make_page("⛵️ 👩‍👩‍👧‍👦", "🚢 ⚓️ 🏴‍☠️", slug="emoji")
        make_page("متى يفتح الميناء؟", "‮يفتح الميناء في التاسعة‬", slug="rtl")
        found = {"Harbour", "Rope", "Whale bones", "Gallery", "⛵️ 👩‍👩‍👧‍👦", "متى يفتح الميناء؟"}

        assert counts(build()) == (6, 0, 0, 0)
        assert set(Document.objects.values_list("title", flat=True)) == found
        assert titles(limit=5000) == found
        assert "Gallery" in titles("Mary Ann", limit=3)
        assert "متى يفتح الميناء؟" in titles("يفتح الميناء في التاسعة", limit=3)
        # The next build changes nothing.
        assert counts(build()) == (0, 6, 0, 0)

    @pytest.mark.parametrize("question", ["", " \n", "\x00", "😀", "a" * 20_000, "tide " * 4_000])
    def test_odd_questions(self, pages, model, question):
        build()
        # The threshold of these tests is low: every question with words finds a page.
        assert titles(question) == (ALL if question.strip() else set())
