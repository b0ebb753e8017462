"""``manage.py check`` of a Wagtail site with the plugin, beside the same site without it."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .measuring import Comparison, alternate, compare, milliseconds, tell
from .site import PROJECT, project_environment

MOST = 1.20
RUNS = 15
WARM_UP = 1
# Everything is compiled before the first turn, as what pip installs is.
COMPILES = True
TINY = {"RUNS": 1, "WARM_UP": 0, "COMPILES": False}


def measure() -> list[Comparison]:
    tell(f"check: {RUNS} runs each of manage.py check with and without the plugin")
    with tempfile.TemporaryDirectory(prefix="finetune-check-") as folder:
        database = Path(folder) / "bare.sqlite3"
        work: tuple[list[float], list[float]] = ([], [])
        times = alternate(
            milliseconds(_check(database, work[0], plugin=False)),
            milliseconds(_check(database, work[1], plugin=True)),
            runs=RUNS,
            warm_up=WARM_UP,
        )
        imports = "imports litellm" if _imports_litellm(database) else "does not import litellm"
    processor = statistics.median(work[1]) / statistics.median(work[0])
    note = f"{imports}; processor time {processor:.2f}"
    return [compare("`manage.py check`", times, target="ratio", most=MOST, note=note)]


def _check(database: Path, work: list[float], *, plugin: bool) -> Callable[[], object]:
    """The command; the seconds of processor time that it takes go into ``work``."""
    environment = project_environment(database, BARE_PLUGIN=str(int(plugin)))
    if COMPILES:
        environment["PYTHONDONTWRITEBYTECODE"] = ""
        environment["PYTHONPYCACHEPREFIX"] = str(database.parent / "bytecode")

    def run() -> object:
        before = _processor_seconds()
        finished = subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=PROJECT,
            env=environment,
            check=True,
            capture_output=True,
        )
        work.append(_processor_seconds() - before)
        return finished

    return run


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _imports_litellm(database: Path) -> bool:
    finished = subprocess.run(
        [sys.executable, "run_commands.py", "check"],
        cwd=PROJECT,
        env=project_environment(database),
        check=True,
        capture_output=True,
    )
    return json.loads(finished.stdout)["said"]["check"]["litellm"]
