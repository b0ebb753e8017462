"""The site's content: a TOML file for each section, questions.toml, visitors.toml, prepared.toml.

The files of sections are read in alphabetical order. Each has the section in [section] and its
pages in [[pages]]. Keys are fields of the page model. `body` is marked-up text (see markup.py) or,
for articles and sections, a list of blocks with one key each.
"""

import tomllib
from pathlib import Path

CONTENT_DIR = Path(__file__).parent


def read_sections() -> list[dict]:
    paths = sorted(CONTENT_DIR.glob("[0-9][0-9]_*.toml"))
    return [tomllib.loads(path.read_text(encoding="utf-8")) for path in paths]


def read_questions() -> list[dict]:
    """The ten questions: question, answer, answerable, pages, facts, tags."""
    return _read("questions")


def read_visitors() -> list[dict]:
    """Visitors' questions: question, and optionally thumb, comment and follows."""
    return _read("visitors")


def read_prepared() -> list[dict]:
    """Prepared answers: kind, answer, and optionally questions, words and page."""
    return _read("prepared")


def _read(name: str) -> list[dict]:
    return tomllib.loads((CONTENT_DIR / f"{name}.toml").read_text(encoding="utf-8"))[name]
