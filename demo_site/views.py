from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from wagtail.models import Page, Site

from finetune_switch.answering import answer
from finetune_switch.askers import Asker
from finetune_switch.exceptions import InvalidQuestion
from finetune_switch.models import Switch
from finetune_switch.streaming import stream_answer

PER_PAGE = 10


def search(request: HttpRequest) -> HttpResponse:
    """Wagtail's own search by words, beside which the ask page can be judged."""
    words = request.GET.get("q", "").strip()[:200]
    if words:
        # Public pages only: what a result quotes must be no more than its reader may open.
        pages = (
            Page.objects.descendant_of(Site.find_for_request(request).root_page, inclusive=True)
            .live()
            .public()
            .specific()
        )
        results = pages.search(words, operator="or")
    else:
        results = Page.objects.none()
    found = Paginator(results, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "demo_site/search.html", {"words": words, "found": found})


@never_cache
def ask(request: HttpRequest) -> HttpResponse:
    """The ask page: a form, and the answer of whichever backend the switch names."""
    question = request.GET.get("q", "").strip()
    site = Site.find_for_request(request)
    context = {
        "q": question,
        "data_destination": Switch.for_question(site).backend.data_destination,
    }
    if question:
        context |= _answered(question, request, site)
    return render(request, "demo_site/ask.html", context)


def _answered(question: str, request: HttpRequest, site: Site) -> dict:
    try:
        given = answer(question, site=site, asker=Asker.from_request(request))
    except InvalidQuestion as error:
        return {"error": str(error)}
    list(given)
    if given.failure:
        return {"error": given.failure.message}
    return {
        "answer": given.text,
        "no_answer": given.done.outcome == "no_answer",
        "sources": [
            {"number": p.number, "title": p.source.title, "url": p.source.url}
            for p in given.passages
            if p.number in given.done.citations
        ],
    }


@require_POST
def ask_stream(request: HttpRequest) -> HttpResponseBase:
    """The same as a stream of events, for a script."""
    try:
        return stream_answer(request, request.POST.get("q", ""), asker=Asker.from_request(request))
    except InvalidQuestion as error:
        return JsonResponse({"message": str(error)}, status=400)
