"""How the stand-in makes a follow-up into a question of its own: by a few rules, in English."""

from __future__ import annotations

import re

from .prompts import FollowUp

_GOING_ON = re.compile(r"^(?:and|or|but|so|what about|how about)\b[\s,]*", re.IGNORECASE)
_POINTING = re.compile(r"\b(?:it|they|them|that|there|this one)\b", re.IGNORECASE)
_THING = re.compile(
    r"\b(?:the|a|an|your|our) "
    r"(?:(?!(?:opens?|closes?|costs?|starts?|takes?|runs?|on|in|at|for|of|to)\b)\w+ ?){1,3}"
)
FEW_WORDS = 4


def rewrite(heard: FollowUp) -> str:
    """One question: what it points to put in its place, or what it adds put after the one before.

    A follow-up that does neither is repeated.
    """
    if not heard.earlier:
        return heard.question
    before, asked = heard.earlier[-1], heard.question
    things = _THING.findall(before)
    if things and _POINTING.search(asked):
        thing = things[-1].strip()
        return _POINTING.sub(
            lambda match: f"to {thing}" if match[0].lower() == "there" else thing,
            _as_question(asked),
            count=1,
        )
    rest = _GOING_ON.sub("", asked)
    if rest != asked or len(asked.split()) < FEW_WORDS:
        return f"{before.rstrip(' ?.!')} {rest[:1].lower()}{rest[1:].rstrip(' ?.!')}?"
    return asked


def _as_question(text: str) -> str:
    rest = _GOING_ON.sub("", text)
    return f"{rest[:1].upper()}{rest[1:].rstrip(' ?.!')}?"
