"""The page that searches and answers, without any script; and the search alone, as JSON."""

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

from finetune_switch import conf
from finetune_switch.access import Asker
from finetune_switch.answers.threads import release_connections
from finetune_switch.exceptions import BackendError, InvalidQuestion, Refused
from finetune_switch.limits import throttling
from finetune_switch.models import Switch
from finetune_switch.models.exchange import clean_question
from finetune_switch.search import Retrieval, each_vector_once
from finetune_switch.visitors.answering import Answered, answer_visitor, page_language
from finetune_switch.visitors.notices import notice_text

from .guards import PRIVATE, is_meant, refuse, visitor_endpoint

# How many pages are listed if none is similar enough to the question.
MOST_CLOSEST = 5
# The value of ``answer`` in the address of a page whose script asks by itself.
LATER = "later"


@require_GET
@never_cache
@each_vector_once()
def search(request: HttpRequest) -> HttpResponse:
    """A question or a few words: the answer, and the pages that match, without any script.

    The answer is given with the first page of the results. If the browser says that another site
    led here, or shows this as an image, no model is asked and the page offers to ask it. With
    ``answer=later``, which a script adds, the page comes at once and the answer is streamed.
    """
    question = request.GET.get("q", "").strip()
    switch = Switch.for_question(Site.find_for_request(request))
    context: dict[str, Any] = {
        "question": question,
        "data_destination": switch.backend.data_destination,
        "notice": notice_text(switch, get_language()) if switch.answers_visitors else "",
        "is_on": switch.answers_visitors,
    }
    status, retry_after = 200, None
    if question:
        try:
            _admit(request, question, switch)
        except InvalidQuestion as error:
            context["refusal"] = str(error)
        except Refused as error:
            context["refusal"] = str(error)
            status, retry_after = error.status, error.retry_after
        else:
            answered = _search_and_answer(request, question, switch, context)
            if answered is not None:
                status, retry_after = answered.status, answered.retry_after
    response = render(request, "finetune_switch/visitors/search.html", context, status=status)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def _search_and_answer(
    request: HttpRequest, question: str, switch: Switch, context: dict[str, Any]
) -> Answered | None:
    """Add the results to the context, and the answer or the way to it; the answer, if any."""
    found = _find_or_none(request, question, switch)
    context["found"] = found and found.pages
    context["is_closest"] = found is not None and found.is_closest
    if not switch.answers_visitors or (found is not None and found.pages.number != 1):
        return None
    if not is_meant(request):
        context["offers_answer"] = True
        return None
    if request.GET.get("answer") == LATER:
        context["is_answered_later"] = True
        return None
    passages = None if found is None else found.retrieval.passages(switch.passages)
    context["answered"] = answered = answer_visitor(
        request, question, passages=passages, before_waiting=release_connections
    )
    return answered


@visitor_endpoint("GET")
@each_vector_once()
def results(request: HttpRequest) -> HttpResponseBase:
    """The search as JSON: ``q``, and optionally ``page`` and the ``locale`` of the page."""
    with override(page_language(request.GET.get("locale", ""))):
        switch = Switch.for_question(Site.find_for_request(request))
        question = _admit(request, request.GET.get("q", ""), switch)
        try:
            found = _find(request, question, switch)
        except BackendError as error:
            return refuse(str(error), 503, error.code)
    pages = found.pages
    return JsonResponse(
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
        },
        headers=PRIVATE,
    )


def _admit(request: HttpRequest, text: str, switch: Switch) -> str:
    """The question to search for, counted as a search.

    Raises :class:`~finetune_switch.exceptions.InvalidQuestion` and
    :class:`~finetune_switch.exceptions.Refused`.
    """
    question = clean_question(text, conf.visitors().max_question_length)
    throttling.count_request(request, switch.site_or_none, "search")
    return question


@dataclass(frozen=True)
class FoundPages:
    """One page of results: those above the similarity threshold, or just the closest there are.

    ``retrieval`` is the search above the threshold.
    """

    pages: Page
    is_closest: bool
    retrieval: Retrieval


def _find_or_none(request: HttpRequest, question: str, switch: Switch) -> FoundPages | None:
    try:
        return _find(request, question, switch)
    except BackendError:
        # The answer fails for the same reason, and says so.
        return None


def _find(request: HttpRequest, question: str, switch: Switch) -> FoundPages:
    retrieval_for_switch = partial(
        Retrieval.for_switch,
        switch,
        question,
        asker=Asker.from_request(request),
        locale=get_language(),
        request=request,
    )
    retrieval = retrieval_for_switch()
    pages = retrieval.results(request.GET.get("page"))
    if pages.paginator.count:
        return FoundPages(pages, is_closest=False, retrieval=retrieval)
    closest = retrieval_for_switch(threshold=-1.0).results(most=MOST_CLOSEST)
    return FoundPages(closest, is_closest=True, retrieval=retrieval)
