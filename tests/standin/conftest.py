from __future__ import annotations

import pytest

from demo_site.standin import StandIn


@pytest.fixture(scope="module")
def shared():
    with StandIn() as server:
        yield server


@pytest.fixture
def server(shared):
    # A client that left during an earlier test is only noticed on the next write.
    shared.wait_for(lambda: shared.active_streams == 0, timeout=10)
    shared.clear()
    return shared
