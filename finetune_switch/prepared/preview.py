"""The recorded questions that would get a prepared answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_switch.exceptions import EmbeddingError
from finetune_switch.models import Exchange, Origin, PreparedAnswer, Question
from finetune_switch.text.words import plain

from .matching import has_phrase
from .similarity import similarities

# Of each kind. The vectors of both fit into the cache that keeps them.
LATEST = 500
SHOWN = 10


@dataclass(frozen=True)
class Candidate:
    """A question with its similarity, at most 1, to the most similar example."""

    text: str
    similarity: float
    has_words: bool


@dataclass(frozen=True)
class Preview:
    """The questions nearest to the threshold on both sides, most similar first, and counts."""

    given: list[Candidate]
    not_given: list[Candidate]
    given_count: int = 0
    asked_count: int = 0
    problem: str = ""

    @property
    def further(self) -> int:
        """How many questions would get the answer and are not shown."""
        return self.given_count - len(self.given)


def preview(prepared: PreparedAnswer, *, with_visitors: bool) -> Preview:
    """The preview of a prepared answer, which may be unsaved.

    Compares it with the latest saved questions and, ``with_visitors``, with the latest recorded
    questions of visitors on its site and in its language. ``problem`` says why similarity is
    missing, if it is.
    """
    every = [*(_visitors(prepared) if with_visitors else ()), *_saved()]
    asked = _each_once(every)
    phrases, problem = prepared.phrases, ""
    scores = [-1.0] * len(asked)
    if asked and prepared.questions:
        try:
            scores = similarities(
                asked,
                prepared.questions,
                threshold=prepared.threshold,
                language=prepared.locale.language_code,
            )
        except EmbeddingError:
            problem = _("The embedding model did not answer, so only words were looked for.")
    found = sorted(
        (
            Candidate(text, score, has_phrase(plain(text), phrases))
            for text, score in zip(asked, scores, strict=True)
        ),
        key=lambda one: (not one.has_words, -one.similarity),
    )
    given = [one for one in found if one.has_words or one.similarity >= prepared.threshold]
    others = [one for one in found if one not in given and one.similarity > 0]
    return Preview(given[-SHOWN:], others[:SHOWN], len(given), len(asked), problem)


def _visitors(prepared: PreparedAnswer) -> Iterable[str]:
    rows = Exchange.objects.filter(origin=Origin.SITE)
    if prepared.site_id is not None:
        rows = rows.filter(site=prepared.site_id)
    language = prepared.locale.language_code.split("-")[0]
    rows = rows.filter(locale__startswith=language).order_by("-opened_at")
    return rows.values_list("question", flat=True)[:LATEST]


def _saved() -> Iterable[str]:
    return Question.objects.order_by("-pk").values_list("text", flat=True)[:LATEST]


def _each_once(texts: Sequence[str]) -> list[str]:
    """The newest text of those with the same words."""
    # A question without words has no vector.
    return list({words: text for text in reversed(texts) if (words := plain(text))}.values())
