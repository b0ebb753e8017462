"""An answer is lazy, asks once, replays at will, and leaves exactly one exchange."""

from __future__ import annotations

import threading
import uuid
from contextlib import aclosing, closing
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext, override
from wagtail.models import PageViewRestriction, Site

from demo_site.standin.behaviours import TEST_ANSWER
from finetune_switch import adapters
from finetune_switch.access import Asker
from finetune_switch.adapters import DeclaredBackend
from finetune_switch.answers import Answer, AskedQuestion, aanswer, answer, opening
from finetune_switch.answers.events import DoneEvent, FailedEvent, SourcesEvent, TextEvent
from finetune_switch.backends.base import BaseChatBackend, Text
from finetune_switch.exceptions import BackendError, InvalidQuestion
from finetune_switch.models import ChatBackend, Exchange, Origin, Outcome, Switch
from tests.helpers import OPENING, QUESTION, ask_async, ask_sync, make_backend, make_passages, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def backend(site, connections):
    return make_backend("ollama")


@pytest.fixture
def options(backend):
    return {"backend": backend, "passages": make_passages()}


class TestLazy:
    @pytest.mark.parametrize("make", [answer, aanswer])
    def test_nothing_is_asked_before_it_is_read(self, options, standin, make):
        pending = make(QUESTION, **options)
        assert (pending.events, pending.text_so_far, pending.passages) == ([], "", [])
        assert (pending.done, pending.failure, pending.exchange_id) == (None, None, None)
        assert not Exchange.objects.exists()
        assert standin.requests == []

    def test_the_switch_is_read_when_the_question_is_asked(self, site, backend):
        pending = answer(QUESTION, passages=make_passages(), site=site)
        Switch.objects.create(site=site).activate(backend, expected=None)
        assert pending.text == TEST_ANSWER

    def test_it_is_asked_once_and_replayed_at_will(self, options, standin):
        pending = answer(QUESTION, **options)
        first = list(pending)
        assert list(pending) == first == pending.events
        assert pending.text == TEST_ANSWER
        assert len(standin.requests) == Exchange.objects.count() == 1

    def test_the_same_with_an_event_loop(self, options, standin):
        pending = aanswer(QUESTION, **options)

        async def twice():
            return [e async for e in pending], [e async for e in pending], await pending.text()

        first, second, text = run(twice())
        assert (first, text) == (second, TEST_ANSWER)
        assert len(standin.requests) == Exchange.objects.count() == 1


def comparable(asked):
    """Events without what differs each time: the exchange's id and the times."""
    kept = []
    for event in asked.events:
        values = dict(vars(event))
        for name in ("exchange", "first_token_seconds", "duration_seconds", "load_seconds"):
            values.pop(name, None)
        kept.append((type(event), values))
    return kept


@pytest.mark.parametrize("model", ["test-model", "fault-stall", "fault-unauthorized", "fault-cut"])
def test_both_ways_give_the_same_events(options, model):
    options["backend"] = make_backend("ollama", model, idle_seconds=0.4)
    assert comparable(ask_sync(**options)) == comparable(ask_async(**options))


class TestEvents:
    def test_sources_then_text_then_the_end(self, options, ask):
        asked = ask(**options)
        sources, *texts, done = asked.events
        assert sources == SourcesEvent(
            exchange=str(asked.answer.exchange_id), backend=options["backend"].alias,
            label=options["backend"].label, data_destination="a test of Ollama",
            passages=options["passages"], left_out=0,
        )  # fmt: skip
        assert all(type(event) is TextEvent for event in texts)
        assert len(texts) > 3
        assert asked.text == TEST_ANSWER
        assert (done.outcome, done.citations) == (Outcome.COMPLETE, [1])
        assert 0 < done.first_token_seconds <= done.duration_seconds < 5
        assert done.prompt_tokens > 20
        assert done.completion_tokens == 7

    def test_the_cost(self, options, ask):
        options["backend"] = make_backend(
            "openai", prompt_price=Decimal("2.50"), completion_price=Decimal("10")
        )
        done = ask(**options).done
        expected = (done.prompt_tokens * 2.5 + done.completion_tokens * 10) / 1_000_000
        assert done.cost == pytest.approx(expected)
        assert float(Exchange.objects.get().cost) == pytest.approx(expected)

    def test_passages_that_do_not_fit_are_counted(self, options, ask):
        texts = ["harbour " * 200] * 5
        options["backend"] = make_backend("ollama", context_window=1024)
        options["passages"] = make_passages(*texts, scores=(0.1, 0.9, 0.2, 0.8, 0.3))
        asked = ask(**options)
        assert asked.answer.left_out == asked.sources.left_out == asked.exchange.left_out > 0
        kept = [passage.number for passage in asked.sources.passages]
        assert len(kept) == 5 - asked.sources.left_out
        assert kept == sorted(kept)
        assert 2 in kept

    def test_a_citation_of_nothing_is_dropped(self, options, standin, ask):
        standin.add_model("citing", answer="Nine [7]. Ten [1, 8].")
        asked = ask(**{**options, "backend": make_backend("ollama", "citing")})
        assert asked.text == asked.exchange.answer == "Nine. Ten [1]."
        assert asked.exchange.citations == [1]

    def test_no_nul_reaches_the_database(self, options, standin, ask):
        standin.add_model("nul", answer="Ni\x00ne [1].")
        options["backend"] = make_backend("ollama", "nul")
        asked = ask("When\x00 do you open?", **options)
        assert (asked.text, asked.exchange.answer) == ("Nine [1].", "Nine [1].")
        assert asked.exchange.question == "When do you open?"


class TestDontKnow:
    def test_nothing_found_asks_no_model(self, options, standin, ask):
        asked = ask(**{**options, "passages": []})
        assert (asked.text, asked.done.outcome) == ("I don't know.", Outcome.NO_ANSWER)
        assert (asked.exchange.outcome, asked.exchange.answer) == ("no_answer", "I don't know.")
        assert asked.done.cost is None
        assert standin.requests == []

    def test_in_the_words_of_the_site(self, site, options, standin, ask):
        Switch.objects.create(site=site, nothing_found={"de": "Leider nicht.", "en": "Sorry."})
        for locale, words in (("de", "Leider nicht."), ("en-gb", "Sorry.")):
            assert ask(**{**options, "passages": []}, site=site, locale=locale).text == words

    def test_the_phrase_from_a_model_is_no_answer(self, site, options, standin, ask):
        Switch.objects.create(site=site, nothing_found={"en": "Sorry, our pages do not say."})
        standin.add_model("cautious", answer="“Sorry, our pages do not say”")
        options["backend"] = make_backend("ollama", "cautious")
        asked = ask(**options, site=site, locale="en")
        assert asked.exchange.outcome == asked.done.outcome == Outcome.NO_ANSWER
        system = standin.requests[0].json["messages"][0]["content"]
        assert 'reply exactly: "Sorry, our pages do not say."' in system


def sent(request):
    """The messages of a request; litellm adds an empty list of images for Ollama."""
    return [{"role": m["role"], "content": m["content"]} for m in request.json["messages"]]


class TestWhatIsSent:
    def test_no_retrieval(self, backend, standin, ask):
        asked = ask(backend=backend, retrieval=False)
        assert asked.done.outcome == Outcome.COMPLETE
        assert (asked.sources.passages, asked.exchange.retrieval) == ([], False)
        system, user = standin.requests[0].json["messages"]
        assert user["content"] == QUESTION
        assert "reply exactly" not in system["content"]

    def test_other_instructions_than_the_backends_own(self, backend, standin, ask):
        exchange = ask(backend=backend, retrieval=False, instructions="Be\x00 brief.").exchange
        assert sent(standin.requests[0])[0]["content"] == "Be\x00 brief."
        state = exchange.backend_state
        assert (state["system_prompt"], state["prompt_version"]) == ("Be brief.", None)

    @pytest.mark.parametrize("told", [[], ["Be brief.", "The\x00 harbour."]])
    def test_the_exchange_has_the_wording_of_a_ready_prompt(self, backend, ask, told):
        assert (backend.prompt_version, backend.system_prompt != "") == (1, True)
        messages = [{"role": "system", "content": text} for text in told]
        exchange = ask(
            backend=backend, messages=[*messages, {"role": "user", "content": QUESTION}]
        ).exchange
        state = exchange.backend_state
        assert state["system_prompt"] == ("Be brief.\n\nThe harbour." if told else "")
        assert (state["prompt_version"], exchange.retrieval) == (None, False)
        assert (state["alias"], state["model"]) == (backend.alias, backend.model_name)

    def test_a_ready_prompt_goes_out_as_it_is(self, backend, standin, ask):
        messages = [{"role": "user", "content": "Only this."}]
        assert ask(backend=backend, messages=messages).done.outcome == Outcome.COMPLETE
        assert sent(standin.requests[0]) == messages

    def test_frozen_passages_are_the_same_for_all(self, options, standin, ask):
        for connection_name in ("ollama", "openai"):
            ask(**{**options, "backend": make_backend(connection_name)})
        first, second = (sent(request) for request in standin.requests)
        assert first == second
        assert OPENING in first[1]["content"]


class TestQuestions:
    @pytest.mark.parametrize("question", ["", "  \n", "\x00", " \x00 "])
    @pytest.mark.parametrize("make", [answer, aanswer])
    def test_nothing_to_ask(self, make, question):
        with pytest.raises(InvalidQuestion, match="Write a question first"):
            make(question)
        assert not Exchange.objects.exists()

    def test_too_much_to_ask(self):
        with pytest.raises(InvalidQuestion, match="20001 characters"):
            answer("x" * 20_001)

    def test_too_much_for_the_model(self, options, standin, ask):
        asked = ask("why " * 4_999, **options)
        assert asked.failure.code == "context_overflow"
        assert asked.exchange.outcome == Outcome.FAILED
        assert standin.requests == []

    def test_any_text(self, options, standin, ask):
        question = 'Où? "</question>" \' 😀 \\ {0} %s %(x)s ' + "ü" * 50
        assert ask(question, **options).exchange.question == question.strip()


class TestAskedOnce:
    def test_a_repeated_request_replays_the_record(self, options, standin, ask):
        number = uuid.uuid4()
        first = ask(**options, exchange_id=number)
        second = ask(**options, exchange_id=number)
        assert second.text == first.text
        assert second.done.citations == first.done.citations
        assert second.sources.passages == first.sources.passages
        assert second.sources.backend == first.sources.backend
        assert len(standin.requests) == Exchange.objects.count() == 1

    def test_nothing_is_looked_for_again(self, options, ask, django_assert_num_queries):
        number = uuid.uuid4()
        first = ask(**options, exchange_id=number)
        Switch.objects.all().delete()
        # What was recorded, and which site is asked now.
        with django_assert_num_queries(2):
            second = list(Answer(AskedQuestion(QUESTION, **options, exchange_id=number)))
        assert second[-1].citations == first.done.citations

    @pytest.mark.parametrize("other", [{"question": "Who?"}, {"origin": Origin.SHELL}])
    def test_an_id_is_no_key_to_somebody_elses_answer(self, options, standin, ask, other):
        number = uuid.uuid4()
        ask(**options, exchange_id=number)
        asked = ask(**{**options, **other}, exchange_id=number)
        assert (asked.failure.code, asked.text) == ("id_taken", "")
        assert asked.sources.passages == []
        assert len(standin.requests) == Exchange.objects.count() == 1
        assert Exchange.objects.get().outcome == Outcome.COMPLETE

    def test_nor_to_what_was_asked_on_another_site(self, site, options, standin, ask):
        other = Site.objects.create(hostname="other.example", root_page=site.root_page)
        number = uuid.uuid4()
        ask(**options, site=other, exchange_id=number)
        asked = ask(**options, exchange_id=number)
        assert (asked.failure.code, asked.text) == ("id_taken", "")
        assert ask(**options, site=other, exchange_id=number).text == TEST_ANSWER

    def test_nor_to_pages_that_one_may_not_open(self, backend, make_page, reindex, standin, ask):
        page = make_page("Lamp", OPENING)
        reindex()
        PageViewRestriction.objects.create(page=page, restriction_type=PageViewRestriction.LOGIN)
        member = {"asker": Asker.from_user(User.objects.create_user("ada"))}
        options = {"backend": backend, "exchange_id": uuid.uuid4()}
        first = ask(**options, **member)
        assert (first.text, len(first.sources.passages)) == (TEST_ANSWER, 1)

        asked = ask(**options)
        assert (asked.failure.code, asked.text, asked.sources.passages) == ("id_taken", "", [])
        assert ask(**options, **member).text == TEST_ANSWER

        page.unpublish()
        assert ask(**options, **member).failure.code == "id_taken"
        assert len(standin.requests) == Exchange.objects.count() == 1

    def test_a_failure_is_replayed_as_well(self, options, standin, ask):
        number = uuid.uuid4()
        options["backend"] = make_backend("ollama", "fault-cut")
        first, second = (ask(**options, exchange_id=number) for _ in range(2))
        assert (second.failure.message, second.failure.code) == (first.failure.message, "cut")
        assert second.text.strip() == first.text.strip() == "The harbour opens"
        assert len(standin.requests) == 1

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once(self, options, standin):
        standin.add_model("slow", first_token_seconds=0.5)
        options["backend"] = make_backend("ollama", "slow")
        number, gate, ends = uuid.uuid4(), threading.Barrier(2), []

        def put():
            pending = Answer(AskedQuestion(QUESTION, **options, exchange_id=number))
            gate.wait()
            ends.append(list(pending)[-1])
            connection.close()

        threads = [threading.Thread(target=put) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {type(end) for end in ends} == {DoneEvent, FailedEvent}
        (failure,) = [end for end in ends if isinstance(end, FailedEvent)]
        assert failure.code == "in_progress"
        assert len(standin.requests) == 1
        assert Exchange.objects.get().outcome == Outcome.COMPLETE

    @pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.OPEN])
    def test_one_that_was_broken_off(self, options, standin, ask, outcome):
        number = uuid.uuid4()
        ask(**options, exchange_id=number)
        past = timezone.now() - timedelta(minutes=5)
        Exchange.objects.update(outcome=outcome, deadline_at=past, shown_text="The har")
        asked = ask(**options, exchange_id=number)
        assert (asked.text, asked.failure.code) == ("The har", "interrupted")
        assert len(standin.requests) == 1
        assert Exchange.objects.get().outcome == outcome


class TestText:
    def test_raises_what_failed(self, options):
        options["backend"] = make_backend("ollama", "fault-unauthorized")
        with pytest.raises(BackendError, match="did not accept our key") as caught:
            _ = answer(QUESTION, **options).text
        assert caught.value.code == "unauthorized"
        with pytest.raises(BackendError, match="did not accept our key"):
            run(aanswer(QUESTION, **options).text())

    def test_of_an_answer_that_somebody_stopped_reading(self, options):
        pending = answer(QUESTION, **options)
        with closing(iter(pending)) as events:
            next(events), next(events)
        assert pending.text_so_far
        with pytest.raises(BackendError, match="was broken off") as caught:
            _ = pending.text
        assert caught.value.code == "interrupted"

    def test_the_same_with_an_event_loop(self, options):
        pending = aanswer(QUESTION, **options)

        async def leave():
            async with aclosing(aiter(pending)) as events:
                await anext(events), await anext(events)
            with pytest.raises(BackendError, match="was broken off"):
                await pending.text()

        run(leave())
        assert pending.text_so_far

    def test_a_sentence_is_in_the_language_of_the_question(self, options, ask):
        """Made late, on whatever thread: not in the language of the one who translated it."""
        options["backend"] = make_backend("ollama", "fault-unauthorized")
        with override("de"):
            german = ask(**options).failure.message
        with override("en-gb"):
            assert ask(**options).failure.message == "The model server did not accept our key."
        assert german.endswith(".")

    def test_what_nobody_foresaw_is_a_sentence_too(self, options, ask, monkeypatch, caplog):
        """A package's own backend that does not keep to the contract."""

        class Broken(BaseChatBackend):
            async def astream(self, messages):
                if messages:
                    raise ZeroDivisionError("sk-secret")
                yield Text("")

        class Source:
            def declared(self):
                return {"broken": DeclaredBackend("broken", "broken", "Broken")}

            def build(self, alias, config):
                return Broken(config)

        monkeypatch.setattr(adapters, "_backend_sources", [])
        adapters.register_backends(Source())
        options["backend"] = make_backend("broken", kind=ChatBackend.Kind.ADAPTER)
        asked = ask(**options)
        assert asked.failure.code == "internal"
        assert "sk-secret" not in asked.failure.message + asked.exchange.error
        assert "ZeroDivisionError" in caplog.text


class TestWhatNobodyForesaw:
    def test_while_passages_are_looked_for(self, backend, ask, monkeypatch, caplog):
        monkeypatch.setattr(opening, "retrieve_for", broken)
        asked = ask(backend=backend)
        assert [type(event) for event in asked.events] == [SourcesEvent, FailedEvent]
        assert asked.failure.code == "internal"
        assert asked.exchange.outcome == Outcome.FAILED
        assert "sk-secret" not in asked.failure.message + asked.exchange.error
        assert "ZeroDivisionError" in caplog.text

    @pytest.mark.parametrize("where", ["for_question", "insert"])
    def test_where_nothing_can_be_recorded(self, options, ask, monkeypatch, caplog, where):
        owner = Switch if where == "for_question" else opening.OpenExchange
        monkeypatch.setattr(owner, where, broken)
        with override("de"):
            asked = ask(**options)
        (event,) = asked.events
        assert event == asked.failure
        assert (event.code, event.message) == ("internal", gettext_in("de", INTERNAL))
        assert asked.answer.exchange_id is None
        assert not Exchange.objects.exists()
        assert "ZeroDivisionError" in caplog.text


INTERNAL = "Something went wrong while answering."


def broken(*args, **kwargs):
    raise ZeroDivisionError("sk-secret")


def gettext_in(language, text):
    with override(language):
        return gettext(text)


class TestTheQuestionsOwnLanguage:
    """Who reads an answer may have another language active than it was asked in."""

    def read(self, pending):
        # Not the context in which it was asked: a stream is read when the view is gone.
        with override("en-gb"):
            return list(pending)

    def test_of_the_backend_and_where_the_question_goes(self, site):
        first, *_others = self.read(answer(QUESTION, locale="de"))
        with override("de"):
            row = ChatBackend.extractive()
            assert (first.label, first.data_destination) == (str(row), row.data_destination)
        assert first.data_destination != row.data_destination

    @pytest.mark.parametrize("outcome", [Outcome.OPEN, Outcome.CANCELLED])
    def test_of_a_replay(self, options, outcome):
        number = uuid.uuid4()
        list(Answer(AskedQuestion(QUESTION, **options, locale="de", exchange_id=number)))
        Exchange.objects.update(outcome=outcome)
        last = self.read(
            Answer(AskedQuestion(QUESTION, **options, locale="de", exchange_id=number))
        )[-1]
        english = {
            Outcome.OPEN: "This question is being answered already.",
            Outcome.CANCELLED: "This answer was broken off. Ask again.",
        }[outcome]
        assert last.message == gettext_in("de", english) != english

    def test_of_not_knowing_without_a_model(self, site):
        messages = [{"role": "user", "content": "Wann öffnet der Hafen?"}]
        _first, *pieces, _done = self.read(answer("Wann?", messages=messages, locale="de"))
        said = "".join(piece.text for piece in pieces)
        assert said == gettext_in("de", "I don't know.") != "I don't know."


def test_who_asked_is_kept_of_colleagues_and_not_of_visitors(options, ask):
    user = User.objects.create_user("ada")
    asker = Asker.from_user(user)
    assert ask(**options, asker=asker).exchange.user is None
    for origin in (Origin.COMPARE, Origin.EVALUATION, Origin.SHELL):
        exchange = ask(**options, asker=asker, origin=origin).exchange
        assert (exchange.user, exchange.origin) == (user, origin)
