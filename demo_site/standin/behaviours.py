"""The models of the stand-in, and their behaviour and faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from . import prompts, voices
from .embeddings import VECTOR_FAULTS
from .script import Break, Finish, Noise, Page, Refuse, Say, Script, Wait, say

TEST_ANSWER = "The harbour opens at nine. [1]"
SECRET_PLAN = "plan first: this is the secret plan"
HTML_ANSWER = (
    "Opening times: <script>alert(1)</script> <img src=x onerror=alert(2)> "
    "[the timetable](javascript:alert(3)) ![pixel](https://tracker.example/p.png?q=1) "
    '<a href="javascript:alert(4)">here</a> and **nine** o\'clock. [1]'
)
HTML_PAGE = "<!DOCTYPE html><html><body><h1>Welcome to the proxy</h1></body></html>\n"
HUGE_SIZE = 200_000
TIDES = "The tide comes in and the tide goes out. "
# Days until the shutdown of the model that has one announced.
OLD_MODEL_DAYS = 54

CHAT_TEMPLATE = (
    "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n"
)
DEAF_TEMPLATE = "### Instruction:\n{{ .Prompt }}\n\n### Response:\n"

Messages = Sequence[Any]


@dataclass(frozen=True)
class Model:
    """A model of this server and its behaviour.

    ``answer`` is a text, or a function of the messages. ``fault`` is a name from :data:`FAULTS`,
    and ``seconds`` its duration. With ``once``, only the first request fails. Where
    ``tokens_per_second`` or ``first_token_seconds`` is ``None``, the server's applies.
    ``protocol`` (``openai``, ``ollama`` or ``both``) decides where the model is listed; it answers
    on both. ``usage=False`` omits token counts. With ``renders=False`` a request to only render the
    prompt is answered like any other, as Ollama does if llama-server applies the template. A new
    ``digest_salt`` changes the digest in ``/api/tags``, as recreating the model would.
    """

    name: str
    answer: str | Callable[[Messages], str] = TEST_ANSWER
    fault: str = ""
    seconds: float | None = None
    once: bool = False
    tokens_per_second: float | None = None
    first_token_seconds: float | None = None
    usage: bool = True
    listed: bool = True
    protocol: str = "both"
    shutdown_date: str | None = None
    capabilities: tuple[str, ...] = ("completion",)
    parent_model: str = ""
    template: str = CHAT_TEMPLATE
    renders: bool = True
    context_length: int = 4096
    digest_salt: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.fault and self.fault not in FAULTS:
            raise ValueError(f"no such fault: {self.fault!r}")

    @property
    def tag_name(self) -> str:
        """The name as Ollama lists it."""
        return self.name if ":" in self.name else f"{self.name}:latest"

    @property
    def reads_system_messages(self) -> bool:
        return ".System" in self.template or ".Messages" in self.template

    def render(self, messages: Messages) -> str:
        """The prompt that Ollama would render with the model's template."""
        if self.reads_system_messages:
            turns = (
                f"<|{message.get('role')}|>\n{prompts.content(message)}<|end|>\n"
                for message in messages
            )
            return "".join(turns) + "<|assistant|>\n"
        last = [prompts.content(m) for m in messages if m.get("role") == "user"][-1:]
        return DEAF_TEMPLATE.replace("{{ .Prompt }}", "".join(last))

    def script(self, messages: Messages) -> Script:
        text = self.answer if isinstance(self.answer, str) else self.answer(messages)
        if self.fault:
            return FAULTS[self.fault](self, text, messages)
        return _plain(self, text, messages)

    def without_fault(self) -> Model:
        return replace(self, fault="", once=False)


Fault = Callable[[Model, str, Messages], Script]


def _plain(model: Model, text: str, messages: Messages) -> Script:
    return [*say(text), Finish()]


def _refusing(name: str) -> Fault:
    return lambda model, text, messages: [Refuse(name)]


def _after_some(*steps: Any) -> Fault:
    """Sends three tokens, then these steps."""
    return lambda model, text, messages: [*list(say(text))[:3], *steps]


def _slow(default: float) -> Fault:
    """Waits before sending anything, including headers."""
    return lambda model, text, messages: [
        Wait(default if model.seconds is None else model.seconds),
        *say(text),
        Finish(),
    ]


def _stall(model: Model, text: str, messages: Messages) -> Script:
    first, rest = list(say(text))[:3], list(say(text))[3:]
    return [*first, Wait(30.0 if model.seconds is None else model.seconds), *rest, Finish()]


def _thinking(model: Model, text: str, messages: Messages) -> Script:
    return [*say(SECRET_PLAN, thought=True), *say(text), Finish()]


def _think_tags(model: Model, text: str, messages: Messages) -> Script:
    cut = ["<", "thi", "nk>plan", " first: this is the se", "cret plan", "</", "thin", "k>\n\n"]
    return [*(Say(piece) for piece in cut), *say(text), Finish()]


def _think_tokens(model: Model, text: str, messages: Messages) -> Script:
    thoughts = [Say("<think>"), *say(SECRET_PLAN), Say("</think>"), Say("\n\n")]
    return [*thoughts, *say(text), Finish()]


def _role_only(model: Model, text: str, messages: Messages) -> Script:
    steps: list[Any] = [Noise("empty"), Noise("no-choices")]
    for token in say(text):
        steps += [token, Noise("no-choices"), Noise("empty")]
    return [*steps, Finish()]


def _bad_json(model: Model, text: str, messages: Messages) -> Script:
    pieces = list(say(text))
    return [*pieces[:2], Noise("bad-line"), *pieces[2:], Finish()]


def _slow_drip(model: Model, text: str, messages: Messages) -> Iterator[Any]:
    gap = 0.2 if model.seconds is None else model.seconds
    for number in range(int(600 / gap)):
        yield Say(f" drip{number}")
        yield Wait(gap)
    yield Finish()


def _silence(model: Model, text: str, messages: Messages) -> Script:
    return [*list(say(text))[:2], Wait(None)]


def _huge(model: Model, text: str, messages: Messages) -> Script:
    whole = (TIDES * (HUGE_SIZE // len(TIDES) + 1))[:HUGE_SIZE]
    return [*(Say(whole[i : i + 1000]) for i in range(0, HUGE_SIZE, 1000)), Finish()]


def _answering_with(answer: Callable[[Messages], str]) -> Fault:
    return lambda model, text, messages: [*say(answer(messages)), Finish()]


def _rewriting(fault: Fault) -> Fault:
    """Answers questions, but has this fault when asked to rewrite a follow-up."""
    return lambda model, text, messages: (
        fault if prompts.parse_follow_up(messages) is not None else _plain
    )(model, text, messages)


def _echo_of_follow_up(messages: Messages) -> str:
    follow_up = prompts.parse_follow_up(messages)
    return follow_up.question if follow_up else ""


# By name. The model ``fault-NAME`` has the fault.
FAULTS: dict[str, Fault] = {
    "unauthorized": _refusing("unauthorized"),
    "forbidden": _refusing("forbidden"),
    "notfound": _refusing("notfound"),
    "ratelimit": _refusing("ratelimit"),
    "insufficient-quota": _refusing("insufficient-quota"),
    "busy": _refusing("busy"),
    "load-failure": _refusing("load-failure"),
    "runner-died": _refusing("runner-died"),
    "context-overflow": _refusing("context-overflow"),
    "context-overflow-native": _refusing("context-overflow-native"),
    "leaky-error": _refusing("leaky-error"),
    "unsupported-parameter": _refusing("unsupported-parameter"),
    "slow-first-token": _slow(30.0),
    "slow-load": _slow(3.0),
    "stall": _stall,
    "silence": _silence,
    "slow-drip": _slow_drip,
    "cut": _after_some(Break("reset")),
    "disconnect": _after_some(Break("close")),
    "no-end": _after_some(Break("end")),
    "error-line": _after_some(Break("error")),
    "html": lambda model, text, messages: [Page(HTML_PAGE, "text/html")],
    "empty-body": lambda model, text, messages: [Page("")],
    "empty-answer": lambda model, text, messages: [Finish()],
    "thinking": _thinking,
    "think-tags": _think_tags,
    "think-tokens": _think_tokens,
    "think-orphan": lambda model, text, messages: [
        *say(SECRET_PLAN),
        Say("</thi"),
        Say("nk>\n\n"),
        *say(text),
        Finish(),
    ],
    "think-brackets": lambda model, text, messages: [
        Say("[TH"),
        Say("INK]"),
        *say(SECRET_PLAN),
        Say("[/THINK"),
        Say("]"),
        *say(text),
        Finish(),
    ],
    "think-channels": lambda model, text, messages: [
        Say("<|channel|>analysis<|mess"),
        Say("age|>"),
        *say(SECRET_PLAN),
        Say("<|end|><|start|>assistant<|channel|>final<|message|>"),
        *say(text),
        Finish(),
    ],
    "think-unclosed": lambda model, text, messages: [
        *say("<think>plan first: this is the secret plan " + text),
        Finish(),
    ],
    "role-only": _role_only,
    "bad-json": _bad_json,
    "length": lambda model, text, messages: [*say(text), Finish("length")],
    "max-tokens": lambda model, text, messages: [*say(text), Finish("MAX_TOKENS")],
    "abort": lambda model, text, messages: [*say(text), Finish("abort")],
    "network-error": lambda model, text, messages: [*say(text), Finish("network_error")],
    "content-filter": _after_some(Finish("content_filter")),
    "huge": _huge,
    "echo-prompt": _answering_with(lambda messages: json.dumps(list(messages), ensure_ascii=False)),
    "rewrite-hangs": _rewriting(lambda model, text, messages: [Wait(None)]),
    "rewrite-fails": _rewriting(_refusing("runner-died")),
    "rewrite-echoes": _rewriting(_answering_with(_echo_of_follow_up)),
    "html-answer": _answering_with(lambda messages: HTML_ANSWER),
    "no-usage": _plain,
    "impossible-usage": _plain,
    **dict.fromkeys(VECTOR_FAULTS, _plain),
}

# Faults for which a model ``fault-NAME-once`` fails on the first request only.
ONCE = ("ratelimit", "load-failure", "busy")


def builtin_models() -> list[Model]:
    """The models of the demo, the test model, and one for each fault."""
    faulty = [
        Model(
            f"fault-{name}",
            fault=name,
            listed=False,
            usage=name != "no-usage",
            tokens_per_second=0 if name in ("huge", "slow-drip") else None,
            capabilities=("completion", "thinking") if name == "thinking" else ("completion",),
        )
        for name in FAULTS
    ]
    once = [Model(f"fault-{name}-once", fault=name, once=True, listed=False) for name in ONCE]
    # Writes as many words as ``max_tokens`` allows.
    talkative = Model("standin-talkative", answer=TIDES * 500, listed=False)
    return [*demo_models(), Model("test-model"), talkative, *faulty, *once]


def demo_models() -> list[Model]:
    grounded = voices.answer_function(voices.grounded)
    invented = voices.answer_function(voices.inventive)
    return [
        Model("standin-hosted", answer=grounded, protocol="openai", context_length=128_000),
        Model(
            "standin-hosted-old",
            answer=grounded,
            protocol="openai",
            shutdown_date=(date.today() + timedelta(days=OLD_MODEL_DAYS)).isoformat(),
            context_length=16_385,
        ),
        Model(
            "standin-finetuned:latest",
            answer=invented,
            protocol="ollama",
            parent_model="standin-base:latest",
        ),
        Model(
            "standin-base:latest", answer=voices.answer_function(voices.untuned), protocol="ollama"
        ),
        Model(
            "standin-deaf:latest",
            answer=voices.answer_function(voices.inventive, system=False),
            protocol="ollama",
            parent_model="standin-base:latest",
            template=DEAF_TEMPLATE,
        ),
        Model("standin-embed", capabilities=("embedding",)),
    ]
