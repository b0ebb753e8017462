"""The stream of an answer to a question that follows others."""

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import override

from finetune_switch.visitors.answering import page_language, stream_to_visitor

from .fields import read_json, read_text, read_turns, read_uuid
from .guards import visitor_endpoint


@visitor_endpoint("POST")
def converse(request: HttpRequest) -> HttpResponseBase:
    """A question with those before it in, a stream of events out.

    A JSON object: ``question``, and optionally ``turns`` (each with ``question`` and ``answer``,
    oldest first), ``conversation`` and ``id`` (UUIDs made by the visitor's script), and the page's
    ``locale``. The browser keeps the conversation; the site keeps only a record of each question.
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
