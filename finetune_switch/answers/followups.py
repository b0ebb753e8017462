"""Rewrite follow-up questions such as "And on Sundays?" into standalone questions.

:func:`standalone_by_rule` needs no model. :func:`rewrite_messages` and :func:`taken_rewrite` are
the prompt for a model and the check of its reply; ``rewriting`` asks the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import takewhile

from django.utils.translation import gettext as _

from finetune_switch.exceptions import InvalidQuestion
from finetune_switch.messages import Message, Turn
from finetune_switch.models.exchange import MAX_QUESTION_LENGTH
from finetune_switch.text.citations import without_citations
from finetune_switch.text.words import content_words, language_name, words

from .prompts import as_data

MAX_TURNS = 10
# These lengths are in characters.
MAX_ANSWER_LENGTH = 4_000
# The length of an earlier question in a search. Indexes read the first words of a query only.
MAX_CONTEXT_LENGTH = 200
MAX_REWRITE_LENGTH = 300
MAX_REWRITE_TOKENS = 60
REWRITE_SECONDS = 4.0
# The latest turns, and the characters of each text, that a model reads to rewrite a question.
TURNS_READ = 3
CHARACTERS_READ = 400

# A question with this many content words and no reference to an earlier one stands alone.
ENOUGH_WORDS = 4
# In languages without word lists, a question with fewer words is taken for a follow-up.
FEW_WORDS = 5

# Words that refer to an earlier question, and phrases that begin a follow-up. Languages that can
# leave out pronouns have no lists, and words that are also articles are left out.
_POINTING = {
    "en": "it its they them their theirs he him his she her hers that this those these there "
    "one ones same other others another else instead then too either neither",
    "de": "es sie ihn ihm ihr ihre ihren ihrer er dies diese dieser dieses diesen diesem dort da "
    "davon dafür damit dazu daran darin darauf denn dann auch dieselbe dasselbe andere anderen "
    "anderer sonst stattdessen",
    "fr": "il elle ils elles lui leurs y ce cet cette ces ça cela celui celle ceux celles là même "
    "autre autres alors aussi",
    "nl": "hij zij ze hem haar hun dat dit die deze daar er ervan ervoor ermee daarvan daarvoor "
    "dezelfde hetzelfde ander andere anders dan ook",
}
_GOING_ON = {
    "en": ("and", "or", "but", "so", "also", "what about", "how about", "what if"),
    "de": ("und", "oder", "aber", "also", "wie ist es", "wie sieht es", "was ist mit"),
    "fr": ("et", "ou", "mais", "donc", "qu en est il"),
    "nl": ("en", "of", "maar", "dus", "hoe zit het", "hoe is het"),
}
# "There" refers to nothing in "Is there a car park?".
_THERE_IS = re.compile(r"\b(?:(?:is|are) there|gibt es|il y a|y a t il|(?:is|zijn) er)\b")
_POINTING_WORDS = {language: frozenset(text.split()) for language, text in _POINTING.items()}


def clean_turns(turns: Sequence[Turn], max_length: int | None = None) -> tuple[Turn, ...]:
    """The latest turns, cleaned, because they come from a browser.

    Answers are cut at ``MAX_ANSWER_LENGTH``. They lose their citations, whose numbers belong to
    other passages. Raises :class:`~finetune_switch.exceptions.InvalidQuestion` for a turn whose
    question is empty or longer than ``max_length`` characters.
    """
    most = min(max_length or MAX_QUESTION_LENGTH, MAX_QUESTION_LENGTH)
    return tuple(
        Turn(_clean_earlier(turn.question, number, most), _clean_answer(turn.answer))
        for number, turn in list(enumerate(turns, 1))[-MAX_TURNS:]
    )


def _clean_earlier(text: str, number: int, most: int) -> str:
    question = text.replace("\x00", "").strip()
    if not question:
        raise InvalidQuestion(_("Turn %d of the conversation has no question.") % number)
    if len(question) > most:
        raise InvalidQuestion(
            _(
                "The question in turn %(number)d of the conversation has %(length)d characters; "
                "at most %(most)d can be taken."
            )
            % {"number": number, "length": len(question), "most": most}
        )
    return question


def _clean_answer(text: str) -> str:
    return without_citations(text.replace("\x00", "")).strip()[:MAX_ANSWER_LENGTH].rstrip()


def leans(question: str, locale: str) -> bool:
    """Whether a question seems to depend on an earlier one."""
    language, said = _language(locale), " ".join(words(question))
    if language not in _POINTING:
        return len(said.split()) < FEW_WORDS
    if not _POINTING_WORDS[language].isdisjoint(_THERE_IS.sub("", said).split()):
        return True
    beginnings = tuple(f"{beginning} " for beginning in _GOING_ON[language])
    telling = content_words(question, language_name(locale))
    return said.startswith(beginnings) or len(telling) < 2


def standalone_by_rule(question: str, turns: Sequence[Turn], locale: str) -> str:
    """The follow-up preceded by the questions that it depends on, as a search query.

    These go back to the latest question that depends on none. A question that stands alone, or has
    no turns before it, is returned unchanged.
    """
    if not turns or _obviously_stands_alone(question, locale):
        return question
    earlier = [turn.question for turn in turns[-TURNS_READ:]]
    leaning = list(takewhile(lambda text: leans(text, locale), reversed(earlier)))[::-1]
    before = earlier[-len(leaning) - 1 :]
    context = " ".join(_cut(text, MAX_CONTEXT_LENGTH) for text in dict.fromkeys(before))
    return f"{context} {question}"


def _obviously_stands_alone(question: str, locale: str) -> bool:
    telling = content_words(question, language_name(locale))
    is_known = _language(locale) in _POINTING
    return is_known and len(telling) >= ENOUGH_WORDS and not leans(question, locale)


def _language(locale: str) -> str:
    return re.split("[-_]", locale.lower())[0]


def _cut(text: str, length: int) -> str:
    """The end of a text, in whole words. Questions name their subject last."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[-length:].partition(" ")[2] or text[-length:]


REWRITER = "You rewrite questions so that they can be understood by themselves. You never answer."
TASK = """\
Write the follow-up as one question that can be understood without the conversation, in the \
language of the follow-up. Add only what the conversation says. If it can be understood by itself, \
repeat it. Reply with the question and nothing else."""


def rewrite_messages(question: str, turns: Sequence[Turn]) -> list[Message]:
    """The messages that ask a model to rewrite a follow-up as a standalone question.

    The task is in the user's message, because templates of some fine-tunes drop the system message.
    """
    said = "".join(
        f"<visitor>{_quoted(turn.question)}</visitor>\n"
        + (f"<website>{_quoted(turn.answer)}</website>\n" if turn.answer else "")
        for turn in turns[-TURNS_READ:]
    )
    text = (
        f"<conversation>\n{said}</conversation>\n"
        f"<follow_up>{escape(as_data(question), quote=False)}</follow_up>\n\n{TASK}"
    )
    return [{"role": "system", "content": REWRITER}, {"role": "user", "content": text}]


def _quoted(text: str) -> str:
    text = " ".join(as_data(text).split())
    return escape(text if len(text) <= CHARACTERS_READ else f"{text[:CHARACTERS_READ]}…", False)


_QUESTION_MARKS = "?？؟⁇⁈;՞፧"
_AROUND = " \t*_`\"'“”„‟«»‹›‘’"
_LABEL = re.compile(r"^[^\W\d_]+(?:[ -][^\W\d_]+)?\s*[:：]\s+(?=\S)")
_DIGITS = re.compile(r"\d+")


def taken_rewrite(reply: str, question: str, turns: Sequence[Turn], locale: str) -> str:
    """The standalone question in a model's reply; empty if the reply is unusable.

    A reply is unusable if it has not exactly one line with a question, is too long, contains a
    number that the conversation does not, or repeats an earlier question. The follow-up itself is
    accepted only if it does not depend on an earlier question.
    """
    lines = [line.strip(_AROUND) for line in reply.splitlines()]
    asking = [line for line in lines if line.endswith(tuple(_QUESTION_MARKS))]
    if len(asking) != 1 or len(reply) > 2 * MAX_REWRITE_LENGTH:
        return ""
    rewritten = _LABEL.sub("", asking[0]).strip(_AROUND)
    said = " ".join([question, *(f"{turn.question} {turn.answer}" for turn in turns)])
    if len(rewritten) > MAX_REWRITE_LENGTH or not words(rewritten):
        return ""
    if not set(_DIGITS.findall(rewritten)) <= set(_DIGITS.findall(said)):
        return ""
    if words(rewritten) == words(question):
        return "" if leans(question, locale) else question
    if any(words(rewritten) == words(turn.question) for turn in turns):
        return ""
    return rewritten
