"""The stream of an answer."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import override

from finetune_switch.visitors.answering import page_language, stream_to_visitor

from .fields import read_uuid
from .guards import visitor_endpoint


@visitor_endpoint("POST")
def ask(request: HttpRequest) -> HttpResponseBase:
    """A question in, a stream of events out. Form fields: ``q``, and ``locale`` of the page.

    ``conversation`` and ``id`` are UUIDs of the visitor's own: one that questions share which
    follow each other, and one of this question, which is then answered once however often it comes.

    In place of Django's token against forged requests it takes the browser's word for where the
    question was asked. A token in the page would make it one that no cache may keep for everybody,
    and fetching one first costs a round trip before each answer; what a page of another site cannot
    forge are the headers that name it. Nothing is changed by asking, and nobody else's script can
    read the answer, but it may cost money, and is made for who is signed in.
    """
    locale = page_language(request.POST.get("locale", ""))
    with override(locale):
        return stream_to_visitor(
            request,
            request.POST.get("q", ""),
            locale,
            conversation=read_uuid(request.POST.get("conversation"), "conversation"),
            exchange_id=read_uuid(request.POST.get("id"), "id"),
        )
