"""The main branch of wagtail-vector-index, which has moved names without another version number.

It is on no package index. The installed package is rearranged as it is there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.installed import BARE_PROJECT, ROOT

SETTINGS = """
from bare.settings import *
INSTALLED_APPS += ["wagtail_vector_index", "finetune_switch.vector_index", "leaflets"]
WAGTAIL_VECTOR_INDEX_STORAGE_PROVIDERS = {
    "default": {"STORAGE_PROVIDER": "finetune_switch.vector_index.storage.SiteStorageProvider"},
}
"""
MODELS = """
from wagtail.fields import RichTextField
from wagtail.models import Page
from wagtail_vector_index.storage.django import EmbeddingField, VectorIndexedMixin


class LeafletPage(VectorIndexedMixin, Page):
    body = RichTextField()
    embedding_fields = [EmbeddingField("title", important=True), EmbeddingField("body")]
"""
_DOCUMENT = re.compile(r"@dataclass[^\n]*\nclass Document:.*?(?=\n\nclass )", re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the package as on its main branch, and a project that uses it."""
    (installed,) = find_spec("wagtail_vector_index").submodule_search_locations  # type: ignore[union-attr]
    package = tmp_path / "wagtail_vector_index"
    shutil.copytree(installed, package, ignore=shutil.ignore_patterns("__pycache__"))
    storage = package / "storage"
    base = (storage / "base.py").read_text("utf-8")
    document = _DOCUMENT.search(base)
    assert document
    base = f"from __future__ import annotations\n{base.replace(document[0], '')}"
    (storage / "base.py").write_text(base, "utf-8")
    (storage / "models.py").rename(storage / "django.py")
    (storage / "models.py").write_text(
        "from collections.abc import Mapping, Sequence\nfrom dataclasses import dataclass\n\n"
        f"\n{document[0]}\n",
        "utf-8",
    )
    for path in package.rglob("*.py"):
        text = path.read_text("utf-8")
        if path != storage / "models.py":
            text = text.replace(
                "wagtail_vector_index.storage.models", "wagtail_vector_index.storage.django"
            )
        if re.search(r"storage\.base import \(\n    Document,", text):
            text = text.replace("import (\n    Document,", "import (", 1)
            text = f"from wagtail_vector_index.storage.models import Document\n{text}"
        path.write_text(text, "utf-8")
    (tmp_path / "leaflets").mkdir()
    (tmp_path / "leaflets" / "__init__.py").touch()
    (tmp_path / "leaflets" / "models.py").write_text(MODELS, "utf-8")
    (tmp_path / "other_settings.py").write_text(SETTINGS, "utf-8")
    return tmp_path


def manage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "other_settings",
        "PYTHONPATH": os.pathsep.join(map(str, (project, BARE_PROJECT, ROOT))),
        "BARE_DATABASE": str(project / "database.sqlite3"),
    }
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", ["check", "migrate", "update_vector_indexes"])
def test_each_command_names_the_remedy(project: Path, command: str) -> None:
    done = manage(project, command)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "finetune_switch.E008" in done.stderr
    assert 'pip install --no-deps "wagtail-vector-index==0.10.*"' in done.stderr
