"""The backend without a model quotes sentences of the pages."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from finetune_switch.answers.prompts import build_prompt
from finetune_switch.backends.base import BackendConfig
from finetune_switch.backends.extractive import ExtractiveChatBackend, answer_from_messages
from finetune_switch.text.expected import expected_in_answer
from finetune_switch.text.quotable import Kind, sentences, split_passage
from tests.helpers import make_passages

HOURS = "The museum opens at ten in summer. In winter the museum opens at eleven on Sundays only."
PRICES = "A ticket costs £7.50 for adults. Children under twelve come in free with an adult."
BOAT = "The coble Provider was built by Hester Quayle in 1868. She was lost in 1911."


@pytest.fixture(autouse=True)
def english(settings):
    settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": {"EMBEDDINGS": "english"}}


def answer(question, *texts, nothing_found="Sorry, our pages do not say.", language="en"):
    messages = build_prompt(
        question, make_passages(*texts), system_prompt="Be kind.", nothing_found=nothing_found,
        context_window=None, count_tokens=len,
    ).messages  # fmt: skip
    return answer_from_messages(messages, language=language)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Who built the Provider?", "The coble Provider was built by Hester Quayle in 1868. [3]"),
        ("What does a ticket cost?", "A ticket costs £7.50 for adults. [2]"),
        ("Do children under twelve pay?", "Children under twelve come in free with an adult. [2]"),
        ("Please tell me what a ticket costs.", "A ticket costs £7.50 for adults. [2]"),
        (
            "I want to know who built the Provider.",
            "The coble Provider was built by Hester Quayle in 1868. [3]",
        ),
    ],
)
def test_it_quotes_the_sentence_and_its_passage(question, said):
    assert answer(question, HOURS, PRICES, BOAT) == said


@pytest.mark.parametrize(
    "question", ["What is the capital of France?", "???", "Is it?", "Wie spät ist es?"]
)
def test_it_says_the_sites_phrase_if_no_sentence_fits(question):
    assert answer(question, HOURS, PRICES, BOAT) == "Sorry, our pages do not say."


def test_every_sentence_is_in_the_passages():
    for question in ("When does the museum open in winter?", "Who built the coble Provider?"):
        said = answer(question, HOURS, PRICES, BOAT)
        for sentence in said.replace("[1]", "|").replace("[3]", "|").split("|"):
            assert sentence.strip() in f"{HOURS} {BOAT}"


def test_three_sentences_at_most_and_none_twice():
    text = " ".join(f"The harbour gate number {n} opens at nine sharp." for n in range(9))
    assert answer("When does the harbour gate open?", text).count("[1]") <= 3
    assert answer("When does the gate open?", text[:48], text[:48]).count("gate") == 1


def test_the_prompt_of_another_package():
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "system", "content": f"{HOURS}\n{BOAT}"},
        {"role": "user", "content": "Who built the Provider?"},
    ]
    said = answer_from_messages(messages)
    assert said.startswith("The coble Provider was built by Hester Quayle in 1868.")
    assert answer_from_messages([{"role": "user", "content": "Hello?"}]) == "I don't know."


def test_words_are_compared_by_stem_in_the_language_of_the_question(settings):
    index = {"EMBEDDINGS": "multilingual"}
    settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": index}
    text = "Die Ausstellungen öffnen im Sommer um zehn Uhr. Im Café gibt es Kuchen und Suppe."
    with override("de"):
        backend = ExtractiveChatBackend(BackendConfig("without-model", "Without a model"))
    messages = build_prompt(
        "Wann öffnet die Ausstellung?", make_passages(text), system_prompt="", nothing_found="",
        context_window=None, count_tokens=len,
    ).messages  # fmt: skip
    quoted = "Die Ausstellungen öffnen im Sommer um zehn Uhr. [1]"
    assert backend.complete(messages).text == quoted


BOATS = (
    "Boats for hire\n\nBoat: Rowing boat, Price an hour: £20\nBoat: Kayak, Price an hour: £12\n"
    "Boat: Motor boat, Price an hour: £45"
)
BREAD = (
    "Sourdough\n\nYou need:\n\n500 g strong flour\n350 g water\n10 g salt\n100 g starter\n\n"
    "Mix it all and let it rest for an hour. Fold it four times. Bake it at 240 degrees."
)
SHOP = (
    "Harbour Street shop\n\nOpening hours\n\nDay: Monday, Opens: 8:00, Closes: 17:00\n"
    "Day: Saturday, Opens: 9:00, Closes: 13:00\nDay: Sunday, closed: yes\n\nTelephone 01632 960147"
)


class TestTablesAndLists:
    def test_the_row_of_what_was_asked_for(self):
        assert answer("How much is the kayak?", BOATS, HOURS) == (
            "Boat: Kayak, Price an hour: £12 [1]"
        )
        said = answer("What does a motor boat cost an hour?", BOATS)
        assert "£45" in said
        assert "£20" not in said

    def test_nothing_about_what_is_not_there(self):
        assert "£" not in answer("How much is the paddle steamer?", BOATS, HOURS)

    def test_opening_hours(self):
        said = answer("When does the shop open on Saturday?", SHOP, BOAT)
        assert "Opens: 9:00, Closes: 13:00 [1]" in said
        assert "8:00" not in said

    def test_a_short_line_is_an_answer(self):
        assert "01632 960147" in answer("What is the telephone number of the shop?", SHOP, BOAT)

    def test_a_list_is_quoted_whole(self):
        said = answer("Which ingredients do I need for sourdough?", BREAD, BOAT)
        for part in ("500 g strong flour", "350 g water", "10 g salt", "100 g starter"):
            assert part in said


class TestAgreement:
    def test_names(self):
        bus = "Bus 14 leaves from the station at Wenby every thirty minutes."
        assert "Bus 14" in answer("Which bus goes from Wenby station?", bus)
        assert answer("Which bus goes from Leeds station?", bus) == "Sorry, our pages do not say."

    def test_years(self):
        fair = "The boat fair of 2026 is on 6 June."
        assert "6 June" in answer("When is the boat fair in 2026?", fair)
        assert answer("When is the boat fair in 2027?", fair) == "Sorry, our pages do not say."

    def test_reference_marks_of_the_page_are_left_out(self):
        text = "The coble Provider was built by Hester Quayle in 1868 [3]."
        assert answer("Who built the Provider?", text) == (
            "The coble Provider was built by Hester Quayle in 1868. [1]"
        )

    def test_days(self):
        hours = "Harbour Street shop\n\nDay: Saturday, Opens: 9:00, Closes: 13:00"
        assert "9:00" in answer("When does the shop open on Saturday?", hours)
        said = answer("When does the shop open on Wednesday?", hours)
        assert said == "Sorry, our pages do not say."

    def test_a_sentence_is_about_what_its_passage_names(self):
        wedding = "Weddings in the Boat Hall\n\nUp to 90 guests can sit down. Music ends at eleven."
        assert "90 guests" in answer("How many guests can sit down in the Boat Hall?", wedding)
        other = f"{wedding}\n\nUpstairs\n\nUp to 40 guests can sit down in the Sail Loft."
        assert "40" not in answer("How many guests can sit down in the Boat Hall?", other)


class TestFacts:
    """A line with a label, as the index writes the short fields of a page."""

    SHOP = (
        "In the market hall.\n\nTelephone: 01632 960404\n\nPrice of a stall: £12\n\nWe take cards."
    )

    def test_they_are_no_headings(self):
        found = split_passage(1, "Thornby", self.SHOP, "en")
        assert [one.text for one in found if one.kind is Kind.ROW] == [
            "Telephone: 01632 960404",
            "Price of a stall: £12",
        ]
        assert not any(one.heading for one in found)

    def test_they_answer(self):
        assert answer("What is the telephone number?", self.SHOP) == ("Telephone: 01632 960404 [1]")
        assert answer("What is the price of a stall?", self.SHOP) == "Price of a stall: £12 [1]"

    def test_a_list_of_two_short_items_has_no_heading(self):
        found = split_passage(1, "Mousse", "200 g chocolate\n180 ml water\n\nMelt it.", "en")
        assert [one.text for one in found] == ["200 g chocolate", "180 ml water", "Melt it."]
        assert not any(one.heading for one in found)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How often does the ferry go?", 2),
        ("What does it cost, and who pays?", 2),
        ("How old is it?", 1),
        ("Tell me about the ferry.", 0),
    ],
)
def test_everything_that_a_question_asks_for(question, expected):
    """Also where the same words ask for two things: "how often" for a number and a frequency."""
    assert len(expected_in_answer(question)) == expected


def test_the_answer_to_a_frequent_question():
    faq = "Have you got lockers?\n\nTwelve, by the desk, big enough for a rucksack."
    assert answer("Are there lockers for my rucksack?", faq, HOURS) == (
        "Twelve, by the desk, big enough for a rucksack. [1]"
    )


class TestSplitting:
    @pytest.mark.parametrize(
        ("language", "text", "expected"),
        [
            ("en", "He left the U.S. in 1907. Dr. M. Smith wrote it down.", 2),
            ("en", "Order from Dr. A. Okafor, tel. 01632 960 488. She answers soon.", 2),
            ("en", "It has approx. 20 seats. Dogs are welcome.", 2),
            ("de", "Ab 9.30 Uhr ist z. B. das Café offen. Dr. Müller kommt später.", 2),
            ("zh", "九点开放。周日休息。", 2),
            ("ja", "開館時間は9時です。月曜は休みです。", 2),
            ("fi", "Museo avataan klo 10. Kahvila on auki.", 2),
        ],
    )
    def test_sentences(self, language, text, expected):
        found = sentences(text, language)
        assert len(found) == expected
        assert "".join(found).replace(" ", "") == text.replace(" ", "")

    def test_headings_rows_and_items(self):
        rows = split_passage(1, "Hire", BOATS, "en")
        assert {one.kind for one in rows} == {Kind.ROW}
        assert {one.heading for one in rows} == {"Boats for hire"}
        items = [one for one in split_passage(1, "", BREAD, "en") if one.kind is Kind.ITEM]
        assert items[0].text == "500 g strong flour"
        assert {one.lead_in for one in items} == {"You need:"}


@pytest.mark.parametrize(
    ("language", "question", "text", "said"),
    [
        ("zh", "博物馆几点开放？", "博物馆九点开放。咖啡馆有汤。", "博物馆九点开放。 [1]"),
        (
            "ja",
            "博物館は何時に開きますか？",
            "博物館は9時に開きます。カフェではスープを出します。",
            "博物館は9時に開きます。 [1]",
        ),
    ],
)
def test_languages_without_spaces(settings, language, question, text, said):
    index = {"EMBEDDINGS": "multilingual"}
    settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": index}
    assert answer(question, text, language=language) == said
