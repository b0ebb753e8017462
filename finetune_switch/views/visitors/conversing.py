"""The stream of an answer to a question that follows others."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.http import require_POST

from ...exceptions import InvalidQuestion
from ...streaming import stream_answer
from ...visitors import page_language, visitor_data, visitor_options
from .fields import read_json, read_text, read_turns, read_uuid
from .guards import is_from_here, refuse


@require_POST
def converse(request: HttpRequest) -> HttpResponseBase:
    """A question with those before it in, a stream of events out.

    A JSON object: ``question``, and where they are of use ``turns`` (of ``question`` and
    ``answer`` each, oldest first), ``conversation`` and ``id`` (UUIDs of the visitor's own), and
    the page's ``locale``. The browser remembers the conversation; nothing of it is kept here but a
    record of each question. As a question may not come from elsewhere, so may this.
    """
    if not is_from_here(request):
        return refuse(_("Questions are taken on this site's own pages only."), 403)
    try:
        body = read_json(request)
        locale = page_language(read_text(body, "locale"))
        with override(locale):
            options = visitor_options(request, locale) | {
                "turns": read_turns(body),
                "conversation": read_uuid(body.get("conversation"), "conversation"),
                "exchange_id": read_uuid(body.get("id"), "id"),
            }
            question = read_text(body, "question")
            return stream_answer(request, question, show=visitor_data, **options)
    except InvalidQuestion as error:
        return refuse(str(error), 400)
