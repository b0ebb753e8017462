"""The checkboxes on the settings tab, through Wagtail's own forms."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from wagtail.admin.panels import ObjectList
from wagtail.models import GroupPagePermission, Page, PageLogEntry, get_page_models
from wagtail.test.utils.form_data import nested_form_data, rich_text, streamfield

from demo_site.models import ArticlePage
from finetune_switch.index import exclusions
from finetune_switch.index.building import run_build
from finetune_switch.index.builds import start_build
from finetune_switch.index.exclusions import ExclusionPanel, set_exclusion
from finetune_switch.index.sources import Sources
from finetune_switch.models import Document, Exclusion, PendingUpdate
from tests.pages import Page as Screen
from tests.pages import form_values

pytestmark = pytest.mark.django_db

LEFT_OUT, SUBTREE = "finetune_switch-left_out", "finetune_switch-subtree"


# Its script sends a StreamField; the rest of the form stands in the page.
BODY = nested_form_data(
    {"body": streamfield([("paragraph", rich_text("<p>Boats lie here.</p>", features=["bold"]))])}
)


class Editor:
    """A user of Wagtail's page editor."""

    def __init__(self, user):
        self.client = Client()
        self.client.force_login(user)

    def open(self, page):
        return Screen(self.client.get(reverse("wagtailadmin_pages:edit", args=[page.pk])))

    def save(self, page, *, left_out=False, subtree=False, publish=False, **values):
        data = form_values(self.open(page)) | BODY | values
        for name, ticked in ((LEFT_OUT, left_out), (SUBTREE, subtree)):
            data.pop(name, None)
            if ticked:
                data[name] = "on"
        if publish:
            data["action-publish"] = "action-publish"
        data = {name: value for name, value in data.items() if value is not None}
        return self.client.post(reverse("wagtailadmin_pages:edit", args=[page.pk]), data)

    def ticks(self, page):
        boxes = self.open(page).main.select(f"[name={LEFT_OUT}], [name={SUBTREE}]")
        return tuple(box.has_attr("checked") for box in boxes)


@pytest.fixture
def editor(site):
    return Editor(get_user_model().objects.create_superuser("nell", "nell@example.org"))


@pytest.fixture
def article(make_page):
    return make_page("Boats", "Boats lie here.")


def rows():
    return dict(Exclusion.objects.values_list("page_id", "subtree"))


def wanted():
    return {item.instance.title for batch in Sources().batches() for item in batch}


class TestForm:
    def test_one_page(self, editor, article):
        assert editor.ticks(article) == (False, False)
        assert editor.save(article, left_out=True).status_code == 302
        assert rows() == {article.pk: False}
        assert editor.ticks(article) == (True, False)
        assert wanted() == {"Harbour"}

    def test_include_again(self, editor, article):
        editor.save(article, left_out=True, subtree=True)
        assert rows() == {article.pk: True}
        editor.save(article, left_out=True)
        assert rows() == {article.pk: False}
        editor.save(article)
        assert rows() == {}
        assert wanted() == {"Harbour", "Boats"}

    def test_subtree_includes_the_page(self, editor, article):
        editor.save(article, subtree=True)
        assert rows() == {article.pk: True}
        assert editor.ticks(article) == (True, True)

    def test_subtree(self, editor, article, make_page):
        make_page("Sails", "Sails hang here.", parent=article)
        editor.save(article, left_out=True, subtree=True)
        assert wanted() == {"Harbour"}

    def test_every_way_of_saving(self, editor, article):
        editor.save(article, left_out=True, publish=True)
        assert rows() == {article.pk: False}

    def test_form_without_the_panel(self, editor, article):
        """A type with its own edit handler, or a script."""
        set_exclusion(article, left_out=True, subtree=True)
        editor.save(article, **{"finetune_switch-shown": None})
        assert rows() == {article.pk: True}

    def test_form_with_errors(self, editor, article):
        response = editor.save(article, left_out=True, publish=True, title="")
        assert response.status_code == 200
        assert rows() == {}
        box = Screen(response).main.select_one(f"[name={LEFT_OUT}]")
        assert box.has_attr("checked")

    def test_autosave(self, editor, article):
        """Autosave sends the form and expects JSON."""
        data = form_values(editor.open(article)) | BODY | {LEFT_OUT: "on"}
        response = editor.client.post(
            reverse("wagtailadmin_pages:edit", args=[article.pk]),
            data,
            headers={"accept": "application/json"},
        )
        assert response.json()["success"]
        assert rows() == {article.pk: False}

    def test_log_entry(self, editor, article):
        editor.save(article, left_out=True)
        editor.save(article, left_out=True)
        editor.save(article)
        entries = PageLogEntry.objects.filter(action="finetune_switch.leave_out").order_by("pk")
        assert [entry.message for entry in entries] == [
            "Left the page out of AI answers",
            "Let AI answers use the page again",
        ]
        assert {entry.user.get_username() for entry in entries} == {"nell"}

    def test_new_page(self, editor, site):
        where = reverse(
            "wagtailadmin_pages:add", args=["demo_site", "articlepage", site.root_page.pk]
        )
        data = form_values(Screen(editor.client.get(where)))
        data |= BODY | {"title": "New", "slug": "new", "introduction": "New.", LEFT_OUT: "on"}
        assert editor.client.post(where, data).status_code == 302
        assert rows() == {ArticlePage.objects.get(title="New").pk: False}

    def test_no_edit_permission(self, site, article, make_page):
        other = make_page("Other", "Other.")
        user = get_user_model().objects.create_user("ned", "ned@example.org")
        group = Group.objects.create(name="Editors of one page")
        group.permissions.add(Permission.objects.get(codename="access_admin"))
        GroupPagePermission.objects.create(
            group=group, page=other, permission=Permission.objects.get(codename="change_page")
        )
        user.groups.add(group)
        ned = Editor(user)
        ned.save(other, left_out=True)
        assert rows() == {other.pk: False}
        data = {LEFT_OUT: "on", "finetune_switch-shown": "True", "title": "x", "slug": "boats"}
        ned.client.post(reverse("wagtailadmin_pages:edit", args=[article.pk]), data)
        assert rows() == {other.pk: False}


class TestIndex:
    def test_it_follows(self, editor, article, make_page):
        make_page("Sails", "Sails hang here.", parent=article)
        run_build(start_build())
        assert Document.objects.count() == 3
        PendingUpdate.objects.all().delete()

        editor.save(article, left_out=True, subtree=True)
        mark = PendingUpdate.objects.get(object_id=str(article.pk))
        assert mark.subtree
        build = run_build(start_build(changed_only=True))
        assert build.removed == 2
        assert set(Document.objects.values_list("title", flat=True)) == {"Harbour"}

        editor.save(article)
        run_build(start_build(changed_only=True))
        assert Document.objects.count() == 3


class TestAncestors:
    def test_excluded_by_an_ancestor(self, editor, article, make_page):
        sails = make_page("Sails", "Sails hang here.", parent=article)
        assert "left out already" not in editor.open(sails).text
        set_exclusion(article, left_out=True)
        assert "left out already" not in editor.open(sails).text
        set_exclusion(article, left_out=True, subtree=True)
        assert "It is left out already, because of “Boats” above it." in editor.open(sails).text
        # The page itself is not named.
        assert "left out already" not in editor.open(article).text

    def test_new_page_excluded_by_an_ancestor(self, editor, article):
        set_exclusion(article, left_out=True, subtree=True)
        where = reverse("wagtailadmin_pages:add", args=["demo_site", "articlepage", article.pk])
        page = Screen(editor.client.get(where))
        assert "because of “Boats” above it" in page.text

    def test_excluded_page_type(self, editor, article, settings):
        settings.FINETUNE_SWITCH = {"INDEX": {"EXCLUDE_PAGE_TYPES": ["demo_site.ArticlePage"]}}
        assert "leave out every page of this type" in editor.open(article).text

    def test_title_is_escaped(self, editor, article, make_page):
        evil = '<img src=x onerror="alert(1)">'
        Page.objects.filter(pk=article.pk).update(title=evil)
        set_exclusion(article, left_out=True, subtree=True)
        page = editor.open(make_page("Sails", "Sails hang here.", parent=article))
        assert page.soup.select("img[onerror]") == []


class TestCopyAndDelete:
    def copy(self, editor, page, **data):
        where = reverse("wagtailadmin_pages:copy", args=[page.pk])
        data = {
            "new_title": "Copy",
            "new_slug": "copy",
            "new_parent_page": str(page.get_parent().pk),
            "copy_subpages": "on",
            **data,
        }
        assert editor.client.post(where, data).status_code == 302
        return Page.objects.get(slug="copy")

    def test_copy_is_excluded(self, editor, article, make_page):
        sails = make_page("Sails", "Sails hang here.", parent=article)
        make_page("Masts", "Masts stand here.", parent=article)
        set_exclusion(article, left_out=True)
        set_exclusion(sails, left_out=True, subtree=True)
        copy = self.copy(editor, article)
        sails_copy = copy.get_children().get(title="Sails")
        assert rows() == {
            article.pk: False, sails.pk: True, copy.pk: False, sails_copy.pk: True
        }  # fmt: skip

    def test_copy_without_descendants(self, editor, article, make_page):
        sails = make_page("Sails", "Sails hang here.", parent=article)
        set_exclusion(sails, left_out=True)
        self.copy(editor, article, copy_subpages="")
        assert rows() == {sails.pk: False}

    def test_deleted_page(self, editor, article, make_page):
        sails = make_page("Sails", "Sails hang here.", parent=article)
        other = make_page("Other", "Other.")
        for page in (article, sails, other):
            set_exclusion(page, left_out=True)
        Page.objects.get(pk=article.pk).delete()
        assert rows() == {other.pk: False}

    def test_moved_page(self, editor, article, make_page):
        other = make_page("Other", "Other.")
        set_exclusion(article, left_out=True, subtree=True)
        Page.objects.get(pk=article.pk).move(Page.objects.get(pk=other.pk), pos="last-child")
        assert rows() == {article.pk: True}
        assert wanted() == {"Harbour", "Other"}


class TestPanels:
    def test_every_page_type_has_one_panel(self):
        for model in get_page_models():
            found = [p for p in model.settings_panels if isinstance(p, ExclusionPanel)]
            assert len(found) == 1, model

    def test_add_panels_twice(self):
        exclusions.add_panels()
        self.test_every_page_type_has_one_panel()

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_type_with_own_settings_panels(self, monkeypatch, kind):
        own = kind(["seo_title"])
        monkeypatch.setattr(ArticlePage, "settings_panels", own, raising=False)
        exclusions.add_panels()
        assert isinstance(ArticlePage.settings_panels[-1], ExclusionPanel)
        assert ArticlePage.settings_panels[0] == "seo_title"

    def test_type_with_own_edit_handler(self, monkeypatch):
        handler = ObjectList(["title"])
        monkeypatch.setattr(ArticlePage, "edit_handler", handler, raising=False)
        exclusions.add_panels()
        assert ArticlePage.edit_handler is handler
        assert handler.children == ["title"]
