"""The stream of an answer to a question that follows others."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import override

from finetune_switch.visitors.answering import page_language, stream_to_visitor

from .fields import read_json, read_text, read_turns, read_uuid
from .guards import visitor_endpoint


@visitor_endpoint("POST")
def converse(request: HttpRequest) -> HttpResponseBase:
    """A question with those before it in, a stream of events out.

    A JSON object: ``question``, and where they are of use ``turns`` (of ``question`` and
    ``answer`` each, oldest first), ``conversation`` and ``id`` (UUIDs of the visitor's own), and
    the page's ``locale``. The browser remembers the conversation; nothing of it is kept here but a
    record of each question. As a question may not come from elsewhere, so may this.
    """
    body = read_json(request)
    locale = page_language(read_text(body, "locale"))
    with override(locale):
        return stream_to_visitor(
            request,
            read_text(body, "question"),
            locale,
            turns=read_turns(body),
            conversation=read_uuid(body.get("conversation"), "conversation"),
            exchange_id=read_uuid(body.get("id"), "id"),
        )
