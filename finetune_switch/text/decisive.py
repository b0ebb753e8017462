"""Words that decide what a question asks for, however similar two questions sound.

Embeddings place "before" beside "after", and "Saturday" beside "Sunday".
"""

from __future__ import annotations

import re
from functools import cache

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import override

from .words import content_words, stems, words

# Words of a group, between commas, mean the same.
_RELATIONS = {
    "english": "before, after, until till, since, with, without, not cannot never no dont cant "
    "isnt, under below, over above, first, last, next, previous, left, right, inside indoors, "
    "outside outdoors, more, less, most maximum, least minimum, today, tomorrow, yesterday",
    "german": "vor, nach, bis, seit, mit, ohne, nicht nie kein keine keinen, unter, über, erste "
    "ersten erster, letzte letzten letzter, nächste nächsten nächster, vorige vorigen, links, "
    "rechts, drinnen innen, draußen außen, mehr, weniger, höchstens maximal, mindestens, heute, "
    "morgen, gestern",
}
_QUESTION_WORDS = {
    "english": "when, where, why, who whom, whose, much, many, long, old, far, tall, often",
    "german": "wann, wo wohin, woher, warum wieso weshalb, wer wen wem, wessen, viel, viele, "
    "lange, alt, weit, hoch, oft",
}
_PERSONS = {
    "english": "i we me us my our mine ours, you your yours",
    "german": "ich wir mich uns mir mein meine unser unsere, sie ihr ihre ihnen du dein euch",
}
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def ask_the_same(question: str, other: str, language: str) -> bool:
    """Whether no deciding word differs between two similar questions.

    Such words are numbers, weekdays, months, negations and relations such as "before". "When" and
    "why" may not stand against each other; neither may "I" and "you" in the same words.
    ``language`` is Snowball's name.
    """
    if _decisive(question, language) != _decisive(other, language):
        return False
    asked, wanted = (_among(text, _QUESTION_WORDS, language) for text in (question, other))
    if asked and wanted and not asked & wanted:
        return False
    if same_words(question, other, language):
        # "If you cancel" is not "if I cancel", but "do you have" is "is there".
        first, second = _persons(question, language), _persons(other, language)
        return first[0] == second[0] or first[1] == second[1]
    return True


def same_words(question: str, other: str, language: str) -> bool:
    """Whether two questions have the same content words, compared by stem."""
    first, second = (
        set(stems(content_words(text, language), language)) for text in (question, other)
    )
    return bool(first) and first == second


def _decisive(text: str, language: str) -> set[str]:
    found = _among(text, _RELATIONS, language) | {f"#{n}" for n in _NUMBER.findall(text)}
    calendar = calendar_words(language)
    return found | {calendar[word] for word in words(text) if word in calendar}


def _among(text: str, lists: dict[str, str], language: str) -> set[str]:
    groups = _groups(lists.get(language, ""))
    return {
        groups[word] for word in words(text.replace("'", "").replace("’", "")) if word in groups
    }


def _persons(text: str, language: str) -> tuple[int, int]:
    groups = _groups(_PERSONS.get(language, ""))
    named = [groups[word] for word in words(text) if word in groups]
    first, *second = dict.fromkeys(groups.values()) or [""]
    return named.count(first), sum(map(named.count, second))


@cache
def _groups(listed: str) -> dict[str, str]:
    """Each word with the first of its group."""
    found: dict[str, str] = {}
    for group in filter(None, listed.split(",")):
        first, *others = group.split()
        found |= dict.fromkeys([first, *others], first)
    return found


@cache
def calendar_words(language: str) -> dict[str, str]:
    """Names of weekdays and months, with their plural, in a language that Django knows."""
    from .words import LANGUAGES

    code = next((code for code, name in LANGUAGES.items() if name == language), "en")
    with override(code):
        names = [str(name).lower() for name in (*WEEKDAYS.values(), *MONTHS.values())]
    return {form: name for name in names for form in (name, f"{name}s")}
