"""``python -m benchmarks.quality``: how well a question finds the page that answers it.

For each embedding model of the package, sets of pages are loaded into a database of their own and
indexed. Each question is put to the vectors alone, to the words alone, and to both as retrieval
does. ``--data DIR`` measures ``DIR/<name>.<language>.jsonl`` (entries with ``id``, ``title``,
``text``) by ``DIR/<name>.<language>.questions.jsonl`` (``question``, ``answers``: ids) as well.

The answers without a model are graded too (see ``answers``).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from . import answers
from .measuring import markdown, tell
from .site import ROOT, demo_database

QUESTIONS = ROOT / "demo_site" / "content" / "retrieval.toml"
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- quality -->\n).*?(<!-- /quality -->)", re.DOTALL)
# What an answer gets by itself, and what is asked of an index for that (retrieval.SURPLUS).
PASSAGES = 5
LIMIT = 10
METHODS = ("vector", "text", "both")
PLAIN, PARAPHRASED = "plain", "paraphrased"
ENGLISH, MULTILINGUAL = EMBEDDINGS = ("english", "multilingual")
# The least recall at 1 and at 5 of both rankings together, by group of questions and embedding.
BARS = {
    (f"demo, {PLAIN}", ENGLISH): (0.80, 0.98),
    (f"demo, {PARAPHRASED}", ENGLISH): (0.60, 0.83),
    ("faq.en", ENGLISH): (0.75, 0.94),
    ("faq.de", MULTILINGUAL): (0.30, 0.65),
}


@dataclass(frozen=True)
class Question:
    """A visitor's question, and the paths of the pages of which each answers it."""

    text: str
    pages: tuple[str, ...]
    wording: str


@dataclass(frozen=True)
class QuestionSet:
    name: str
    language: str
    load: Callable[[], None]
    """Creates the pages below the default site's root."""
    questions: Sequence[Question]


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


def read_data(folder: Path) -> list[QuestionSet]:
    """The sets of a folder; see the module's docstring."""
    sets = []
    for asked in sorted(folder.glob("*.questions.jsonl")):
        name = asked.name.removesuffix(".questions.jsonl")
        language = name.rpartition(".")[2]
        entries = [*_lines(folder / f"{name}.jsonl")]
        questions = [
            Question(one["question"], tuple(f"/entry-{pk}/" for pk in one["answers"]), "")
            for one in _lines(asked)
        ]
        sets.append(
            QuestionSet(name, language, lambda e=entries, code=language: _load(e, code), questions)
        )
    return sets


def _lines(path: Path) -> Iterable[dict]:
    return map(json.loads, path.read_text("utf-8").splitlines())


def _load(entries: Iterable[dict], language: str) -> None:
    from wagtail.models import Locale

    from demo_site.models import ArticlePage

    from .articles import make_site

    locale, _created = Locale.objects.get_or_create(language_code=language)
    home = make_site().root_page
    for entry in entries:
        home.add_child(
            instance=ArticlePage(
                title=entry["title"][:255],
                slug=f"entry-{entry['id']}",
                introduction=entry["text"],
                locale=locale,
            )
        )


def demo_set() -> QuestionSet:
    from demo_site import loader

    return QuestionSet("demo", "en", loader.load, read_questions())


def measure(questions: Sequence[Question]) -> dict[tuple[str, str], Score]:
    """The score of each method (first) over each wording of the questions.

    The default site has the pages, and its index is built.
    """
    groups = dict.fromkeys(question.wording for question in questions)
    found = {name: [_rank(search, one) for one in questions] for name, search in _methods().items()}
    return {
        (name, group): Score.of(
            [
                rank
                for rank, question in zip(ranks, questions, strict=True)
                if group == question.wording
            ]
        )
        for name, ranks in found.items()
        for group in groups
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
    from finetune_switch.index.site_index import SiteIndex
    from finetune_switch.models import Chunk
    from finetune_switch.models.index import active_space

    space = active_space()
    assert space is not None
    index = SiteIndex(space)
    scope = Scope(Site.objects.get(is_default_site=True).pk, None, include_restricted=False)
    pages = dict(Chunk.objects.filter(space=space).values_list("pk", "document__object_id"))

    def vector(question: str) -> list[str]:
        embedded = index.embed(question)
        return [pages[pk] for pk in index.by_vector(embedded, LIMIT, scope)]

    def text(question: str) -> list[str]:
        return [pages[pk] for pk in index.by_text(question, LIMIT, scope)][:LIMIT]

    def both(question: str) -> list[str]:
        hits = index.search(question, limit=LIMIT, scope=scope, threshold=-1)
        return [hit.object_id for hit in hits]

    return {"vector": vector, "text": text, "both": both}


def clear() -> None:
    """Delete all pages but the root, and the index."""
    from wagtail.models import Page, Site

    from finetune_switch.models import EmbeddingSpace, PendingUpdate

    Site.objects.all().delete()
    for page in Page.get_first_root_node().get_children():
        page.delete()
    EmbeddingSpace.objects.all().delete()
    PendingUpdate.objects.all().delete()


def load(pages: Callable[[], None]) -> None:
    """Load the pages, without updating the index."""
    from finetune_switch.index import upkeep

    with upkeep.paused():
        pages()


def build(embedding: str = "") -> None:
    """Build the index of the pages that there are, with this model or that of the settings."""
    from django.conf import settings
    from django.test import override_settings

    from finetune_switch.index.building import run_build
    from finetune_switch.index.builds import start_build

    options = settings.FINETUNE_SWITCH
    index = {**options["INDEX"], **({"EMBEDDINGS": embedding} if embedding else {})}
    with override_settings(FINETUNE_SWITCH={**options, "INDEX": index}):
        done = run_build(start_build())
    if done.error:
        raise RuntimeError(done.error)


def build_demo() -> None:
    """The demo's pages and their index, in the database that Django is set up with."""
    load(demo_set().load)
    build()


def measure_set(one: QuestionSet, embedding: str) -> list[tuple[str, ...]]:
    """Rows of the table: the scores of a set, whose pages are loaded, with an embedding model."""
    from django.utils.translation import override

    build(embedding)
    with override(one.language):
        scores = measure(one.questions)
    rows = []
    for (method, wording), score in scores.items():
        group = f"{one.name}, {wording}" if wording else one.name
        bar = BARS.get((group, embedding)) if method == "both" else None
        rows.append(
            (
                f"{group} ({score.questions})",
                embedding,
                method,
                f"{score.recall_at_1:.2f}",
                f"{score.recall_at_5:.2f}",
                f"{score.mean_reciprocal_rank:.2f}",
                _verdict(score, bar),
            )
        )
    return sorted(rows)


def _verdict(score: Score, bar: tuple[float, float] | None) -> str:
    if bar is None:
        return ""
    # Figures are compared as they are printed.
    is_met = round(score.recall_at_1, 2) >= bar[0] and round(score.recall_at_5, 2) >= bar[1]
    return f"≥ {bar[0]:.2f} / {bar[1]:.2f}{'' if is_met else ': **missed**'}"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    head = ("questions", "embedding", "by", "recall@1", "recall@5", "mean reciprocal rank", "bar")
    return markdown(head, rows, left={0, 1, 2, 6})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--postgres", action="store_true", help="on a private PostgreSQL")
    parser.add_argument("--data", type=Path, metavar="DIR", help="further sets of questions")
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    rows: list[tuple[str, ...]] = []
    scores: dict[tuple[str, str], answers.Score] = {}
    asked = answers.read_questions(answers.DEMO)
    with demo_database(postgresql=options.postgres) as engine:
        for one in (demo_set(), *(read_data(options.data) if options.data else ())):
            clear()
            load(one.load)
            for embedding in EMBEDDINGS if one.language == "en" else (MULTILINGUAL,):
                tell(f"quality: {one.name}, {embedding}")
                rows += measure_set(one, embedding)
                if one.name == "demo":
                    replies = answers.ask_demo(asked)
                    scores["demo", embedding] = answers.Score.of(zip(asked, replies, strict=True))
    tell("quality: answers of a foreign site")
    asked = answers.read_questions(answers.FOREIGN_PROJECT / "answers.toml")
    replies = answers.ask_foreign_site([one.text for one in asked])
    scores["foreign site", ENGLISH] = answers.Score.of(zip(asked, replies, strict=True))
    answered = answers.table(answers.rows_of(scores, ENGLISH))
    text = f"{table(rows)}\n\nAnswers without a model:\n\n{answered}\n\n{engine}.\n"
    print(text)
    if options.write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(BLOCK.sub(lambda block: f"{block[1]}{text}{block[2]}", page), "utf-8")
    return 1 if "missed" in text else 0


if __name__ == "__main__":
    sys.exit(main())
