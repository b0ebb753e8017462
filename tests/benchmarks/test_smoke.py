"""Every benchmark runs. Its figures are of a tiny size here, and say nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.site import PROJECT, ROOT, project_environment
from tests.postgres import copied_database
from tests.vectors import needs_postgresql

ON_SQLITE = ("check", "editors", "first_token", "links", "publishing", "retrieval", "switch")
ON_POSTGRESQL = ("rebuild-postgresql", "retrieval-postgresql")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite with the tables of the bare site."""
    path = tmp_path_factory.mktemp("benchmarks") / "migrated.sqlite3"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=PROJECT,
        env=project_environment(path),
        check=True,
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


@pytest.mark.parametrize("name", ON_SQLITE)
def test_a_benchmark_gives_its_figures(name, migrated):
    finished = run("--tiny", name, BENCHMARK_SQLITE=str(migrated))
    assert finished.returncode == 0, finished.stderr
    assert rows(finished)


@needs_postgresql
@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_a_benchmark_of_postgresql_gives_its_figures(name, postgresql):
    finished = run("--tiny", name, BENCHMARK_POSTGRESQL=postgresql)
    assert finished.returncode == 0, finished.stderr
    assert rows(finished)


def test_every_benchmark_is_here():
    tested = {name.removesuffix("-postgresql") for name in (*ON_SQLITE, *ON_POSTGRESQL)}
    # That one needs locust, in an environment of its own.
    assert tested == {name.removesuffix("-postgresql") for name in benchmarks.NAMES} - {"visitors"}


def test_one_that_breaks_is_named_and_the_others_are_kept(tmp_path):
    broken = tmp_path / "no.sqlite3"
    finished = run("--tiny", "switch", "check", BENCHMARK_SQLITE=str(broken))
    assert finished.returncode == 1
    assert rows(finished) == ["`manage.py check`"]
    assert finished.stderr.splitlines()[-1] == "Broken: switch."


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
