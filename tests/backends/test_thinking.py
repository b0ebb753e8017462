"""Thoughts are removed from an answer, however its stream is divided."""

from __future__ import annotations

import random

import pytest

from finetune_switch.backends.thinking import ThinkingFilter, strip_thinking

CASES = [
    ("Nine o'clock.", "Nine o'clock."),
    ("<think>secret</think>Nine.", "Nine."),
    ("<think>\nsecret\n</think>\n\nNine.", "Nine."),
    ("  <think>secret</think> \n Nine.", "Nine."),
    ("<THINK>secret</Think>Nine.", "Nine."),
    ("Nine <think>secret</think>and ten.", "Nine and ten."),
    ("<think>secret</think>Nine<think>secret</think> or ten.", "Nine or ten."),
    ("<think>secret < 5 </thin secret</think>Nine.", "Nine."),
    ("<think></think>Nine.", "Nine."),
    ("<think>secret that never ends", ""),
    ("Nine. <think>secret that never ends", "Nine. "),
    ("Is 3 < 4? <b>Yes</b>, and <thin is no tag.", "Is 3 < 4? <b>Yes</b>, and <thin is no tag."),
    ("It ends in <thi", "It ends in <thi"),
    ("secret</think> Ten.", "Ten."),
    ("secret.\n\n</THINK>\nTen.", "Ten."),
    ("secret</think>more</think>Ten.", "Ten."),
    ("<thinking>secret</thinking>Nine.", "Nine."),
    ("secret</thinking>\n\nNine.", "Nine."),
    ("[THINK]secret[/THINK]Nine.", "Nine."),
    ("secret[/THINK]Nine.", "Nine."),
    ("<reasoning>\nsecret\n</reasoning>\nNine.", "Nine."),
    (
        "<|channel|>analysis<|message|>secret<|end|><|start|>assistant<|channel|>final<|message|>Nine.",
        "Nine.",
    ),
    ("secret<|end|><|start|>assistant<|channel|>final<|message|>Nine.<|return|>", "Nine."),
    ("<|channel>thought\nsecret<channel|>Nine.", "Nine."),
    ("<|START_THINKING|>secret<|END_THINKING|><|START_RESPONSE|>Nine.<|END_RESPONSE|>", "Nine."),
    ("◁think▷secret◁/think▷Nine.", "Nine."),
    # An answer that speaks of the markers.
    ("The tag <think> marks thoughts.", "The tag <think> marks thoughts."),
    ("Models write `<think>` and `</think>`.", "Models write `<think>` and `</think>`."),
    (
        "Models write <think> and </think> around it.",
        "Models write <think> and </think> around it.",
    ),
    ("It is called “<thinking>”, they say.", "It is called “<thinking>”, they say."),
    (
        "So:\n```\n<think>\nplan\n</think>\n```\nNine.",
        "So:\n```\n<think>\nplan\n</think>\n```\nNine.",
    ),
    ("It ends in <think>", "It ends in <think>"),
    ("Zwölf Uhr – „früh“ 😀<think>secret</think>.", "Zwölf Uhr – „früh“ 😀."),
    # Longer in small letters than as it stands, and a capital that is "k" in small letters.
    ("İİ <think>secret</think>Nine.", "İİ Nine."),
    ("İ 5 < 6", "İ 5 < 6"),
    ("<thin\u212a>Nine", "<thin\u212a>Nine"),
    ("", ""),
]


def filtered(pieces, holds=False):
    """What is left on the page, and for a filter that holds, what ever stood there."""
    thinking, shown = ThinkingFilter(holds=holds), ""
    for piece in [*pieces, None]:
        text = thinking.finish() if piece is None else thinking.feed(piece)
        if thinking.retracted():
            shown = ""
        shown += text
    if holds:
        assert "secret" not in shown
    return shown


def splits(text, rng):
    cuts = sorted(rng.sample(range(len(text) + 1), rng.randint(0, min(8, len(text)))))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize(("text", "shown"), CASES)
class TestAnyChunking:
    def test_whole(self, text, shown):
        assert filtered([text]) == shown

    def test_by_character(self, text, shown):
        assert filtered(text) == shown

    def test_held(self, text, shown):
        assert filtered(text, holds=True) == filtered([text], holds=True) == shown

    def test_at_random(self, text, shown):
        rng = random.Random(4417)
        for _ in range(200):
            pieces = splits(text, rng)
            assert filtered(pieces) == shown, pieces

    def test_not_streamed(self, text, shown):
        assert strip_thinking(text) == shown.rstrip()


def test_text_is_not_delayed_needlessly():
    thinking = ThinkingFilter()
    assert thinking.feed("Nine ") == "Nine "
    assert thinking.feed("o'clock <") == "o'clock "
    assert thinking.feed("b>") == "<b>"
