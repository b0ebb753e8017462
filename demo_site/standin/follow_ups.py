"""Rewrites follow-ups as standalone questions, by a few rules for English."""

from __future__ import annotations

import re

from .prompts import FollowUp

_CONNECTIVE = re.compile(r"^(?:and|or|but|so|what about|how about)\b[\s,]*", re.IGNORECASE)
_PRONOUN = re.compile(r"\b(?:it|they|them|that|there|this one)\b", re.IGNORECASE)
_NOUN_PHRASE = re.compile(
    r"\b(?:the|a|an|your|our) "
    r"(?:(?!(?:opens?|closes?|costs?|starts?|takes?|runs?|on|in|at|for|of|to)\b)\w+ ?){1,3}"
)
SHORT_QUESTION_WORDS = 4


def rewrite(follow_up: FollowUp) -> str:
    """Replace a pronoun by its noun phrase, or append the follow-up to the previous question.

    If neither applies, the follow-up is returned unchanged.
    """
    if not follow_up.earlier:
        return follow_up.question
    previous, question = follow_up.earlier[-1], follow_up.question
    noun_phrases = _NOUN_PHRASE.findall(previous)
    if noun_phrases and _PRONOUN.search(question):
        noun_phrase = noun_phrases[-1].strip()
        return _PRONOUN.sub(
            lambda match: f"to {noun_phrase}" if match[0].lower() == "there" else noun_phrase,
            _as_question(question),
            count=1,
        )
    rest = _CONNECTIVE.sub("", question)
    if rest != question or len(question.split()) < SHORT_QUESTION_WORDS:
        return f"{previous.rstrip(' ?.!')} {rest[:1].lower()}{rest[1:].rstrip(' ?.!')}?"
    return question


def _as_question(text: str) -> str:
    rest = _CONNECTIVE.sub("", text)
    return f"{rest[:1].upper()}{rest[1:].rstrip(' ?.!')}?"
