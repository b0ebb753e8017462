"""What stands in no passage never reaches the visitor, however its tokens arrive."""

from __future__ import annotations

import itertools
import uuid

import pytest
from django.utils.translation import override

from benchmarks import facts
from finetune_switch.models import Exchange, Outcome, Switch
from finetune_switch.text.fact_lock import FactLock
from tests.helpers import QUESTION, ask_async, ask_sync, make_backend, make_passages

pytestmark = pytest.mark.django_db

PAGES = (
    "The desk opens at 9am. Ring 020 7946 0018, or write to desk@harbour.example.",
    "A family ticket costs £24. The harbour is at 5 Quay Street.",
)
INSTEAD = "Please look this up on the page itself."


def released(text: str, *, size: int = 1, pages=PAGES, language="en-gb", own_words=()):
    """What the lock lets through of an answer, piece by piece, and the lock."""
    lock = FactLock(make_passages(*pages), language, own_words)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return [lock.feed(piece) for piece in pieces] + [lock.finish()], lock


def shown(text: str, **options) -> str:
    return "".join(released(text, **options)[0])


class TestChecked:
    @pytest.mark.parametrize(
        "text",
        [
            "We open at nine. A family ticket costs 24 pounds. [2]",
            "Ring +44 20 7946 0018.\n\n- Family: £24\n- Desk: desk@harbour.example\n",
            "There are two ways in: by land, and by sea",
            "Come to 5 Quay Street!  Bring a friend.",
            "",
            "\n",
        ],
    )
    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_what_is_true_comes_as_it_was_said(self, text, size):
        assert shown(text, size=size) == text

    @pytest.mark.parametrize(
        "invented",
        [
            "Ring 020 7946 0099.",
            "Write to info@harbour.example.",
            "A family ticket costs £25.",
            "A family ticket costs £24.50.",
            "The desk opens at 10am.",
            "We are closed on 3 March.",
            "Find us at 7 Mole Street.",
            "See https://harbour.example/tickets for more.",
            "Pay to GB33 BUKB 2020 1555 5555 55.",
            "It was built in 1908.",
            "You get 30 % off.",
            "It takes six minutes.",
            "Ring oh two oh, seven nine four six, oh oh nine nine.",
            "Write to info at harbour dot example.",
            "A family ticket costs £**25**.",
            "Ring 020\u200b 7946\u200b 0099.",
        ],
    )
    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_what_is_invented_never_comes(self, invented, size):
        text = f"Hello there. {invented} Boats are nice. Come by"
        said = shown(text, size=size)
        assert said == f"Hello there. {INSTEAD} [1] Boats are nice. Come by"

    def test_the_last_sentence_needs_no_full_stop(self):
        assert shown("Welcome. A child pays £7") == f"Welcome. {INSTEAD} [1]"

    def test_the_page_that_the_sentence_cites_is_named(self):
        assert shown("A child pays £7. [2] Come by.") == f"{INSTEAD} [2] Come by."

    def test_lines_of_a_list_keep_their_mark_and_are_replaced_once(self):
        said = shown("Prices:\n- Family: £24\n- Child: £7\n- Dog: £8\n- Boats are nice\n")
        assert said == f"Prices:\n- Family: £24\n- {INSTEAD} [1]\n- Boats are nice\n"

    def test_what_replaces_it_says_nothing_of_its_own(self):
        # Neither by a number that passes for a list's, nor by a citation that was made up.
        assert shown("Adults:\n45. Children pay £7. [45]") == f"Adults:\n{INSTEAD} [1]"

    def test_without_passages_it_is_left_out(self):
        lock = FactLock([], "en")
        lock.feed("Ring 020 7946 0099.")
        assert lock.finish() == "This could not be checked, and is left out."

    def test_in_the_language_of_the_answer(self):
        with override("de"):
            said = shown("Eine Karte kostet 7 Euro.", language="de")
        assert said == "Bitte sehen Sie auf der Seite selbst nach. [1]"

    def test_the_sites_own_words_need_no_passage(self):
        text = "I don't know. Ring 020 7946 0099."
        assert shown(text, own_words=[text]) == text

    def test_the_facts_that_were_withheld_facts_are_told(self):
        text = "Hello. A child pays £7, a dog £8. Ring 020 7946 0018."
        _, lock = released(text)
        assert [(held["kind"], held["text"]) for held in lock.withheld_facts] == [
            ("price", "£7"),
            ("price", "£8"),
        ]
        assert [text[held["start"] : held["end"]] for held in lock.withheld_facts] == ["£7", "£8"]


class TestLabelled:
    """The sentences of tests/text/facts.toml and tests/text/facts_hard.toml, letter by letter."""

    @pytest.fixture(scope="class", params=facts.SETS)
    def tally(self, request):
        return facts.measure_labelled(request.param)

    def test_nothing_invented_is_let_through(self, tally):
        assert tally.invented >= 150
        assert tally.let_through == []

    def test_at_most_one_in_fifty_true_ones_is_held_back(self, tally):
        assert tally.true >= 140
        assert tally.share_withheld_facts <= 0.02, tally.withheld_facts


class TestDelay:
    def test_a_sentence_comes_with_the_first_word_of_the_next(self):
        pieces, _ = released("Hello there. We open at nine. [1] Come by soon. Bye")
        assert [piece for piece in pieces if piece] == [
            "Hello there. ",
            "We open at nine. [1] ",
            "Come by soon. Bye",
        ]
        lock = FactLock(make_passages(*PAGES), "en")
        assert lock.feed("We open at nine. [1] Co") == ""
        assert lock.feed("me ") == "We open at nine. [1] "

    def test_a_line_comes_with_its_end(self):
        lock = FactLock(make_passages(*PAGES), "en")
        assert lock.feed("- Family: £24") == ""
        assert lock.feed("\n") == "- Family: £24\n"

    def test_a_price_that_goes_on_is_waited_for(self):
        lock = FactLock(make_passages(*PAGES), "en")
        assert lock.feed("It costs £24.") == ""
        assert lock.feed("50 each. Come ") == f"{INSTEAD} [1] "


def test_pieces_of_any_size_come_to_the_same():
    text = (
        "Dr. Pender opens at 9 a.m. daily. A child pays £7! [2]\n1. Ring 020 7946 0018.\n2. Or £9"
    )
    wholes = {shown(text, size=size) for size in range(1, 30)}
    assert wholes == {
        f"Dr. Pender opens at 9 a.m. daily. {INSTEAD} [2]\n1. Ring 020 7946 0018.\n2. {INSTEAD} [1]"
    }


@pytest.mark.django_db(transaction=True)
class TestAnswers:
    """Real requests to a model server, both ways."""

    numbers = itertools.count(1)

    @pytest.fixture
    def tell(self, site, connections, standin, ask):
        def tell(said, **options):
            name = f"liar-{next(self.numbers)}"
            behaviour = {"answer": said} if isinstance(said, str) else said
            standin.add_model(name, listed=False, **behaviour)
            options.setdefault("passages", make_passages(*PAGES))
            return ask(
                backend=make_backend("ollama", name), fact_lock=True, locale="en-gb", **options
            )

        return tell

    def test_the_visitor_reads_what_passed_and_the_record_keeps_what_was_said(self, tell):
        said = "We open at nine. [1] A child pays £7. [2] Come by."
        asked = tell(said)
        assert asked.text == f"We open at nine. [1] {INSTEAD} [2] Come by."
        assert asked.answer.text_so_far == asked.text
        assert asked.done.citations == [1, 2]
        assert asked.exchange.answer == said
        assert [held["text"] for held in asked.exchange.withheld_facts] == ["£7"]
        assert not any("£7" in str(event) for event in asked.events)

    def test_without_it_everything_comes_and_nothing_is_held(self, tell, site, ask):
        asked = tell("A child pays £7.")
        plain = ask(backend=asked.exchange.backend, passages=make_passages(*PAGES))
        assert plain.text == "A child pays £7."
        assert plain.exchange.withheld_facts == []

    def test_a_replay_tells_no_more(self, tell, ask):
        options = {"exchange_id": uuid.uuid4(), "locale": "en-gb"}
        first = tell("Hello. A child pays £7 [2].", exchange_id=options["exchange_id"])
        again = ask(fact_lock=True, passages=make_passages(*PAGES), **options)
        assert again.text == first.text == f"Hello. {INSTEAD} [2]"
        assert again.done.citations == [2]
        assert Exchange.objects.count() == 1

    def test_what_broke_off_keeps_what_was_released_and_drops_the_rest(self, tell):
        # After three words, the last of which could have been the beginning of £24.50.
        asked = tell({"fault": "cut", "answer": "Welcome.\nFamilies: £24 each."})
        assert asked.failure
        assert asked.text == "Welcome.\n"
        assert asked.exchange.outcome == Outcome.FAILED
        assert asked.exchange.answer.startswith("Welcome.\nFamilies: £24")

    def test_where_nothing_was_found_the_editors_words_come(self, site, connections, ask):
        words = "I don't know. Ring 020 7946 0099."
        Switch.objects.create(site=site, nothing_found={"en-gb": words})
        options = {"exchange_id": uuid.uuid4(), "locale": "en-gb", "fact_lock": True}
        first = ask(passages=[], backend=make_backend("ollama"), **options)
        again = ask(passages=[], backend=make_backend("ollama"), **options)
        assert first.text == again.text == words
        assert again.done.outcome == Outcome.NO_ANSWER


@pytest.mark.django_db(transaction=True)
def test_both_ways_release_the_same_events(site, connections, standin):
    standin.add_model("both", listed=False, answer="Hello. A child pays £7. We open at nine. Bye")
    options = {
        "backend": make_backend("ollama", "both"),
        "passages": make_passages(*PAGES),
        "fact_lock": True,
        "locale": "en-gb",
    }
    sync, other = (
        [vars(event) for event in ask(QUESTION, **options).events if event.name == "text"]
        for ask in (ask_sync, ask_async)
    )
    assert sync == other
    assert [event["text"] for event in sync][:2] == ["Hello. ", f"{INSTEAD} [1] "]
