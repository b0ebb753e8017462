"""How tests are shared out among the workers of pytest-xdist.

Its own ``--dist loadgroup`` writes groups into the ids of tests, which pytest 9.2 ignores.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TIMED = "timed"
# They need neither a deadline nor a certain database. Beside what measures seconds they take what
# the others leave of the processors. The Makefile has them run there.
PATIENT = {"environments", "thorough"}
# What the tests of a group share takes so long to make that each group stays with one worker. The
# first path that fits counts.
GROUPS = {
    "tests/servers/timed/": TIMED,
    "tests/servers/": "servers",
    "tests/e2e/test_bare_project.py": "environments",
    "tests/packaging/test_without_vector_index.py": "environments",
    "tests/packaging/test_wheel.py": "environments",
    "tests/admin/test_markup.py": "thorough",
    "tests/admin/test_permissions.py": "thorough",
    "tests/text/test_facts.py": "thorough",
    "tests/text/test_grounding.py": "thorough",
    "tests/demo_site/test_demo_site.py": "demo",
    "tests/demo_site/test_anchors.py": "demo",
    "tests/search/test_retrieval_quality.py": "demo",
}


def group_of(nodeid: str) -> str:
    return next((group for path, group in GROUPS.items() if nodeid.startswith(path)), nodeid)


def patient_groups(nodeids: Iterable[str]) -> set[str]:
    """Those of a run that have a worker each, of low priority."""
    groups = set(map(group_of, nodeids))
    return groups & PATIENT if TIMED in groups else set()


class SideBySide(LoadScopeScheduling):
    """Groups first, then each test by itself, to whichever worker is free.

    What measures seconds comes last, when all other workers are done, but for those with a patient
    group: each of these has nothing else to do.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        for group in self._patient & self.workqueue.keys():
            self.workqueue.move_to_end(group, last=False)
        if TIMED in self.workqueue:
            self.workqueue.move_to_end(TIMED)
        if not self._waits_for_others(node):
            super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if self._is_done_with(node) and not node.shutting_down:
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

    def _is_done_with(self, node: WorkerController) -> bool:
        if self._only_timed_is_left:
            return node is not self._timer()
        # Where there is no other worker, it does the rest as well.
        return self._is_patient(node) and not all(map(self._is_patient, self.nodes))

    @cached_property
    def _patient(self) -> set[str]:
        return patient_groups(self.collection or [])

    def _is_patient(self, node: WorkerController) -> bool:
        return not self._patient.isdisjoint(self.assigned_work[node])

    @property
    def _only_timed_is_left(self) -> bool:
        return list(self.workqueue) == [TIMED]

    def _timer(self) -> WorkerController | None:
        """Who times: the worker that has the servers already, or anybody where nobody has."""
        able = [node for node in self.nodes if not node.shutting_down]
        return max(able, key=lambda node: "servers" in self.assigned_work[node], default=None)

    def _waits_for_others(self, node: WorkerController) -> bool:
        others = (
            work
            for other, work in self.assigned_work.items()
            if other is not node and not self._is_patient(other)
        )
        return self._only_timed_is_left and any(map(self._pending_of, others))
