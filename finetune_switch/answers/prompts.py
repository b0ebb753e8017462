"""Build the messages for a model from a question and its passages. Uses no I/O or settings."""

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

# The tokens that a chat format adds, according to OpenAI's guide to token counting.
TOKENS_PER_MESSAGE = 4
TOKENS_PER_TURN = 2 * TOKENS_PER_MESSAGE
TOKENS_PER_REPLY = 3
# Without a maximum answer length, a quarter of the window is kept for the answer, up to this.
DEFAULT_ANSWER_TOKENS = 800
# This share of the window stays free, because the counter is not the model's own tokenizer.
SAFETY_SHARE = 0.05
# In characters. A longer history costs more than it helps.
MAX_HISTORY_LENGTH = 24_000

# The beginnings of control tokens of some chat formats.
_BRACKET = re.compile(
    rf"[\[［](?=[{INVISIBLE}\s]*[/／]?[{INVISIBLE}\s]*"
    r"(?:INST|SYS|TOOL|AVAILABLE_TOOLS|gMASK|BOS|EOS|UNK|CLS|SEP|MASK|PAD))",
    re.IGNORECASE,
)
# Does not match "3 < 4" or "<- here": tags have a name, and tokens a bar.
_TAG = re.compile(
    rf"{_BRACKET.pattern}"
    rf"|(?:[<＜﹤〈‹⟨]|&(?:lt|#0*60|#x0*3c);?)(?=[{INVISIBLE}]*(?:[^\W\d]|[/／<＜|｜!?]|0x))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Prompt:
    """Messages for a model, the passages in them, and the number of passages left out."""

    messages: list[Message]
    passages: list[Passage]
    left_out: int


class PromptTooLong(ValueError):
    """The context window has no room for the question and at least one of its passages."""


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
    """The messages for a question, without the passages that do not fit the context window.

    The last passages are left out first. The others keep their numbers, so that a
    passage has the same number for every backend. ``context_window`` and ``max_answer_tokens`` are
    in tokens; ``None`` as window means no limit. ``turns`` are the earlier turns, oldest first;
    they get the remaining room, and the oldest are left out first. Raises :class:`PromptTooLong`.
    """
    system = (
        f"{system_prompt.strip()}\n{DEMAND.format(phrase=nothing_found)}"
        if retrieval
        else (system_prompt.strip())
    )
    kept, history = list(passages), _history(turns)
    if context_window is not None:
        room = _room(context_window, max_answer_tokens)
        # A text has no more tokens than bytes, so most prompts need no counting.
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
    """The latest turns with an answer, oldest first. Chat formats require alternating roles."""
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
    """The passages that fit, and the remaining room in tokens."""
    room -= count_tokens(_user_text(question, []))
    if room < 0:
        raise PromptTooLong
    kept = []
    for passage in passages:
        size = count_tokens(_passage_text(passage))
        if size > room:
            break
        room -= size
        kept.append(passage)
    if passages and not kept:
        raise PromptTooLong
    return kept, room


def as_data(text: str) -> str:
    """A text of a page or a visitor, with its tags and control tokens made harmless.

    A page could contain the prompt's closing tag or a control token of a chat format, and pass off
    the rest of its text as the visitor's. So could an earlier answer, as sent by a browser. A space
    after the bracket turns a tag into plain text.
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
    """Whether an answer is the phrase demanded by the prompt for unanswerable questions.

    Models quote the phrase, drop its full stop, or add a citation or a polite sentence. An answer
    that goes on for more than 80 characters after the phrase counts as an answer.
    """
    said, phrase = _plain(answer), _plain(nothing_found)
    if not phrase or not said.startswith(phrase):
        return False
    rest = said[len(phrase) :]
    # The phrase "No." must not match "Not before nine.".
    return not rest[:1].isalnum() and len(rest) <= 80


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", CITATION.sub("", text)).replace("’", "'").casefold()
    return " ".join(re.sub(r"[^\w\s']", " ", text).split()).strip("' ")
