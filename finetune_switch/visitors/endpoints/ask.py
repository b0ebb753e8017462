"""The stream of an answer."""

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import override

from finetune_switch.visitors.answering import page_language, stream_to_visitor

from .fields import read_uuid
from .guards import visitor_endpoint


@visitor_endpoint("POST")
def ask(request: HttpRequest) -> HttpResponseBase:
    """A question in, a stream of events out. Form fields: ``q``, and ``locale`` of the page.

    ``conversation`` and ``id`` are UUIDs made by the visitor's script. Questions that follow each
    other share ``conversation``. A question that is sent again with the same ``id`` is answered
    once.

    Instead of Django's CSRF token, the browser's headers say which site the request comes from; a
    page of another site cannot forge them. A page with a token cannot be cached for everybody, and
    fetching a token first costs a round trip. Asking changes nothing and other sites' scripts
    cannot read the answer, but it may cost money and uses the rights of the signed-in user.
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
