"""How good the answers without a model are: a part of ``python -m benchmarks.quality``.

Questions are put to the demo and to the site in ``tests/foreign_project``, which has the README's
lines and nothing else. An answer is right if it has all the strings that ``answers.toml`` names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .measuring import markdown
from .site import ROOT

DEMO = Path(__file__).parent / "answers.toml"
FOREIGN_PROJECT = ROOT / "tests" / "foreign_project"
# The least share of right or partly right answers, the largest of wrong ones, and the least share
# of questions without an answer to which the reply is "I don't know".
BAR = (0.60, 0.05, 0.85)


@dataclass(frozen=True)
class Question:
    """``right`` is ``None`` if no page has the answer."""

    text: str
    right: Sequence[str] | None
    partly: Sequence[str] = ()


@dataclass(frozen=True)
class Reply:
    text: str
    is_known: bool
    sources: Sequence[str]
    """Titles of pages, best first."""
    seconds: float


def read_questions(path: Path) -> list[Question]:
    listed = tomllib.loads(path.read_text("utf-8"))["questions"]
    return [Question(one["question"], one.get("right"), one.get("partly", ())) for one in listed]


def grade(question: Question, reply: Reply) -> str:
    """``right``, ``partly``, ``unknown`` or ``wrong``."""
    if not reply.is_known:
        return "right" if question.right is None else "unknown"
    if question.right is None:
        return "wrong"
    if all(text in reply.text for text in question.right):
        return "right"
    return "partly" if any(text in reply.text for text in question.partly) else "wrong"


@dataclass(frozen=True)
class Score:
    answerable: Counter[str]
    unanswerable: Counter[str]
    seconds: Sequence[float]

    @classmethod
    def of(cls, graded: Iterable[tuple[Question, Reply]]) -> Score:
        pairs = list(graded)
        return cls(
            Counter(grade(one, reply) for one, reply in pairs if one.right is not None),
            Counter(grade(one, reply) for one, reply in pairs if one.right is None),
            [reply.seconds for _one, reply in pairs],
        )

    @property
    def is_met(self) -> bool:
        right, wrong, unknown = BAR
        return self.right >= right and self.wrong <= wrong and self.declined >= unknown

    @property
    def right(self) -> float:
        """The share of answerable questions that are answered rightly or partly."""
        return (self.answerable["right"] + self.answerable["partly"]) / self.answerable.total()

    @property
    def wrong(self) -> float:
        return self.answerable["wrong"] / self.answerable.total()

    @property
    def declined(self) -> float:
        """The share of unanswerable questions to which the reply is "I don't know"."""
        return self.unanswerable["right"] / self.unanswerable.total()


def ask_demo(questions: Sequence[Question]) -> list[Reply]:
    """Replies of the site in this process, whose index is built."""
    from finetune_switch.answers import answer

    replies = []
    for question in questions:
        began = time.perf_counter()
        given = answer(question.text)
        text = given.text
        seconds = time.perf_counter() - began
        sources = [passage.source.title for passage in given.passages]
        is_known = given.done is not None and given.done.outcome == "complete"
        replies.append(Reply(text, is_known, sources, seconds))
    return replies


def ask_foreign_site(questions: Sequence[str]) -> list[Reply]:
    """Replies of the foreign project, which is migrated, loaded and indexed for it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "foreign.settings",
            "PYTHONPATH": str(ROOT),
            "FOREIGN_DATABASE": f"{folder}/foreign.sqlite3",
        }
        for command in (["manage.py", "migrate", "--verbosity", "0"], ["ask.py"]):
            done = subprocess.run(
                [sys.executable, *command],
                cwd=FOREIGN_PROJECT,
                env=environment,
                input="\n".join(questions),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(done.stderr)
    return [Reply(*fields) for fields in json.loads(done.stdout)]


def rows_of(scores: dict[tuple[str, str], Score], barred: str) -> list[tuple[str, ...]]:
    """Rows of the table, the last with the sets of the embedding model with the bar together."""
    chosen = [score for (_name, embedding), score in scores.items() if embedding == barred]
    together = Score(
        sum((one.answerable for one in chosen), Counter()),
        sum((one.unanswerable for one in chosen), Counter()),
        [seconds for one in chosen for seconds in one.seconds],
    )
    verdict = "≥ {:.0%}, ≤ {:.0%}, ≥ {:.0%}".format(*BAR) + (
        "" if together.is_met else ": **missed**"
    )
    return [
        *(_row(*key, score, "") for key, score in scores.items()),
        _row("together", barred, together, verdict),
    ]


def _row(name: str, embedding: str, score: Score, bar: str) -> tuple[str, ...]:
    milliseconds = [1000 * seconds for seconds in score.seconds]
    return (
        f"{name} ({score.answerable.total()} + {score.unanswerable.total()})",
        embedding,
        f"{score.right:.0%}",
        f"{score.wrong:.0%}",
        f"{score.declined:.0%}",
        f"{median(milliseconds):.0f} / {max(milliseconds):.0f}",
        bar,
    )


def table(rows: Sequence[tuple[str, ...]]) -> str:
    head = (
        "questions with and without an answer",
        "embedding",
        "right or partly",
        "wrong",
        "“I don’t know” without an answer",
        "ms, median / most",
        "bar",
    )
    return markdown(head, rows, left={0, 1, 6})
