"""Every benchmark runs. Its figures are of a tiny size here, and say nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.measuring import Comparison
from benchmarks.site import ROOT
from tests.postgres import copied_database
from tests.vectors import needs_postgresql

# Without "switch", which test_the_command_prints_a_table runs.
OF_THE_BARE_SITE = ("check", "first_token", "publishing")
OF_THE_DEMO = ("editors", "embeddings", "links")
OF_ARTICLES = ("retrieval",)
ON_POSTGRESQL = ("rebuild-postgresql", "retrieval-postgresql")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Comparison]]:
    """What a process of its own measures, as for ``python -m benchmarks --tiny name``."""

    def measured(name: str, **variables: str) -> list[Comparison]:
        leave_tests(monkeypatch, **variables)
        return benchmarks._in_own_process(name, ["--tiny"])

    return measured


def leave_tests(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Remove what belongs to the tests' own process from the environment."""
    for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite with the tables of the demo. The apps of the bare site are among the demo's."""
    path = tmp_path_factory.mktemp("migrated") / "site.sqlite3"
    manage(path, "migrate", "--verbosity", "0")
    return path


@pytest.fixture(scope="module")
def demo(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite with the demo's pages and their index."""
    path = tmp_path_factory.mktemp("demo") / "site.sqlite3"
    shutil.copy(migrated, path)
    manage(path, "run_demo", "--setup-only")
    return path


@pytest.fixture
def postgresql() -> Iterator[str]:
    with copied_database() as url:
        yield url


def manage(database: Path, *arguments: str) -> None:
    variables = {
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DEBUG": "1",
    }
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("name", OF_THE_BARE_SITE)
def test_a_benchmark_of_the_bare_site_gives_its_figures(name, migrated, measured):
    assert measured(name, BENCHMARK_SQLITE=str(migrated))


@pytest.mark.parametrize("name", OF_THE_DEMO)
def test_a_benchmark_of_the_demo_gives_its_figures(name, demo, measured):
    assert measured(name, BENCHMARK_SQLITE=str(demo), BENCHMARK_IS_SET_UP="1")


@pytest.mark.parametrize("name", OF_ARTICLES)
def test_a_benchmark_of_articles_gives_its_figures(name, migrated, measured):
    assert measured(name, BENCHMARK_SQLITE=str(migrated))


@needs_postgresql
@pytest.mark.parametrize("name", ON_POSTGRESQL)
def test_a_benchmark_of_postgresql_gives_its_figures(name, postgresql, measured):
    assert measured(name, BENCHMARK_POSTGRESQL=postgresql)


def test_every_benchmark_is_here():
    here = (*OF_THE_BARE_SITE, *OF_THE_DEMO, *OF_ARTICLES, *ON_POSTGRESQL)
    tested = {name.removesuffix("-postgresql") for name in here} | {"switch"}
    # That one needs locust, in an environment of its own.
    assert tested == {name.removesuffix("-postgresql") for name in benchmarks.NAMES} - {"visitors"}


def test_the_command_prints_a_table(migrated, monkeypatch, capfd):
    leave_tests(monkeypatch, BENCHMARK_SQLITE=str(migrated))
    assert benchmarks.main(["--tiny", "switch"]) == 0
    printed = [line for line in capfd.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in printed[2:]] == [
        "Finding the active backend, SQLite"
    ]


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
