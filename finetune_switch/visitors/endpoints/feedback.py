"""A visitor's feedback on an answer: helpful or not, and an optional comment."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _
from django.utils.translation import override
from wagtail.models import Site

from finetune_switch.exceptions import InvalidQuestion
from finetune_switch.limits import throttling
from finetune_switch.models import Exchange, Feedback, Origin
from finetune_switch.models.feedback import MAX_COMMENT_LENGTH
from finetune_switch.text.masking import masked
from finetune_switch.visitors.answering import page_language

from .fields import read_json, read_text
from .guards import refuse, visitor_endpoint

HELPFUL = {"true": True, "false": False, "": None}


@visitor_endpoint("POST")
def give_feedback(request: HttpRequest) -> HttpResponseBase:
    """Whether an answer helped: ``exchange``, ``is_helpful``, ``comment`` and ``locale``.

    JSON or form fields. Later feedback replaces earlier, and ``null`` (an empty field) removes it.
    Only those who were given an answer know the id of its exchange.
    """
    # Before the body is read, which can be large; so its locale is not known yet.
    throttling.count_request(request, Site.find_for_request(request), "feedback")
    given = _fields(request)
    with override(page_language(read_text(given, "locale"))):
        is_helpful, comment = _helpful(given), _comment(given)
        exchange = _find_exchange(request, read_text(given, "exchange"))
        if exchange is None:
            message = _("The answer that this is about is no longer kept.")
            return refuse(message, 404, "not_kept")
    # Masking may make the comment longer.
    comment = masked(comment, exchange.locale)[:MAX_COMMENT_LENGTH]
    return JsonResponse(_keep(exchange, is_helpful, comment))


def _fields(request: HttpRequest) -> dict[str, Any]:
    return read_json(request) if request.content_type == "application/json" else request.POST.dict()


def _helpful(given: dict[str, Any]) -> bool | None:
    value = given.get("is_helpful", "-")
    text = "" if value is None else str(value).lower()
    if text not in HELPFUL:
        raise InvalidQuestion(_("“is_helpful” has to be true or false, or null to take it back."))
    return HELPFUL[text]


def _comment(given: dict[str, Any]) -> str:
    comment = read_text(given, "comment").replace("\x00", "").strip()
    if len(comment) > MAX_COMMENT_LENGTH:
        raise InvalidQuestion(
            _("The comment has %(length)d characters; at most %(most)d can be sent.")
            % {"length": len(comment), "most": MAX_COMMENT_LENGTH}
        )
    return comment


def _find_exchange(request: HttpRequest, text: str) -> Exchange | None:
    """A visitor's exchange on the site of the request."""
    try:
        pk = uuid.UUID(text)
    except ValueError:
        return None
    site = Site.find_for_request(request)
    return Exchange.objects.filter(pk=pk, origin=Origin.SITE, site=site).first()


def _keep(exchange: Exchange, is_helpful: bool | None, comment: str) -> dict[str, Any]:
    if is_helpful is None:
        Feedback.objects.filter(exchange=exchange).delete()
        comment = ""
    else:
        Feedback.objects.update_or_create(
            exchange=exchange, defaults={"is_helpful": is_helpful, "comment": comment}
        )
    return {"exchange": str(exchange.pk), "is_helpful": is_helpful, "comment": comment}
