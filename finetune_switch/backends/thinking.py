"""Remove a model's thoughts from its answer."""

from __future__ import annotations

import re

# The markers of thoughts of each family of models: those before and those after.
_PAIRS = (
    *((f"<{name}>", f"</{name}>") for name in (
        "think", "thinking", "thought", "thoughts", "reasoning", "scratchpad",
        "seed:think", "mm:think", "antml:thinking",
    )),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|channel|>commentary<|message|>", "<|channel|>final<|message|>"),
    ("<|channel>thought", "<channel|>"),
)  # fmt: skip
_OPENING = tuple(before for before, _after in _PAIRS)
_CLOSING = tuple(dict.fromkeys(after for _before, after in _PAIRS))
# Markers that stand around a channel or a turn, and say nothing of thoughts.
_DROPPED = (
    "<|start|>assistant", "<|end|>", "<|return|>", "<|begin_of_solution|>", "<|end_of_solution|>",
    "<|start_response|>", "<|end_response|>",
)  # fmt: skip
_MARKERS = (*_OPENING, *_CLOSING, *_DROPPED)
_STARTS = frozenset(marker[0] for marker in _MARKERS)
_LONGEST = max(map(len, _MARKERS))


def _any_of(*markers: str) -> re.Pattern[str]:
    # lower() would shift positions, because it turns "İ" into two characters.
    return re.compile("|".join(map(re.escape, markers)), re.IGNORECASE | re.ASCII)


_MARKER, _CLOSES = _any_of(*_MARKERS), _any_of(*_CLOSING)
# Where an answer speaks of a marker: in quotes or code, or among the words of a sentence.
_QUOTED = tuple("`\"'“”„«»‘’(")
_AMONG_WORDS = re.compile(r"[^\W_][,:]?[ \t]$")
_GOES_ON = re.compile(r"[ \t.,;:!?)]|$")
_CONTEXT = 8

_NAMES_OF_THINKERS = re.compile(
    r"(?<![a-z0-9])(r1|qwq|o1|thinking|thinker|reasoner|reasoning|magistral|gpt-oss|deepthink)(?![a-z0-9])",
    re.IGNORECASE,
)


def is_named_as_thinking(model_name: str) -> bool:
    """Whether the name says that the model thinks, so that its first words may be thoughts."""
    return _NAMES_OF_THINKERS.search(model_name) is not None


class ThinkingFilter:
    """Removes thoughts, such as ``<think>…</think>``, from a text that arrives in pieces.

    ``feed()`` returns the text that can be shown so far, and ``finish()`` the rest. An unclosed
    block is removed to the end of the text. A closing marker without an opening one means that
    everything before it was thoughts: if some has been returned, ``retracts`` is set until
    :meth:`retracted` is called. With ``holds``, text is returned only once that cannot happen.
    """

    def __init__(self, *, holds: bool = False) -> None:
        self.retracts = False
        self.is_orphan = False
        """Whether a closing marker came without an opening one."""
        self._holds = holds
        self._waiting = ""
        self._held = ""
        self._before = ""
        self._fences = 0
        self._thinking = False
        self._started = False

    def feed(self, text: str) -> str:
        self._held += text
        return self._read(is_last=False)

    def finish(self) -> str:
        shown = self._read(is_last=True)
        rest, self._held = ("" if self._thinking else self._held), ""
        waiting, self._waiting = self._waiting, ""
        return waiting + shown + self._without_leading_space(rest)

    def retracted(self) -> bool:
        """Whether what was returned before the last piece has to be taken back; asked once."""
        retracts, self.retracts = self.retracts, False
        return retracts

    def _read(self, *, is_last: bool) -> str:
        shown = ""
        while self._held:
            found = (_CLOSES if self._thinking else _MARKER).search(self._held)
            if found is None:
                keep = 0 if is_last else _overlap(self._held)
                shown += self._pass(len(self._held) - keep)
                break
            if self._thinking:
                self._held, self._thinking = self._held[found.end() :], False
                continue
            # Whether the answer speaks of the marker depends on the next character.
            if not is_last and found.end() == len(self._held):
                shown += self._pass(found.start())
                break
            marker = found[0].lower()
            context = self._before + self._held[: found.start()]
            if self._is_mentioned(context, self._held[found.end() :], found.start()):
                shown += self._pass(found.end())
                continue
            shown += self._pass(found.start())
            self._held = self._held[len(found[0]) :]
            if marker in _OPENING:
                self._thinking = True
                shown, self._waiting, self._holds = self._waiting + shown, "", False
            elif marker in _CLOSING:
                self._forget()
                shown = ""
        if self._holds:
            self._waiting += shown
            return ""
        return shown

    def _pass(self, length: int) -> str:
        """Move the first characters from the held text to the answer, if it is no thought."""
        text, self._held = self._held[:length], self._held[length:]
        if self._thinking:
            return ""
        # A fence may have begun in an earlier piece.
        self._fences += (self._before[-2:] + text).count("```")
        self._before = (self._before + text)[-_CONTEXT:]
        return self._without_leading_space(text)

    def _is_mentioned(self, before: str, after: str, length: int) -> bool:
        if (self._fences + (self._before[-2:] + self._held[:length]).count("```")) % 2:
            return True
        if before.endswith(_QUOTED):
            return after.startswith(("`", '"', "'", "”", "“", "«", "»", "’", "‘", ")", ".", " "))
        return bool(_AMONG_WORDS.search(before) and _GOES_ON.match(after))

    def _forget(self) -> None:
        self.is_orphan = True
        self.retracts = self.retracts or (self._started and not self._holds)
        self._waiting, self._before, self._fences = "", "", 0
        self._started = self._holds = False

    def _without_leading_space(self, text: str) -> str:
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text


def strip_thinking(text: str) -> str:
    """A complete text without its thoughts."""
    thinking = ThinkingFilter(holds=True)
    return re.sub(r"\s+$", "", thinking.feed(text) + thinking.finish())


def _overlap(text: str) -> int:
    """The length of the longest end of ``text`` that is a beginning of a marker."""
    end = text[1 - _LONGEST :]
    for position, character in enumerate(end):
        if character in _STARTS:
            tail = end[position:].lower()
            if any(marker.startswith(tail) for marker in _MARKERS):
                return len(end) - position
    return 0
