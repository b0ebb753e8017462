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


def released(text: str, *, size: int = 1, pages=PAGES, language="en-gb", trusted_texts=()):
    """Feed an answer in pieces of ``size``. Returns the released pieces and the lock."""
    lock = FactLock(make_passages(*pages), language, trusted_texts)
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
    def test_supported_sentences_are_unchanged(self, text, size):
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
    def test_invented_facts_are_replaced(self, invented, size):
        text = f"Hello there. {invented} Boats are nice. Come by"
        answer = shown(text, size=size)
        assert answer == f"Hello there. {INSTEAD} [1] Boats are nice. Come by"

    def test_the_last_sentence_needs_no_full_stop(self):
        assert shown("Welcome. A child pays £7") == f"Welcome. {INSTEAD} [1]"

    def test_replacement_cites_the_sentences_own_passage(self):
        assert shown("A child pays £7. [2] Come by.") == f"{INSTEAD} [2] Come by."

    def test_list_marks_are_kept_and_replaced_once(self):
        answer = shown("Prices:\n- Family: £24\n- Child: £7\n- Dog: £8\n- Boats are nice\n")
        assert answer == f"Prices:\n- Family: £24\n- {INSTEAD} [1]\n- Boats are nice\n"

    def test_replacement_keeps_nothing_of_the_sentence(self):
        # Neither a number that looks like a list mark, nor an invented citation.
        assert shown("Adults:\n45. Children pay £7. [45]") == f"Adults:\n{INSTEAD} [1]"

    def test_without_passages(self):
        lock = FactLock([], "en")
        lock.feed("Ring 020 7946 0099.")
        assert lock.finish() == "This could not be checked, and is left out."

    def test_replacement_in_german(self):
        with override("de"):
            answer = shown("Eine Karte kostet 7 Euro.", language="de")
        assert answer == "Bitte sehen Sie auf der Seite selbst nach. [1]"

    def test_trusted_texts(self):
        text = "I don't know. Ring 020 7946 0099."
        assert shown(text, trusted_texts=[text]) == text

    def test_withheld_facts(self):
        text = "Hello. A child pays £7, a dog £8. Ring 020 7946 0018."
        _, lock = released(text)
        assert [(held["kind"], held["text"]) for held in lock.withheld_facts] == [
            ("price", "£7"),
            ("price", "£8"),
        ]
        assert [text[held["start"] : held["end"]] for held in lock.withheld_facts] == ["£7", "£8"]


class TestLabelled:
    """The sentences of facts.toml and facts_hard.toml, character by character."""

    @pytest.fixture(scope="class", params=facts.SETS)
    def tally(self, request):
        return facts.measure_labelled(request.param)

    def test_no_invented_fact_passes(self, tally):
        assert tally.invented >= 150
        assert tally.let_through == []

    def test_at_most_two_percent_of_true_facts_withheld(self, tally):
        assert tally.true >= 140
        assert tally.share_withheld_facts <= 0.02, tally.withheld_facts


class TestDelay:
    def test_sentence_released_with_the_next_word(self):
        pieces, _ = released("Hello there. We open at nine. [1] Come by soon. Bye")
        assert [piece for piece in pieces if piece] == [
            "Hello there. ",
            "We open at nine. [1] ",
            "Come by soon. Bye",
        ]
        lock = FactLock(make_passages(*PAGES), "en")
        assert lock.feed("We open at nine. [1] Co") == ""
        assert lock.feed("me ") == "We open at nine. [1] "

    def test_line_released_with_its_end(self):
        lock = FactLock(make_passages(*PAGES), "en")
        assert lock.feed("- Family: £24") == ""
        assert lock.feed("\n") == "- Family: £24\n"

    def test_price_split_over_pieces(self):
        lock = FactLock(make_passages(*PAGES), "en")
        assert lock.feed("It costs £24.") == ""
        assert lock.feed("50 each. Come ") == f"{INSTEAD} [1] "


def test_result_is_independent_of_piece_size():
    text = (
        "Dr. Pender opens at 9 a.m. daily. A child pays £7! [2]\n1. Ring 020 7946 0018.\n2. Or £9"
    )
    wholes = {shown(text, size=size) for size in range(1, 30)}
    assert wholes == {
        f"Dr. Pender opens at 9 a.m. daily. {INSTEAD} [2]\n1. Ring 020 7946 0018.\n2. {INSTEAD} [1]"
    }


@pytest.mark.django_db(transaction=True)
class TestAnswers:
    """Real requests to a model server, sync and async."""

    numbers = itertools.count(1)

    @pytest.fixture
    def ask_model(self, site, connections, standin, ask):
        def ask_model(answer, **options):
            name = f"liar-{next(self.numbers)}"
            behaviour = {"answer": answer} if isinstance(answer, str) else answer
            standin.add_model(name, listed=False, **behaviour)
            options.setdefault("passages", make_passages(*PAGES))
            return ask(
                backend=make_backend("ollama", name), fact_lock=True, locale="en-gb", **options
            )

        return ask_model

    def test_record_keeps_the_original_answer(self, ask_model):
        answer = "We open at nine. [1] A child pays £7. [2] Come by."
        asked = ask_model(answer)
        assert asked.text == f"We open at nine. [1] {INSTEAD} [2] Come by."
        assert asked.answer.text_so_far == asked.text
        assert asked.done.citations == [1, 2]
        assert asked.exchange.answer == answer
        assert [held["text"] for held in asked.exchange.withheld_facts] == ["£7"]
        assert not any("£7" in str(event) for event in asked.events)

    def test_without_fact_lock(self, ask_model, site, ask):
        asked = ask_model("A child pays £7.")
        plain = ask(backend=asked.exchange.backend, passages=make_passages(*PAGES))
        assert plain.text == "A child pays £7."
        assert plain.exchange.withheld_facts == []

    def test_replay_is_locked_too(self, ask_model, ask):
        options = {"exchange_id": uuid.uuid4(), "locale": "en-gb"}
        first = ask_model("Hello. A child pays £7 [2].", exchange_id=options["exchange_id"])
        again = ask(fact_lock=True, passages=make_passages(*PAGES), **options)
        assert again.text == first.text == f"Hello. {INSTEAD} [2]"
        assert again.done.citations == [2]
        assert Exchange.objects.count() == 1

    def test_interrupted_answer_drops_unreleased_text(self, ask_model):
        # Cut after three words. The last one could be the start of £24.50.
        asked = ask_model({"fault": "cut", "answer": "Welcome.\nFamilies: £24 each."})
        assert asked.failure
        assert asked.text == "Welcome.\n"
        assert asked.exchange.outcome == Outcome.FAILED
        assert asked.exchange.answer.startswith("Welcome.\nFamilies: £24")

    def test_nothing_found_text_is_trusted(self, site, connections, ask):
        words = "I don't know. Ring 020 7946 0099."
        Switch.objects.create(site=site, nothing_found={"en-gb": words})
        options = {"exchange_id": uuid.uuid4(), "locale": "en-gb", "fact_lock": True}
        first = ask(passages=[], backend=make_backend("ollama"), **options)
        again = ask(passages=[], backend=make_backend("ollama"), **options)
        assert first.text == again.text == words
        assert again.done.outcome == Outcome.NO_ANSWER


@pytest.mark.django_db(transaction=True)
def test_sync_and_async_release_the_same_events(site, connections, standin):
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
