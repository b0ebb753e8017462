"""A museum, what is asked about it, and models that make follow-ups into something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from demo_site.standin.prompts import parse_follow_up
from finetune_switch.messages import Turn
from finetune_switch.models import ChatBackend, Switch
from tests.helpers import make_backend
from tests.index_helpers import build

FIRST = "When does the museum open?"
FOLLOW_UP = "And on Sundays?"
BY_RULE = f"{FIRST} {FOLLOW_UP}"
BY_MODEL = "When does the museum open on Sundays?"
HOURS = "The museum opens at ten in the morning, and on Sundays the museum opens at noon."
TURNS = [Turn(FIRST, "The museum opens at ten in the morning. [1]")]
PAGES = {
    "Opening hours": HOURS,
    "Chapel": "On Sundays there is a service in the chapel, and the organ is played.",
    "Soup": "On Sundays the café serves a soup of the day, and bread with it.",
    "Boats": "Boats are for hire on Sundays, and on Saturdays from the slipway.",
}


def make_museum(make_page: Callable[..., Any]) -> dict[str, Any]:
    """The pages by their titles, in the index."""
    made = {title: make_page(title, text) for title, text in PAGES.items()}
    build()
    return made


def switch_to(
    site: Any,
    model: str = "standin-hosted",
    connection: str = "openai",
    passages: int = 1,
    **values: Any,
) -> ChatBackend:
    """Make a model of the stand-in the active one, which is given so many passages."""
    row = make_backend(connection, model, **values)
    Switch.objects.update_or_create(site=site, defaults={"active": row, "passages": passages})
    return row


def rewriting_to(question: str, said: str) -> Callable[[Sequence[Any]], str]:
    """A model that makes this question of every follow-up, and says this to every other."""
    return lambda messages: question if parse_follow_up(messages) else said
