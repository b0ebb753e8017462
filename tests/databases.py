"""The site that every test with a database begins with, and threads in a test's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.db import connections
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
    from finetune_switch.backends.registration import synchronise_backends
    from finetune_switch.models import ChatBackend

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
    ChatBackend.objects.all().delete()
    with override_settings(FINETUNE_SWITCH={**settings.FINETUNE_SWITCH, "SEED_BACKEND": None}):
        synchronise_backends()
    return site


def make_site_after_flush(**_signal: Any) -> None:
    """Make the site again in a database that was emptied.

    A receiver of ``post_migrate``, which ``flush`` sends after each transactional test.
    """
    from wagtail.models import Page

    if not Page.objects.exists():
        make_site()


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
