"""What the server tests ask, and with which passages."""

from __future__ import annotations

import uuid
from typing import Any

from demo_site.standin import StandIn
from finetune_switch.models import ChatBackend

QUESTION = "When does the harbour open?"
PASSAGES = [
    {
        "number": 1,
        "text": "The harbour opens at nine.",
        "score": 0.9,
        "source": {
            "title": "Opening hours",
            "url": "/visit/opening-hours/",
            "model": "demo_site.articlepage",
            "object_id": "1",
        },
    }
]
CONVERSATION = "/answers/conversation/"
LONG_ANSWER = (
    "The harbour opens at nine on every day of the week but Christmas, in any weather. [1]"
)


def asked(backend: ChatBackend | str | None = None, **more: Any) -> dict[str, Any]:
    """The body of a request that asks over frozen passages, so that nothing is retrieved.

    Without a backend the site's switch decides. The exchange gets an id, to find it by.
    """
    body = {"question": QUESTION, "passages": PASSAGES, "exchange_id": str(uuid.uuid4()), **more}
    if backend is None:
        return body
    return body | {"backend": backend if isinstance(backend, str) else backend.alias}


def follow_up() -> dict[str, Any]:
    """The body of a request to ``CONVERSATION``: a question that rests on the one before it."""
    return {
        "question": "And on Sundays?",
        "conversation": str(uuid.uuid4()),
        "id": str(uuid.uuid4()),
        "turns": [{"question": "When does the museum open?", "answer": "At ten. [1]"}],
    }


def models_asked(standin: StandIn) -> list[str]:
    return [request.model for request in standin.requests if request.method == "POST"]
