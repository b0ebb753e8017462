"""Changes that the index notices, whoever makes them and however."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from wagtail.documents.models import Document as File
from wagtail.models import (
    Collection,
    CollectionViewRestriction,
    Locale,
    Page,
    PageViewRestriction,
)

from demo_site.models import ArticlePage
from finetune_switch.index import upkeep
from finetune_switch.index.exclusions import set_exclusion
from finetune_switch.models import Chunk, Document, Exclusion, PendingUpdate
from tests.index_helpers import build, counts, titles

# Wagtail updates its index of references on commit.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def immediate(settings):
    """Wagtail's index of references is kept by a task."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}


def base(page):
    """The page as an instance of Wagtail's own class."""
    return Page.objects.get(pk=page.pk)


def update():
    """What ``index --changed`` does."""
    return build(changed_only=True)


def indexed():
    return set(Document.objects.values_list("title", flat=True))


def text_of(page):
    chunks = Chunk.objects.filter(document__object_id=str(page.pk)).order_by("position")
    return "\n".join(chunks.values_list("text", flat=True))


@pytest.fixture
def lamp(make_page):
    page = make_page("Lamp", "The lamp was lit in 1871.")
    build()
    return page


class TestBasePage:
    """Wagtail's own code saves pages as instances of ``Page``."""

    def test_saved_with_a_new_title(self, lamp):
        page = base(lamp)
        page.title = "Lantern"
        page.save()
        assert set(PendingUpdate.objects.values_list("model", flat=True)) == {
            "demo_site.articlepage"
        }
        update()
        assert indexed() == {"Harbour", "Lantern"}

    def test_made_live(self, lamp):
        base(lamp).unpublish()
        update()
        assert indexed() == {"Harbour"}
        page = base(lamp)
        page.live = True
        page.save()
        update()
        assert indexed() == {"Harbour", "Lamp"}

    def test_expired(self, lamp):
        page = lamp
        page.expire_at = timezone.now() - timezone.timedelta(minutes=1)
        page.save()
        call_command("publish_scheduled")
        assert not base(lamp).live
        update()
        assert indexed() == {"Harbour"}

    def test_unpublished_by_a_queryset(self, lamp):
        Page.objects.filter(pk=lamp.pk).unpublish()
        update()
        assert indexed() == {"Harbour"}

    def test_deleted(self, lamp):
        base(lamp).delete()
        update()
        assert indexed() == {"Harbour"}


class TestMissed:
    def test_pages_loaded_without_signals(self, lamp, make_page):
        with upkeep.paused():
            make_page("Crane", "The crane lifts boats.")
            lamp.introduction = "The lamp was lit in 1872."
            lamp.save_revision().publish()
            base(make_page("Gone", "Text.")).delete()
        assert not PendingUpdate.objects.exists()
        assert update().error == ""
        assert indexed() == {"Harbour", "Lamp", "Crane"}
        assert "1872" in text_of(lamp)

    def test_a_loaded_fixture(self, lamp, tmp_path):
        path = tmp_path / "pages.json"
        call_command("dumpdata", "demo_site.articlepage", "wagtailcore.page", output=path)
        path.write_text(path.read_text().replace("1871", "1873"))
        call_command("loaddata", path, verbosity=0)
        update()
        assert "1871" in text_of(lamp)
        call_command("finetune_switch", "index", "--verify", "--json")
        assert "1873" in text_of(lamp)

    def test_an_update_without_a_date(self, lamp, capsys):
        ArticlePage.objects.filter(pk=lamp.pk).update(introduction="The lamp is electric.")
        assert counts(update()) == (0, 0, 0, 0)
        call_command("finetune_switch", "index", "--verify")
        assert "1 differ from the index." in capsys.readouterr().out
        assert "electric" in text_of(lamp)
        call_command("finetune_switch", "index", "--verify")
        assert "0 differ from the index." in capsys.readouterr().out


class TestAncestors:
    """What is said of a page depends on the pages above it."""

    @pytest.fixture
    def secret(self, make_page):
        section = make_page("Section", "A section.")
        below = make_page("Below", "Text below.", parent=section)
        return section, make_page("Secret plan", "A plan.", parent=below)

    @pytest.fixture
    def home(self, secret, site):
        """The home page, which names the page by a chooser."""
        home = site.root_page.specific
        home.body = [("cards", [{"page": secret[1], "title": "", "text": ""}])]
        home.save_revision().publish()
        build()
        return home

    def test_made_private(self, secret, home):
        section, _page = secret
        assert "Secret plan" in text_of(home)
        PageViewRestriction.objects.create(page=section, restriction_type="login")
        update()
        assert "Secret plan" not in text_of(home)

    def test_moved_under_a_private_page(self, secret, home, make_page):
        private = make_page("Private", "Members only.")
        PageViewRestriction.objects.create(page=private, restriction_type="login")
        update()
        assert "Secret plan" in text_of(home)
        base(secret[0]).move(base(private), pos="last-child")
        update()
        assert "Secret plan" not in text_of(home)

    def test_above_unpublished(self, secret, home):
        base(secret[1]).unpublish()
        update()
        assert "Secret plan" not in text_of(home)

    def test_an_alias_of_what_is_below(self, secret, site):
        _section, page = secret
        alias = page.create_alias(parent=base(site.root_page), update_slug="copy")
        build()
        page = base(page).specific
        page.title = "Open plan"
        page.save_revision().publish()
        update()
        assert Document.objects.get(object_id=str(alias.pk)).title == "Open plan"


class TestCollections:
    @pytest.fixture
    def collection(self):
        return Collection.get_first_root_node().add_child(name="Board")

    @pytest.fixture
    def mentions(self, collection, make_page):
        file = File.objects.create(
            title="Minutes of the board", file=ContentFile(b"x", "m.txt"), collection=collection
        )
        page = make_page("Papers", "Text.")
        link = f'<p>Read <a linktype="document" id="{file.pk}">this</a>.</p>'
        page.body = [("paragraph", link)]
        page.save_revision().publish()
        build()
        return page

    def restrict(self, collection):
        return CollectionViewRestriction.objects.create(
            collection=collection, restriction_type="login"
        )

    def test_made_private_and_open_again(self, mentions, collection):
        assert "Minutes of the board" in text_of(mentions)
        restriction = self.restrict(collection)
        update()
        assert "Minutes" not in text_of(mentions)
        restriction.delete()
        update()
        assert "Minutes of the board" in text_of(mentions)

    def test_above(self, mentions, collection):
        above = Collection.get_first_root_node()
        self.restrict(above)
        build()
        assert "Minutes" not in text_of(mentions)

    def test_a_document_that_is_moved_there(self, mentions, collection):
        private = Collection.get_first_root_node().add_child(name="Private")
        self.restrict(private)
        file = File.objects.get()
        file.collection = private
        file.save()
        update()
        assert "Minutes" not in text_of(mentions)


class TestCopies:
    """What is left out stays left out, whoever copies it."""

    @pytest.fixture
    def secret(self, make_page):
        page = make_page("Secret plan", "Nobody is told.")
        set_exclusion(page, left_out=True)
        return page

    def found(self):
        build()
        return "Secret plan" in titles()

    def test_copy(self, secret, site):
        copy = secret.copy(to=base(site.root_page), update_attrs={"slug": "copy"})
        assert Exclusion.objects.filter(page_id=copy.pk).exists()
        assert not self.found()

    def test_copy_of_what_is_above(self, make_page, site):
        section = make_page("Section", "A section.")
        below = make_page("Secret plan", "Nobody is told.", parent=section)
        set_exclusion(below, left_out=True)
        base(section).specific.copy(
            to=base(site.root_page), recursive=True, update_attrs={"slug": "copy"}
        )
        assert Exclusion.objects.count() == 2
        assert not self.found()

    def test_alias(self, secret, site):
        secret.create_alias(parent=base(site.root_page), update_slug="alias")
        assert Exclusion.objects.count() == 2
        assert not self.found()

    def test_translation(self, secret, settings):
        german = Locale.objects.get_or_create(language_code="de")[0]
        translated = secret.copy_for_translation(german, copy_parents=True)
        assert Exclusion.objects.filter(page_id=translated.pk).exists()
        translated.save_revision().publish()
        assert not self.found()

    def test_others_are_not_left_out(self, secret, make_page, site):
        other = make_page("Lamp", "The lamp was lit in 1871.")
        other.copy(to=base(site.root_page), update_attrs={"slug": "copy"})
        assert Exclusion.objects.count() == 1


class TestBulk:
    def queries(self, work):
        with CaptureQueriesContext(connection) as captured:
            work()
        return len(captured)

    # Pages that are saved one by one are marked one by one.
    @pytest.mark.parametrize(
        ("what", "most"), [("delete", 1.2), ("move", 1.2), ("unpublish", 1.25)]
    )
    def test_costs_little_beside_wagtails_own(self, make_page, site, monkeypatch, what, most):

        def section(slug):
            top = make_page(slug, "A section.")
            for number in range(20):
                make_page(f"{slug} {number}", "A page.", parent=top)
            return top

        def work(page):
            if what == "delete":
                base(page).delete()
            elif what == "move":
                base(page).move(base(target), pos="last-child")
            else:
                for one in Page.objects.descendant_of(base(page), inclusive=True):
                    one.unpublish()

        target = make_page("Target", "Text.")
        first, second = section("one"), section("two")
        with_index = self.queries(lambda: work(first))
        for name in ("mark_all", "mark_deleted_pages", "mark_users"):
            monkeypatch.setattr(upkeep, name, lambda *args, **options: None)
        without = self.queries(lambda: work(second))
        assert with_index <= most * without, (with_index, without)
