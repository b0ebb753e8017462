"""Replies of a given form, over real sockets."""

from __future__ import annotations

import json

import pytest

from finetune_switch.access import Asker
from finetune_switch.answers import AskedQuestion
from finetune_switch.answers.structured import (
    BadStructure,
    ask_for,
    choice_schema,
    object_schema,
    parse,
    pattern_schema,
)
from finetune_switch.exceptions import BackendError
from finetune_switch.models import ChatBackend, Exchange, Origin, Outcome
from tests.helpers import make_backend

pytestmark = pytest.mark.django_db

GRADES = choice_schema(["correct", "wrong"])
GOOD = '{"choice": "wrong"}'


@pytest.fixture
def ask(site, connections, standin):
    def ask(*replies, connection="openai", parameters=None, schema=GRADES):
        said = iter(replies)
        standin.add_model("former", answer=lambda messages: next(said), listed=False)
        backend = make_backend(connection, "former", parameters=parameters or {})
        question = AskedQuestion(
            "Grade it.", backend=backend, asker=Asker.anonymous(), origin=Origin.EVALUATION
        )
        return ask_for(schema, question)

    return ask


class TestRequest:
    def test_openai_is_given_a_strict_schema(self, ask, standin):
        assert ask(GOOD).value == {"choice": "wrong"}
        (request,) = standin.requests
        assert request.json["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": True, "schema": GRADES},
        }
        assert "temperature" not in request.json

    def test_ollama_is_given_a_format_and_never_think(self, ask, standin):
        parameters = {"reasoning": "high", "temperature": 0.7, "stop": ["}"]}
        assert ask(GOOD, connection="ollama", parameters=parameters).value == {"choice": "wrong"}
        (request,) = standin.requests
        assert request.path == "/api/chat"
        assert request.json["format"] == GRADES
        assert "think" not in request.json
        assert request.json["options"]["temperature"] == 0
        assert "stop" not in request.json["options"]

    def test_without_a_schema_nothing_of_it_is_sent(self, site, connections, standin):
        from finetune_switch.answers import answer

        list(answer("When?", backend=make_backend("ollama"), messages=[MESSAGE]))
        assert "format" not in standin.requests[0].json
        assert standin.requests[0].json["think"] is False


MESSAGE = {"role": "user", "content": "When?"}


class TestRetry:
    def test_a_wrong_reply_is_sent_back_once_with_the_error(self, ask, standin):
        structured = ask('{"choice": "splendid"}', GOOD)
        assert structured.value == {"choice": "wrong"}
        assert len(structured.exchange_ids) == 2
        told = standin.requests[1].json["messages"]
        assert told[1] == {"role": "assistant", "content": '{"choice": "splendid"}'}
        assert "choice: 'splendid' is not one of ['correct', 'wrong']" in told[2]["content"]

    def test_twice_wrong_is_failed_and_never_repaired(self, ask, standin):
        with pytest.raises(BadStructure) as caught:
            ask('{"choice": "wrong",}', '{"choice": "wrong"')
        assert str(caught.value) == "The model's reply breaks off, or is no valid JSON."
        assert caught.value.code == "bad_structure"
        assert len(standin.requests) == 2

    def test_a_failed_backend_is_not_asked_again(self, ask, standin, connections):
        connections["openai"]["API_BASE"] = "http://127.0.0.1:9/v1"
        with pytest.raises(BackendError) as caught:
            ask(GOOD)
        assert not isinstance(caught.value, BadStructure)
        assert Exchange.objects.get().outcome == Outcome.FAILED

    def test_lists_of_numbers_are_no_citations(self, ask):
        schema = object_schema({"passages": {"type": "array", "items": {"type": "integer"}}})
        assert ask('{"passages": [1, 3]}', schema=schema).value == {"passages": [1, 3]}


class TestParse:
    @pytest.mark.parametrize(
        ("said", "wrong"),
        [
            ("", "The model wrote thoughts, but no reply."),
            ("```json\n" + GOOD + "\n```", "The model put its reply into a block of code."),
            ('{"choice": "wro', "The model's reply breaks off, or is no valid JSON."),
            (f"Sure! {GOOD}", "The model wrote text around its reply."),
            ("I can't help with that.", "The model replied with text where a form was asked for"),
            ("[]", "The model's reply doesn't fit its form: the reply: [] is not of type"),
            ('{"choice": "wrong", "why": ""}', "Additional properties are not allowed"),
            ("{}", "'choice' is a required property"),
            ('{"choice": 4}', "choice: 4 is not"),
        ],
    )
    def test_each_fault_has_its_sentence(self, said, wrong):
        with pytest.raises(BadStructure) as caught:
            parse(said, GRADES)
        assert wrong in str(caught.value)

    def test_regular_expressions_are_checked_here(self):
        schema = pattern_schema(r"^\d{2}:\d{2}$")
        assert parse('{"text": "09:30"}', schema) == {"text": "09:30"}
        with pytest.raises(BadStructure):
            parse('{"text": "half past nine"}', schema)

    def test_space_around_is_no_fault(self):
        assert parse(f"\n {GOOD} \n", GRADES) == json.loads(GOOD)


def test_a_backend_without_a_model_says_so(site):
    extractive = ChatBackend.objects.get(kind=ChatBackend.Kind.EXTRACTIVE)
    question = AskedQuestion("Grade it.", backend=extractive, origin=Origin.EVALUATION)
    with pytest.raises(BackendError) as caught:
        ask_for(GRADES, question)
    assert "can't be asked for a structured reply" in str(caught.value)
