from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from wagtail.models import Page, Site

from finetune_switch.models import Switch
from finetune_switch.visitors.answering import answer_visitor

PER_PAGE = 10


def search(request: HttpRequest) -> HttpResponse:
    """Wagtail's own search, for comparison with the ask page."""
    words = request.GET.get("q", "").strip()[:200]
    if words:
        # Public pages only, since results quote their content.
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
    question = request.GET.get("q", "").strip()
    site = Site.find_for_request(request)
    context = {
        "q": question,
        "data_destination": Switch.for_question(site).backend.data_destination,
        "answered": answer_visitor(request, question) if question else None,
    }
    return render(request, "demo_site/ask.html", context)
