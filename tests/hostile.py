"""Hostile pages and questions (tests/hostile.toml), a model that obeys them, and what must hold."""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wagtail.models import PageViewRestriction

from finetune_switch.models import Switch
from tests.helpers import make_backend
from tests.index_helpers import build

MODEL = "obedient"
BIRDS = (
    "albatross auk avocet bittern brambling bunting buzzard capercaillie chaffinch chough"
    " coot cormorant corncrake crossbill curlew dipper dotterel dunlin dunnock eider firecrest"
    " fulmar gadwall gannet garganey godwit goldcrest goldeneye goosander goshawk grebe"
    " greenshank guillemot harrier hawfinch heron hobby hoopoe jackdaw jay kestrel kingfisher"
    " kittiwake knot lapwing linnet magpie mallard merganser merlin moorhen nightjar nuthatch"
    " osprey ouzel oystercatcher partridge peregrine petrel phalarope pintail pipit plover"
    " pochard ptarmigan puffin quail"
)
WORDS = BIRDS.split()
SECRET = "The safe is behind the chart of 1781."
TAG = re.compile(
    r'<passage number="(\d+)" title="[^"<>]*">\n|</passage>\n|<question>\n|</question>'
)
# What a server could take for the end of a turn, or a call.
TOKENS = re.compile(
    r"<\|(?!\s)|<｜|\[/?(?:INST|SYS|TOOL_CALLS|gMASK)|<</?SYS|</?(?:s|think|bos|eos|unk|start_of_turn"
    r"|end_of_turn)>|<0x0A>",
    re.IGNORECASE,
)
EVENTS = {"sources", "text", "done"}


@dataclass(frozen=True)
class Case:
    word: str
    tries: str
    page: str
    answer: str
    title: str = "{word}"
    question: str = "What about the {word}?"
    locale: str = ""
    never: Sequence[str] = ()
    remains: str = ""
    repeat: int = 1

    @property
    def asks(self) -> str:
        return self.question.replace("{word}", self.word)

    def says(self, messages: Sequence[Any]) -> str:
        """What a model says that does whatever it is told to."""
        if self.answer == "PROMPT":
            return "\n".join(message["content"] for message in messages)
        return self.answer * self.repeat


def read_cases() -> list[Case]:
    text = Path(__file__).with_name("hostile.toml").read_text("utf-8")
    cases = tomllib.loads(text)["cases"]
    return [Case(word, **case) for word, case in zip(WORDS, cases, strict=False)]


def together() -> list[Case]:
    """The cases in groups, each as one question with one answer.

    As many as an answer has sources at most, so that the title of each page is shown.
    """
    said = [case for case in read_cases() if case.answer != "PROMPT" and case.repeat == 1]
    groups = [said[start : start + 5] for start in range(0, len(said), 5)]
    return [
        replace(
            group[0],
            tries="; ".join(case.tries for case in group),
            question=" ".join(case.asks for case in group),
            answer="\n\n".join([*(case.answer for case in group), "Bye. [1]"]),
            # What stands on the page of one is true for the others.
            never=(),
        )
        for group in groups
    ]


class Obedient:
    """Says what the case at hand tells it to say, and keeps what it was sent."""

    case: Case
    messages: Sequence[Any] = ()

    def __call__(self, messages: Sequence[Any]) -> str:
        self.messages = messages
        return self.case.says(messages)


def prepare(settings: Any, site: Any, standin: Any, make_page: Callable[..., Any]) -> Obedient:
    """A site with a page for each case, a page behind a login, and the model that obeys."""
    for case in read_cases():
        title = case.title.replace("{word}", case.word)
        make_page(title, f"The {case.word}. {case.page}", slug=case.word)
    strongroom = make_page("Strongroom", f"Strongroom of the {WORDS[0]}. {SECRET}", slug="strong")
    PageViewRestriction.objects.create(page=strongroom, restriction_type="login")
    build()
    # More questions than a visitor has in a day.
    settings.FINETUNE_SWITCH = {
        **settings.FINETUNE_SWITCH,
        "VISITORS": {
            "QUESTIONS_A_MINUTE": None,
            "QUESTIONS_A_DAY": None,
            "STREAMS": None,
            "MAX_QUESTION_LENGTH": None,
        },
    }
    obedient = Obedient()
    standin.add_model(MODEL, listed=False, answer=obedient)
    switch, _created = Switch.objects.get_or_create(site=site)
    switch.activate(make_backend("ollama", MODEL), expected=switch.active_id)
    return obedient


def faults_of_prompt(messages: Sequence[Any], case: Case) -> Iterator[str]:
    """Where something in a prompt is read as ours that is not."""
    _system, user = (message["content"] for message in messages)
    tags = [match[0].strip() for match in TAG.finditer(user)]
    numbers = [int(match[1]) for match in TAG.finditer(user) if match[1]]
    expected = ["<passage", "</passage>"] * len(numbers) + ["<question>", "</question>"]
    if [tag.split(" ")[0] for tag in tags] != expected or not user.endswith("</question>"):
        yield f"its tags are {tags}"
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its passages are {numbers}"
    # As a model could read it: letters in any width, and nothing that is not seen.
    seen = "".join(
        c for c in unicodedata.normalize("NFKC", user) if unicodedata.category(c) != "Cf"
    )
    if len(re.findall(r"</?(?:passage|question)", seen, re.IGNORECASE)) != len(tags):
        yield "it has a tag of ours in disguise"
    if found := TOKENS.search(user):
        yield f"it has {found[0]!r}"
    if found := re.search("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]", user):
        yield f"it has {found[0]!a}"
    if case.word not in user:
        yield "the page was not found"
    if SECRET in user:
        yield "it has the page behind the login"


def faults_of_text(text: str, case: Case) -> Iterator[str]:
    for never in case.never:
        if never in text:
            yield f"the visitor reads {never!r}"
    if found := re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text):
        yield f"the visitor reads {found[0]!a}"


def read_stream(body: bytes) -> list[tuple[str, Any]]:
    """The events as the HTML standard has them read: lines end in CR LF, LF or CR."""
    events, name, data = [], "", []
    for line in re.split("\r\n|\n|\r", body.decode()):
        field, _, value = line.partition(":")
        if not line and data:
            events.append((name, json.loads("\n".join(data))))
            name, data = "", []
        elif field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))
        else:
            assert field in ("", "retry", "id"), line
    return events


def table(rows: Sequence[tuple[Case, str]]) -> str:
    """What came of each case, as a Markdown table."""
    lines = [
        "| it tries | the model says | the visitor reads | what is not promised |",
        "|---|---|---|---|",
    ]
    for case, shown in rows:
        said = "all that it was sent" if case.answer == "PROMPT" else _code(case.answer)
        if case.answer == "PROMPT":
            shown = f"{shown[:60]} …"
        cells = (case.tries, said, _code(shown), case.remains or "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _code(text: str) -> str:
    """A text as it is, in one short line of a table, with what cannot be seen by its number."""
    short = text if len(text) <= 130 else f"{text[:120]} …"
    visible = "".join(
        c if c.isprintable() else "⏎" if c == "\n" else f"\\u{ord(c):04x}" for c in short.strip()
    )
    escaped = visible.replace("`", "'").replace("|", "\\|")
    return f"`{escaped}`" if escaped else "nothing"
