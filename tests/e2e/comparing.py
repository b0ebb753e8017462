"""Comparisons in each state that their page has, made as rows, so that no model is waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from demo_site.standin import StandIn
from finetune_switch.models import (
    ChatBackend,
    Column,
    Comparison,
    Exchange,
    Grade,
    Outcome,
    Preference,
    Reveal,
)
from finetune_switch.passages import Passage, Source

QUESTION = "When does the harbour open?"
TEXTS = (
    "The harbour opens at nine on every day of the week but Christmas, in any weather. The gate "
    "by the slip is the way in; there is a ramp beside the steps.",
    "On Saturdays the old tender sails at eleven, as long as the wind allows it.",
    "The tea room is open from ten until the last boat is in.",
)
ANSWERS = (
    "The harbour opens at nine on every day but Christmas. [1]\n\nThe tea room follows at ten. [3]",
    "Mind the wet steps! We open the gate at a quarter past eleven, ask for Ned Tolliver.",
    "That depends on the season.",
    "I don't know.",
)


class Scene:
    """A site with some pages, some backends, and what was compared on it."""

    def __init__(self, site: Any, make_page: Callable, backends: dict[str, ChatBackend]) -> None:
        self.site = site
        self.backends = list(backends.values())
        self.pages = [make_page(f"Opening hours, part {n + 1}", t) for n, t in enumerate(TEXTS)]

    @property
    def user(self) -> Any:
        return get_user_model().objects.get(username="nell")

    def colleague(self) -> Any:
        users = get_user_model().objects
        found = users.filter(username="sam").first()
        return found or users.create_superuser("sam", "sam@example.org", first_name="Sam")

    def more_backends(self, count: int) -> list[ChatBackend]:
        for number in range(len(self.backends), count):
            row = ChatBackend(
                alias=f"more-{number}",
                label=f"A backend with quite a long name, the {number}th of them",
                connection="openai",
                model_name="test-model",
            )
            row.save()
            self.backends.append(row)
        return self.backends[:count]

    def passages(self) -> list[dict[str, Any]]:
        return [
            Passage(
                number=number,
                text=text,
                score=0.9 - number / 10,
                source=Source(page.title, page.url, "demo_site.articlepage", str(page.pk)),
            ).as_dict()
            for number, (page, text) in enumerate(zip(self.pages, TEXTS, strict=True), 1)
        ]

    def compare(self, backends: Sequence[ChatBackend] = (), **values: Any) -> Comparison:
        """A comparison that nobody has answered yet; its columns in the order of the backends."""
        comparison = Comparison.objects.create(
            **{
                "site": self.site,
                "locale": "en-gb",
                "question": QUESTION,
                "user": self.user,
                "passages": self.passages(),
                **values,
            }
        )
        for position, backend in enumerate(backends or self.backends[:2]):
            Column.objects.create(
                comparison=comparison, position=position, backend=backend, label=str(backend)
            )
        return comparison

    def answered(self, *answers: str | dict[str, Any], **values: Any) -> Comparison:
        """One whose columns say this, or stand as the values of their exchange have it."""
        answers = answers or ANSWERS[:2]
        comparison = self.compare(self.more_backends(max(2, len(answers))), **values)
        for column, answer in zip(comparison.columns.all(), answers, strict=True):
            said = {"answer": answer} if isinstance(answer, str) else answer
            exchange(column, **said)
        return comparison


def exchange(column: Column, **values: Any) -> Exchange:
    """What came of a column's question."""
    return Exchange.objects.create(
        **{
            "id": column.exchange_id,
            "site": column.comparison.site,
            "origin": "compare",
            "question": column.comparison.question,
            "backend": column.backend,
            "outcome": Outcome.COMPLETE,
            "first_token_seconds": 0.42,
            "duration_seconds": 3.2,
            "load_seconds": 0.1,
            "prompt_tokens": 812,
            "completion_tokens": 64,
            "cost": "0.00031200",
            "deadline_at": timezone.now() + timedelta(minutes=2),
            **values,
        }
    )


def judged(comparison: Comparison, user: Any, letter: str = "A") -> Comparison:
    """Somebody grades the first answer, and prefers one."""
    columns = list(comparison.columns.select_related("exchange"))
    Grade.record(columns[0].exchange, judge=user, was_blind=True, value="correct", tone="nearly")
    Preference.record(
        comparison,
        judge=user,
        was_blind=True,
        outcome=Preference.Outcome.COLUMN,
        column=next(column for column in columns if column.letter == letter),
    )
    return comparison


def show_waiting(scene: Scene) -> str:
    """A colleague's, whose models nobody has asked."""
    return address(scene.compare(user=scene.colleague()))


def show_answered(scene: Scene) -> str:
    return address(scene.answered())


def show_four(scene: Scene) -> str:
    return address(scene.answered(*ANSWERS))


def show_judged(scene: Scene) -> str:
    comparison = scene.answered()
    judged(comparison, scene.colleague(), "B")
    return address(judged(comparison, scene.user))


def show_revealed(scene: Scene) -> str:
    comparison = judged(scene.answered(), scene.user)
    Reveal.objects.create(comparison=comparison, judge=scene.user)
    return address(comparison)


def show_failed(scene: Scene) -> str:
    error = "The model server does not take connections."
    failed = {"outcome": Outcome.FAILED, "error": error, "answer": ""}
    stopped = {"outcome": Outcome.CANCELLED, "answer": "The harbour opens at"}
    return address(scene.answered(failed, stopped))


def show_deleted(scene: Scene) -> str:
    comparison = scene.compare()
    Column.objects.filter(comparison=comparison, position=1).update(backend=None)
    exchange(comparison.columns.get(position=0), answer=ANSWERS[0])
    return address(comparison)


def show_no_passages(scene: Scene) -> str:
    nothing = {"outcome": Outcome.NO_ANSWER, "answer": "I could not find that on our pages."}
    return address(scene.answered(nothing, nothing, passages=[]))


def show_closed(scene: Scene) -> str:
    [first, *others] = scene.passages()
    erased = {**first, "source": {**first["source"], "object_id": "987654"}}
    return address(scene.answered(passages=[erased, *others]))


STATES: dict[str, Callable[[Scene], str]] = {
    "waiting": show_waiting,
    "answered": show_answered,
    "four": show_four,
    "judged": show_judged,
    "revealed": show_revealed,
    "failed": show_failed,
    "deleted": show_deleted,
    "no passages": show_no_passages,
    "closed": show_closed,
}


def address(comparison: Comparison) -> str:
    return comparison.get_absolute_url().removeprefix("/admin/")


# What a person sees of it


def column(page: Page, letter: str) -> Locator:
    return page.locator("article.finetune-column").nth("ABCD".index(letter))


def answer(page: Page, letter: str) -> Locator:
    return column(page, letter).locator(".finetune-answer")


def status(page: Page, letter: str) -> Locator:
    return column(page, letter).locator("[role=status]")


def is_answered(page: Page, *letters: str) -> None:
    """Wait until each of these columns can be graded."""
    for letter in letters:
        expect(column(page, letter).locator("[data-key='1']")).to_be_attached()


def is_pressed(button: Locator) -> None:
    expect(button).to_have_attribute("aria-pressed", "true")


def times_asked(standin: StandIn, name: str) -> int:
    """How often a model of the stand-in was asked since its record was cleared."""
    return [request.model for request in standin.requests if request.method == "POST"].count(name)
