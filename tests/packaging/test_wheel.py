"""What is uploaded holds what users need and nothing else."""

from __future__ import annotations

import tarfile
from email.message import Message
from email.parser import Parser
from functools import cache
from pathlib import PurePosixPath
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from trove_classifiers import classifiers

import finetune_switch
from tests.installed import ROOT, distributions

pytestmark = pytest.mark.wheel

PACKAGE = ROOT / "finetune_switch"
IGNORED = ("__pycache__", ".pyc", ".pyo")


@cache
def wheel_files() -> dict[str, bytes]:
    with ZipFile(distributions().wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@cache
def sdist_files() -> list[str]:
    with tarfile.open(distributions().sdist) as archive:
        return [str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()]


def dist_info(name: str) -> str:
    (path,) = [path for path in wheel_files() if path.endswith(f".dist-info/{name}")]
    return wheel_files()[path].decode()


def metadata() -> Message:
    return Parser().parsestr(dist_info("METADATA"))


def source_files() -> dict[str, bytes]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and not any(part.endswith(IGNORED) for part in path.parts)
    }


class TestContents:
    def test_every_file_of_the_package_is_in_it_as_it_is(self):
        shipped = {name: data for name, data in wheel_files().items() if ".dist-info/" not in name}
        source = source_files()
        assert shipped.keys() == source.keys()
        assert [name for name in source if source[name] != shipped[name]] == []

    @pytest.mark.parametrize(
        "folder", ["templates/finetune_switch", "static/finetune_switch", "migrations", "locale"]
    )
    def test_what_is_not_python_is_in_it_too(self, folder):
        prefix = f"finetune_switch/{folder}/"
        assert [name for name in wheel_files() if name.startswith(prefix)]

    def test_every_translation_is_compiled(self):
        sources = [name for name in wheel_files() if name.endswith(".po")]
        compiled = {name for name in wheel_files() if name.endswith(".mo")}
        assert {name.removesuffix(".po") + ".mo" for name in sources} == compiled

    def test_it_is_typed(self):
        assert "finetune_switch/py.typed" in wheel_files()

    def test_nothing_else_is_in_it(self):
        tops = {PurePosixPath(name).parts[0] for name in wheel_files()}
        assert tops == {
            "finetune_switch",
            f"wagtail_finetune_switch-{finetune_switch.__version__}.dist-info",
        }

    def test_nothing_of_the_demo_or_the_tests_is_in_the_sdist(self):
        tops = {PurePosixPath(name).parts[0] for name in sdist_files()}
        assert "finetune_switch" in tops
        ours = {"demo_site", "tests", "benchmarks", "templates", "manage.py", "var", ".ci", ".env"}
        assert tops & ours == set()
        assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"} <= set(sdist_files())

    def test_the_sdist_holds_what_the_wheel_is_built_from(self):
        assert set(source_files()) <= set(sdist_files())


class TestMetadata:
    def test_names_itself(self):
        assert metadata()["Name"] == "wagtail-finetune-switch"
        assert metadata()["Version"] == finetune_switch.__version__
        assert metadata()["Requires-Python"] == ">=3.11"
        assert metadata()["Description-Content-Type"] == "text/markdown"

    def test_gives_its_licence(self):
        assert metadata()["License-Expression"] == "BSD-3-Clause"
        assert metadata().get_all("License-File") == ["LICENSE"]
        assert dist_info("licenses/LICENSE") == (ROOT / "LICENSE").read_text()

    def test_uses_classifiers_that_exist(self):
        assert set(metadata().get_all("Classifier")) - classifiers == set()

    def test_asks_for_nothing_that_no_resolver_can_install(self):
        required = {
            canonicalize_name(Requirement(line).name)
            for line in metadata().get_all("Requires-Dist")
        }
        assert {"wagtail", "django", "litellm"} <= required
        assert "wagtail-vector-index" not in required

    def test_asks_for_no_more_than_it_needs(self):
        """Neither the demo's packages nor those for tests."""
        plain = {
            canonicalize_name(requirement.name)
            for requirement in map(Requirement, metadata().get_all("Requires-Dist"))
            if requirement.marker is None
        }
        others = (ROOT / "requirements" / "demo.in").read_text().splitlines()
        of_the_demo = {canonicalize_name(Requirement(line).name) for line in others if _names(line)}
        assert plain & of_the_demo == set()


def _names(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("#", "-"))
