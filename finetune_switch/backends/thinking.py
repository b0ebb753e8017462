"""Remove a model's thoughts from its answer."""

from __future__ import annotations

import re

_OPEN, _CLOSE = "<think>", "</think>"
# lower() would shift positions, because it turns "İ" into two characters.
_TAGS = {tag: re.compile(tag, re.IGNORECASE | re.ASCII) for tag in (_OPEN, _CLOSE)}


class ThinkingFilter:
    """Removes ``<think>…</think>`` from a text that arrives in arbitrary pieces.

    ``feed()`` returns the text that can be shown so far, and ``finish()`` the rest. An unclosed
    block is removed to the end of the text.
    """

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._started = False

    def feed(self, text: str) -> str:
        self._held += text
        shown = []
        while self._held:
            tag = _CLOSE if self._thinking else _OPEN
            if found := _TAGS[tag].search(self._held):
                if not self._thinking:
                    shown.append(self._held[: found.start()])
                self._held = self._held[found.end() :]
                self._thinking = not self._thinking
                continue
            keep = _overlap(self._held, tag)
            if not self._thinking:
                shown.append(self._held[: len(self._held) - keep])
            self._held = self._held[len(self._held) - keep :] if keep else ""
            break
        return self._without_leading_space("".join(shown))

    def finish(self) -> str:
        rest, self._held = ("" if self._thinking else self._held), ""
        return self._without_leading_space(rest)

    def _without_leading_space(self, text: str) -> str:
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text


def strip_thinking(text: str) -> str:
    """A complete text without its thoughts."""
    thinking = ThinkingFilter()
    return re.sub(r"\s+$", "", thinking.feed(text) + thinking.finish())


def _overlap(text: str, tag: str) -> int:
    """The length of the longest end of ``text`` that is a beginning of ``tag``."""
    if tag[0] not in text[1 - len(tag) :]:
        return 0
    return next(
        (
            size
            for size in range(min(len(tag) - 1, len(text)), 0, -1)
            if tag.startswith(text[-size:].lower())
        ),
        0,
    )
