"""The site that every test with a database begins with, and threads in a test's transaction."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.apps import apps
from django.conf import settings
from django.core import serializers
from django.core.management.color import no_style
from django.db import connection, connections, transaction
from django.db.models.signals import post_migrate
from django.test import override_settings


def the_site() -> Any:
    """The default site with a home page, and the rows that ``migrate`` makes without a seed.

    It is there already, unless a test has removed it.
    """
    from wagtail.models import Site

    sites = Site.objects.select_related("root_page").filter(root_page__slug="harbour")
    return sites.first() or make_site()


def make_site() -> Any:
    from wagtail.models import Locale, Page, Site

    from demo_site.models import HomePage

    Locale.objects.get_or_create(language_code="en-gb")
    remove_site()
    root = Page.get_first_root_node() or Page.add_root(instance=Page(title="Root", slug="root"))
    home = HomePage(
        title="Harbour", slug="harbour", strapline="Boats", introduction="A harbour with boats."
    )
    root.add_child(instance=home)
    site = Site.objects.create(
        hostname="localhost", site_name="Harbour", root_page=home, is_default_site=True
    )
    _make_backends()
    return site


def _make_backends() -> None:
    from finetune_switch.backends.registration import synchronise_backends
    from finetune_switch.models import ChatBackend

    ChatBackend.objects.all().delete()
    with override_settings(FINETUNE_SWITCH={**settings.FINETUNE_SWITCH, "SEED_BACKEND": None}):
        synchronise_backends()


class Kept:
    """What migrations and :func:`make_site` have written, to be written again after a flush.

    Django flushes the database after each transactional test and sends ``post_migrate``, which
    makes content types and permissions anew. Groups, the root page or the root collection come
    from Wagtail's migrations, and would be missing from all tests that follow.
    """

    # Each after those that its natural keys lead to.
    MODELS = (
        "wagtailcore.Locale",
        "wagtailcore.Page",
        "demo_site.HomePage",
        "wagtailcore.Site",
        "wagtailcore.Collection",
        "auth.Group",
        "wagtailcore.GroupPagePermission",
        "wagtailcore.GroupCollectionPermission",
        "wagtailcore.Task",
        "wagtailcore.GroupApprovalTask",
        "wagtailcore.Workflow",
        "wagtailcore.WorkflowTask",
        "wagtailcore.WorkflowPage",
    )

    def __init__(self) -> None:
        rows = itertools.chain.from_iterable(
            apps.get_model(name)._base_manager.all() for name in self.MODELS
        )
        self._json = serializers.serialize("json", rows, use_natural_foreign_keys=True)
        # All permissions are there again when the last app is told.
        post_migrate.connect(self._restore, sender=[*apps.get_app_configs()][-1])

    def _restore(self, **_signal: Any) -> None:
        from wagtail.models import Page

        if Page.objects.exists():
            return
        with transaction.atomic(), connection.cursor() as cursor:
            for row in serializers.deserialize("json", self._json):
                row.save()
            # A test that calls ``flush`` itself numbers everything anew.
            models = [apps.get_model(name) for name in self.MODELS]
            for statement in connection.ops.sequence_reset_sql(no_style(), models):
                cursor.execute(statement)
        _make_backends()


def remove_site() -> None:
    """Remove every page but the root, and the site with them, for a test that makes its own."""
    from wagtail.models import Page

    for page in Page.objects.filter(depth=2):
        page.delete()


@contextmanager
def threads_in_transaction() -> Iterator[None]:
    """Have the plugin's database threads use this thread's connection.

    They see then what a test has not committed. A test about connections, or about what two
    threads do at the same moment, needs ``django_db(transaction=True)`` instead.
    """
    from finetune_switch.answers import threads

    shared = connections["default"]

    def share() -> None:
        connections["default"] = shared

    shared.inc_thread_sharing()
    try:
        with (
            ThreadPoolExecutor(4, initializer=share) as executor,
            patch.object(threads, "_executor", executor),
        ):
            yield
    finally:
        shared.dec_thread_sharing()
