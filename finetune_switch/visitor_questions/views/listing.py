"""The report of what visitors asked, and the page of one question."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.ui.tables import Column, DateColumn, TitleColumn
from wagtail.admin.views.reports import ReportView
from wagtail.admin.widgets.button import HeaderButton
from wagtail.coreutils import get_content_languages
from wagtail.models import Site

from finetune_switch import conf
from finetune_switch.access.sites import site_name
from finetune_switch.admin import permissions
from finetune_switch.admin.listings import (
    TITLE_CHARACTERS,
    WIDE,
    SeenColumn,
    SeenRowsMixin,
    in_batches,
)
from finetune_switch.admin.mixins import PermissionFunctionMixin
from finetune_switch.models import Exchange, Feedback
from finetune_switch.passages import Source
from finetune_switch.search.readers import QuestionReader, Reader, cited_sources
from finetune_switch.visitor_questions.filters import VisitorQuestionFilterSet


class SeeVisitorsQuestionsMixin(PermissionFunctionMixin):
    has_permission = staticmethod(permissions.may_see_visitors_questions)
    request: HttpRequest

    @cached_property
    def reader(self) -> QuestionReader:
        return QuestionReader(Reader.of(self.request))


@dataclass(frozen=True)
class SeenQuestion:
    """A row as its reader may see it: ``sources`` are empty unless ``may_read``."""

    may_read: bool
    feedback: Feedback | None
    sources: Sequence[Source]


def see(exchanges: Sequence[Exchange], reader: QuestionReader) -> list[SeenQuestion]:
    readable = reader.may_read(exchanges)
    return [
        SeenQuestion(
            may_read=row.pk in readable,
            feedback=getattr(row, "feedback", None),
            sources=cited_sources(row) if row.pk in readable else (),
        )
        for row in exchanges
    ]


def backend_name(exchange: Exchange) -> str:
    """The backend's name when it answered."""
    return str(exchange.backend_state.get("label") or exchange.backend or "")


def compare_url(exchange: Exchange, user: Any) -> str:
    """The URL that compares backends on the question; empty where the user may not."""
    if not permissions.may_compare(user):
        return ""
    return f"{reverse('finetune_compare:index')}?exchange={exchange.pk}"


def prepare_url(exchange: Exchange, user: Any) -> str:
    """The URL of a new prepared answer; empty where the user may not add one."""
    if not user.has_perm(permissions.ADD_PREPARED):
        return ""
    return f"{reverse('finetune_prepared:add')}?exchange={exchange.pk}"


class VisitorQuestionColumn(SeenColumn):
    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.cell_template_name = f"finetune_switch/visitor_questions/listing_{name}.html"


class VisitorQuestionsView(SeeVisitorsQuestionsMixin, SeenRowsMixin, ReportView):
    """Without access to every page of an answer, a row shows its outcome and not its answer."""

    model = Exchange
    page_title = gettext_lazy("Visitors' questions")
    header_icon = "help"
    index_url_name = "finetune_visitor_questions:index"
    index_results_url_name = "finetune_visitor_questions:index_results"
    results_template_name = "finetune_switch/visitor_questions/listing_results.html"
    filterset_class = VisitorQuestionFilterSet
    is_searchable = True
    default_ordering = "-opened_at"
    paginate_by = 20
    table_classname = "listing finetune-comparisons"
    export_filename = "visitors-questions"
    export_headings = {
        "question": gettext_lazy("Question"),
        "asked_at": gettext_lazy("Asked"),
        "locale": gettext_lazy("Language"),
        "site": gettext_lazy("Site"),
        "outcome": gettext_lazy("Outcome"),
        "error": gettext_lazy("Error"),
        "thumb": gettext_lazy("Thumb"),
        "comment": gettext_lazy("Comment"),
        "remark": gettext_lazy("Remark"),
        "standalone_question": gettext_lazy("Rewritten as"),
        "answer": gettext_lazy("Answer"),
        "shown": gettext_lazy("What the visitor read"),
        "withheld_facts": gettext_lazy("Facts withheld"),
        "pages": gettext_lazy("Pages cited"),
        "backend": gettext_lazy("Backend"),
        "model": gettext_lazy("Model"),
        "first_token_seconds": gettext_lazy("Seconds to the first token"),
        "duration_seconds": gettext_lazy("Seconds in all"),
        "prompt_tokens": gettext_lazy("Tokens read"),
        "completion_tokens": gettext_lazy("Tokens written"),
        "cost": gettext_lazy("Cost in US dollars"),
        "conversation": gettext_lazy("Conversation"),
    }
    list_export = list(export_headings)

    def see(self, rows: Sequence[Exchange]) -> Sequence[SeenQuestion]:
        return see(rows, self.reader)

    def export_rows(self, queryset: QuerySet[Exchange]) -> Iterator[dict[str, Any]]:
        for rows in in_batches(queryset, "site", "backend", "feedback"):
            for row, seen in zip(rows, self.see(rows), strict=True):
                yield _export_row(row, seen)

    def get_base_queryset(self) -> QuerySet[Exchange]:
        rows = Exchange.objects.of_visitors()
        return rows.select_related("site", "backend", "feedback")

    def get_filtered_queryset(self) -> QuerySet[Exchange]:
        # ReportView would apply the filters twice.
        return self.get_queryset()

    def search_queryset(self, queryset: QuerySet[Exchange]) -> QuerySet[Exchange]:
        if not self.is_searching:
            return queryset
        return queryset.filter(question__icontains=self.search_query)

    @cached_property
    def columns(self) -> list[Column]:
        names = get_content_languages()
        site = Column("site", label=_("Site"), accessor=site_of, **WIDE)
        return [
            TitleColumn(
                "question",
                label=_("Question"),
                accessor=lambda row: Truncator(row.question).chars(TITLE_CHARACTERS),
                get_url=lambda row: reverse("finetune_visitor_questions:exchange", args=[row.pk]),
            ),
            DateColumn("opened_at", label=_("Asked"), sort_key="opened_at", **WIDE),
            Column(
                "locale",
                label=_("Language"),
                accessor=lambda row: names.get(row.locale, row.locale),
                **WIDE,
            ),
            *([site] if Site.objects.count() > 1 else []),
            VisitorQuestionColumn("outcome", label=_("Outcome")),
            VisitorQuestionColumn("thumb", label=_("Thumb")),
            Column("backend", label=_("Backend"), accessor=backend_name, **WIDE),
            VisitorQuestionColumn(
                "seconds", label=_("First word"), sort_key="first_token_seconds", **WIDE
            ),
            VisitorQuestionColumn("pages", label=_("Pages cited"), **WIDE),
        ]

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        url = reverse("finetune_visitor_questions:unanswered")
        return [HeaderButton(_("Could not be answered"), url=url, icon_name="help", priority=10)]

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        return {**context, "is_recorded": conf.record_visitor_questions()}


def site_of(exchange: Exchange) -> str:
    return site_name(exchange.site) if exchange.site else ""


def _export_row(row: Exchange, seen: SeenQuestion) -> dict[str, Any]:
    """A question's row in a spreadsheet; without its answer where that may not be read."""
    thumb = seen.feedback
    known = {
        "question": row.question,
        "asked_at": row.opened_at,
        "locale": row.locale,
        "site": site_of(row),
        "outcome": row.current_outcome.label,
        "error": row.error,
        "thumb": "" if thumb is None else _("Up") if thumb.is_helpful else _("Down"),
        "backend": backend_name(row),
        "model": str(row.backend_state.get("model", "")),
        "first_token_seconds": row.first_token_seconds,
        "duration_seconds": row.duration_seconds,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost": row.cost,
        "conversation": str(row.conversation or ""),
    }
    if not seen.may_read:
        return {**known, "remark": _("You may not open every page that the answer rests on.")}
    return {
        **known,
        "comment": thumb.comment if thumb else "",
        "standalone_question": row.standalone_question,
        "answer": row.answer,
        "shown": row.shown_text,
        "withheld_facts": "; ".join(fact["text"] for fact in row.withheld_facts),
        "pages": "; ".join(source.title for source in seen.sources),
    }
