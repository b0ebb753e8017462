"""Template context for one comparison, limited by the reader's permissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_switch.admin import permissions
from finetune_switch.admin.presenting import details
from finetune_switch.comparisons.comparing import answered, exchanges_of, is_settled, may_reveal
from finetune_switch.comparisons.reading import ComparisonReader, grouped
from finetune_switch.models import Column, Comparison, Exchange, Grade, Outcome, Preference, Switch

if TYPE_CHECKING:
    from finetune_switch.text.grounding import Sentence

WAITING, ANSWERING, ANSWERED = "waiting", "answering", "answered"
FAILED, STOPPED, GONE = "failed", "stopped", "gone"
STATES = {
    Outcome.OPEN: ANSWERING,
    Outcome.COMPLETE: ANSWERED,
    Outcome.NO_ANSWER: ANSWERED,
    Outcome.CUT_OFF: FAILED,
    Outcome.FAILED: FAILED,
    Outcome.CANCELLED: STOPPED,
    Outcome.INTERRUPTED: STOPPED,
}


def columns_shown(
    comparison: Comparison, columns: Sequence[Column], user: Any, *, knows_names: bool
) -> list[dict[str, Any]]:
    """Template context of each column. Labels are empty unless ``knows_names``."""
    may_judge = permissions.may_compare(user)
    may_prepare = knows_names and user.has_perm(permissions.ADD_PREPARED)
    exchanges = exchanges_of(columns)
    current = Grade.objects.filter(exchange__in=exchanges, is_current=True)
    grades = grouped(current.select_related("judge"), "exchange_id")
    return [
        {
            **_answer_shown(comparison, column, exchanges.get(column.exchange_id), knows_names),
            "may_judge": may_judge,
            "prepare_url": prepared_add_url(exchanges.get(column.exchange_id))
            if may_prepare
            else "",
            **_grades_shown(grades.get(column.exchange_id, []), user, may_judge),
            "position": column.position,
            "letter": column.letter,
            "label": (str(column.backend) if column.backend else column.label)
            if knows_names
            else "",
            **{
                f"{name}_url": reverse(
                    f"finetune_compare:{name}", args=[comparison.pk, column.position]
                )
                for name in ("column", "stream", "again", "grade")
            },
        }
        for column in columns
    ]


def prepared_add_url(exchange: Exchange | None) -> str:
    """The URL of a new prepared answer from this one; empty where there is no answer."""
    if exchange is None or STATES[exchange.current_outcome] != ANSWERED:
        return ""
    return f"{reverse('finetune_prepared:add')}?exchange={exchange.pk}"


def waking_seconds(column: Column, *, knows_names: bool) -> int | None:
    """How long a column's model usually takes to load; ``None`` where that is unknown.

    Rounded to ten seconds where names are hidden, since the exact time could identify a model.
    """
    if column.backend is None:
        return None
    seconds = Exchange.objects.usual_load_seconds(column.backend)
    if seconds is None:
        return None
    return round(seconds) if knows_names else max(10, 10 * round(seconds / 10))


def _answer_shown(
    comparison: Comparison, column: Column, exchange: Exchange | None, knows_names: bool
) -> dict[str, Any]:
    # Imported here because compiling its patterns takes 0.2 s.
    from finetune_switch.text.grounding import assess

    if exchange is None:
        state = GONE if column.backend is None else WAITING
        return {"state": state, "exchange": None, "may_try_again": False, "may_grade": False}
    state = STATES[exchange.current_outcome]
    passages = comparison.frozen_passages
    return {
        "state": state,
        "exchange": exchange,
        "sentences": [
            _sentence_shown(sentence)
            for sentence in assess(exchange.answer, passages, comparison.locale)
        ],
        "knows_nothing": exchange.outcome == Outcome.NO_ANSWER,
        "error": exchange.error,
        "details": details(exchange) if knows_names else [],
        "may_try_again": state in (FAILED, STOPPED) and column.backend is not None,
        "may_grade": state == ANSWERED,
    }


def _sentence_shown(sentence: Sentence) -> dict[str, Any]:
    """A sentence as pieces, each with whether it is a fact that no passage contains."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for fact in sentence.unfounded:
        start, end = fact.start - sentence.start, fact.end - sentence.start
        pieces += [(sentence.text[at:start], False), (sentence.text[start:end], True)]
        at = end
    pieces.append((sentence.text[at:], False))
    return {
        "passage": sentence.passage,
        "is_supported": sentence.supported,
        "pieces": [piece for piece in pieces if piece[0]],
    }


def _grades_shown(grades: Sequence[Grade], user: Any, may_judge: bool) -> dict[str, Any]:
    """The user's own grade, and the others' where the user has graded or may not grade."""
    own = next((grade for grade in grades if grade.judge_id == user.pk), None)
    speaks = own is not None or not may_judge
    others = [grade for grade in grades if grade.judge_id != user.pk] if speaks else []
    return {
        "grade": own,
        "other_grades": others,
        "values": Grade.Value.choices,
        "tones": Grade.Tone.choices,
    }


def verdict_shown(
    comparison: Comparison,
    columns: Sequence[Column],
    reader: ComparisonReader,
    *,
    knows_names: bool,
) -> dict[str, Any]:
    """Template context of the bar below the columns: the reader's own choice and its effects."""
    user = reader.user
    current = comparison.preferences.filter(is_current=True).select_related("judge", "column")
    preferences = list(current)
    own = next((one for one in preferences if one.judge_id == user.pk), None)
    choices = [(column.letter, column.letter) for column in columns]
    middle = len(choices) // 2 if len(choices) == 2 else len(choices)
    both = [
        (
            Preference.Outcome.BOTH_GOOD.value,
            _("Both good") if len(columns) == 2 else _("All are good"),
        ),
        (
            Preference.Outcome.BOTH_BAD.value,
            _("Both bad") if len(columns) == 2 else _("None is good"),
        ),
    ]
    # Others' preferences would influence only somebody who is still to judge.
    may_judge = permissions.may_compare(user)
    speaks = own is not None or not may_judge
    switch = Switch.for_question(comparison.site)
    site = switch.site_or_none
    may_switch = knows_names and site is not None and permissions.may_switch(user, site)
    return {
        "choices": [*choices[:middle], *both, *choices[middle:]],
        "possible": _possible_choices(columns, [value for value, _label in both]),
        "preference": own,
        "chosen": (own.column.letter if own.column else own.outcome) if own else "",
        "others": [one for one in preferences if one.judge_id != user.pk] if speaks else [],
        "knows_names": knows_names,
        "may_judge": may_judge,
        "may_reveal": not knows_names and may_reveal(comparison, user),
        "wins": wins(columns, reader) if knows_names else [],
        "may_save_question": user.has_perm(permissions.ADD_QUESTION),
        "may_edit_question": user.has_perm(permissions.CHANGE_QUESTION),
        "switch": switch,
        "usable": [
            column
            for column in columns
            if may_switch and column.backend and column.backend != switch.active
        ],
    }


def _possible_choices(columns: Sequence[Column], both: Sequence[str]) -> list[str]:
    """None before all answers have ended, and then only those of whole answers."""
    if not is_settled(columns):
        return []
    letters = [column.letter for column in answered(columns)]
    return [*letters, *(both if len(letters) > 1 else ())]


def wins(columns: Sequence[Column], reader: ComparisonReader) -> list[tuple[str, int]]:
    """How often each of these backends was preferred where exactly these were compared.

    Only the comparisons count of which the reader may read the answers and know the names.
    """
    backends = [column.backend_id for column in columns]
    same = (
        Comparison.objects.filter(reader.with_known_names())
        .annotate(
            every=Count("columns"), known=Count("columns", filter=Q(columns__backend__in=backends))
        )
        .filter(every=len(backends), known=len(backends))
    )
    current = Preference.objects.filter(comparison__in=same.values("pk"), is_current=True)
    preferred = Comparison.objects.filter(pk__in=current.values("comparison"))
    rows = current.filter(comparison__in=reader.readable_ids(preferred))
    counted: Counter[Any] = Counter(rows.values_list("outcome", "column__backend"))
    said = [
        (str(column.backend or column.label), counted[Preference.Outcome.COLUMN, column.backend_id])
        for column in columns
    ]
    both = sum(count for (outcome, _of), count in counted.items() if outcome == "both_good")
    neither = sum(count for (outcome, _of), count in counted.items() if outcome == "both_bad")
    return [*said, (_("all are good"), both), (_("none is good"), neither)]
