from __future__ import annotations

import subprocess
import sys

import pytest

from finetune_switch.text.masking import Masking, masked


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Write to ada@example.org, please.", "Write to [e-mail], please."),
        ("I am ada (at) example.org", "I am [e-mail]"),
        ("Call 020 7946 0000 or +49 171 1234567.", "Call [telephone] or [telephone]."),
        ("Call (212) 555-0123 today", "Call [telephone] today"),
        ("Ring 98765 43210", "Ring [telephone]"),
        ("My number is 7946 0000", "My number is [number]"),
        ("Is card 4111 1111 1111 1111 12/27 fine?", "Is card [card] 12/27 fine?"),
        ("5500-0000-0000-0004", "[card]"),
        ("Where is order 123456789012?", "Where is order [number]?"),
        # Dates, times, prices and handles stay.
        ("Open 2026-11-21 10:00 to 12:00?", "Open 2026-11-21 10:00 to 12:00?"),
        ("On 03/03/2026 14:00, or 12.03.2026 14.03.2026?",) * 2,
        ("Is £1,200,000.50 right? And 1 200 000?",) * 2,
        ("In 2024, 2025 and 2026: 10000 Besucher",) * 2,
        ("Do you tweet as @harbour?",) * 2,
    ],
)
def test_masked(text, kept):
    assert masked(text) == kept
    assert masked(kept) == kept


def test_card_check_digit():
    assert masked("4111 1111 1111 1111") == "[card]"
    assert masked("4111 1111 1111 1112") != "[card]"


def test_hide_repeated_keeps_the_pages_own_contacts():
    masking = Masking("en-gb")
    masking.hide("I am ada@example.org, +44 20 7946 0000.")
    answer = "We write to Ada@Example.org or call 020 7946 0000. Or call us on 020 7946 0999."
    start = answer.index("020 7946 0000")
    last = answer.index("020 7946 0999")
    withheld_facts = [
        {"kind": "telephone", "text": "020 7946 0000", "start": start, "end": start + 13},
        {"kind": "telephone", "text": "020 7946 0999", "start": last, "end": last + 13},
    ]

    text, moved = masking.hide_repeated(answer, withheld_facts)

    assert text == "We write to [e-mail] or call [telephone]. Or call us on 020 7946 0999."
    assert [fact["text"] for fact in moved] == ["[telephone]", "020 7946 0999"]
    assert [text[fact["start"] : fact["end"]] for fact in moved] == [f["text"] for f in moved]


def test_what_is_known_from_one_text_is_masked_in_the_other():
    masking = Masking("en-gb")
    masking.hide("I am on +44 20 7946 0000.")
    said = "Ring 020 7946 0000. It is £5."
    # Cut out of its sentence the number may read as part of something else.
    shown = "020 7946 0000 pounds."
    assert masking.hide_repeated(shown)[0] == shown

    masking.remember_repeated(said, shown)

    assert masking.hide_repeated(said)[0] == "Ring [telephone]. It is £5."
    assert masking.hide_repeated(shown)[0] == "[telephone] pounds."


def test_plain_question_does_not_import_phonenumbers():
    code = (
        "import sys; from finetune_switch.text.masking import masked;"
        "masked('When does the lighthouse open on 3 March 2027?');"
        "print('phonenumbers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
