"""Updates of the index after changes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wagtail.images.models import Image
from wagtail.images.tests.utils import get_test_image_file
from wagtail.models import Collection, Locale, Page, PageViewRestriction, Site

from demo_site.models import ArticlePage, HomePage
from finetune_switch.access import Asker
from finetune_switch.backends.embeddings.embedded import EmbeddedEmbedder
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.index import upkeep
from finetune_switch.models import Chunk, Document, PendingUpdate
from finetune_switch.search import retrieve
from tests.index_helpers import build, counts, titles
from tests.thorough import THOROUGH

pytestmark = pytest.mark.django_db(transaction=True)

LAMP = "The lighthouse lamp was first lit in 1871."


@pytest.fixture
def worker(settings):
    """Tasks are queued in the database until the test runs a worker."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

    def run():
        call_command("db_worker", "--batch", "--no-startup-delay", verbosity=0)

    return run


@pytest.fixture
def lamp(make_page):
    page = make_page("Lamp", LAMP)
    build()
    DBTaskResult.objects.all().delete()
    return page


def fresh(page):
    return Page.objects.get(pk=page.pk).specific


def publish(page, **values):
    page = fresh(page)
    for name, value in values.items():
        setattr(page, name, value)
    page.save_revision().publish()


def pending():
    return set(PendingUpdate.objects.values_list("model", "object_id", "subtree"))


class TestEachChange:
    def test_publishing(self, lamp, worker, make_page):
        publish(lamp, title="Lantern")
        make_page("Café", "Soup.")
        assert titles() == {"Harbour", "Lantern"}  # titles are today's, whatever the index says
        worker()
        assert titles() == {"Harbour", "Lantern", "Café"}
        assert set(Document.objects.values_list("title", flat=True)) == titles()
        assert pending() == set()

    def test_only_its_own_documents(self, lamp, worker, make_page):
        make_page("Café", "Soup.")
        worker()
        before = dict(Document.objects.values_list("title", "updated_at"))
        publish(lamp, title="Lantern")
        worker()
        after = dict(Document.objects.values_list("title", "updated_at"))
        assert {title for title in after if after[title] != before.get(title)} == {"Lantern"}

    def test_a_draft_changes_nothing(self, lamp):
        page = fresh(lamp)
        page.title = "A draft of it"
        page.save_revision()
        assert pending() == set()

    def test_unpublishing_and_deleting(self, lamp, worker, make_page):
        other = make_page("Café", "Soup.")
        worker()
        fresh(lamp).unpublish()
        fresh(other).delete()
        worker()
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour"}
        assert not Chunk.objects.filter(text__contains="1871").exists()

    def test_moving_a_subtree(self, lamp, worker, make_page):
        make_page("Keeper", "Text.", parent=lamp)
        other = make_page("Café", "Soup.")
        worker()
        fresh(lamp).move(fresh(other), pos="last-child")
        worker()
        paths = dict(Document.objects.values_list("title", "path"))
        assert paths["Lamp"] == fresh(lamp).path
        assert paths["Keeper"].startswith(fresh(lamp).path)
        assert fresh(lamp).path.startswith(fresh(other).path)

    def test_privacy_of_a_subtree(self, lamp, worker, make_page):
        make_page("Keeper", "Text.", parent=lamp)
        worker()
        row = PageViewRestriction.objects.create(page=lamp, restriction_type="login")
        worker()
        restricted = Document.objects.filter(is_restricted=True)
        assert set(restricted.values_list("title", flat=True)) == {"Lamp", "Keeper"}
        row.delete()
        worker()
        assert not Document.objects.filter(is_restricted=True).exists()
        assert titles() >= {"Lamp", "Keeper"}

    def test_alias(self, lamp, worker, site):
        fresh(lamp).create_alias(parent=fresh(site.root_page), update_slug="lamp-2")
        worker()
        assert Document.objects.filter(title="Lamp").count() == 2
        publish(lamp, title="Lantern")
        worker()
        assert Document.objects.filter(title="Lantern").count() == 2

    def test_title_of_an_image_in_a_page(self, lamp, worker):
        if Collection.get_first_root_node() is None:
            Collection.add_root(name="Root")
        image = Image.objects.create(title="Ada Pender in 1880", file=get_test_image_file())
        embed = f'<embed embedtype="image" id="{image.pk}" alt="" format="left"/>'
        publish(lamp, body=[("paragraph", f"<p>{LAMP}</p>{embed}")])
        worker()
        assert Chunk.objects.filter(text__contains="Ada Pender").exists()
        image.title = "Bert Pender in 1881"
        image.save()
        worker()
        assert not Chunk.objects.filter(text__contains="Ada Pender").exists()
        assert Chunk.objects.filter(text__contains="Bert Pender").exists()
        image.delete()
        worker()
        assert not Chunk.objects.filter(text__contains="Bert Pender").exists()

    def test_new_root_page_of_a_site(self, lamp, worker, site, make_page):
        other = make_page("Café", "Soup.")
        worker()
        site.root_page = fresh(other)
        site.save()
        worker()
        assert set(Document.objects.values_list("title", flat=True)) == {"Café"}


class TestPageSavedAsBaseClass:
    """Wagtail does this when it unpublishes expired pages."""

    def test_expired(self, lamp, worker):
        Page.objects.filter(pk=lamp.pk).update(expire_at=timezone.now() - timedelta(hours=1))
        call_command("publish_scheduled")
        assert pending() == {("demo_site.articlepage", str(lamp.pk), False)}
        worker()
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour"}

    def test_renamed(self, lamp, worker):
        page = Page.objects.get(pk=lamp.pk)
        page.title = "Lantern"
        page.save()
        worker()
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour", "Lantern"}

    def test_deleted(self, lamp, worker):
        Page.objects.filter(pk=lamp.pk).delete()
        assert pending() == {("demo_site.articlepage", str(lamp.pk), False)}
        worker()
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour"}

    def test_deferred_fields(self, lamp, worker):
        page = Page.objects.get(pk=lamp.pk).specific_deferred
        page.title = "Lantern"
        page.save()
        worker()
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour", "Lantern"}


class TestInvalidLabel:
    @pytest.fixture(params=["demo_site.Typo", "gone.Thing", "no label", 5])
    def wrong(self, request, settings):
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"MODELS": [request.param], "EXCLUDE_PAGE_TYPES": [request.param]},
        }
        return str(request.param)

    def test_breaks_nothing(self, lamp, worker, wrong, caplog, client):
        client.force_login(User.objects.create_superuser("editor"))
        publish(lamp, title="Lantern")
        worker()
        assert counts(build()) == (0, 2, 0, 0)
        assert titles() == {"Harbour", "Lantern"}
        assert caplog.text.count(f'"{wrong}"') == 1


class TestPublishing:
    def test_no_update_in_the_request(self, lamp, settings):
        settings.TASKS = {
            "default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}
        }
        publish(lamp, title="Lantern")
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour", "Lamp"}
        assert pending() == {("demo_site.articlepage", str(lamp.pk), False)}
        assert counts(build(changed_only=True))[0] == 1
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour", "Lantern"}
        assert pending() == set()

    def test_rollback(self, lamp, worker):
        with transaction.atomic():
            publish(lamp, title="Lantern")
            transaction.set_rollback(True)
        assert pending() == set()

    def test_database_error_does_not_stop_publishing(self, lamp, monkeypatch, caplog):
        def fail(*arguments, **options):
            raise DatabaseError("no such table")

        monkeypatch.setattr(PendingUpdate.objects, "using", fail)
        publish(lamp, title="Lantern")
        assert fresh(lamp).title == "Lantern"
        assert "could not be marked" in caplog.text

    def test_paused(self, lamp):
        with upkeep.paused():
            publish(lamp, title="Lantern")
        assert pending() == set()


class TestFailingService:
    @pytest.fixture
    def broken(self, monkeypatch):
        def embed(self, texts):
            raise EmbeddingError("The embedding service refused the connection.", code="refused")

        monkeypatch.setattr(EmbeddedEmbedder, "embed", embed)

    def test_documents_stay_until_the_service_works(self, lamp, worker, broken, monkeypatch):
        publish(lamp, title="Lantern")
        worker()
        (mark,) = PendingUpdate.objects.all()
        assert (mark.attempts, mark.error) == (1, "The embedding service refused the connection.")
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour", "Lamp"}
        again = DBTaskResult.objects.filter(status="READY").get()
        assert timedelta(0) < again.run_after - timezone.now() <= timedelta(seconds=30)
        monkeypatch.undo()
        DBTaskResult.objects.filter(status="READY").update(run_after=timezone.now())
        worker()
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour", "Lantern"}
        assert pending() == set()


def test_pending_update_of_a_removed_app(lamp):
    PendingUpdate.objects.create(model="gone.thing", object_id="1")
    publish(lamp, title="Lantern")
    assert counts(build(changed_only=True)) == (1, 0, 0, 0)
    assert pending() == set()


def test_update_renewed_during_processing_stays(lamp, monkeypatch):
    from finetune_switch.index import building

    publish(lamp, title="First")
    update_objects = building.update_objects

    def overtaken(keys):
        done = update_objects(keys)
        publish(lamp, title="Second")
        return done

    monkeypatch.setattr(building, "update_objects", overtaken)
    building.process_pending(list(PendingUpdate.objects.all()))
    assert pending() == {("demo_site.articlepage", str(lamp.pk), False)}


VERBS = ("publish", "unpublish", "move", "restrict", "open", "delete", "add", "alias")
steps = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, 20), st.integers(0, 20)),
    min_size=1,
    max_size=8,
)


def clean_slate():
    PageViewRestriction.objects.all().delete()
    Site.objects.all().delete()
    for page in Page.objects.filter(depth=2):
        page.delete()
    Locale.objects.get_or_create(language_code="en-gb")
    root = Page.get_first_root_node() or Page.add_root(instance=Page(title="Root", slug="root"))
    home = HomePage(title="Harbour", slug="harbour", strapline="Boats", introduction="Boats.")
    root.add_child(instance=home)
    Site.objects.create(hostname="localhost", root_page=home, is_default_site=True)
    for number in range(4):
        add(number, number)


def add(which, where):
    parents = list(Page.objects.filter(depth__gt=1, depth__lt=5, alias_of=None).order_by("path"))
    parent = parents[where % len(parents)].specific
    page = ArticlePage(
        title=f"Page {Page.objects.count()} {which}",
        slug=f"page-{timezone.now().timestamp()}".replace(".", ""),
        introduction="A page of the harbour.",
        body=[("paragraph", f"<p>Number {which} of the harbour's boats.</p>")],
    )
    parent.add_child(instance=page)


def take(verb, which, where):
    """A random action of an editor; does nothing if Wagtail does not allow it."""
    if verb == "add":
        return add(which, where)
    pages = list(Page.objects.filter(depth__gt=2).order_by("path"))
    if not pages:
        return None
    page, other = pages[which % len(pages)].specific, pages[where % len(pages)].specific
    if verb == "publish" and page.alias_of_id is None:
        page.save_revision().publish()
    elif verb == "unpublish":
        page.unpublish()
    elif verb == "restrict":
        PageViewRestriction.objects.get_or_create(page=page, restriction_type="login")
    elif verb == "open":
        PageViewRestriction.objects.filter(page=page).delete()
    elif verb == "delete":
        page.delete()
    elif verb == "move" and not other.path.startswith(page.path) and other.depth < 6:
        page.move(other, pos="last-child")
    elif verb == "alias" and page.alias_of_id is None and other.alias_of_id is None:
        slug = f"alias-{timezone.now().timestamp()}".replace(".", "")
        if not other.path.startswith(page.path):
            page.create_alias(parent=other, update_slug=slug)
    return None


def open_to_visitors():
    """The pages that anonymous visitors can open, from requests for all pages."""
    root = Site.objects.get(is_default_site=True).root_page
    return {
        page.pk
        for page in Page.objects.filter(live=True, path__startswith=root.path)
        if not page.get_view_restrictions().exclude(restriction_type="none").exists()
    }


@settings(
    max_examples=20 if THOROUGH else 6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
def test_index_matches_visible_pages(transactional_db, sequence):
    """After random changes: no hidden pages at once, all visible pages after a build."""

    def found():
        site = Site.objects.get(is_default_site=True)
        passages = retrieve(
            "harbour boats",
            asker=Asker.anonymous(),
            site=site,
            indexes=["pages"],
            limit=300,
            threshold=-1,
        )
        return passages

    clean_slate()
    build()
    for verb, which, where in sequence:
        take(verb, which, where)
        assert {int(p.source.object_id) for p in found()} <= open_to_visitors()
    build(changed_only=True)
    # Only one of an alias and its source is returned, since their texts are equal.
    said = {p.text for p in found()}
    expected = open_to_visitors()
    assert {int(p.source.object_id) for p in found()} <= expected
    texts = Chunk.objects.filter(document__object_id__in=[str(pk) for pk in expected])
    assert said == set(texts.values_list("text", flat=True))
    assert set(Document.objects.values_list("object_id", flat=True)) >= {str(k) for k in expected}


def test_groups(lamp, worker):
    crew, others = Group.objects.create(name="Crew"), Group.objects.create(name="Others")
    row = PageViewRestriction.objects.create(page=lamp, restriction_type="groups")
    row.groups.add(crew)
    worker()
    assert "Lamp" in titles(asker=Asker.member_of(crew))
    assert "Lamp" not in titles(asker=Asker.member_of(others))
