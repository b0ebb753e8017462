"""How tests are shared out among the workers of pytest-xdist.

Its own ``--dist loadgroup`` writes groups into the ids of tests, which pytest 9.2 ignores.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# What these share takes so long to make that each group stays with one worker.
GROUPS = {
    "tests/servers/": "servers",
    "tests/test_without_vector_index.py": "environments",
    "tests/test_wheel.py": "environments",
    "tests/test_demo_site.py": "demo",
    "tests/test_demo_anchors.py": "demo",
    "tests/test_retrieval_quality.py": "demo",
}


class SideBySide(LoadScopeScheduling):
    """Groups first, then each test by itself, to whichever worker is free."""

    def _split_scope(self, nodeid: str) -> str:
        for path, group in GROUPS.items():
            if nodeid.startswith(path):
                return group
        return nodeid
