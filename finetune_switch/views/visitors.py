"""What visitors open: the stream of an answer, and the page that searches and answers."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from wagtail.models import Site

from .. import retrieval
from ..askers import Asker
from ..exceptions import BackendError, InvalidQuestion
from ..models import Switch
from ..streaming import stream_answer
from ..visitors import answer_visitor, page_language, visitor_data, visitor_options


@require_POST
def ask(request: HttpRequest) -> HttpResponseBase:
    """A question in, a stream of events out. Form fields: ``q``, and ``locale`` of the page.

    In place of Django's token against forged requests it takes the browser's word for where the
    question was asked. A token in the page would make it one that no cache may keep for everybody,
    and fetching one first costs a round trip before each answer; what a page of another site cannot
    forge are the headers that name it. Nothing is changed by asking, and nobody else's script can
    read the answer, but it may cost money, and is made for who is signed in.
    """
    if not is_from_here(request):
        return _refuse(_("Questions are taken on this site's own pages only."), 403)
    try:
        locale = page_language(request.POST.get("locale", ""))
        with override(locale):
            options = visitor_options(request, locale)
            question = request.POST.get("q", "")
            return stream_answer(request, question, show=visitor_data, **options)
    except InvalidQuestion as error:
        return _refuse(str(error), 400)


def is_from_here(request: HttpRequest) -> bool:
    """Whether a page of this very site sent the request, as the browser says.

    Browsers send ``Sec-Fetch-Site`` over HTTPS, and ``Origin`` with each POST. A request with
    neither is none of a page's.
    """
    if fetch_site := request.headers.get("Sec-Fetch-Site"):
        return fetch_site == "same-origin"
    origin = request.headers.get("Origin")
    return origin == f"{request.scheme}://{request.get_host()}"


def _refuse(message: str, status: int) -> JsonResponse:
    return JsonResponse({"message": message}, status=status)


@require_GET
@never_cache
def search(request: HttpRequest) -> HttpResponse:
    """A question or a few words: the answer, and the pages that match, without any script.

    The answer is for the first page of the results; who turns pages has read it.
    """
    question = request.GET.get("q", "").strip()
    site = Site.find_for_request(request)
    switch = Switch.for_question(site)
    context: dict[str, Any] = {
        "question": question,
        "data_destination": switch.backend.data_destination,
    }
    if question:
        context |= _found(request, question, switch)
        if context["found"] is None or context["found"].number == 1:
            context["answered"] = answer_visitor(request, question)
    return render(request, "finetune_switch/visitors/search.html", context)


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
