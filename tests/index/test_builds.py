"""Queueing, claiming and closing of builds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from finetune_switch.exceptions import IndexBusy
from finetune_switch.index import heartbeat, tasks
from finetune_switch.index.building import run_build
from finetune_switch.index.builds import start_build
from finetune_switch.index.overview import is_at_work, lacks_worker, sentence_of, status_of
from finetune_switch.models import Document, IndexBuild
from tests.embedding_helpers import chooser
from tests.index_helpers import build, counts, titles

pytestmark = pytest.mark.django_db(transaction=True)

Status = IndexBuild.Status


@pytest.fixture
def pages(make_page):
    return [make_page("Lamp", "The lamp was lit in 1871."), make_page("Café", "Kipper soup.")]


def ago(**values):
    return timezone.now() - timedelta(**values)


def at_once(number, function):
    """Results of concurrent calls, or the IndexBusy that they raised."""
    barrier = threading.Barrier(number)

    def call(_number):
        try:
            barrier.wait(20)
            return function()
        except IndexBusy as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(call, range(number)))


class TestQueued:
    def test_two_clicks_are_one_build(self, pages):
        first = start_build()
        second = start_build(user=User.objects.create_user("second"))
        assert first.pk == second.pk
        assert second.started_by.username == "second"
        assert counts(run_build(first)) == (3, 0, 0, 0)
        with pytest.raises(IndexBusy, match="already"):
            run_build(second)

    def test_concurrent_starts_are_one_build(self, pages):
        for _round in range(4):
            assert len({found.pk for found in at_once(6, start_build)}) == 1
            IndexBuild.objects.update(status=Status.COMPLETE)

    def test_one_of_many_workers_claims_it(self, pages):
        for _round in range(3):
            done = at_once(4, lambda: run_build(start_build()))
            built = [one for one in done if isinstance(one, IndexBuild)]
            assert built
            assert all(one.status == Status.COMPLETE for one in built), [b.error for b in built]
            assert not IndexBuild.objects.filter(status__in=IndexBuild.OPEN).exists()
        assert titles() == {"Harbour", "Lamp", "Café"}

    def test_database_constraint(self, pages):
        start_build()
        for status in IndexBuild.OPEN:
            with pytest.raises(IntegrityError), transaction.atomic():
                IndexBuild.objects.create(status=status)

    def test_queued_whole_build_stays_whole(self, pages):
        waiting = start_build(changed_only=True)
        assert start_build(changed_only=True).changed_only
        assert not start_build().changed_only
        assert not start_build(changed_only=True).changed_only
        # The task was enqueued before the build became one of the whole index.
        assert counts(run_build(waiting)) == (3, 0, 0, 0)

    def test_queued_build_has_no_timeout(self, pages):
        waiting = start_build()
        IndexBuild.objects.update(queued_at=ago(hours=5), heard_of_at=ago(hours=5))
        waiting.refresh_from_db()
        assert (status_of(waiting), is_at_work(waiting)) == (Status.QUEUED, True)
        assert lacks_worker(waiting)
        assert "still waits for a worker" in sentence_of(waiting)
        tasks.build_index.call(waiting.pk)
        waiting.refresh_from_db()
        assert (waiting.status, waiting.added) == (Status.COMPLETE, 3)
        assert waiting.finished_at - waiting.started_at < timedelta(minutes=1)

    def test_command_runs_a_queued_build(self, pages, capsys):
        waiting = start_build()
        call_command("finetune_switch", "index", verbosity=0)
        assert "3 added or changed" in capsys.readouterr().out
        waiting.refresh_from_db()
        assert waiting.status == Status.COMPLETE
        tasks.build_index.call(waiting.pk)
        assert IndexBuild.objects.get() == waiting


class TestRunning:
    def test_running_build_blocks_another(self, pages):
        refused = []

        def try_another(build):
            with pytest.raises(IndexBusy, match="already"):
                start_build()
            refused.append(build)

        assert run_build(start_build(), try_another).status == Status.COMPLETE
        assert refused

    def test_killed_build_is_closed(self, pages):
        killed = start_build()
        IndexBuild.objects.update(
            status="running", heard_of_at=timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT
        )
        killed.refresh_from_db()
        assert status_of(killed) == Status.FAILED
        build()
        killed.refresh_from_db()
        assert killed.status == Status.FAILED
        assert "Start it again" in killed.error

    def test_build_stops_if_closed_by_another_process(self, pages):
        """As after the machine was suspended."""
        builds = []

        def sleep(one):
            if not builds:
                IndexBuild.objects.update(heard_of_at=ago(hours=1))
                builds.append(start_build())

        given_up = run_build(start_build(), sleep)
        assert given_up.status == Status.FAILED
        assert "Start it again" in given_up.error
        (waiting,) = builds
        rows = {row.pk: row.status for row in IndexBuild.objects.all()}
        assert rows == {given_up.pk: Status.FAILED, waiting.pk: Status.QUEUED}
        assert run_build(waiting).status == Status.COMPLETE
        assert Document.objects.count() == 3


class TestHeartbeat:
    @pytest.fixture(autouse=True)
    def fast(self, monkeypatch):
        monkeypatch.setattr(heartbeat, "EVERY_SECONDS", 0.1)

    def test_heartbeats_while_embedding(self, pages, settings, connections, standin):
        standin.add_model("slow-embed", fault="slow-load", seconds=2)
        chooser(settings)("openai", "slow-embed", DIMENSIONS=256)
        waiting = start_build()
        thread = threading.Thread(target=at_once, args=(1, lambda: run_build(waiting)))
        thread.start()
        heard = set()
        while thread.is_alive():
            row = IndexBuild.objects.get()
            if row.status == Status.RUNNING and not row.done:
                heard.add(row.heard_of_at)
            time.sleep(0.05)
        # At the start, and while the model did not answer.
        assert len(heard) > 3
        done = IndexBuild.objects.get()
        assert done.status == Status.COMPLETE, done.error
        assert beating() == []

    def test_thread_ends_with_the_build(self, pages):
        seen = []

        def stop(build):
            seen.append(beating())
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_build(start_build(), stop)
        assert [len(threads) for threads in seen] == [1]
        assert beating() == []

    def test_ended_build_is_not_changed(self, pages):
        done = build()
        heartbeat._beat(done.pk, "default")
        assert IndexBuild.objects.get().heard_of_at == done.heard_of_at

    def test_no_thread_in_a_transaction(self, pages):
        """A second connection would deadlock with the transaction."""
        seen = []
        with transaction.atomic():
            done = run_build(start_build(), lambda build: seen.append(beating()))
        assert done.status == Status.COMPLETE
        assert seen
        assert not any(seen)

    def test_no_thread_for_sqlite_in_memory(self, monkeypatch):
        for is_in_memory in (True, False):
            database = SimpleNamespace(
                vendor="sqlite", in_atomic_block=False, is_in_memory_db=partial(bool, is_in_memory)
            )
            monkeypatch.setattr(heartbeat, "connections", {"default": database})
            assert heartbeat._is_visible_to_others("default") != is_in_memory

    def test_failed_heartbeats_do_not_stop_the_build(
        self, pages, settings, connections, standin, monkeypatch, caplog
    ):
        standin.add_model("slow-embed", fault="slow-load", seconds=0.5)
        chooser(settings)("openai", "slow-embed", DIMENSIONS=256)
        monkeypatch.setattr(IndexBuild.objects, "using", refuse)
        assert build().added == 3
        assert "heartbeat" in caplog.text


def refuse(using):
    raise IntegrityError("database is locked")


def beating():
    return [one for one in threading.enumerate() if one.name == "finetune-switch-build"]
