"""Every benchmark runs. Its figures are of a tiny size here, and say nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.measuring import Comparison
from benchmarks.site import PROJECT, ROOT, project_environment
from tests.postgres import copied_database
from tests.vectors import needs_postgresql

OF_THE_BARE_SITE = ("check", "first_token", "publishing", "switch")
OF_THE_DEMO = ("editors", "links", "retrieval")
ON_POSTGRESQL = ("rebuild-postgresql", "retrieval-postgresql")
MIGRATE = (sys.executable, "manage.py", "migrate", "--verbosity", "0")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite with the tables of the bare site."""
    path = tmp_path_factory.mktemp("bare") / "migrated.sqlite3"
    subprocess.run(MIGRATE, cwd=PROJECT, env=project_environment(path), check=True)
    return path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite with the tables of the demo."""
    path = tmp_path_factory.mktemp("demo") / "migrated.sqlite3"
    subprocess.run(
        MIGRATE, cwd=ROOT, env={**os.environ, "DATABASE_URL": f"sqlite:///{path}"}, check=True
    )
    return path


@pytest.fixture
def postgresql() -> Iterator[str]:
    with copied_database() as url:
        yield url


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """``python -m benchmarks``, without what belongs to the tests' own process."""
    ours = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=180,
    )


def rows(finished: subprocess.CompletedProcess[str]) -> list[str]:
    """The first cells of the table that was printed."""
    lines = [line for line in finished.stdout.splitlines() if line.startswith("| ")]
    return [line.split("|")[1].strip() for line in lines[2:]]


@pytest.mark.parametrize("name", OF_THE_BARE_SITE)
def test_a_benchmark_of_the_bare_site_gives_its_figures(name, bare):
    finished = run("--tiny", name, BENCHMARK_SQLITE=str(bare))
    assert finished.returncode == 0, finished.stderr
    assert rows(finished)


@pytest.mark.parametrize("name", OF_THE_DEMO)
def test_a_benchmark_of_the_demo_gives_its_figures(name, demo):
    finished = run("--tiny", name, BENCHMARK_SQLITE=str(demo))
    assert finished.returncode == 0, finished.stderr
    assert rows(finished)


@needs_postgresql
@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_a_benchmark_of_postgresql_gives_its_figures(name, postgresql):
    finished = run("--tiny", name, BENCHMARK_POSTGRESQL=postgresql)
    assert finished.returncode == 0, finished.stderr
    assert rows(finished)


def test_every_benchmark_is_here():
    here = (*OF_THE_BARE_SITE, *OF_THE_DEMO, *ON_POSTGRESQL)
    tested = {name.removesuffix("-postgresql") for name in here}
    # That one needs locust, in an environment of its own.
    assert tested == {name.removesuffix("-postgresql") for name in benchmarks.NAMES} - {"visitors"}


def test_one_that_breaks_is_named_and_the_others_are_kept(monkeypatch, capsys):
    def measure(name, flags):
        if name == "links":
            raise subprocess.CalledProcessError(1, name)
        return [Comparison(name, 1, 2, 3, "none", 0)]

    monkeypatch.setattr(benchmarks, "_in_own_process", measure)
    assert benchmarks.main(["check", "links", "switch"]) == 1
    said = capsys.readouterr()
    assert [line.split("|")[1].strip() for line in said.out.splitlines()[2:4]] == [
        "check",
        "switch",
    ]
    assert said.err.splitlines()[-1] == "Broken: links."


def test_rows_of_what_was_not_measured_stay_on_the_page():
    page = (
        "Before.\n<!-- figures -->\n"
        "|  | without | with |\n| --- | ---: | ---: |\n"
        "| A | 1 ms | 2 ms |\n| B | 3 ms | 4 ms |\n| B | 5 ms | 6 ms |\n\nOf a machine.\n"
        "<!-- /figures -->\nAfter.\n"
    )
    written = benchmarks.with_figures(page, [("B", "7 ms", "8 ms"), ("C", "9 ms", "10 ms")])
    assert [line for line in written.splitlines() if line.startswith("| ")][2:] == [
        "| A | 1 ms | 2 ms |",
        "| B | 7 ms | 8 ms |",
        "| B | 5 ms | 6 ms |",
        "| C | 9 ms | 10 ms |",
    ]
    assert written.startswith("Before.\n<!-- figures -->\n")
    assert written.endswith("<!-- /figures -->\nAfter.\n")
