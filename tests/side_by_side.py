"""How tests are shared out among the workers of pytest-xdist.

Its own ``--dist loadgroup`` writes groups into the ids of tests, which pytest 9.2 ignores.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TIMED = "timed"
# What the tests of a group share takes so long to make that each group stays with one worker. The
# first path that fits counts.
GROUPS = {
    "tests/servers/timed/": TIMED,
    "tests/servers/": "servers",
    "tests/e2e/test_bare_project.py": "environments",
    "tests/test_without_vector_index.py": "environments",
    "tests/test_wheel.py": "environments",
    "tests/test_demo_site.py": "demo",
    "tests/test_demo_anchors.py": "demo",
    "tests/test_retrieval_quality.py": "demo",
}


class SideBySide(LoadScopeScheduling):
    """Groups first, then each test by itself, to whichever worker is free.

    What measures seconds comes last, when all other workers are done.
    """

    def _split_scope(self, nodeid: str) -> str:
        for path, group in GROUPS.items():
            if nodeid.startswith(path):
                return group
        return nodeid

    def _assign_work_unit(self, node: WorkerController) -> None:
        if TIMED in self.workqueue:
            self.workqueue.move_to_end(TIMED)
        if not self._waits_for_others(node):
            super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if self._only_timed_is_left and node is not self._timer() and not node.shutting_down:
            node.shutdown()
        else:
            super()._reschedule(node)

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        super().mark_test_complete(node, item_index, duration)
        # The timer cannot ask for more: a worker keeps its last test until it knows what follows.
        if self._only_timed_is_left and (timer := self._timer()):
            self._reschedule(timer)

    @property
    def _only_timed_is_left(self) -> bool:
        return list(self.workqueue) == [TIMED]

    def _timer(self) -> WorkerController | None:
        """Who times: the worker that has the servers already, or anybody where nobody has."""
        able = [node for node in self.nodes if not node.shutting_down]
        return max(able, key=lambda node: "servers" in self.assigned_work[node], default=None)

    def _waits_for_others(self, node: WorkerController) -> bool:
        others = (work for other, work in self.assigned_work.items() if other is not node)
        return self._only_timed_is_left and any(map(self._pending_of, others))
