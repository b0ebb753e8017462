"""Builds of the index, their contents and failures."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from wagtail.models import Page, PageViewRestriction

from demo_site.models import ArticlePage
from finetune_switch.access import Asker
from finetune_switch.backends.embeddings.embedded import EmbeddedEmbedder
from finetune_switch.index import writing as documents
from finetune_switch.index.building import process_pending, run_build, update_objects
from finetune_switch.index.builds import needs_rebuild, start_build
from finetune_switch.index.sources import Sources
from finetune_switch.models import (
    Chunk,
    Document,
    EmbeddingSpace,
    Exclusion,
    IndexBuild,
    PendingUpdate,
)
from tests.embedding_helpers import chooser
from tests.index_helpers import build, counts, embedded, titles

pytestmark = pytest.mark.django_db

LAMP = "The lighthouse lamp was first lit in 1871 by Ada Pender, the keeper's daughter."
SOUP = "The café serves kipper soup with brown bread from noon until three."


@pytest.fixture
def served(settings, connections, standin):
    """Uses a model of the stand-in, which records the texts."""

    def use(model, **behaviour):
        standin.add_model(model, **behaviour)
        standin.clear()
        chooser(settings)("openai", model, DIMENSIONS=256)

    return use


@pytest.fixture
def pages(make_page):
    return [make_page("Lamp", LAMP), make_page("Café", SOUP)]


def publish(page, **values):
    page = Page.objects.get(pk=page.pk).specific
    for name, value in values.items():
        setattr(page, name, value)
    page.save_revision().publish()


class TestWholeIndex:
    def test_every_live_page_is_indexed(self, pages, site):
        assert counts(build()) == (3, 0, 0, 0)
        assert titles() == {"Harbour", "Lamp", "Café"}
        lamp = Document.objects.get(title="Lamp")
        assert (lamp.model, lamp.object_id) == ("demo_site.articlepage", str(pages[0].pk))
        assert (lamp.site_id, lamp.locale_id) == (site.pk, pages[0].locale_id)

    def test_unchanged_pages_are_not_embedded(self, pages, served, standin):
        served("counted")
        assert counts(build()) == (3, 0, 0, 0)
        assert len(embedded(standin)) == 3
        standin.clear()
        assert counts(build()) == (0, 3, 0, 0)
        assert embedded(standin) == []

    def test_only_changed_chunks_are_embedded(self, make_page, served, standin):
        served("counted")
        paragraphs = [f"Paragraph {n} about the harbour. " * 20 for n in range(5)]
        page = make_page("Long", "Short.")
        publish(page, body=[("paragraph", f"<p>{text}</p>") for text in paragraphs])
        build()
        kept = set(Chunk.objects.filter(document__title="Long").values_list("pk", flat=True))
        paragraphs[2] = "Something else is said here, of gulls and of herring. " * 12
        publish(page, body=[("paragraph", f"<p>{text}</p>") for text in paragraphs])
        standin.clear()
        assert counts(build())[:2] == (1, 1)
        assert 1 <= len(embedded(standin)) <= 2
        assert all("gulls" in text for text in embedded(standin))
        now = set(Chunk.objects.filter(document__title="Long").values_list("pk", flat=True))
        assert len(now & kept) >= len(kept) - 2

    def test_deleted_pages_are_removed(self, pages, site):
        build()
        Page.objects.get(pk=pages[0].pk).delete()
        assert counts(build()) == (0, 2, 1, 0)
        assert titles() == {"Harbour", "Café"}
        assert not Chunk.objects.filter(text__contains="Ada Pender").exists()

    def test_drafts_are_not_indexed(self, pages):
        Page.objects.get(pk=pages[0].pk).specific.unpublish()
        build()
        assert not Document.objects.filter(title="Lamp").exists()

    def test_page_with_only_a_title(self, make_page):
        page = make_page("Whale bones", "Text.")
        ArticlePage.objects.filter(pk=page.pk).update(introduction="", body="[]")
        build()
        assert "Whale bones" in titles("bones of a whale")

    def test_emptied_text_is_removed(self, pages, settings):
        build()
        everything = ["title", "introduction", "body"]
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"EXCLUDE_FIELDS": [f"demo_site.ArticlePage.{name}" for name in everything]},
        }
        build()
        assert not Chunk.objects.filter(text__contains="Ada Pender").exists()

    def test_private_pages_are_restricted(self, pages):
        PageViewRestriction.objects.create(page=pages[0], restriction_type="login")
        build()
        assert titles() == {"Harbour", "Café"}
        member = Asker.from_user(User.objects.create_user("member"))
        assert titles(asker=member) == {"Harbour", "Lamp", "Café"}


class TestExclusions:
    def test_single_page(self, pages):
        build()
        Exclusion.objects.create(page_id=pages[0].pk)
        build()
        assert titles() == {"Harbour", "Café"}

    def test_subtree(self, pages, make_page):
        make_page("Below the lamp", "Text.", parent=pages[0])
        Exclusion.objects.create(page_id=pages[0].pk, subtree=True)
        build()
        assert titles() == {"Harbour", "Café"}

    def test_aliases(self, pages, site):
        Page.objects.get(pk=pages[0].pk).create_alias(
            parent=Page.objects.get(pk=site.root_page.pk), update_slug="lamp-2"
        )
        Exclusion.objects.create(page_id=pages[0].pk)
        build()
        assert titles() == {"Harbour", "Café"}

    def test_page_type(self, pages, settings):
        build()
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"EXCLUDE_PAGE_TYPES": ["demo_site.ArticlePage"]},
        }
        assert counts(build()) == (0, 1, 2, 0)
        assert titles() == {"Harbour"}

    def test_field(self, pages, settings):
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {
                "EXCLUDE_FIELDS": [
                    "demo_site.ArticlePage.body",
                    "demo_site.ArticlePage.introduction",
                ]
            },
        }
        build()
        assert not Chunk.objects.filter(text__contains="Ada Pender").exists()
        assert "Lamp" in titles()


class TestAnotherEmbeddingModel:
    def test_old_space_is_active_until_the_new_one_is_complete(self, pages, served):
        build()
        assert not needs_rebuild()
        served("other-model")
        assert needs_rebuild()
        seen = []
        run_build(start_build(), lambda build: seen.append((active().model_name, titles())))
        assert seen
        assert {name for name, _titles in seen} == {"use-multilingual-v3"}
        assert all(found == {"Harbour", "Lamp", "Café"} for _name, found in seen)
        assert active().model_name == "other-model"
        assert titles() == {"Harbour", "Lamp", "Café"}
        assert EmbeddingSpace.objects.count() == 1
        assert not needs_rebuild()

    def test_everything_is_embedded_again(self, pages, served):
        build()
        old = {bytes(v) for v in Chunk.objects.values_list("vector", flat=True)}
        served("other-model")
        assert counts(build()) == (3, 0, 0, 0)
        assert not old & {bytes(v) for v in Chunk.objects.values_list("vector", flat=True)}


def active():
    return EmbeddingSpace.objects.get(is_active=True)


class TestFailures:
    def test_failing_service_keeps_documents(self, pages, served):
        served("failing")
        build()
        publish(pages[0], title="Lantern")
        served("failing", fault="unauthorized")
        failed = run_build(start_build())
        assert (failed.status, failed.added) == (IndexBuild.Status.FAILED, 0)
        assert "Lamp" in set(Document.objects.values_list("title", flat=True))
        served("failing")
        assert counts(build())[0] == 1
        assert "Lantern" in titles()

    def test_unexpected_error_is_shown_without_traceback(self, pages, monkeypatch):
        monkeypatch.setattr(documents, "chunks_of", lambda *arguments: 1 / 0)
        failed = run_build(start_build())
        assert failed.status == IndexBuild.Status.FAILED
        assert "site's log" in failed.error
        assert "division" not in failed.error

    def test_stopped_build_continues(self, make_page, served, standin, monkeypatch):
        from finetune_switch.index import sources

        monkeypatch.setattr(sources, "BATCH", 2)
        served("counted")
        for number in range(6):
            make_page(f"Page {number}", f"Number {number} of the harbour's pages.")

        def stop(build):
            if build.done >= 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_build(start_build(), stop)
        # All are found by their words already.
        assert Document.objects.count() == 7
        written = Document.objects.exclude(digest="").count()
        assert 0 < written < 7
        assert "Start it again" in IndexBuild.objects.get().error
        standin.clear()
        assert counts(build()) == (7 - written, written, 0, 0)
        assert len(embedded(standin)) == 7 - written


class TestSingleObject:
    def test_single_object_is_updated(self, pages):
        build()
        publish(pages[0], title="Lantern")
        publish(pages[1], title="Restaurant")
        assert vars(update_objects([("demo_site.articlepage", str(pages[0].pk))])) == {
            "added": 1,
            "kept": 0,
            "removed": 0,
            "failed": 0,
        }
        assert set(Document.objects.values_list("title", flat=True)) == {
            "Harbour",
            "Lantern",
            "Café",
        }

    @pytest.mark.django_db(transaction=True)
    def test_later_of_two_writers_wins(self, pages, monkeypatch):
        """One writer embeds slowly; the other writes a newer version meanwhile."""
        build()
        publish(pages[0], title="First")
        key = ("demo_site.articlepage", str(pages[0].pk))
        embed, done = EmbeddedEmbedder.embed, threading.Event()

        def newer():
            publish(pages[0], title="Second")
            update_objects([key])
            connection.close()
            done.set()

        def slow(self, texts):
            if any("First" in text for text in texts) and not done.is_set():
                monkeypatch.setattr(EmbeddedEmbedder, "embed", embed)
                writer = threading.Thread(target=newer)
                writer.start()
                assert done.wait(20)
                writer.join()
            return embed(self, texts)

        monkeypatch.setattr(EmbeddedEmbedder, "embed", slow)
        update_objects([key])
        document = Document.objects.get(object_id=str(pages[0].pk))
        assert document.title == "Second"
        # The chunks are those of the newer version as well.
        assert counts(build()) == (0, 3, 0, 0)

    def test_deleted_object(self, pages):
        build()
        key = ("demo_site.articlepage", str(pages[0].pk))
        Page.objects.get(pk=pages[0].pk).delete()
        assert update_objects([key]).removed == 1
        assert update_objects([key]).removed == 0


def test_build_deletes_pending_updates(pages):
    build()
    publish(pages[0], title="Lantern")
    assert PendingUpdate.objects.exists()
    build()
    assert not PendingUpdate.objects.exists()


def work():
    """Runs the queued tasks, like another worker."""
    process_pending(list(PendingUpdate.objects.all()))


def indexed():
    return set(Document.objects.values_list("title", flat=True))


class TestChangeDuringBuild:
    """Another worker processes the change and deletes its PendingUpdate before the build ends."""

    @pytest.fixture
    def run_with(self, monkeypatch):
        """Runs a whole build, with a change after "Lamp" was written."""

        def run(change, batch=1):
            from finetune_switch.index import sources

            monkeypatch.setattr(sources, "BATCH", batch)
            done = []

            def once(build):
                if not done and "Lamp" in indexed():
                    done.append(build)
                    change()
                    work()

            result = run_build(start_build(), once)
            assert (result.status, len(done)) == (IndexBuild.Status.COMPLETE, 1)

        return run

    @pytest.fixture
    def while_embedding(self, monkeypatch):
        embed = EmbeddedEmbedder.embed

        def during(change):
            def once(self, texts):
                monkeypatch.setattr(EmbeddedEmbedder, "embed", embed)
                change()
                work()
                return embed(self, texts)

            monkeypatch.setattr(EmbeddedEmbedder, "embed", once)

        return during

    @pytest.mark.parametrize("batch", [1, 200])
    def test_published(self, make_page, run_with, batch):
        # The build has passed it, since objects are read in order of their primary keys.
        rope = make_page("Rope", "Rope is walked by hand.", live=False)
        make_page("Lamp", LAMP)
        run_with(lambda: publish(rope), batch)
        assert indexed() == titles() == {"Harbour", "Lamp", "Rope"}

    def test_unpublished(self, pages, while_embedding):
        while_embedding(lambda: Page.objects.get(pk=pages[0].pk).specific.unpublish())
        build()
        assert indexed() == {"Harbour", "Café"}

    def test_deleted(self, pages, while_embedding):
        while_embedding(lambda: Page.objects.get(pk=pages[0].pk).specific.delete())
        build()
        assert indexed() == {"Harbour", "Café"}

    def test_made_private(self, pages, run_with):
        run_with(
            lambda: PageViewRestriction.objects.create(page=pages[1], restriction_type="login")
        )
        restricted = Document.objects.filter(is_restricted=True)
        assert set(restricted.values_list("title", flat=True)) == {"Café"}

    def test_left_out(self, pages, run_with):
        run_with(lambda: Exclusion.objects.create(page_id=pages[1].pk))
        assert indexed() == {"Harbour", "Lamp"}

    def test_moved(self, pages, while_embedding):
        lamp, cafe = (Page.objects.get(pk=page.pk).specific for page in pages)
        while_embedding(lambda: cafe.move(lamp, pos="last-child"))
        build()
        path = Document.objects.get(title="Café").path
        assert path == Page.objects.get(pk=cafe.pk).path

    def test_edited(self, pages, while_embedding):
        while_embedding(lambda: publish(pages[0], title="Lantern"))
        build()
        assert indexed() == {"Harbour", "Lantern", "Café"}

    def test_change_with_a_slow_clock(self, pages):
        """Without a worker the PendingUpdate stays, whatever its time."""
        done = []

        def once(build):
            if not done:
                done.append(build)
                publish(pages[0], title="Lantern")
                PendingUpdate.objects.update(marked_at=build.started_at - timedelta(hours=1))

        run_build(start_build(), once)
        build(changed_only=True)
        assert indexed() == {"Harbour", "Lantern", "Café"}


def test_published_while_another_worker_removes_it(pages, monkeypatch):
    build()
    page = Page.objects.get(pk=pages[0].pk).specific
    page.unpublish()
    key = ("demo_site.articlepage", str(page.pk))
    find = Sources.find

    def late(self, keys):
        found = find(self, keys)
        monkeypatch.setattr(Sources, "find", find)
        page.save_revision().publish()
        work()
        return found

    monkeypatch.setattr(Sources, "find", late)
    update_objects([key])
    assert indexed() == {"Harbour", "Lamp", "Café"}
