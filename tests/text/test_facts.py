from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from benchmarks import facts
from finetune_switch.text.facts import find_facts, read_passages

PAGES = [
    page
    for name in facts.SETS
    for page in tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))["pages"]
]


def cases(which):
    return [(page["language"], page["text"], answer) for page in PAGES for answer in page[which]]


def values(text, language="en", **options):
    return [fact.value for fact in find_facts(text, language, **options)]


def unfounded(text, passages, language="en"):
    """The facts of a text that are in none of the passages."""
    known = read_passages(passages, language)
    return [fact for fact in find_facts(text, language) if fact not in known]


class TestOnPages:
    """test_fact_lock.py tests that invented facts are found."""

    def test_number_of_cases(self):
        assert len(cases("true")) + len(cases("invented")) >= 150
        assert {page["language"] for page in PAGES} == {"en", "en-gb", "en-us", "de"}

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page["text"].strip()[:12])
    def test_pages_support_their_own_facts(self, page):
        assert unfounded(page["text"], [page["text"]], page["language"]) == []


class TestValues:
    @pytest.mark.parametrize(
        ("language", "same"),
        [
            ("en", ["£5", "£5.00", "5 pounds", "GBP 5", "five pounds", "£ 5"]),
            ("en", ["£1,200", "£1200.00", "1,200 pounds", "£1.2k", "£1 200"]),
            ("en", ["50p", "£0.50", "50 pence"]),
            ("de", ["5 €", "5,00 €", "fünf Euro", "EUR 5", "5,- €", "€5"]),
            ("de", ["3,2 Mio. €", "3.200.000 Euro", "3,2 Millionen Euro"]),
            ("en", ["1,200", "1.200", "1200", "1'200", "twelve hundred", "1.2 thousand"]),
            ("de", ["1,5", "1.5", "1,50"]),
            ("de", ["250", "zweihundertfünfzig", "zweihundertundfünfzig"]),
            ("en", ["250", "two hundred and fifty", "250th"]),
            ("en", ["020 7946 0000", "+44 20 7946 0000", "(020) 7946 0000", "+44 (0)20 7946 0000"]),
            ("de", ["030 1234567", "+49 30 1234567", "030/1234567", "0049 30 123 45 67"]),
            ("en", ["3 March", "03/03", "March 3rd", "3rd of March", "3 Mar."]),
            ("de", ["3. März", "3.3.", "03.03.", "3. Mrz"]),
            ("en", ["3 March 2026", "03/03/2026", "2026-03-03", "March 3, 2026", "3.3.26"]),
            ("de", ["3. März 2026", "3.3.2026", "03.03.26"]),
            ("en", ["5pm", "5 p.m.", "17:00", "5.00pm", "5PM"]),
            ("de", ["17 Uhr", "17:00 Uhr", "17.00 Uhr", "17:00"]),
            ("en", ["noon", "12pm", "12:00", "midday"]),
            ("en", ["12 High Street", "12 High St", "12, High Street"]),
            ("de", ["Hafenstraße 12", "Hafenstr. 12", "Hafenstrasse 12"]),
            ("en", ["TB4 7QX", "TB47QX"]),
            ("en", ["https://www.boat.example/b/", "boat.example/b", "http://boat.example/b"]),
            ("en", ["A@b.example", "a@b.example", "a [at] b.example"]),
            ("en", ["Monday", "Mondays"]),
            ("de", ["Sonntag", "sonntags"]),
            ("en", ["£12.50", "£**12.50**", "**£12**.50", "£12·50", "£１２.５０", "£1\u200b2.50"]),
            ("en", ["£12.50", "twelve pounds fifty", "twelve pounds and fifty pence"]),
            ("en", ["10 %", "10%", "ten per cent"]),
            ("en", ["1936", "MCMXXXVI"]),
            ("en", ["020 7946 0000", "oh two oh seven nine four six oh oh double oh"]),
            ("en", ["a@b.example", "a at b dot example", "a [at] b [dot] example"]),
            ("en", ["PO Box 114", "P.O. Box 114", "P. O. Box No. 114"]),
            ("de", ["Postfach 11 03 20", "Postfach 110320"]),
            ("en", ["1 April", "the first of April", "April the first"]),
            ("de", ["1. April", "ersten April"]),
            ("en", ["on the 18th.", "on the eighteenth."]),
            ("en", ["twenty past four", "4:20"]),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else value,
    )
    def test_equal_values(self, language, same):
        found = [values(text, language) for text in same]
        assert found == [found[0]] * len(same)
        assert len(found[0]) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "", "[1] and [2, 3]", "1. Ring us\n2) Come", "- **3.** Go", "You may march.",
            "e.g. this", "One of us.",
            "Step 2: go.", "There are three ways:\nfirst", "Hallo, ein Boot.",
            "There are two ways in.", "A red dot in the corner.", "First come, first served.",
        ],
    )  # fmt: skip
    def test_no_facts(self, text):
        assert values(text) == []

    def test_positions(self):
        text = "Pay £5 by 3 March, ring 020 7946 0000 (or write to a@b.example) at 5pm [1]."
        facts = find_facts(text)
        assert [fact.kind for fact in facts] == ["price", "date", "telephone", "e-mail", "time"]
        assert all(text[fact.start : fact.end] == fact.text for fact in facts)
        assert facts[-1].text == "5pm"

    def test_day_first_except_in_american_english(self):
        assert values("03/04/2026") == values("03/04/2026", "en-gb") == ["2026-04-03"]
        assert values("03/04/2026", "en-us") == ["2026-03-04"]
        assert values("13/04/2026", "en-us") == values("04/13/2026") == ["2026-04-13"]

    def test_month_and_day_names_in_other_languages(self):
        assert values("le 3 mars 2026", "fr") == ["2026-03-03"]
        assert values("el martes", "es") == ["-W-2"]

    def test_telephone_regions(self):
        assert values("030 1234567", regions=("DE",)) == ["+49301234567"]
        assert values("(212) 555-0123", regions=("US",)) == ["+12125550123"]

    def test_adjacent_telephone_numbers(self):
        assert len(values("020 7946 0000 020 7946 0001")) == 2


class TestUnfounded:
    @pytest.mark.parametrize(
        ("answer", "page"),
        [
            ("3 March 2026", "3 March"),
            ("3 March", "3 March 2026"),
            ("in March 2026", "on 3 March 2026"),
            ("in 2026", "on 3 March 2026"),
            ("9.30pm", "9:30"),
            ("on Saturday", "Friday to Sunday"),
            ("on Saturday", "open daily"),
            ("on Wednesday", "Mon 6 to Fri 10 April"),
            ("in January", "1 November to 31 March"),
            ("£160", "| An hour more | 160.00 |"),
            ("High Street", "12 High Street"),
            ("+44 1632 960140", "01632 960140"),
            ("version 2.1.3", "version 2.1.3"),
            ("on the seventh.", "7 March"),
            ("at nine thirty", "9.30am"),
            ("four fifty", "£4.50"),
            ("nineteen thirty-six", "in 1936"),
            ("an hour and a half", "90 minutes"),
        ],
    )
    def test_supported(self, answer, page):
        assert unfounded(answer, [page]) == []

    @pytest.mark.parametrize(
        ("answer", "page"),
        [
            ("3 March 2026", "3 March 2027"),
            ("at nine", "nine boats"),
            ("one pound", "one boat"),
            ("at one o'clock", "one boat"),
            ("half past one", "half past two"),
            ("at 9.", "9 boats"),
            ("9.30pm", "9.30am"),
            ("5 pounds", "5 euros"),
            ("£5", "5 boats"),
            ("12 High Street", "High Street"),
            ("+49 20 7946 0000", "020 7946 0000"),
            ("on Thursday", "Friday to Sunday"),
            ("in May", "you may come"),
            ("10 %", "10 boats"),
            ("on the eighth.", "7 March"),
            ("at nine forty", "9.30am"),
            ("//boat.example/b", "https://harbour.example"),
        ],
    )
    def test_unsupported(self, answer, page):
        assert unfounded(answer, [page])

    def test_facts_from_several_passages(self):
        assert unfounded("£5 at 5pm", ["It costs £5.", "It opens at 5pm."]) == []
        assert [fact.text for fact in unfounded("£5 or £6", ["£5"])] == ["£6"]
        assert [fact.text for fact in unfounded("£5", [])] == ["£5"]


@pytest.mark.parametrize(
    "pattern",
    [
        "1", "1 ", "1.", "1,", "1-", "1:", "1/", "01 ", "+4", "(", "[", "[1", ")", "@", "a@", "a",
        "a.", "a ", "A ", "Ab ", "www.", "www.)", "ab.de/", "£", "£1", "1€", "5 March ", "March ",
        "one hundred ", "zweihundert", "High Street ", "Str. ", "0171 1234567 ", "GB29 NWBK ",
        "from 1 to ", "at 1 ", "\n", " ", "2 Uhr ", "1. Mai ", "10000 Be ",
        "1 bis ", "a dot ", "a dot de", " at ", "one ", "*", "* a", "`", "<b>", "1. ", "£1, ",
        "\u200b1", "on the first ", "M", "ten to ", "\N{MIDDLE DOT}1", "\N{NO-BREAK SPACE}1", "１",
    ],
)  # fmt: skip
def test_hostile_texts_take_linear_time(pattern):
    # Most take 0.2 s, and 50,000 facts take 1 s. Quadratic time would be a minute.
    text = (pattern * 100_000)[:100_000]
    began = time.process_time()
    facts = find_facts(text)
    assert time.process_time() - began < 6
    assert all(text[fact.start : fact.end] == fact.text for fact in facts)
