"""One stand-in for all these tests, with no memory of the last."""

from __future__ import annotations

import pytest

from demo_site.standin import StandIn


@pytest.fixture(scope="module")
def shared():
    with StandIn() as server:
        yield server


@pytest.fixture
def server(shared):
    # It hears of a reader who left an earlier test only when it writes to them.
    shared.wait_for(lambda: shared.active_streams == 0, timeout=10)
    shared.clear()
    return shared
