"""The site's text: one TOML file for each section, questions.toml to try it with, and what
people answer themselves in prepared.toml.

Files are read in the order of their names. Each has the section itself in [section] and its
pages in [[pages]]; keys are the fields of the page's model, and `body` is either marked-up
text (see markup.py) or, for articles and sections, a list of blocks with one key each.
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
    """What visitors have asked: question and, of some, thumb and comment."""
    return _read("visitors")


def read_prepared() -> list[dict]:
    """What people answer themselves: kind, answer, and questions, words and page, if any."""
    return _read("prepared")


def _read(name: str) -> list[dict]:
    return tomllib.loads((CONTENT_DIR / f"{name}.toml").read_text(encoding="utf-8"))[name]
