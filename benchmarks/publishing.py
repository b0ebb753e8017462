"""Publishing a page in the admin, with the plugin and without it.

Two processes of the bare site, which has its tasks queued in the database and nobody to run them,
take turns at the same request.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .measuring import Comparison, alternate, compare, tell
from .site import PROJECT, ROOT, project_environment, sqlite_file

RUNS = 80
WARM_UP = 10
TINY = {"RUNS": 2, "WARM_UP": 1}
MOST_MILLISECONDS = 5.0


def measure() -> list[Comparison]:
    tell(f"publishing: {RUNS} pages each with and without the plugin")
    with _site(plugin=False) as without, _site(plugin=True) as plugin:
        times = alternate(without, plugin, runs=RUNS, warm_up=WARM_UP)
    return [
        compare(
            "Publishing a page, SQLite",
            times,
            target="difference",
            most=MOST_MILLISECONDS,
            note="a whole request to the admin; tasks queued, not run",
        )
    ]


@contextmanager
def _site(*, plugin: bool) -> Iterator[Callable[[], float]]:
    """A site in a process of its own; gives what publishes a page there, in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="finetune-publishing-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.publishing"],
            cwd=ROOT,
            env=project_environment(sqlite_file(folder), BARE_PLUGIN=str(int(plugin))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def publish() -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        try:
            yield publish
        finally:
            process.communicate()


def _serve() -> None:
    """Publish a page for each line that comes, and say how many milliseconds it took."""
    publish = _publisher()
    for _line in sys.stdin:
        print(publish(), flush=True)


def _publisher() -> Callable[[], float]:
    sys.path.insert(0, str(PROJECT))
    from bare import settings

    settings.INSTALLED_APPS += ["django_tasks_db"]
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    settings.ALLOWED_HOSTS += ["testserver"]
    settings.DEBUG = False

    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse
    from wagtail.models import Page, Site

    call_command("migrate", verbosity=0)
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("editor", "", "editor"))
    page = Site.objects.get(is_default_site=True).root_page
    address = reverse("wagtailadmin_pages:edit", args=[page.pk])
    number = 0

    def publish() -> float:
        nonlocal number
        number += 1
        title = f"A title for the {number}th time"
        started = time.perf_counter()
        response = client.post(address, _form(page, title))
        taken = (time.perf_counter() - started) * 1000
        if response.status_code != 302 or Page.objects.get(pk=page.pk).title != title:
            raise RuntimeError(f"The page was not published: {response.status_code}")
        return taken

    return publish


def _form(page: Any, title: str) -> dict[str, Any]:
    return {
        "title": title,
        "slug": page.slug,
        "seo_title": "",
        "search_description": "",
        "go_live_at": "",
        "expire_at": "",
        "comments-TOTAL_FORMS": 0,
        "comments-INITIAL_FORMS": 0,
        "comments-MIN_NUM_FORMS": 0,
        "comments-MAX_NUM_FORMS": 1000,
        "action-publish": "action-publish",
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    _serve()
