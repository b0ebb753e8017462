"""``manage.py check`` of a Wagtail site with the plugin, beside the same site without it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .measuring import Comparison, alternate, compare, milliseconds, tell
from .site import PROJECT, project_environment

MOST = 1.15
RUNS = 15


def measure() -> list[Comparison]:
    tell(f"check: {RUNS} runs each of manage.py check with and without the plugin")
    with tempfile.TemporaryDirectory(prefix="finetune-check-") as folder:
        database = Path(folder) / "bare.sqlite3"
        times = alternate(
            milliseconds(_check(database, plugin=False)),
            milliseconds(_check(database, plugin=True)),
            runs=RUNS,
            warm_up=1,
        )
        imports = "imports litellm" if _imports_litellm(database) else "does not import litellm"
    return [compare("`manage.py check`", times, target="ratio", most=MOST, note=imports)]


def _check(database: Path, *, plugin: bool) -> Callable[[], object]:
    environment = project_environment(database, BARE_PLUGIN=str(int(plugin)))

    def run() -> object:
        return subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=PROJECT,
            env=environment,
            check=True,
            capture_output=True,
        )

    return run


def _imports_litellm(database: Path) -> bool:
    finished = subprocess.run(
        [sys.executable, "run_commands.py", "check"],
        cwd=PROJECT,
        env=project_environment(database),
        check=True,
        capture_output=True,
    )
    return json.loads(finished.stdout)["said"]["check"]["litellm"]
