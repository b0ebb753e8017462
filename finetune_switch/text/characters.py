"""Characters that nobody sees, or that turn a text around: what hides behind them is not read."""

from __future__ import annotations

import re

# Soft hyphens, zero-width blanks and joiners, marks and overrides of direction, invisible
# operators, fillers, variation selectors and tags.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u20e3\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
# Overrides and isolates of direction show a reader other words, and another order of digits, than
# were written; tags show nothing and are read by models; half a surrogate pair cannot be sent.
_HARMFUL = re.compile(
    "[\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
    # Those of C0 and C1 but for tabs and line ends.
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"
)
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")


def without_harmful(text: str) -> str:
    """A text without what turns it around or carries words unseen, and with plain line ends.

    Zero-width joiners stay: emoji and several scripts are written with them.
    """
    return _HARMFUL.sub("", _LINE_ENDS.sub("\n", text))
