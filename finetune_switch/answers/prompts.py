"""Passages and a question → messages that fit a model's context. Pure: no I/O, no settings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain
from typing import TYPE_CHECKING

from finetune_switch.messages import Message
from finetune_switch.passages import Passage
from finetune_switch.text.characters import INVISIBLE, without_harmful
from finetune_switch.text.citations import CITATION

if TYPE_CHECKING:
    from finetune_switch.messages import Turn

DEMAND = 'If the passages do not hold the answer, reply exactly: "{phrase}"'

# What a chat format adds around each message and to the whole, as OpenAI's token guide counts it.
TOKENS_PER_MESSAGE = 4
TOKENS_PER_TURN = 2 * TOKENS_PER_MESSAGE
TOKENS_PER_REPLY = 3
# Room kept for the answer where no longest answer was set: a quarter of the window, up to this.
DEFAULT_ANSWER_TOKENS = 800
# The counter is not the model's own tokenizer, so a twentieth of the window is left free.
SAFETY_SHARE = 0.05
# In characters. Beyond this, what was said before costs more than it helps, however large a window.
MAX_HISTORY_LENGTH = 24_000

# Tokens that some chat formats begin a turn with, or a call.
_BRACKET = re.compile(
    rf"[\[［](?=[{INVISIBLE}\s]*[/／]?[{INVISIBLE}\s]*"
    r"(?:INST|SYS|TOOL|AVAILABLE_TOOLS|gMASK|BOS|EOS|UNK|CLS|SEP|MASK|PAD))",
    re.IGNORECASE,
)
# "3 < 4" and "<- here" are none: a tag has a name, a token has a bar.
_TAG = re.compile(
    rf"{_BRACKET.pattern}"
    rf"|(?:[<＜﹤〈‹⟨]|&(?:lt|#0*60|#x0*3c);?)(?=[{INVISIBLE}]*(?:[^\W\d]|[/／<＜|｜!?]|0x))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Prompt:
    """Messages for a model, the passages that fitted in, and how many had to be left out."""

    messages: list[Message]
    passages: list[Passage]
    left_out: int


class PromptTooLong(ValueError):
    """The question does not fit the model's context window, or none of its passages beside it."""


def build_prompt(
    question: str,
    passages: Sequence[Passage],
    *,
    system_prompt: str,
    nothing_found: str,
    context_window: int | None,
    max_answer_tokens: int | None = None,
    count_tokens: Callable[[str], int],
    retrieval: bool = True,
    turns: Sequence[Turn] = (),
) -> Prompt:
    """The messages for one question, fitted to the window by leaving out whole passages.

    The passage with the lowest score goes first. ``context_window`` and ``max_answer_tokens`` are
    in tokens; no window means no limit. Passages keep their numbers, so that the same passage has
    the same number for every backend. ``turns`` are what was said before, oldest first; they take
    the room that the passages leave, and the oldest goes first. Raises :class:`PromptTooLong`.
    """
    system = (
        f"{system_prompt.strip()}\n{DEMAND.format(phrase=nothing_found)}"
        if retrieval
        else (system_prompt.strip())
    )
    kept, history = list(passages), _history(turns)
    if context_window is not None:
        room = _room(context_window, max_answer_tokens)
        # No tokenizer makes more tokens than a text has bytes, so most prompts need no counting.
        said = [system, _user_text(question, kept), *chain.from_iterable(history)]
        if _bytes(said) + len(history) * TOKENS_PER_TURN > room:
            room -= count_tokens(system)
            kept, room = _fit(question, kept, room=room, count_tokens=count_tokens)
            history = _fit_history(history, room=room, count_tokens=count_tokens)
    messages: list[Message] = []
    if system:
        messages.append({"role": "system", "content": system})
    for asked, answered in history:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answered})
    messages.append({"role": "user", "content": _user_text(question, kept)})
    return Prompt(messages, kept, len(passages) - len(kept))


def _room(context_window: int, max_answer_tokens: int | None) -> int:
    answer = max_answer_tokens or min(DEFAULT_ANSWER_TOKENS, context_window // 4)
    overhead = 2 * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY
    return int(context_window * (1 - SAFETY_SHARE)) - answer - overhead


def _bytes(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _history(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """The latest turns, oldest first. Roles have to alternate: none without an answer."""
    latest: list[tuple[str, str]] = []
    length = 0
    for turn in reversed(turns):
        if not turn.answer:
            continue
        length += len(turn.question) + len(turn.answer)
        if length > MAX_HISTORY_LENGTH:
            break
        latest.append((as_data(turn.question), as_data(turn.answer)))
    return latest[::-1]


def _fit_history(
    history: list[tuple[str, str]], *, room: int, count_tokens: Callable[[str], int]
) -> list[tuple[str, str]]:
    kept: list[tuple[str, str]] = []
    for asked, answered in reversed(history):
        room -= count_tokens(asked) + count_tokens(answered) + TOKENS_PER_TURN
        if room < 0:
            break
        kept.append((asked, answered))
    return kept[::-1]


def _fit(
    question: str,
    passages: list[Passage],
    *,
    room: int,
    count_tokens: Callable[[str], int],
) -> tuple[list[Passage], int]:
    """The passages that fit, and the room that they leave."""
    room -= count_tokens(_user_text(question, []))
    if room < 0:
        raise PromptTooLong
    kept = []
    for passage in sorted(passages, key=lambda passage: -passage.score):
        size = count_tokens(_passage_text(passage))
        if size > room:
            break
        room -= size
        kept.append(passage)
    if passages and not kept:
        raise PromptTooLong
    return sorted(kept, key=lambda passage: passage.number), room


def as_data(text: str) -> str:
    """A text of a page or a visitor that can close no quotation and begin no turn of a chat.

    A page could hold our own closing tag, or a token of a model's chat format, which servers read
    as if they had written it themselves, and pretend that what follows comes from the visitor. So
    could what a browser says was answered before. A blank behind the bracket makes it mere text.
    """
    return _TAG.sub(r"\g<0> ", without_harmful(text))


def _passage_text(passage: Passage) -> str:
    title = escape(" ".join(_BRACKET.sub(r"\g<0> ", without_harmful(passage.source.title)).split()))
    text = as_data(passage.text).strip()
    return f'<passage number="{passage.number}" title="{title}">\n{text}\n</passage>\n'


def _user_text(question: str, passages: Sequence[Passage]) -> str:
    question = as_data(question).strip()
    if not passages:
        return question
    blocks = "".join(_passage_text(passage) for passage in passages)
    return f"{blocks}\n<question>\n{question}\n</question>"


def is_dont_know(answer: str, nothing_found: str) -> bool:
    """Whether an answer is the phrase that the prompt demands where the passages hold nothing.

    Models wrap it in quotes, lose its full stop or add a citation or one polite sentence; an answer
    that begins with the phrase and then goes on at length has something to say after all.
    """
    said, phrase = _plain(answer), _plain(nothing_found)
    if not phrase or not said.startswith(phrase):
        return False
    rest = said[len(phrase) :]
    # "No." is not how "Not before nine." begins.
    return not rest[:1].isalnum() and len(rest) <= 80


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", CITATION.sub("", text)).replace("’", "'").casefold()
    return " ".join(re.sub(r"[^\w\s']", " ", text).split()).strip("' ")
