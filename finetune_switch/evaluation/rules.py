"""Rules that an answer has to follow, written one on a line, and the grade they propose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_switch.access.visibility import page_id_of
from finetune_switch.exceptions import FinetuneSwitchError
from finetune_switch.models import Exchange, Grade, Outcome

KINDS = ("contains", "lacks", "matches", "number", "cites")
DONT_KNOW = "don't know"
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")


class InvalidRule(FinetuneSwitchError):
    """A line is no rule. The message quotes it and says what one looks like."""


@dataclass(frozen=True)
class Rule:
    kind: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.value}" if self.value else self.kind

    def holds(self, exchange: Exchange) -> bool:
        answer = exchange.answer
        match self.kind:
            case "contains":
                return _plain(self.value) in _plain(answer)
            case "lacks":
                return _plain(self.value) not in _plain(answer)
            case "matches":
                return re.search(self.value, answer, re.IGNORECASE) is not None
            case "number":
                wanted, tolerance = _number_and_tolerance(self.value)
                found = [float(text.replace(",", "")) for text in NUMBER.findall(answer)]
                return any(abs(number - wanted) <= tolerance for number in found)
            case "cites":
                cited = {
                    page_id_of(passage.source)
                    for passage in exchange.frozen_passages
                    if passage.number in exchange.citations
                }
                return int(self.value) in cited
        return exchange.outcome == Outcome.NO_ANSWER


def read_rules(text: str) -> list[Rule]:
    """The rules of a text. Raises :class:`InvalidRule`."""
    return [_read(line) for line in map(str.strip, text.splitlines()) if line]


def _read(line: str) -> Rule:
    if line.replace("’", "'").casefold() == DONT_KNOW:
        return Rule(DONT_KNOW)
    kind, colon, value = line.partition(":")
    rule = Rule(kind.strip().casefold(), value.strip())
    if not colon or rule.kind not in KINDS or not rule.value:
        raise InvalidRule(
            _("“%(line)s” is no rule. Begin with %(kinds)s and a colon, or write “%(phrase)s”.")
            % {"line": line, "kinds": ", ".join(KINDS), "phrase": DONT_KNOW}
        )
    try:
        if rule.kind == "matches":
            re.compile(rule.value)
        elif rule.kind == "number":
            _number_and_tolerance(rule.value)
        elif rule.kind == "cites":
            int(rule.value)
    except (ValueError, re.error) as error:
        raise InvalidRule(
            _("“%(line)s” can't be used: %(error)s") % {"line": line, "error": error}
        ) from error
    return rule


def _number_and_tolerance(text: str) -> tuple[float, float]:
    number, _sign, tolerance = text.replace("+-", "±").partition("±")
    return float(number.replace(",", "")), float(tolerance) if tolerance.strip() else 0.0


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").casefold().split())


def judge_by_rules(rules: Sequence[Rule], exchange: Exchange) -> tuple[str, str]:
    """The grade that the rules propose, and the broken ones as a note.

    An "I don't know" is graded as such. Otherwise an answer is correct if all rules hold, wrong if
    none does or one of what it must not say is broken, and partly correct between.
    """
    if exchange.outcome == Outcome.NO_ANSWER:
        return Grade.Value.DONT_KNOW, ""
    broken = [rule for rule in rules if not rule.holds(exchange)]
    if not broken:
        return Grade.Value.CORRECT, ""
    note = _("Broken: %s") % "; ".join(map(str, broken))
    demands = [rule for rule in rules if rule.kind != "lacks"]
    says_what_it_must_not = any(rule.kind in ("lacks", DONT_KNOW) for rule in broken)
    if says_what_it_must_not or all(rule in broken for rule in demands):
        return Grade.Value.WRONG, note
    return Grade.Value.PARTLY_CORRECT, note
