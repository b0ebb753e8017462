"""``python -m benchmarks.facts``: what the fact lock lets through, and what it holds back.

Sentences that people have labelled as true or invented go through it letter by letter, as a model
says them, and so do answers to the demo's questions which are true because they quote its pages.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .measuring import markdown, tell
from .quality import build_demo, read_questions
from .site import ROOT, demo_database

if TYPE_CHECKING:
    from finetune_switch.passages import Passage

SETS = ("facts.toml", "facts_hard.toml")
PAGE = ROOT / "docs" / "visitors.md"
BLOCK = re.compile(r"(<!-- facts -->\n).*?(<!-- /facts -->)", re.DOTALL)
LANGUAGE = "en-gb"


@dataclass
class Tally:
    """True texts and those of them that were held back; invented ones and those let through."""

    name: str
    true: int = 0
    withheld_facts: list[str] = field(default_factory=list)
    invented: int = 0
    let_through: list[str] = field(default_factory=list)

    @property
    def share_withheld_facts(self) -> float:
        return len(self.withheld_facts) / self.true if self.true else 0.0


def measure_labelled(name: str) -> Tally:
    """What becomes of the sentences of a file of ``tests/``."""
    tally = Tally(f"tests/{name}")
    for page in tomllib.loads((ROOT / "tests" / "text" / name).read_text("utf-8"))["pages"]:
        passages = [_passage(page["text"])]
        for said in page["true"]:
            tally.true += 1
            if shown(said, passages, page["language"]) != said:
                tally.withheld_facts.append(said)
        for said in page["invented"]:
            tally.invented += 1
            if shown(said, passages, page["language"]) == said:
                tally.let_through.append(said)
    return tally


def measure_demo() -> Iterator[Tally]:
    """Sentences of answers to the demo's questions, from the passages that retrieval finds.

    The default site is the demo's, and its index is built.
    """
    from demo_site.standin.prompts import ParsedPrompt, parse_prompt
    from demo_site.standin.voices import grounded
    from finetune_switch.answers.prompts import build_prompt
    from finetune_switch.backends.extractive import answer_from_messages
    from finetune_switch.models.backend import DEFAULT_SYSTEM_PROMPT

    voices = {
        "extractive": answer_from_messages,
        "stand-in, grounded": lambda messages: grounded(parse_prompt(messages)),
    }
    tallies = {name: Tally(f"the demo's questions, {name}") for name in voices}
    for question in read_questions():
        passages = _retrieve(question.text)
        prompt = build_prompt(
            question.text,
            passages,
            system_prompt=DEFAULT_SYSTEM_PROMPT,
            nothing_found=ParsedPrompt("").nothing_found,
            context_window=None,
            count_tokens=len,
        )
        for name, voice in voices.items():
            for sentence in re.split(r"(?<=\]) ", voice(prompt.messages)):
                tallies[name].true += 1
                if shown(sentence, passages, LANGUAGE) != sentence:
                    tallies[name].withheld_facts.append(sentence)
    yield from tallies.values()


def shown(text: str, passages: Sequence[Passage], language: str) -> str:
    """What a visitor reads of a text that a model says letter by letter."""
    from finetune_switch.text.fact_lock import FactLock

    lock = FactLock(passages, language)
    return "".join([*map(lock.feed, text), lock.finish()])


def _passage(text: str) -> Passage:
    from finetune_switch.passages import Passage, Source

    return Passage(1, text, 1.0, Source("", "", "", ""))


def _retrieve(question: str) -> list[Passage]:
    from wagtail.models import Site

    from finetune_switch.access import Asker
    from finetune_switch.search import retrieve

    site = Site.objects.get(is_default_site=True)
    return list(retrieve(question, asker=Asker.anonymous(), site=site, locale=LANGUAGE))


def table(tallies: Iterable[Tally]) -> str:
    head = ("sentences", "true", "held back", "invented", "let through")
    rows = [
        (
            tally.name,
            str(tally.true),
            f"{len(tally.withheld_facts)} ({tally.share_withheld_facts:.1%})",
            str(tally.invented or "–"),
            str(len(tally.let_through) if tally.invented else "–"),
        )
        for tally in tallies
    ]
    return markdown(head, rows, left={0})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.facts", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into docs/visitors.md")
    options = parser.parse_args(arguments)
    with demo_database():
        tell("facts: sentences that people have labelled")
        tallies = [measure_labelled(name) for name in SETS]
        tell("facts: the demo's pages into a database of their own, and its questions")
        build_demo()
        tallies += measure_demo()
    text = f"{table(tallies)}\n"
    print(text)
    for tally in tallies:
        for sentence in tally.withheld_facts:
            print(f"held back, though true: {sentence}")
        for sentence in tally.let_through:
            print(f"let through, though invented: {sentence}")
    if options.write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(BLOCK.sub(lambda block: f"{block[1]}{text}{block[2]}", page), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
