"""The plugin as its users get it: built once, installed into environments that hold nothing else.

Each is made when the first test asks for it and kept until the tests are over.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
BARE_PROJECT = Path(__file__).resolve().parent / "bare_project"
# Of the developer's own shell, or of pytest-django; none of it is an install's business.
NOT_OURS = (
    "DATABASE_URL",
    "DJANGO_SETTINGS_MODULE",
    "LITELLM_LOCAL_MODEL_COST_MAP",
    "OLLAMA_API_BASE",
    "OPENAI_API_BASE",
    "OPENAI_API_KEY",
    "PYTHONPATH",
    "UV_OVERRIDE",
    "UV_CONSTRAINT",
    "VIRTUAL_ENV",
)


@dataclass(frozen=True)
class Distributions:
    """The two files that a release uploads."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a copy of the bare project with a database of its own."""

    python: Path
    project: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return Path(self.variables["BARE_DATABASE"])

    def run(
        self, *arguments: str | Path, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python in the project's folder."""
        together = {**self.variables, **variables}
        return run(self.python, *arguments, cwd=self.project, check=check, **together)

    def manage(
        self, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return self.run("manage.py", *arguments, check=check, **variables)

    def json(self, *arguments: str | Path, **variables: str) -> Any:
        return json.loads(self.run(*arguments, **variables).stdout)

    def packages(self) -> set[str]:
        listed = run(find_uv_bin(), "pip", "list", "--python", self.python, "--format", "json")
        return {package["name"] for package in json.loads(listed.stdout)}


def run(
    *command: str | Path, cwd: Path | None = None, check: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command without our own environment around it; its output is in the failure."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if check and finished.returncode:
        words = " ".join(str(part) for part in command)
        raise AssertionError(
            f"{words} ended with {finished.returncode}:\n{finished.stdout}\n{finished.stderr}"
        )
    return finished


@cache
def distributions() -> Distributions:
    """The sdist, and the wheel that is built from it."""
    folder = _folder("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distributions(wheel, sdist)


@cache
def plain_environment() -> Environment:
    """What `pip install wagtail-finetune-switch` gives."""
    return _environment("plain", [distributions().wheel])


@cache
def migrated_environment() -> Environment:
    """The same, in a project that is migrated, which takes longer than the installation."""
    environment = plain_environment()
    environment.manage("migrate", "--verbosity", "0")
    return environment


@cache
def indexed() -> tuple[Environment, Any]:
    """The plain environment on a database with pages of three types, and what came of indexing."""
    plain = migrated_environment()
    database = plain.database.with_name("indexed.sqlite3")
    shutil.copy(plain.database, database)
    variables = {**plain.variables, "BARE_DATABASE": str(database), "BARE_PAGES": "1"}
    environment = Environment(plain.python, plain.project, variables)
    environment.manage("migrate", "--run-syncdb", "--verbosity", "0")
    return environment, environment.json("index_pages.py")


@cache
def environment_with_vector_index() -> Environment:
    """The same after the README's second line, for those who want wagtail-vector-index."""
    before = migrated_environment()
    folder = _folder("vector-index")
    # Links: what is compiled already need not be compiled again.
    shutil.copytree(
        before.python.parent.parent, folder / "env", symlinks=True, copy_function=os.link
    )
    python = folder / "env" / "bin" / "python"
    _install(python, ["--no-deps", "wagtail-vector-index==0.10.*"])
    environment = _project(python, BARE_ADAPTER="1", BARE_VECTOR_INDEX="1")
    shutil.copy(before.database, environment.database)
    # The table of its page, which has no migrations.
    environment.manage("migrate", "--run-syncdb", "--verbosity", "0")
    return environment


def _environment(name: str, requirements: Sequence[str | Path]) -> Environment:
    folder = _folder(name)
    run(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    _install(python, requirements)
    return _project(python)


def _project(python: Path, **variables: str) -> Environment:
    folder = python.parent.parent.parent
    project = folder / "project"
    shutil.copytree(
        BARE_PROJECT, project, ignore=shutil.ignore_patterns("*.sqlite3*", "__pycache__")
    )
    return Environment(
        python, project, {"BARE_DATABASE": str(folder / "bare.sqlite3"), **variables}
    )


def _install(python: Path, requirements: Sequence[str | Path]) -> None:
    run(find_uv_bin(), "pip", "install", "--quiet", "--python", python, *requirements)


@cache
def _base() -> tempfile.TemporaryDirectory[str]:
    # Removed when Python exits.
    return tempfile.TemporaryDirectory(prefix="finetune-installed-")


def _folder(name: str) -> Path:
    folder = Path(_base().name) / name
    folder.mkdir()
    return folder
