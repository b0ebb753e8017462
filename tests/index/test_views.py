"""The page *Index* in its states."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from wagtail.models import ModelLogEntry, Page

from finetune_switch.index import tasks
from finetune_switch.index.building import run_build
from finetune_switch.index.builds import start_build
from finetune_switch.index.exclusions import set_exclusion
from finetune_switch.models import Document, IndexBuild, PendingUpdate
from tests.pages import address
from tests.screens import add_page

Status = IndexBuild.Status
DATABASE_TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
IMMEDIATE = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}


def make_build(status, **values):
    return IndexBuild.objects.create(status=status, **values)


class TestEmpty:
    def test_offers_the_first_build(self, site, admin):
        page = admin.get("index:index")
        assert "Nothing is indexed yet" in page.text
        assert "Texts go to this website only" in page.text
        assert page.buttons == ["Build the whole index"]
        assert "Last builds" not in page.text

    def test_destination_of_texts(self, site, admin, another_model):
        page = admin.get("index:index")
        assert "embed-large" in page.text
        assert "Texts go to a test of OpenAI" in page.text
        assert "this website only" not in page.text

    def test_progress(self, site, admin):
        found = admin.get("index:progress").response.json()
        assert (found["status"], found["is_at_work"]) == ("none", False)


class TestFull:
    def test_indexed_types(self, full, site, admin):
        page = admin.get("index:index")
        assert "3 documents" in page.text
        assert "1 of them: only who may open it finds it" in page.text
        rows = {
            row.select_one("th").text: [cell.text for cell in row.select("td")]
            for row in page.main.select(".finetune-types tbody tr")
        }
        assert rows == {"Articles": ["2", "1"], "Home pages": ["1", "0"]}, rows
        assert "use-multilingual-v3 (built in)" in page.text
        assert "Waiting changes none: all is up to date" in page.text
        assert "Complete" in page.text
        assert "3 added or changed, 0 kept, 0 removed" in page.text
        assert page.buttons == ["Build the whole index"]

    def test_excluded_pages(self, full, site, admin, settings):
        boats = Page.objects.get(title="Boats")
        set_exclusion(boats, left_out=True)
        page = admin.get("index:index")
        assert "Left out 1 live page" in page.text
        assert page.links("Boats") == [address("wagtailadmin_pages:edit", boats.pk)]

        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"EXCLUDE_PAGE_TYPES": ["demo_site.HomePage"]},
        }
        assert "Left out 2 live pages" in admin.get("index:index").text

    def test_excluded_pages_need_edit_permission(self, full, site, log_in):
        set_exclusion(Page.objects.get(title="Wages"), left_out=True)
        page = log_in("indexer").get("index:index")
        assert page.status == 200
        assert "Wages" not in page.text

    def test_pending_changes(self, full, site, admin):
        add_page(site, "New")
        page = admin.get("index:index")
        assert "Waiting changes 1 , the oldest:" in page.text
        assert page.buttons == ["Bring up to date", "Build the whole index"]

    def test_no_buttons_without_build_permission(self, full, site, log_in):
        add_page(site, "New")
        page = log_in("settings").get("index:index")
        assert page.buttons == []
        assert "You may see the state of the index, but not build it." in page.text

    def test_title_is_escaped(self, full, site, admin):
        evil = '<img src=x onerror="alert(1)">'
        set_exclusion(add_page(site, evil, slug="evil"), left_out=True)
        page = admin.get("index:index")
        assert page.soup.select("img[onerror]") == []
        assert evil in page.text

    def test_number_of_queries(self, full, site, admin, django_assert_max_num_queries):
        for number in range(30):
            set_exclusion(add_page(site, f"More {number}"), left_out=True)
        run_build(start_build())
        admin.get("index:index")
        with django_assert_max_num_queries(45):
            assert admin.get("index:index").status == 200


class TestRebuild:
    def test_another_embedding_model(self, full, site, admin, another_model):
        page = admin.get("index:index")
        assert "A rebuild is needed." in page.text
        assert "The settings name another embedding model, embed-large." in page.text
        assert "A rebuild sends texts to: a test of OpenAI." in page.text
        # The old index is still active.
        assert "use-multilingual-v3" in page.text
        assert "Texts go to this website only" in page.text

    def test_removed_connection(self, full, site, admin, settings):
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"EMBEDDINGS": {"CONNECTION": "left", "MODEL_NAME": "m"}},
        }
        page = admin.get("index:index")
        assert page.status == 200
        assert "the connection of the embedding model is not configured" in page.text
        assert 'Declare FINETUNE_SWITCH["CONNECTIONS"]["left"]' in page.text

    def test_no_rebuild_for_the_same_model(self, full, admin):
        assert "rebuild" not in admin.get("index:index").text.lower()


class TestFailed:
    def test_reason_of_the_last_failure(self, full, admin):
        make_build(Status.FAILED, error="The service said no.", failed=200)
        page = admin.get("index:index")
        assert (
            "The last build failed. The service said no. The previous index keeps answering."
            in page.text
        )
        assert "200 failed" in page.text

    def test_failed_changes(self, full, admin):
        for number in (1, 2):
            PendingUpdate.objects.create(model="a.b", object_id=str(number), error="It is down.")
        page = admin.get("index:index")
        assert "2 changes could not be indexed. It is down. Out of date since:" in page.text

    def test_overdue_changes(self, full, site, admin):
        add_page(site, "New")
        assert "Is a worker running?" not in admin.get("index:index").text
        PendingUpdate.objects.update(marked_at=timezone.now() - timedelta(hours=1))
        page = admin.get("index:index")
        assert "1 change waits to be indexed. Is a worker running? Your developer knows." in (
            page.text
        )

    def test_killed_build(self, full, admin):
        long_ago = timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT - timedelta(seconds=1)
        build = make_build(Status.RUNNING, total=9, done=3, heard_of_at=long_ago)
        page = admin.get("index:index")
        assert "The build was interrupted. Start it again" in page.text
        assert "Build the whole index" in page.buttons
        assert admin.get("index:progress").response.json()["status"] == "failed"
        # The view writes nothing.
        build.refresh_from_db()
        assert build.status == Status.RUNNING

    def test_build_without_worker(self, site, admin):
        """The build can be started again and stays one build."""
        make_build(Status.QUEUED, queued_at=timezone.now() - timedelta(hours=2), changed_only=True)
        page = admin.get("index:index")
        assert "It still waits for a worker. Is one running?" in page.text
        assert "The last build failed." not in page.text
        assert page.buttons == ["Build the whole index"]
        page = build_now(admin)
        assert "Waiting for a worker to begin…" in page.text
        assert page.buttons == []
        build = IndexBuild.objects.get()
        assert (build.changed_only, build.started_by) == (False, admin.user)

    def test_enqueue_fails(self, site, admin, monkeypatch, django_capture_on_commit_callbacks):
        def refuse(task, build_id):
            raise ConnectionError("redis://secret@queue")

        monkeypatch.setattr(type(tasks.build_index), "enqueue", refuse)
        with django_capture_on_commit_callbacks(execute=True):
            build_now(admin)
        build = IndexBuild.objects.get()
        assert build.status == Status.FAILED
        page = admin.get("index:index")
        assert "could not be queued" in page.text
        assert "secret" not in page.html

    def test_enqueue_fails_for_a_running_build(
        self, site, admin, monkeypatch, django_capture_on_commit_callbacks
    ):
        def refuse(task, build_id):
            IndexBuild.objects.update(status=Status.RUNNING)
            raise ConnectionError

        start_build()
        monkeypatch.setattr(type(tasks.build_index), "enqueue", refuse)
        with django_capture_on_commit_callbacks(execute=True):
            build_now(admin)
        assert IndexBuild.objects.get().status == Status.RUNNING

    def test_enqueued_on_commit(self, site, admin, monkeypatch, django_capture_on_commit_callbacks):
        given = []
        monkeypatch.setattr(type(tasks.build_index), "enqueue", lambda task, pk: given.append(pk))
        with django_capture_on_commit_callbacks(execute=True):
            build_now(admin)
            assert given == []
        assert given == [IndexBuild.objects.get().pk]


def build_now(person, **data):
    return person.post("index:build", **data)


class TestBuilding:
    def test_build_whole_index(self, site, admin, settings):
        add_page(site, "Boats")
        page = build_now(admin)
        assert page.message == (
            "The whole index is being built. Until it is done, the old one answers."
        )
        build = IndexBuild.objects.get()
        assert (build.changed_only, build.started_by) == (False, admin.user)
        assert "The whole index is being built" in page.text
        assert page.buttons == []
        bar = page.main.select_one("progress")
        assert not bar.has_attr("value")
        found = admin.get("index:progress").response.json()
        assert (found["status"], found["is_at_work"]) == ("queued", True)
        assert found["sentence"] == "Waiting for a worker to begin…"

        tasks.build_index.call(build.pk)

        found = admin.get("index:progress").response.json()
        assert found["status"] == "complete"
        assert not found["is_at_work"]
        assert found["counts"] == {"added": 2, "kept": 0, "removed": 0, "failed": 0}
        assert found["sentence"] == "Done: 2 added or changed, 0 kept, 0 removed."
        assert "2 documents" in admin.get("index:index").text

    def test_build_changes(self, full, site, admin):
        add_page(site, "New")
        page = build_now(admin, changed="on")
        assert page.message == "Changes are being indexed."
        build = IndexBuild.objects.first()
        assert build.changed_only
        tasks.build_index.call(build.pk)
        build.refresh_from_db()
        assert (build.status, build.added, build.kept) == ("complete", 1, 0)
        assert Document.objects.filter(title="New").exists()

    def test_progress_moves(self, site, admin):
        seen = []
        for number in range(3):
            add_page(site, f"Page {number}")
        build = start_build()
        run_build(build, lambda build: seen.append(admin.get("index:progress").response.json()))
        assert {found["status"] for found in seen} == {"running"}
        assert seen[-1]["done"] == 4
        assert "4 of " in seen[-1]["sentence"]

    def test_progress_bar(self, site, admin):
        make_build(Status.RUNNING, total=1200, done=300, added=12, kept=288)
        page = admin.get("index:index")
        bar = page.main.select_one("progress")
        assert (bar["max"], bar["value"]) == ("1200", "300")
        assert bar["aria-labelledby"]
        assert "300 of 1200 done: 12 added or changed, 288 kept, 0 removed." in page.text
        assert page.main.select_one("[role=status]") is not None
        assert page.main.select_one("noscript a") is not None

    def test_progress_is_at_most_the_total(self, site, admin):
        """Pages published meanwhile exceed the total."""
        make_build(Status.RUNNING, total=3, done=4)
        found = admin.get("index:progress").response.json()
        assert (found["done"], found["total"]) == (3, 3)

    def test_busy(self, site, admin):
        make_build(Status.RUNNING)
        page = build_now(admin)
        assert page.message == "The index is being built already. Wait until that is done."
        assert IndexBuild.objects.count() == 1

    def test_get_is_not_allowed(self, site, admin):
        assert admin.get("index:build").status == 405
        assert not IndexBuild.objects.exists()

    def test_log_entry(self, full, site, admin):
        build_now(admin, changed="on")
        tasks.build_index.call(IndexBuild.objects.first().pk)
        build_now(admin)
        assert ModelLogEntry.objects.filter(action="finetune_switch.index").count() == 2
        text = admin.get("wagtailadmin_reports:site_history").text
        assert "Started to bring the index up to date" in text
        assert "Started to build the whole index" in text


class TestWithoutWorker:
    @pytest.fixture(autouse=True)
    def no_worker(self, monkeypatch):
        for module in ("index.views", "index.upkeep", "index.overview"):
            monkeypatch.setattr(f"finetune_switch.{module}.runs_inside_the_request", lambda: True)

    def test_command_instead_of_buttons(self, full, admin):
        page = admin.get("index:index")
        assert page.buttons == []
        assert "manage.py finetune_switch index --changed" in page.text

    def test_no_build_is_started(self, site, admin):
        page = build_now(admin)
        assert "manage.py finetune_switch index" in page.message
        assert not IndexBuild.objects.exists()

    def test_pending_changes_without_worker(self, full, site, switch, admin):
        add_page(site, "New")
        assert "1 change waits to be indexed." in admin.get("wagtailadmin_home").text
