"""Invisible characters and direction overrides, which can hide text from its reader."""

import re

# Soft hyphens, zero-width spaces and joiners, direction marks and overrides, invisible operators,
# fillers, variation selectors and tags.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u20e3\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
# Direction overrides and isolates display words and digits in another order than they are stored.
# Tags are invisible, but models read them. Lone surrogates cannot be encoded.
_HARMFUL = re.compile(
    "[\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
    # C0 and C1 control characters, except tabs and line ends.
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"
)
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")


def without_harmful(text: str) -> str:
    """Remove control characters, direction overrides and tags, and normalise line ends.

    Zero-width joiners stay, since emoji and several scripts need them.
    """
    return _HARMFUL.sub("", _LINE_ENDS.sub("\n", text))
