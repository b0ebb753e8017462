from __future__ import annotations

import pytest

from finetune_switch.text.characters import without_harmful


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\u202eb\u202cc\u2066d\u2069", "abcd"),
        ("a\U000e0041\U000e007fb", "ab"),
        ("a\x00b\x1bc\x9bd\x0be", "abcde"),
        ("a\ud83db", "ab"),
        ("a\r\nb\rc\u2028d\u2029e\x85f", "a\nb\nc\nd\ne\nf"),
        ("a\tb\nc", "a\tb\nc"),
        # Emoji and Persian need zero-width joiners.
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("", ""),
    ],
)
def test_without_harmful(text, left):
    assert without_harmful(text) == left
    left.encode()
