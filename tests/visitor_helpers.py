"""What visitors have asked, as it stands in the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone
from wagtail.models import Site

from finetune_switch.models import Exchange, Feedback, Origin, Outcome
from finetune_switch.passages import Passage, Source

HERE = {"headers": {"sec-fetch-site": "same-origin"}}


def make_exchange(
    question: str,
    site: Site | None,
    *,
    pages: Sequence[Any] = (),
    texts: Sequence[str] = (),
    score: float = 0.5,
    thumb: bool | None = None,
    comment: str = "",
    days_ago: float = 0,
    **values: Any,
) -> Exchange:
    """Answered from these pages, by what they say or by ``texts``, citing them all."""
    passages = [
        Passage(
            number=number,
            text=texts[number - 1] if texts else f"Of {page.title}.",
            score=score,
            source=Source(page.title, "/", page._meta.label_lower, str(page.pk)),
        ).as_dict()
        for number, page in enumerate(pages, start=1)
    ]
    opened = timezone.now() - timedelta(days=days_ago)
    answer = values.get("answer", "At nine.")
    exchange = Exchange.objects.create(
        site=site,
        question=question,
        passages=passages,
        opened_at=opened,
        deadline_at=opened + timedelta(minutes=2),
        **{
            "origin": Origin.SITE,
            "locale": "en-gb",
            "outcome": Outcome.COMPLETE,
            "citations": [passage["number"] for passage in passages],
            "answer": answer,
            "shown_text": answer,
            "backend_state": {"label": "The model of then", "model": "model-1"},
            "first_token_seconds": 0.5,
            "duration_seconds": 2.0,
            **values,
        },
    )
    if thumb is not None:
        Feedback.objects.create(exchange=exchange, is_helpful=thumb, comment=comment)
    return exchange


def unanswered(question: str, site: Site | None, **values: Any) -> Exchange:
    values = {"outcome": Outcome.NO_ANSWER, "answer": "I don't know.", "citations": [], **values}
    return make_exchange(question, site, **values)


def events(response):
    body = b"".join(response.streaming_content).decode()
    blocks = [block for block in body.split("\n\n") if block.startswith("event: ")]
    return [(block.split("\n")[0][7:], json.loads(block.split("\n")[1][6:])) for block in blocks]


def ask_visitor(
    client, question="When does the lighthouse open?", *, headers=HERE["headers"], **data
):
    return client.post("/answers/ask/", {"q": question, **data}, headers=headers)
