"""What may be said about two backends that answered the same questions, in sentences."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .statistics import e_value, questions_needed

FEWEST_QUESTIONS = 5
# One of "wrong" and "right" is decided from the first threshold; the other then from the second.
# Together they are wrong about equal models in at most 5 % of all evaluations.
FIRST_THRESHOLD = 40
SECOND_THRESHOLD = 20
# A difference that takes more questions than this to see is called too close.
MANY_QUESTIONS = 100


@dataclass(frozen=True)
class Side:
    """How often two backends were wrong, or right, on the questions that both answered."""

    first: int
    second: int
    both: int
    asked: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> "Side":
        """Count pairs of (the first is so, the second is so), one for each question."""
        rows = list(pairs)
        return cls(
            first=sum(one for one, _other in rows),
            second=sum(other for _one, other in rows),
            both=sum(one and other for one, other in rows),
            asked=len(rows),
        )

    @property
    def only_first(self) -> int:
        return self.first - self.both

    @property
    def only_second(self) -> int:
        return self.second - self.both

    @property
    def evidence(self) -> float:
        """The e-value against "both are equally often so"."""
        return e_value(self.only_first, self.only_second)

    def more_questions(self, threshold: float) -> int | None:
        return questions_needed(self.only_first, self.only_second, self.asked, threshold)


@dataclass(frozen=True)
class Verdict:
    """The verdict on one pair of backends. ``pairs`` were named before grading started."""

    first: str
    second: str
    wrong: Side
    right: Side
    pairs: int = 1
    failed: int = 0
    """Questions that one of the two failed to answer. They are not part of the verdict."""

    @property
    def thresholds(self) -> tuple[float, float]:
        """The e-values that *wrong* and *right* need."""
        first, second = FIRST_THRESHOLD * self.pairs, SECOND_THRESHOLD * self.pairs
        return (
            second if self.right.evidence >= first else first,
            second if self.wrong.evidence >= first else first,
        )

    @property
    def is_wrong_decided(self) -> bool:
        return self._is_decided(self.wrong, self.thresholds[0])

    @property
    def is_right_decided(self) -> bool:
        return self._is_decided(self.right, self.thresholds[1])

    @property
    def is_decided(self) -> bool:
        return self.is_wrong_decided or self.is_right_decided

    def _is_decided(self, side: Side, threshold: float) -> bool:
        return side.asked >= FEWEST_QUESTIONS and side.evidence >= threshold

    def sentences(self) -> list[str]:
        """The verdict for somebody who knows no statistics."""
        if not self.wrong.asked:
            return [_("No question has been graded for both yet."), *self._failures()]
        for_wrong, for_right = self.thresholds
        if not self.is_decided:
            return [self._counts(), self._undecided(max(for_wrong, for_right)), *self._failures()]
        if self.is_wrong_decided:
            said = [_("%s: that is not luck.") % self._wrong_counts()]
        else:
            said = [
                _("Which is wrong more often can't be said yet: %s.")
                % needed(self.wrong.more_questions(for_wrong))
            ]
        if self.is_right_decided:
            said.append(_("%s: that is not luck.") % self._right_counts())
        else:
            said.append(
                _("Which is right more often can't be said yet: %s.")
                % needed(self.right.more_questions(for_right))
            )
        return [*said, *self._failures()]

    def _undecided(self, threshold: float) -> str:
        estimates = [side.more_questions(threshold) for side in (self.wrong, self.right)]
        more = min((estimate for estimate in estimates if estimate), default=None)
        asked = self.wrong.asked
        if more is None or more > MANY_QUESTIONS:
            if asked < MANY_QUESTIONS // 2:
                return few_questions(asked)
            return _("Too close to call: %s; any difference is probably small.") % needed(more)
        return " ".join([few_questions(asked), _("It takes %s.") % needed(more)])

    def _counts(self) -> str:
        return f"{self._wrong_counts()}. {self._right_counts()}."

    def _wrong_counts(self) -> str:
        return _("%(first)s was wrong %(times)s, %(second)s %(other_times)s") % self._times(
            self.wrong
        )

    def _right_counts(self) -> str:
        return _("%(first)s was right %(times)s, %(second)s %(other_times)s") % self._times(
            self.right
        )

    def _times(self, side: Side) -> dict[str, str]:
        rows = [(self.first, side.first), (self.second, side.second)]
        # The one of which there is more to say comes first.
        rows.sort(key=lambda row: -row[1])
        (first, times), (second, other_times) = rows
        return {
            "first": first,
            "times": how_often(times),
            "second": second,
            "other_times": how_often(other_times),
        }

    def _failures(self) -> list[str]:
        if not self.failed:
            return []
        text = ngettext(
            "%d question is left out, since one of the two failed to answer.",
            "%d questions are left out, since one of the two failed to answer.",
            self.failed,
        )
        return [text % self.failed]


def how_often(times: int) -> str:
    if not times:
        return _("never")
    if times == 1:
        return _("once")
    return ngettext("%d time", "%d times", times) % times


def few_questions(asked: int) -> str:
    return ngettext("%d question decides nothing.", "%d questions decide nothing.", asked) % asked


def needed(more: int | None) -> str:
    """How many more questions are needed, as the end of a sentence."""
    if more is None:
        return _("more than 1,000 more questions would be needed")
    # A precise figure would claim to know more than it does.
    rounded = more if more < 20 else round(more, -1)
    text = ngettext("about %d more question", "about %d more questions", rounded)
    if more > MANY_QUESTIONS:
        text = ngettext(
            "about %d more question would be needed",
            "about %d more questions would be needed",
            rounded,
        )
    return text % rounded
