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
    shared.clear()
    return shared
