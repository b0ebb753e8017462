"""What is sent to a model server, and that nothing else is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import aclosing, closing
from dataclasses import replace
from importlib.metadata import version

import pytest

from demo_site.standin import StandIn
from demo_site.standin.behaviours import TEST_ANSWER
from finetune_switch.answers import aanswer, answer
from finetune_switch.answers.events import SourcesEvent, TextEvent, WaitingEvent
from finetune_switch.backends import stream_readers
from finetune_switch.backends.base import BackendConfig, BaseChatBackend
from finetune_switch.backends.calls import aimport_litellm
from finetune_switch.backends.litellm import LiteLLMChatBackend
from finetune_switch.conf import Deadlines
from finetune_switch.exceptions import DeadlineExceeded
from finetune_switch.models import Exchange, Outcome
from tests.conftest import API_KEY
from tests.helpers import QUESTION, make_backend, make_passages, manage, run, server_connection

# With the site, work on database threads shares the transaction of its test.
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

MESSAGES = [{"role": "user", "content": QUESTION}]


def test_ollama_gets_each_parameter_where_it_belongs(connections, standin, ask):
    parameters = {
        "temperature": 0.2, "top_p": 0.9, "max_tokens": 50, "seed": 7, "stop": ["END"],
        "num_ctx": 2048, "keep_alive": "30m",
    }  # fmt: skip
    assert ask(backend=make_backend("ollama", parameters=parameters), passages=make_passages()).done
    (request,) = standin.requests
    body = request.json
    assert request.path == "/api/chat"
    assert body["options"] == {
        "temperature": 0.2, "top_p": 0.9, "num_predict": 50, "seed": 7, "stop": ["END"],
        "num_ctx": 2048,
    }  # fmt: skip
    assert (body["keep_alive"], body["think"], body["stream"]) == ("30m", False, True)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"].startswith('<passage number="1" title="Page 1">')


@pytest.mark.parametrize(
    ("kept", "sent"), [("-1", -1), ("0", 0), ("30", 30), ("-1m", "-1m"), ("1.5h", "1.5h")]
)
def test_ollama_gets_seconds_as_a_number(connections, standin, ask, kept, sent):
    """It refuses a text without a unit, and every question with it."""
    backend = make_backend("ollama", parameters={"keep_alive": kept})
    assert ask(backend=backend, passages=make_passages()).done
    assert standin.requests[0].json["keep_alive"] == sent


def test_openai_gets_each_parameter_where_it_belongs(connections, standin, ask):
    parameters = {"temperature": 0.2, "top_p": 0.9, "max_tokens": 50, "seed": 7, "stop": ["END"]}
    assert ask(backend=make_backend("openai", parameters=parameters), passages=make_passages()).done
    (request,) = standin.requests
    body = request.json
    assert request.path == "/v1/chat/completions"
    limit = body.pop("max_tokens", None) or body.pop("max_completion_tokens")
    assert limit == 50
    assert {name: body[name] for name in ("temperature", "top_p", "seed", "stop")} == {
        name: value for name, value in parameters.items() if name != "max_tokens"
    }
    assert body["stream_options"] == {"include_usage": True}
    assert "keep_alive" not in body
    assert "think" not in body


@pytest.mark.parametrize(("level", "sent"), [("off", False), ("low", "low"), ("high", "high")])
def test_ollama_thinks_only_where_it_is_wanted(connections, standin, ask, level, sent):
    backend = make_backend("ollama", "fault-thinking", parameters={"reasoning": level})
    assert ask(backend=backend, passages=make_passages()).done
    assert standin.requests[0].json["think"] == sent


@pytest.mark.parametrize(("level", "sent"), [("off", "none"), ("low", "low"), (None, None)])
def test_openai_is_told_not_to_think_where_it_is_switched_off(
    connections, standin, ask, level, sent
):
    """Without a word a reasoning model reasons as much as it likes."""
    backend = make_backend("openai", parameters={"reasoning": level} if level else {})
    assert ask(backend=backend, passages=make_passages()).done
    assert standin.requests[0].json.get("reasoning_effort") == sent


def test_a_question_is_one_request(connections, standin, ask):
    """litellm asks Ollama's ``/api/show`` about every model that it does not know."""
    for connection in ("ollama", "openai"):
        standin.clear()
        backend = make_backend(connection, "test-model:latest")
        assert ask(backend=backend, passages=make_passages()).done
        assert [request.path for request in standin.requests] == [
            "/api/chat" if connection == "ollama" else "/v1/chat/completions"
        ]


def test_no_key_goes_to_another_connection(connections, standin, ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    for connection in ("openai", "ollama", "openai"):
        assert ask(backend=make_backend(connection), passages=make_passages()).done
    sent = [request.headers.get("authorization") for request in standin.requests]
    assert sent == [f"Bearer {API_KEY}", None, f"Bearer {API_KEY}"]


@pytest.mark.parametrize("connection", ["openai", "ollama"])
def test_a_connection_without_a_key_takes_none_from_the_environment(
    connections, standin, ask, monkeypatch, connection
):
    for name in ("OPENAI_API_KEY", "OLLAMA_API_KEY"):
        monkeypatch.setenv(name, "sk-from-the-environment")
    connections["openai"]["API_KEY"] = ""
    assert ask(backend=make_backend(connection), passages=make_passages()).done
    assert "sk-from-the-environment" not in str(standin.requests[0].headers)


def test_an_address_is_read_at_each_question(connections, standin, ask, tmp_path):
    file = tmp_path / "address"
    connections["ollama"]["API_BASE"] = file.read_text
    backend = make_backend("ollama")
    with StandIn() as other:
        for server in (standin, other):
            server.clear()
            file.write_text(f"{server.url}\n")
            assert ask(backend=backend, passages=make_passages()).done
            assert len(server.requests) == 1
    file.unlink()
    failure = ask(backend=backend, passages=make_passages()).failure
    assert (failure.code, str(file) in failure.message) == ("misconfigured", False)


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "kimi:cloud", "Harbour:CLOUD"])
def test_a_model_of_ollamas_cloud_is_never_asked(connections, standin, ask, name):
    asked = ask(backend=make_backend("ollama", name), passages=make_passages())
    assert asked.failure.code == "cloud_model"
    assert "cloud" in asked.failure.message
    assert standin.requests == []


@pytest.mark.parametrize("connection", ["openai", "ollama"])
@pytest.mark.parametrize("fault", ["silence", "slow-first-token"])
class TestAReaderWhoLeaves:
    """The model's server sees it within a second, in the middle of a silence and before a word."""

    def left(self, standin, since):
        (left,) = standin.wait_for(lambda: standin.disconnects, timeout=1)
        assert left.time - since < 1
        standin.wait_for(lambda: standin.active_streams == 0, timeout=1)
        (exchange,) = Exchange.objects.all()
        assert exchange.outcome == Outcome.CANCELLED
        assert exchange.closed_at is not None
        return exchange.answer

    def test_from_a_loop(self, connections, standin, fault, connection):
        events = answer(
            QUESTION,
            backend=make_backend(connection, f"fault-{fault}"),
            passages=make_passages(),
        ).iterate(heartbeat=0.05)
        seen = []
        for event in events:
            seen.append(event)
            has_begun = fault != "silence" or any(isinstance(one, TextEvent) for one in seen)
            if isinstance(event, WaitingEvent) and standin.active_streams and has_begun:
                break
        since = time.monotonic()
        events.close()
        said = "".join(event.text for event in seen if isinstance(event, TextEvent))
        assert self.left(standin, since) == said
        assert bool(said) == (fault == "silence")

    def test_from_an_event_loop(self, connections, standin, fault, connection):
        pending = aanswer(
            QUESTION,
            backend=make_backend(connection, f"fault-{fault}"),
            passages=make_passages(),
        )

        async def leave():
            events = aiter(pending)
            assert isinstance(await anext(events), SourcesEvent)
            while fault == "silence" and pending.text_so_far != "The harbour":
                assert isinstance(await anext(events), TextEvent)
            reading = asyncio.ensure_future(anext(events))
            await standin.await_for(lambda: standin.active_streams, timeout=5)
            await asyncio.sleep(0.1)
            since = time.monotonic()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            return since

        assert self.left(standin, run(leave())) == pending.text_so_far


class TestAReaderWhoLeavesBetweenEvents:
    def check(self, outcome, answer):
        (exchange,) = Exchange.objects.all()
        assert (exchange.outcome, exchange.answer) == (outcome, answer)

    @pytest.mark.parametrize("said", ["", "The"])
    def test_by_closing(self, connections, standin, said):
        """After the sources, when no model was asked yet, and after the first word."""
        pending = answer(
            QUESTION, backend=make_backend("ollama", "fault-silence"), passages=make_passages()
        )
        with closing(iter(pending)) as events:
            assert isinstance(next(events), SourcesEvent)
            if said:
                assert next(events) == TextEvent(said)
        self.check(Outcome.CANCELLED, said)
        assert len(standin.requests) == bool(said)

    @pytest.mark.parametrize("said", ["", "The"])
    def test_by_closing_on_an_event_loop(self, connections, standin, said):
        pending = aanswer(
            QUESTION, backend=make_backend("ollama", "fault-silence"), passages=make_passages()
        )

        async def leave():
            async with aclosing(aiter(pending)) as events:
                assert isinstance(await anext(events), SourcesEvent)
                if said:
                    assert await anext(events) == TextEvent(said)

        run(leave())
        self.check(Outcome.CANCELLED, said)
        assert len(standin.requests) == bool(said)

    def test_after_the_end_it_has_ended(self, connections):
        with closing(iter(answer(QUESTION, passages=[]))) as events:
            next(events)
        self.check(Outcome.NO_ANSWER, "I don't know.")


def test_litellm_is_imported_by_the_first_question_alone(tmp_path):
    """Not by ``check``, by the admin, or by an answer that no model gives."""
    code = (
        "import django, sys; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('check')\n"
        "import finetune_switch.answers.api, finetune_switch.backends.preflight\n"
        "from finetune_switch.backends.extractive import ExtractiveChatBackend\n"
        "print('litellm' in sys.modules, 'openai' in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "demo_site.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False False"


class TestAddressThatTakesItsTime:
    """A callable or a file is read on a thread: an event loop has others to serve."""

    def config(self, standin, address, **seconds):
        connection = replace(server_connection("ollama", standin), api_base=address)
        deadlines = Deadlines(10, 10, 20).override(**seconds)
        return BackendConfig("slow", "Slow", "test-model", connection, deadlines=deadlines)

    def test_the_loop_goes_on(self, standin):
        backend = LiteLLMChatBackend(self.config(standin, lambda: time.sleep(0.5) or standin.url))

        async def ask():
            ticks = 0
            asked = asyncio.ensure_future(backend.acomplete(MESSAGES))
            while not asked.done() and not standin.requests:
                await asyncio.sleep(0.02)
                ticks += 1
            await asked
            return ticks

        run(aimport_litellm())
        assert run(ask()) > 10

    def test_it_counts_as_waiting(self, standin):
        config = self.config(standin, lambda: time.sleep(1) or standin.url, first_token=0.2)
        with pytest.raises(DeadlineExceeded):
            run(LiteLLMChatBackend(config).acomplete(MESSAGES))
        assert standin.requests == []


def test_litellm_is_quiet_even_where_somebody_else_imported_it():
    code = (
        "import litellm, django, asyncio, logging; django.setup()\n"
        "from finetune_switch.backends.calls import aimport_litellm\n"
        "assert not litellm.suppress_debug_info\n"
        "assert asyncio.run(aimport_litellm()) is litellm\n"
        "print(litellm.suppress_debug_info, logging.getLogger('LiteLLM').level)"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "demo_site.settings",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "True 50"


@pytest.mark.parametrize("heartbeat", [None, 0.1])
def test_a_stream_that_does_not_even_open_fails(heartbeat):
    class Backend(BaseChatBackend):
        def astream(self, messages):
            raise LookupError("no stream")

    with pytest.raises(LookupError, match="no stream"):
        list(Backend(BackendConfig("a", "A")).stream(MESSAGES, heartbeat=heartbeat))


class Hidden:
    """A stream of litellm's whose attributes have other names than they have today."""

    def __init__(self, stream):
        self._stream = stream

    def __aiter__(self):
        return aiter(self._stream)


class TestPrivateAttributes:
    @pytest.fixture(autouse=True)
    def unread(self, monkeypatch):
        unread = set()
        monkeypatch.setattr(stream_readers, "unread_providers", unread)
        return unread

    @pytest.fixture
    def hidden(self, monkeypatch):
        def open_hidden(stream, provider):
            return stream_readers.open_reader(Hidden(stream), provider)

        monkeypatch.setattr("finetune_switch.backends.litellm.open_reader", open_hidden)

    @pytest.mark.parametrize("connection", ["openai", "ollama"])
    def test_streams_are_read_directly(self, site, connections, connection, unread):
        assert answer(QUESTION, passages=[], retrieval=False, backend=make_backend(connection)).text
        assert unread == set()

    @pytest.mark.parametrize("connection", ["openai", "ollama"])
    def test_litellm_that_hides_them_is_logged_once(
        self, site, connections, connection, hidden, unread, caplog
    ):
        backend = make_backend(connection)
        for _number in range(2):
            pending = answer(QUESTION, retrieval=False, backend=backend)
            assert pending.text in TEST_ANSWER
        (record,) = [r for r in caplog.records if "litellm" in r.getMessage()]
        assert version("litellm") in record.getMessage()
        assert len(unread) == 1

    def test_doctor_says_so(self, site, connections, hidden, monkeypatch, unread):
        monkeypatch.setattr(
            "finetune_switch.management.subcommands.installing.unread_providers", unread
        )
        make_backend("openai", alias="hosted")
        manage("use", "hosted")
        ran = manage("doctor")
        assert f"litellm {version('litellm')} hides the responses of openai" in ran.out
        assert 'pip install "litellm' in ran.out
