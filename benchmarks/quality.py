"""``python -m benchmarks.quality``: how well a question finds the page that answers it.

The demo's pages are loaded into a database of their own and indexed by the embedded model. Each
question is put to the vectors alone, to the full-text ranking alone, and to both as retrieval does.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from .measuring import markdown, tell
from .site import ROOT, demo_database

QUESTIONS = ROOT / "demo_site" / "content" / "retrieval.toml"
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- quality -->\n).*?(<!-- /quality -->)", re.DOTALL)
# What an answer gets by itself, and what is asked of an index for that (retrieval.SURPLUS).
PASSAGES = 5
LIMIT = 10
METHODS = ("vector", "text", "hybrid")
PLAIN, PARAPHRASED = "plain", "paraphrased"
GROUPS = ("all", PLAIN, PARAPHRASED)


@dataclass(frozen=True)
class Question:
    """A visitor's question, and the pages of which each answers it."""

    text: str
    pages: tuple[str, ...]
    wording: str


@dataclass(frozen=True)
class Score:
    """``mean_reciprocal_rank`` is over the first ten passages; further down counts as not found."""

    questions: int
    recall_at_1: float
    recall_at_5: float
    mean_reciprocal_rank: float

    @classmethod
    def of(cls, ranks: Sequence[int | None]) -> Score:
        """Of the places (from 1) at which the right page came, or ``None`` where it did not."""
        return cls(
            len(ranks),
            fmean(rank == 1 for rank in ranks),
            fmean(rank is not None and rank <= PASSAGES for rank in ranks),
            fmean(1 / rank if rank else 0.0 for rank in ranks),
        )


def read_questions() -> list[Question]:
    """The demo's ten, but for what has no answer on the site, and those of ``retrieval.toml``."""
    from demo_site.content import read_questions as read_demo_questions

    demo = [{**one, "wording": PLAIN} for one in read_demo_questions() if one["pages"]]
    further = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["questions"]
    return [
        Question(one["question"], tuple(one["pages"]), one["wording"]) for one in (*demo, *further)
    ]


def measure(questions: Sequence[Question]) -> dict[tuple[str, str], Score]:
    """The score of each method (first) over each group of the questions.

    The default site is the demo's, and its index is built.
    """
    found = {name: [_rank(search, one) for one in questions] for name, search in _methods().items()}
    return {
        (name, group): Score.of(
            [
                rank
                for rank, question in zip(ranks, questions, strict=True)
                if group in ("all", question.wording)
            ]
        )
        for name, ranks in found.items()
        for group in GROUPS
    }


def _rank(search: Callable[[str], list[str]], question: Question) -> int | None:
    wanted = {_page_id(path) for path in question.pages}
    ranks = (place for place, found in enumerate(search(question.text), 1) if found in wanted)
    return next(ranks, None)


def _page_id(path: str) -> str:
    from wagtail.models import Page, Site

    root = Site.objects.get(is_default_site=True).root_page
    return str(Page.objects.get(url_path=root.url_path + path.lstrip("/")).pk)


def _methods() -> Mapping[str, Callable[[str], list[str]]]:
    """What each method finds, as the primary keys of pages, a page once for each passage."""
    from wagtail.models import Site

    from finetune_switch.adapters import Scope
    from finetune_switch.backends.embeddings.question_vectors import embed_question
    from finetune_switch.index.site_index import SiteIndex
    from finetune_switch.index.stores import get_store
    from finetune_switch.index.texts import get_text_ranking
    from finetune_switch.models import Chunk
    from finetune_switch.models.index import active_space

    space = active_space()
    assert space is not None
    scope = Scope(Site.objects.get(is_default_site=True).pk, None, include_restricted=False)
    pages = dict(Chunk.objects.filter(space=space).values_list("pk", "document__object_id"))

    def vector(question: str) -> list[str]:
        asked = embed_question(question, space)
        found = get_store().search(space, asked, limit=LIMIT, scope=scope)
        return [pages[one.chunk_id] for one in found]

    def text(question: str) -> list[str]:
        ranking = get_text_ranking()
        found = ranking.search(question, space_id=space.pk, limit=LIMIT, scope=scope)
        return [pages[one.chunk_id] for one in found]

    def hybrid(question: str) -> list[str]:
        hits = SiteIndex(space).search(question, limit=LIMIT, scope=scope, threshold=0)
        return [hit.object_id for hit in hits]

    return {"vector": vector, "text": text, "hybrid": hybrid}


def build_demo() -> None:
    """The demo's pages and their index, in the database that Django is set up with."""
    from demo_site import loader
    from finetune_switch.index import upkeep
    from finetune_switch.index.building import run_build
    from finetune_switch.index.builds import start_build

    with upkeep.paused():
        loader.load()
    build = run_build(start_build())
    if build.error:
        raise RuntimeError(build.error)


def table(scores: Mapping[tuple[str, str], Score]) -> str:
    """The scores as a Markdown table."""
    head = ("questions", "", "recall@1", "recall@5", "mean reciprocal rank")
    rows = [
        (
            f"{group} ({score.questions})",
            method,
            f"{score.recall_at_1:.2f}",
            f"{score.recall_at_5:.2f}",
            f"{score.mean_reciprocal_rank:.2f}",
        )
        for group in GROUPS
        for method in METHODS
        for score in [scores[method, group]]
    ]
    return markdown(head, rows, left={0, 1})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--postgres", action="store_true", help="on a private PostgreSQL")
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    tell("quality: the demo's pages into a database of their own")
    with demo_database(postgresql=options.postgres) as engine:
        build_demo()
        text = f"{table(measure(read_questions()))}\n\n{engine}, embedded model.\n"
    print(text)
    if options.write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(BLOCK.sub(lambda block: f"{block[1]}{text}{block[2]}", page), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
