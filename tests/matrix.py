"""``python -m tests.matrix [name …]``: the tests on each Python, Django and Wagtail supported, on
PostgreSQL, and those of model servers on the oldest and the newest litellm.

``--tests tests/answers/test_prompts.py`` runs only those, for a first look.

Each combination gets an environment in ``.venvs/``, for the Pythons that are on this machine: on
the path, or among pyenv's versions. Ends with a table, and with 1 where one of them failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
PYTHONS = ("3.11", "3.12", "3.13")
# What is asked for of Django and Wagtail, and the first Python that this Django runs on.
VERSIONS = (
    ("Django>=5.2,<5.3", "wagtail>=7.4,<7.5", "3.11"),
    ("Django>=5.2,<5.3", "wagtail>=8.0,<9", "3.11"),
    ("Django>=6.0,<6.1", "wagtail>=7.4,<7.5", "3.12"),
    ("Django>=6,<7", "wagtail>=8.0,<9", "3.12"),
)
LITELLM = {"oldest": "litellm>=1.90,<1.91", "newest": "litellm>=1.90,<1.107"}
CONTRACT = ("tests/backends/test_contract.py", "tests/backends/test_requests.py")
TESTS = "not browser and not wheel and not servers"
# About model servers and litellm, which are the same whatever Django and Wagtail are.
ELSEWHERE = (
    "tests/standin",
    "tests/benchmarks",
    "tests/packaging",
    "tests/backends/test_contract.py",
    "tests/backends/test_faults.py",
    "tests/backends/test_requests.py",
    "tests/backends/test_embeddings.py",
    "tests/backends/test_embeddings_litellm.py",
    "tests/search/test_retrieval_quality.py",
)
# They wait more than they work.
PYTEST = ("tests.postgres", "-q", "-n", "4", "--dist", "loadfile", "-p", "no:cacheprovider")
OUTPUT_LINES = 40


@dataclass
class Combination:
    """One Python with one Django and one Wagtail, and what came of it."""

    python: str
    django: str
    wagtail: str
    litellm: str = ""
    held: dict[str, bool] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    tests: str = ""
    seconds: float = 0

    @property
    def name(self) -> str:
        numbers = [re.sub(r"^\D*([\d.]+).*", r"\1", text) for text in (self.django, self.wagtail)]
        name = f"py{self.python}-django{numbers[0]}-wagtail{numbers[1]}"
        return f"{name}-litellm-{self.litellm}" if self.litellm else name

    @property
    def home(self) -> Path:
        return ROOT / ".venvs" / self.name

    @property
    def all_held(self) -> bool:
        return bool(self.held) and all(self.held.values())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("names", nargs="*", help="only combinations whose name has this in it")
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH", help="only these")
    options = parser.parse_args(arguments)
    wanted = options.names
    combinations = [
        combination
        for combination in (*every_combination(), *every_litellm())
        if not wanted or any(name in combination.name for name in wanted)
    ]
    for combination in combinations:
        print(f"==> {combination.name}", flush=True)
        started = time.monotonic()
        tests = options.tests or (CONTRACT if combination.litellm else ())
        examine(combination, find_python(combination.python), tests)
        combination.seconds = time.monotonic() - started
    print(f"\n{table(combinations)}")
    return 0 if combinations and all(combination.all_held for combination in combinations) else 1


def every_combination() -> Iterator[Combination]:
    """Each that can be made here; says which Python is missing."""
    for python in PYTHONS:
        if find_python(python) is None:
            print(f"==> There is no Python {python} here", flush=True)
            continue
        for django, wagtail, first in VERSIONS:
            if _number(python) >= _number(first):
                yield Combination(python, django, wagtail)


def every_litellm() -> Iterator[Combination]:
    django, wagtail, python = VERSIONS[1]
    if find_python(python):
        for litellm in LITELLM:
            yield Combination(python, django, wagtail, litellm)


def find_python(version: str) -> str | None:
    """A Python of this version that runs: pyenv's, or the one on the path."""
    candidates = sorted(
        _pyenv_root().glob(f"versions/{version}.*/bin/python"),
        key=lambda path: _number(path.parent.parent.name),
        reverse=True,
    )
    on_path = shutil.which(f"python{version}")
    for candidate in [*candidates, *([Path(on_path)] if on_path else [])]:
        # A shim of pyenv's may stand for a version that is not chosen, and ends with an error.
        said = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stdout.startswith(f"Python {version}."):
            return str(candidate)
    return None


def _pyenv_root() -> Path:
    if shutil.which("pyenv"):
        said = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False)
        if said.returncode == 0:
            return Path(said.stdout.strip())
    return Path.home() / ".pyenv"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def requirements(combination: Combination) -> list[str]:
    """``dev.in`` and what it includes, with this Django and this Wagtail in place of its own."""
    ours = {"django": combination.django, "wagtail": combination.wagtail}
    if combination.litellm:
        ours["litellm"] = LITELLM[combination.litellm]
    return [
        ours.get(re.split(r"[^\w-]", line, maxsplit=1)[0].lower(), line)
        for line in _lines(REQUIREMENTS / "dev.in")
    ]


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            yield from _lines(path.parent / line.removeprefix("-r ").strip())
        elif line.strip() and not line.startswith("#"):
            yield line.strip()


def examine(combination: Combination, base: str | None, tests: Sequence[str]) -> None:
    """Make the environment, and run in it what has to hold."""
    assert base is not None
    python = combination.home / "bin" / "python"
    listed = combination.home.with_suffix(".in")
    listed.parent.mkdir(exist_ok=True)
    listed.write_text("\n".join(requirements(combination)) + "\n", encoding="utf-8")
    uv = find_uv_bin()
    # What was left behind by a combination with other requirements would be tested with it.
    make = (uv, "venv", "-q", "--clear", "--python", base, combination.home)
    install = (uv, "pip", "install", "-q", "--python", python, "-r", listed)
    override = ("--override", REQUIREMENTS / "overrides.txt")
    made = _run(combination, "environment", *make)
    made = made and _run(combination, "requirements", *install, *override)
    if not made:
        return
    combination.versions = _versions(python)
    manage = (python, "manage.py")
    _run(combination, "check", *manage, "check", "--fail-level", "WARNING")
    _run(combination, "migrations", *manage, "makemigrations", "--check", "--dry-run")
    ignored = [f"--ignore={path}" for path in ELSEWHERE if path not in tests]
    _run(combination, "tests", python, "-m", *PYTEST, "-m", TESTS, *ignored, *tests)


def _versions(python: Path) -> dict[str, str]:
    code = (
        "import platform, django, wagtail\n"
        "from importlib.metadata import version\n"
        "print(platform.python_version(), django.__version__, wagtail.__version__,"
        " version('litellm'))"
    )
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    return dict(zip(("Python", "Django", "Wagtail", "litellm"), said.split(), strict=True))


def _run(combination: Combination, what: str, *command: str | Path) -> bool:
    """Whether it held. Where it did not, the end of what it said is printed."""
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        # The tests start a PostgreSQL of their own, whatever is named here.
        env={**os.environ, "DATABASE_URL": "sqlite://:memory:"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    combination.held[what] = finished.returncode == 0
    if what == "tests":
        combination.tests = _summary(finished.stdout)
    if finished.returncode:
        print("\n".join(finished.stdout.splitlines()[-OUTPUT_LINES:]), flush=True)
    print(f"    {what}: {'held' if finished.returncode == 0 else 'FAILED'}", flush=True)
    return finished.returncode == 0


def _summary(output: str) -> str:
    """Pytest's last line: how many passed, failed and were skipped."""
    found = re.findall(r"^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s", output, flags=re.MULTILINE)
    return found[-1] if found else "no summary"


def table(combinations: Sequence[Combination]) -> str:
    """What held, as a Markdown table."""
    rows = [("Python", "Django", "Wagtail", "litellm", "check", "migrations", "tests", "seconds")]
    rows.append(("---",) * len(rows[0]))
    for combination in combinations:
        words = {True: "held", False: "**failed**", None: "not run"}
        check, migrations, tests = (
            words[combination.held.get(what)] for what in ("check", "migrations", "tests")
        )
        versions = combination.versions or {
            "Python": combination.python,
            "Django": combination.django,
            "Wagtail": f"{combination.wagtail} (not installed)",
            "litellm": combination.litellm,
        }
        rows.append(
            (
                *versions.values(),
                check,
                migrations,
                f"{tests} ({combination.tests})" if combination.tests else tests,
                f"{combination.seconds:.0f}",
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
