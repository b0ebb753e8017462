"""Which pages and objects are open to an asker."""

from __future__ import annotations

import random

import pytest
from django.contrib.auth.models import Group, Permission, User
from wagtail import hooks
from wagtail.models import Locale, Page, PageViewRestriction, Site

from finetune_switch.access import Asker
from finetune_switch.access.visibility import (
    VISIBILITY_HOOK,
    may_see,
    objects_open_to,
    pages_open_to,
    restrictions_of,
    site_ids_of,
)

pytestmark = pytest.mark.django_db


def restrict(page, kind=PageViewRestriction.LOGIN, groups=()):
    row = PageViewRestriction.objects.create(page=page, restriction_type=kind)
    row.groups.set(groups)
    return row


def reread(page):
    return Page.objects.get(pk=page.pk)


def open_pages(asker=None, **options):
    pages = Page.objects.filter(depth__gt=1).values_list("pk", flat=True)
    found = pages_open_to(asker or Asker.anonymous(), [str(pk) for pk in pages], **options)
    return {page.title for page in found.values()}


@pytest.fixture
def tree(make_page):
    """Two branches of three, and an alias of each top."""
    tops = [make_page(title, "Text.") for title in ("North", "South")]
    for top in tops:
        below = make_page(f"{top.title} pier", "Text.", parent=top)
        make_page(f"{top.title} pier lamp", "Text.", parent=below)
    return tops


class TestRestrictions:
    def test_same_as_wagtail(self, tree, site):
        """Over random trees with aliases, aliases of aliases and restrictions anywhere."""
        choice = random.Random(7)
        for _ in range(6):
            source = choice.choice(list(Page.objects.filter(depth__gt=2)))
            parent = choice.choice([site.root_page, *Page.objects.filter(depth=3)])
            if not reread(parent).path.startswith(source.path):
                source.create_alias(
                    parent=reread(parent), update_slug=f"alias-{choice.random()}".replace(".", "")
                )
        everything = list(Page.objects.all())
        for page in choice.sample(everything, 4):
            restrict(page, choice.choice(["login", "groups", "password", "none"]))
        guarded = restrictions_of(everything)
        for page in everything:
            expected = set(page.get_view_restrictions().values_list("pk", flat=True))
            assert {row.pk for row in guarded.get(page.pk, [])} == expected, page

    def test_queries_do_not_grow_with_the_pages(self, tree, django_assert_max_num_queries):
        restrict(tree[0])
        with django_assert_max_num_queries(6):
            open_pages()

    def test_descendants_of_a_restricted_page(self, tree):
        restrict(tree[0])
        assert open_pages() == {"Harbour", "South", "South pier", "South pier lamp"}
        user = User.objects.create_user("member")
        assert open_pages(Asker.from_user(user)) >= {"North", "North pier lamp"}

    def test_an_alias_made_before_its_source_was_restricted(self, tree, site):
        tree[0].create_alias(parent=reread(site.root_page), update_slug="north-2", recursive=True)
        restrict(tree[0])
        assert open_pages() == {"Harbour", "South", "South pier", "South pier lamp"}


class TestWhereAPageIs:
    def test_drafts_are_closed(self, tree):
        reread(tree[0]).specific.unpublish()
        assert "North" not in open_pages()

    def test_only_pages_of_the_site(self, tree, site):
        root = Page.get_first_root_node()
        other = root.add_child(instance=Page(title="Other", slug="other"))
        elsewhere = Site.objects.create(hostname="other.example", root_page=other)
        assert open_pages(site=elsewhere) == {"Other"}
        assert "Other" not in open_pages(site=site)

    def test_translations_have_a_tree_of_their_own_on_the_same_site(self, tree, site, settings):
        settings.WAGTAIL_I18N_ENABLED = True
        german = Locale.objects.create(language_code="de")
        home = site.root_page.copy_for_translation(german)
        home.title = "Hafen"
        home.save_revision().publish()
        Site.clear_site_root_paths_cache()
        assert "Hafen" in open_pages(site=site)
        assert open_pages(site=site, locale_ids={german.pk}) == {"Hafen"}
        assert site_ids_of(reread(home)) == {site.pk}


class TestOtherModels:
    @pytest.fixture
    def group(self, db):
        return Group.objects.create(name="Crew")

    def grant(self, group, *names):
        group.permissions.add(*Permission.objects.filter(codename__in=names))

    def test_groups_with_permissions_in_the_admin(self, group):
        asker = Asker.member_of(group)
        assert not may_see(Asker.anonymous(), group)
        assert not may_see(asker, group)
        self.grant(group, "view_group")
        assert not may_see(asker, group)
        self.grant(group, "access_admin")
        assert may_see(asker, group)

    def test_users_with_permissions_in_the_admin(self, group):
        user = User.objects.create_user("ada")
        user.groups.add(group)
        assert not may_see(Asker.from_user(user), group)
        self.grant(group, "change_group", "access_admin")
        assert may_see(Asker.from_user(User.objects.get(pk=user.pk)), group)
        admin = User.objects.create_superuser("root")
        assert may_see(Asker.from_user(admin), group)

    def test_a_hook_decides_first(self, group):
        other = Group.objects.create(name="Secret")

        def only_the_crew(asker, instance):
            return instance.name == "Crew" if isinstance(instance, Group) else None

        ids = [str(group.pk), str(other.pk)]
        with hooks.register_temporarily(VISIBILITY_HOOK, only_the_crew):
            assert set(objects_open_to(Asker.anonymous(), Group, ids)) == {str(group.pk)}
