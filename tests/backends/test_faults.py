"""What a model server can do to us, over a real socket, and what is left of the question then."""

from __future__ import annotations

import itertools
import logging
import re
import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tenacity

from demo_site.standin.behaviours import HUGE_SIZE, SECRET_PLAN, TEST_ANSWER
from finetune_switch.backends import errors
from finetune_switch.backends.base import BackendConfig
from finetune_switch.backends.litellm import LiteLLMChatBackend
from finetune_switch.conf import Deadlines
from finetune_switch.models import Outcome
from tests.conftest import API_KEY
from tests.helpers import make_backend, make_passages, server_connection

pytestmark = pytest.mark.django_db

SAID = "The harbour opens"
# Short where a fault is waited out, so long that a busy machine keeps them everywhere else.
DEADLINES = Deadlines(first_token=5, idle=5, total=6)
SHORT = {
    "slow-first-token": Deadlines(first_token=0.5, idle=5, total=6),
    "stall": Deadlines(first_token=5, idle=0.5, total=6),
    "slow-drip": Deadlines(first_token=5, idle=5, total=1.2),
} | dict.fromkeys(
    # Asked again, as long as there is time for that.
    ("ratelimit", "insufficient-quota", "busy", "load-failure", "runner-died", "leaky-error"),
    Deadlines(first_token=1.5, idle=5, total=6),
)
# Words of the stand-in's error bodies, of tracebacks, and of addresses.
FOREIGN = re.compile(
    r"traceback|exception|error|sk-|org-|http|127\.0\.0\.1|litellm|llama-server|cuda|api_key|rpm"
    r"|status|<|\{|\bopenai\b|\bollama\b",
    re.IGNORECASE,
)
LEAKS = ("sk-leaked", API_KEY)

# What fails, the code that says so (where they differ: OpenAI's, Ollama's), what was said before.
FAULTS = [
    ("unauthorized", "unauthorized", ""),
    ("forbidden", "forbidden", ""),
    ("notfound", "model_not_found", ""),
    ("ratelimit", "rate_limited", ""),
    ("insufficient-quota", ("quota", "rate_limited"), ""),
    ("busy", "busy", ""),
    ("load-failure", "load_failed", ""),
    ("runner-died", "load_failed", ""),
    ("leaky-error", "load_failed", ""),
    ("unsupported-parameter", "unsupported_parameter", ""),
    ("context-overflow", "context_overflow", ""),
    ("context-overflow-native", "context_overflow", ""),
    ("slow-first-token", "first_token_timeout", ""),
    ("slow-drip", "total_timeout", "drip0 drip1 drip2"),
    ("stall", "stalled", SAID),
    ("cut", "cut", SAID),
    ("disconnect", "cut", SAID),
    ("no-end", "cut", SAID),
    ("error-line", "broke_off", SAID),
    ("html", "not_a_model_server", ""),
    ("empty-body", "not_a_model_server", ""),
    ("empty-answer", "empty", ""),
    ("think-unclosed", "empty", ""),
]


@pytest.fixture(scope="module", autouse=True)
def warm(_standin):
    """The deadlines here are shorter than litellm's import and first call on a busy machine."""
    for connection in (
        server_connection("openai", _standin),
        server_connection("ollama", _standin),
    ):
        LiteLLMChatBackend(BackendConfig("warm", "Warm", "test-model", connection)).complete(
            [{"role": "user", "content": "Hello"}]
        )


@pytest.fixture(params=["openai", "ollama"])
def provider(request):
    return request.param


@pytest.fixture(autouse=True)
def no_leaks(caplog, capfd):
    """Whatever fails: no key and no vendor's words in any log, on screen or in the database."""
    caplog.set_level(logging.DEBUG)
    yield
    seen = "".join([caplog.text, *(str(vars(record)) for record in caplog.records)])
    out, err = capfd.readouterr()
    assert not [leak for leak in LEAKS if leak in seen + out + err]


@pytest.fixture
def faulty(site, connections, provider, ask):
    """Asks a model with a fault, or ``model`` in its place, within short deadlines."""

    def ask_model(fault="", *, model="", deadlines=DEADLINES, connection=provider, **values):
        backend = make_backend(
            connection,
            model or f"fault-{fault}",
            first_token_seconds=deadlines.first_token,
            idle_seconds=deadlines.idle,
            total_seconds=deadlines.total,
            **values,
        )
        return ask(backend=backend, passages=make_passages())

    return ask_model


def check_failure(asked, code, text, seconds=DEADLINES.total):
    """A safe sentence, in time, and an exchange that says how it ended and keeps what was said."""
    assert asked.failure.code == code
    assert asked.failure.message.endswith(".")
    assert not FOREIGN.search(asked.failure.message)
    assert asked.seconds < seconds + 1
    exchange = asked.exchange
    assert (exchange.outcome, exchange.error_code) == (Outcome.FAILED, code)
    assert exchange.error == asked.failure.message
    assert asked.text.strip().startswith(text)
    assert exchange.answer == asked.text
    assert bool(exchange.answer) == bool(text)
    assert exchange.closed_at is not None
    assert [passage["number"] for passage in exchange.passages] == [1]
    assert not [leak for leak in LEAKS if leak in str(vars(exchange))]


@pytest.mark.parametrize(("fault", "code", "text"), FAULTS, ids=[name for name, *_ in FAULTS])
def test_a_fault_ends_in_a_sentence(faulty, provider, fault, code, text):
    deadlines = SHORT.get(fault, DEADLINES)
    asked = faulty(fault, deadlines=deadlines)
    code = code if isinstance(code, str) else code[provider == "ollama"]
    check_failure(asked, code, text, min(vars(deadlines).values()))


@pytest.mark.parametrize("provider", ["openai"])
def test_a_content_filter(faulty):
    """Ollama has none."""
    check_failure(faulty("content-filter"), "content_filter", SAID)


def test_a_refused_connection(faulty, connections, provider, unused_tcp_port):
    connections[provider]["API_BASE"] = f"http://127.0.0.1:{unused_tcp_port}"
    check_failure(faulty(model="test-model"), "refused", "")


def test_an_unknown_host(faulty, connections, provider):
    connections[provider]["API_BASE"] = "http://no-such-host.invalid:1"
    check_failure(faulty(model="test-model"), "unknown_host", "")


def test_an_unknown_model(faulty):
    check_failure(faulty(model="nobody-made-this"), "model_not_found", "")


@pytest.mark.parametrize("provider", ["openai"])
def test_a_wrong_key(faulty, connections):
    """Ollama has none; that of a proxy in front of it is the fault “unauthorized”."""
    connections["openai"]["API_KEY"] = "wrong-key"
    check_failure(faulty(model="test-model"), "unauthorized", "")


def test_the_remedy_names_the_parameter_that_is_refused(faulty, provider):
    named = {"openai": "temperature", "ollama": "reasoning"}[provider]
    assert f"“{named}”" in faulty("unsupported-parameter").failure.remedy


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"reasoning": "off"}, "reasoning"),
        ({"temperature": 0.2, "reasoning": "low"}, "temperature"),
    ],
)
def test_one_that_litellm_refuses_is_named_as_well(connections, site, ask, standin, values, named):
    """It knows which of OpenAI's models take what, and asks none that does not."""
    backend = make_backend("openai", "gpt-5", parameters=values)
    asked = ask(backend=backend, passages=make_passages())
    check_failure(asked, "unsupported_parameter", "")
    assert f"“{named}”" in asked.failure.remedy
    assert standin.requests == []


def test_of_a_parameter_that_is_not_ours_nothing_is_repeated(caplog):
    class UnsupportedParamsError(Exception):
        param = "sk-secret"

    found = errors.translate(UnsupportedParamsError("temperature"), BackendConfig("a", "A"))
    assert (found.code, "one by one" in found.remedy) == ("unsupported_parameter", True)


def test_a_line_that_is_no_json(faulty, provider):
    """litellm skips a bad line of Ollama's; OpenAI's SDK breaks off at it."""
    asked = faulty("bad-json")
    if provider == "ollama":
        assert (asked.text, asked.done.outcome) == (TEST_ANSWER, Outcome.COMPLETE)
    else:
        check_failure(asked, "cut", "The harbour")


def check_answered(asked, text=TEST_ANSWER):
    assert asked.text == text
    assert asked.done.outcome == Outcome.COMPLETE
    exchange = asked.exchange
    assert (exchange.outcome, exchange.answer, exchange.error) == (Outcome.COMPLETE, text, "")


@pytest.mark.parametrize("fault", ["thinking", "think-tags", "think-tokens", "role-only"])
def test_what_is_no_text_is_not_shown(faulty, fault):
    asked = faulty(fault, parameters={"reasoning": "low"} if fault == "thinking" else {})
    check_answered(asked)
    assert SECRET_PLAN not in str(vars(asked.exchange))


@pytest.mark.parametrize("fault", ["think-brackets", "think-channels"])
def test_markers_of_other_families(faulty, fault):
    asked = faulty(fault)
    check_answered(asked)
    assert SECRET_PLAN not in str(vars(asked.exchange))


def test_thoughts_without_an_opening_marker(faulty):
    """The first answer of such a model takes them back; later ones never show them."""
    first = faulty("think-orphan")
    assert first.answer.text_so_far == first.exchange.answer == TEST_ANSWER
    assert first.exchange.shown_text == TEST_ANSWER
    assert any(getattr(event, "replaces", False) for event in first.events) or (
        SECRET_PLAN not in first.text
    )
    again = faulty("think-orphan")
    check_answered(again)
    assert "secret" not in again.text


@pytest.mark.parametrize("fault", ["length", "max-tokens", "abort", "network-error"])
def test_an_answer_that_was_cut_off(faulty, fault, request):
    asked = faulty(fault)
    if fault != "length" and "ollama" in request.node.name:
        # The stand-in's Ollama knows no other reason.
        return
    assert (asked.text, asked.failure.code) == (TEST_ANSWER, "cut_off")
    assert str(asked.failure.message) == "The answer was cut off here."
    assert "max_tokens" in asked.failure.remedy or "its log" in asked.failure.remedy
    exchange = asked.exchange
    assert (exchange.outcome, exchange.shown_text) == (Outcome.CUT_OFF, TEST_ANSWER)


def test_an_answer_without_counts(faulty):
    asked = faulty("no-usage")
    check_answered(asked)
    assert (asked.done.cost, asked.exchange.cost) == (None, None)


def test_a_very_long_answer(faulty):
    asked = faulty("huge", deadlines=Deadlines(10, 10, 20))
    assert len(asked.exchange.answer) == pytest.approx(HUGE_SIZE, abs=1)


class TestAskingAgain:
    GENEROUS = Deadlines(first_token=8, idle=2, total=10)

    def test_it_waits_as_long_as_the_server_wants(self, faulty, standin):
        asked = faulty("ratelimit-once", deadlines=self.GENEROUS)
        check_answered(asked)
        first, second = (request.time for request in standin.requests)
        assert 1 <= second - first < 2.5

    @pytest.mark.parametrize("fault", ["load-failure-once", "busy-once"])
    def test_a_server_that_comes_to_itself(self, faulty, standin, fault):
        check_answered(faulty(fault, deadlines=self.GENEROUS))
        assert len(standin.requests) == 2

    def test_not_where_the_wait_would_pass_the_deadline(self, faulty, standin):
        asked = faulty("ratelimit", deadlines=Deadlines(0.8, 0.5, 1.5))
        check_failure(asked, "rate_limited", "")
        assert len(standin.requests) == 1
        # The server wanted a whole second.
        assert asked.seconds < 1

    @pytest.mark.parametrize("fault", ["unauthorized", "notfound", "context-overflow"])
    def test_not_where_it_is_of_no_use(self, faulty, standin, fault):
        faulty(fault, deadlines=self.GENEROUS)
        assert len(standin.requests) == 1

    @pytest.mark.parametrize("fault", ["cut", "error-line", "no-end"])
    def test_not_after_the_first_word(self, faulty, standin, fault):
        faulty(fault, deadlines=self.GENEROUS)
        assert len(standin.requests) == 1

    def test_three_times_at_most(self, faulty, standin):
        standin.add_model("hurried", fault="busy")
        check_failure(faulty(model="hurried", deadlines=self.GENEROUS), "busy", "")
        assert len(standin.requests) == 3

    def test_the_pause_that_was_weighed_is_the_one_that_is_made(self, faulty, standin, monkeypatch):
        """It grows by chance; drawn twice, it would pass the deadline that it was weighed by."""
        chances = itertools.cycle([0, 30])
        dice = SimpleNamespace(random=chances.__next__)
        monkeypatch.setattr(tenacity.wait, "random", dice)
        asked = faulty("busy", deadlines=self.GENEROUS)
        check_failure(asked, "busy", "")
        # The second pause was too long, and was not begun.
        assert len(standin.requests) == 2
        assert asked.seconds < self.GENEROUS.first_token


def test_what_may_be_shown_is_translated_late(settings):
    """A sentence is in the asker's language, not in that of whoever imported the module."""
    from django.utils.translation import override

    with override("de"):
        error = errors.empty_answer()
    with override("en"):
        assert str(error) == "The model gave an empty answer."


def test_the_log_keeps_what_helps_without_secrets(faulty, caplog):
    faulty("leaky-error", deadlines=SHORT["leaky-error"])
    (record,) = [r for r in caplog.records if r.name == "finetune_switch.backends"][:1]
    assert record.levelno == logging.WARNING
    assert "status 500" in record.getMessage()
    assert "upstream failed" in record.getMessage()


@pytest.mark.parametrize(
    "said",
    [
        "api_key='gsk_SECRET0123456789'",
        'headers {"x-api-key": "AIzaSECRET0123456789"}',
        "Authorization: Basic dXNlcjpTRUNSRVQ=SECRET",
        "Authorization: Bearer SECRET.0123456789",
        "Incorrect API key provided: sk-SECRET0123456789.",
        "the key our own SECRET! is not known",
    ],
)
def test_no_key_reaches_the_log(said, standin, caplog):
    connection = replace(server_connection("openai", standin), api_key="our own SECRET!")
    error = RuntimeError(f"Before. {said} After.")
    errors.translate(error, BackendConfig("a", "A", connection=connection))
    assert "SECRET" not in caplog.text
    assert "Before." in caplog.text
    assert "[removed]" in caplog.text


class Refused(Exception):
    status_code = 401


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("Expecting value: json"), "failed"),
        (AttributeError("choices"), "failed"),
        (Refused(), "unauthorized"),
        (socket.gaierror(), "unknown_host"),
    ],
)
def test_a_class_of_the_settings_has_no_connection_to_look_at(error, code):
    found = errors.translate(error, BackendConfig("legacy-2", "legacy"))
    assert found.code == code
    assert "connection" not in found.remedy
    assert "“legacy”" in found.remedy
