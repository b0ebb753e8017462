"""A throw-away demo: the site's own content in a database of its own, and a stand-in beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from demo_site.standin import StandIn
from tests.servers import processes

SETTINGS = "tests.e2e.settings"


@contextmanager
def running_demo(folder: Path) -> Iterator[str]:
    """The address of a demo that is set up as ``make demo`` does it; gone when the block ends."""
    with StandIn(list_test_model=False) as standin:
        environment = {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
            "TEST_STANDIN": standin.url,
        }
        processes.manage(environment, "run_demo", "--setup-only")
        server = processes.start("runserver", environment, folder)
        try:
            processes.wait_for(lambda: answers(server.url), seconds=processes.START_SECONDS)
            yield server.url
        finally:
            server.stop()


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/admin/login/", timeout=5).is_success
    except httpx.HTTPError:
        return False
