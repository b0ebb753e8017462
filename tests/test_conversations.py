"""Questions that follow each other: what is searched for, what a model is sent, what is kept."""

from __future__ import annotations

import pytest

from finetune_switch.events import SourcesEvent
from finetune_switch.followups import Turn
from finetune_switch.models import Switch
from tests.helpers import make_backend
from tests.index_helpers import build

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = "When does the museum open?"
FOLLOW_UP = "And on Sundays?"
BY_RULE = f"{FIRST} {FOLLOW_UP}"
BY_MODEL = "When does the museum open on Sundays?"
HOURS = "The museum opens at ten in the morning, and on Sundays the museum opens at noon."
TURNS = [Turn(FIRST, "The museum opens at ten in the morning. [1]")]


@pytest.fixture
def pages(site, connections, make_page):
    made = {
        title: make_page(title, text)
        for title, text in {
            "Opening hours": HOURS,
            "Chapel": "On Sundays there is a service in the chapel, and the organ is played.",
            "Soup": "On Sundays the café serves a soup of the day, and bread with it.",
            "Boats": "Boats are for hire on Sundays, and on Saturdays from the slipway.",
        }.items()
    }
    build()
    return made


@pytest.fixture
def switched(site):
    """Makes a model of the stand-in the active one, and lets one passage through to it."""

    def use(model="standin-hosted", connection="openai", passages=1, **values):
        row = make_backend(connection, model, **values)
        Switch.objects.update_or_create(site=site, defaults={"active": row, "passages": passages})
        return row

    return use


def sources(asked):
    return [event for event in asked.events if isinstance(event, SourcesEvent)]


def titles(event):
    return [passage.source.title for passage in event.passages]


def sent(standin):
    """The messages of each request, as texts with their roles."""
    return [[(m["role"], m["content"]) for m in request.json["messages"]]
            for request in standin.requests]  # fmt: skip


class TestSearched:
    def test_a_follow_up_finds_what_the_question_before_it_is_about(self, pages, switched, ask):
        switched()
        alone = ask(FOLLOW_UP)
        assert titles(alone.sources) != ["Opening hours"]
        asked = ask(FOLLOW_UP, turns=TURNS)
        assert titles(asked.sources) == ["Opening hours"]
        assert "on Sundays the museum opens at noon" in asked.text
        assert asked.exchange.standalone_question == BY_MODEL
        assert asked.exchange.question == FOLLOW_UP
