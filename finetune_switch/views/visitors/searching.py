"""The page that searches and answers, without any script."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from wagtail.models import Site

from ... import retrieval
from ...askers import Asker
from ...exceptions import BackendError
from ...models import Switch
from ...notices import notice_text
from ...visitors import Answered, answer_visitor
from .guards import is_meant


@require_GET
@never_cache
def search(request: HttpRequest) -> HttpResponse:
    """A question or a few words: the answer, and the pages that match, without any script.

    The answer is for the first page of the results; who turns pages has read it. A page of another
    site that leads here, or shows this as an image, gets no model asked: the visitor is offered to.
    """
    question = request.GET.get("q", "").strip()
    site = Site.find_for_request(request)
    switch = Switch.for_question(site)
    context: dict[str, Any] = {
        "question": question,
        "data_destination": switch.backend.data_destination,
        "notice": notice_text(switch, get_language()) if switch.answers_visitors else "",
        "is_on": switch.answers_visitors,
    }
    answered: Answered | None = None
    if question:
        context |= _found(request, question, switch)
        if context["found"] is None or context["found"].number == 1:
            if not switch.answers_visitors:
                pass
            elif is_meant(request):
                answered = context["answered"] = answer_visitor(request, question)
            else:
                context["offers_answer"] = True
    response = render(request, "finetune_switch/visitors/search.html", context)
    if answered is not None:
        response.status_code = answered.status
        if answered.retry_after is not None:
            response["Retry-After"] = str(answered.retry_after)
    return response


def _found(request: HttpRequest, question: str, switch: Switch) -> dict[str, Page | None]:
    try:
        found = retrieval.search(
            question,
            asker=Asker.from_request(request),
            site=switch.site_or_none,
            locale=get_language(),
            indexes=switch.indexes,
            threshold=switch.similarity_threshold,
            page=request.GET.get("page"),
        )
    except BackendError:
        # The answer fails for the same reason, and says so.
        return {"found": None}
    return {"found": found}
