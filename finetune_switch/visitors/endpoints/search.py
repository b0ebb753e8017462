"""The page that searches and answers, without any script; and the search alone, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from html import unescape
from typing import Any

from django.core.paginator import Page
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.html import strip_tags
from django.utils.translation import get_language, override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from wagtail.models import Site

from finetune_switch.access import Asker
from finetune_switch.answers.threads import release_connections
from finetune_switch.exceptions import BackendError
from finetune_switch.models import Switch
from finetune_switch.models.exchange import clean_question
from finetune_switch.search import each_vector_once, retrieval
from finetune_switch.visitors.answering import Answered, answer_visitor, page_language
from finetune_switch.visitors.notices import notice_text

from .guards import is_meant, refuse, visitor_endpoint

# How many pages are named where none is like the question.
MOST_CLOSEST = 5
# What ``answer`` says in the address of a page whose script asks by itself.
LATER = "later"


@require_GET
@never_cache
@each_vector_once()
def search(request: HttpRequest) -> HttpResponse:
    """A question or a few words: the answer, and the pages that match, without any script.

    The answer is for the first page of the results; who turns pages has read it. A page of another
    site that leads here, or shows this as an image, gets no model asked: the visitor is offered to.
    With ``answer=later``, which a script adds, the page comes at once, and the answer in a stream.
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
        found = _find_or_none(request, question, switch)
        context["found"] = found and found.pages
        context["is_closest"] = found is not None and found.is_closest
        if switch.answers_visitors and (found is None or found.pages.number == 1):
            if not is_meant(request):
                context["offers_answer"] = True
            elif request.GET.get("answer") == LATER:
                context["is_answered_later"] = True
            else:
                answered = context["answered"] = answer_visitor(
                    request, question, before_waiting=release_connections
                )
    response = render(request, "finetune_switch/visitors/search.html", context)
    if answered is not None:
        response.status_code = answered.status
        if answered.retry_after is not None:
            response["Retry-After"] = str(answered.retry_after)
    return response


@visitor_endpoint("GET")
@each_vector_once()
def results(request: HttpRequest) -> HttpResponseBase:
    """The search as JSON: ``q``, and where wanted ``page`` and the ``locale`` of the page."""
    with override(page_language(request.GET.get("locale", ""))):
        question = clean_question(request.GET.get("q", ""))
        try:
            found = _find(request, question, Switch.for_question(Site.find_for_request(request)))
        except BackendError as error:
            return refuse(str(error), 503, error.code)
    pages = found.pages
    response = JsonResponse(
        {
            "results": [
                {
                    "title": result.source.title,
                    "url": result.source.url,
                    "excerpt": unescape(strip_tags(result.excerpt)),
                    "score": result.score,
                }
                for result in pages
            ],
            "page": pages.number,
            "pages": pages.paginator.num_pages,
            "count": pages.paginator.count,
            "is_closest": found.is_closest,
        }
    )
    response["Cache-Control"] = "private, no-store"
    return response


@dataclass(frozen=True)
class FoundPages:
    """One page of results, which are like the question or just the closest that there are."""

    pages: Page
    is_closest: bool


def _find_or_none(request: HttpRequest, question: str, switch: Switch) -> FoundPages | None:
    try:
        return _find(request, question, switch)
    except BackendError:
        # The answer fails for the same reason, and says so.
        return None


def _find(request: HttpRequest, question: str, switch: Switch) -> FoundPages:
    find = partial(
        retrieval.search,
        question,
        asker=Asker.from_request(request),
        site=switch.site_or_none,
        locale=get_language(),
        indexes=switch.indexes,
    )
    pages = find(threshold=switch.similarity_threshold, page=request.GET.get("page"))
    if pages.paginator.count:
        return FoundPages(pages, is_closest=False)
    return FoundPages(find(threshold=-1.0, most=MOST_CLOSEST), is_closest=True)
