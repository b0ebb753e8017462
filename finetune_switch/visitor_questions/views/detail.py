"""The page of one visitor's question."""

from collections.abc import Iterator
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from wagtail.coreutils import get_content_languages

from finetune_switch.admin import permissions
from finetune_switch.admin.mixins import AdminPageMixin
from finetune_switch.admin.presenting import details, passages_shown
from finetune_switch.models import Exchange, Outcome
from finetune_switch.search.readers import BATCH

from .listing import (
    SeeVisitorsQuestionsMixin,
    VisitorQuestionsView,
    backend_name,
    compare_url,
    prepare_url,
    site_of,
)

WHOLE = (Outcome.COMPLETE, Outcome.NO_ANSWER)


class VisitorExchangeView(SeeVisitorsQuestionsMixin, AdminPageMixin, TemplateView):
    """A visitor's question with its outcome and, for those who may read it, its answer.

    Links lead to comparing backends on it and to writing a prepared answer.
    """

    template_name = "finetune_switch/visitor_questions/detail.html"
    page_title = gettext_lazy("A visitor's question")
    header_icon = "help"

    @cached_property
    def exchange(self) -> Exchange:
        rows = Exchange.objects.of_visitors().select_related(
            "site", "backend", "prepared_answer", "feedback"
        )
        return get_object_or_404(rows, pk=self.kwargs["pk"])

    def get_page_subtitle(self) -> str:
        return self.exchange.question

    def pages_above(self) -> list[tuple[str, Any]]:
        return [(reverse("finetune_visitor_questions:index"), VisitorQuestionsView.page_title)]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        exchange, user = self.exchange, self.request.user
        context = {
            **super().get_context_data(**kwargs),
            "exchange": exchange,
            "outcome": exchange.current_outcome,
            "site_name": site_of(exchange),
            "language": get_content_languages().get(exchange.locale, exchange.locale),
            "feedback": getattr(exchange, "feedback", None),
            "compare_url": compare_url(exchange, user),
            "prepare_url": prepare_url(exchange, user),
            "prepared_url": reverse("finetune_prepared:edit", args=[exchange.prepared_answer_id])
            if exchange.prepared_answer_id and user.has_perm(permissions.CHANGE_PREPARED)
            else "",
            "turns": turns_of(exchange),
            "details": [
                (_("Backend"), backend_name(exchange)),
                (_("Model"), exchange.backend_state.get("model", "")),
                *details(exchange),
            ],
            "may_read": exchange.pk in self.reader.may_read([exchange]),
        }
        if not context["may_read"]:
            return context
        return {
            **context,
            "pieces": list(pieces_said(exchange)),
            "is_whole": exchange.outcome in WHOLE,
            "passages": passages_shown(exchange.frozen_passages, user),
            "backend_state": exchange.backend_state if permissions.may_see_backends(user) else {},
        }


def pieces_said(exchange: Exchange) -> Iterator[tuple[str, bool]]:
    """The answer as the model gave it, in pieces: the facts that were held back apart."""
    at = 0
    for fact in sorted(exchange.withheld_facts, key=lambda fact: fact["start"]):
        start, end = max(at, fact["start"]), fact["end"]
        if start >= end:
            continue
        yield exchange.answer[at:start], False
        yield exchange.answer[start:end], True
        at = end
    yield exchange.answer[at:], False


def turns_of(exchange: Exchange) -> list[Exchange]:
    """What the same visitor asked before and after it in one conversation, oldest first."""
    if exchange.conversation is None:
        return []
    turns = Exchange.objects.of_visitors().filter(conversation=exchange.conversation)
    return list(turns.exclude(pk=exchange.pk).order_by("opened_at", "pk")[:BATCH])
