"""The list of comparisons, its export, and deleting one."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import View
from wagtail.admin.ui.menus import MenuItem
from wagtail.admin.ui.tables import Column, DateColumn
from wagtail.admin.utils import get_user_display_name
from wagtail.admin.views import generic
from wagtail.admin.widgets.button import HeaderButton

from finetune_switch.admin import permissions
from finetune_switch.admin.listings import (
    TITLE_CHARACTERS,
    WIDE,
    SeenColumn,
    SeenRowsMixin,
    in_batches,
)
from finetune_switch.admin.mixins import PermissionFunctionMixin
from finetune_switch.comparisons.filters import ComparisonFilterSet
from finetune_switch.comparisons.reading import ComparisonReader, Seen, SeenAnswer
from finetune_switch.comparisons.suggestions import suggest
from finetune_switch.models import Column as ComparisonColumn
from finetune_switch.models import Comparison, Exchange, Origin

LONGEST_SEARCH = 500


class SeeComparisonsMixin(PermissionFunctionMixin):
    has_permission = staticmethod(permissions.may_see_comparisons)
    request: HttpRequest
    filters: Any

    @cached_property
    def reader(self) -> ComparisonReader:
        return ComparisonReader.of(self.request)

    def filtered(self, comparisons: QuerySet[Comparison]) -> QuerySet[Comparison]:
        """Apply the filters; where one is about answers, keep only comparisons that may be read."""
        if not (self.filters and self.filters.is_valid()):
            return comparisons
        found = self.filters.filter_queryset(comparisons)
        if self.filters.is_about_answers:
            found = found.filter(pk__in=self.reader.readable_ids(found))
        return found


def who(user: Any, reader: Any = None) -> str:
    """A person's name, as the lists show it."""
    if user is None:
        return _("Somebody")
    return _("You") if user == reader else get_user_display_name(user)


class AnswersColumn(SeenColumn):
    cell_template_name = "finetune_switch/comparisons/listing_answers.html"


class JudgedColumn(SeenColumn):
    cell_template_name = "finetune_switch/comparisons/listing_judged.html"

    def get_cell_context_data(self, instance: Any, parent_context: Any) -> dict[str, Any]:
        context = super().get_cell_context_data(instance, parent_context)
        seen, user = instance.seen, context["request"].user
        return {**context, "judged": len(seen.judges), "words": words_of(seen, user)}


def words_of(seen: Seen, user: Any = None) -> list[str]:
    """Lines of text: the preferences first, then the grades of each answer."""
    lines = [f"{who(word.judge, user)}: {word}" for word in seen.preferences]
    for answer in seen.answers:
        graded = [
            f"{word.get_value_display()} ({who(word.judge, user)})"
            for word in answer.grades
            if word.value
        ]
        if graded:
            lines.append(f"{answer.column.letter}: {', '.join(graded)}")
    return lines


def asked_by(comparison: Comparison) -> str:
    return get_user_display_name(comparison.user) if comparison.user else ""


class ComparisonIndexView(SeeComparisonsMixin, SeenRowsMixin, generic.IndexView):
    """Without access to every page of the answers, a row shows only its question."""

    model = Comparison
    page_title = gettext_lazy("Comparisons")
    header_icon = "list-ul"
    any_permission_required = None
    index_url_name = "finetune_comparisons:index"
    index_results_url_name = "finetune_comparisons:index_results"
    results_template_name = "finetune_switch/comparisons/listing_results.html"
    list_display = [
        "__str__",
        AnswersColumn("answers", label=gettext_lazy("Backends")),
        JudgedColumn("judged", label=gettext_lazy("What people thought")),
        Column("user", label=gettext_lazy("Asked by"), accessor=asked_by, **WIDE),
        DateColumn("asked_at", label=gettext_lazy("Asked"), sort_key="asked_at", **WIDE),
    ]
    filterset_class = ComparisonFilterSet
    is_searchable = True
    default_ordering = "-asked_at"
    paginate_by = 20
    table_classname = "listing finetune-comparisons"
    export_filename = "comparisons"
    export_headings = {
        "question": gettext_lazy("Question"),
        "asked_at": gettext_lazy("Asked"),
        "asked_by": gettext_lazy("Asked by"),
        "remark": gettext_lazy("Remark"),
        "blind": gettext_lazy("Judged blind"),
        "instructions": gettext_lazy("Other instructions"),
        "letter": gettext_lazy("Column"),
        "backend": gettext_lazy("Backend"),
        "model": gettext_lazy("Model"),
        "outcome": gettext_lazy("Outcome"),
        "answer": gettext_lazy("Answer"),
        "preferred_by": gettext_lazy("Preferred by"),
        "no_preference": gettext_lazy("No preference"),
        "grades": gettext_lazy("Grades"),
        "tones": gettext_lazy("Sounds like us"),
        "notes": gettext_lazy("Notes"),
        "corrections": gettext_lazy("Corrections"),
        "first_token_seconds": gettext_lazy("Seconds to the first token"),
        "load_seconds": gettext_lazy("Seconds to load the model"),
        "duration_seconds": gettext_lazy("Seconds in all"),
        "prompt_tokens": gettext_lazy("Tokens read"),
        "completion_tokens": gettext_lazy("Tokens written"),
        "cost": gettext_lazy("Cost in US dollars"),
    }
    list_export = list(export_headings)

    def see(self, rows: Sequence[Comparison]) -> Sequence[Seen]:
        return self.reader.see(rows, Exchange.objects.only("outcome", "deadline_at"))

    def export_rows(self, queryset: QuerySet[Comparison]) -> Iterator[dict[str, Any]]:
        for rows in in_batches(queryset, "site", "user"):
            yield from _export_batch(rows, self.reader)

    def get_base_queryset(self) -> QuerySet[Comparison]:
        return super().get_base_queryset().select_related("site", "user")

    def filter_queryset(self, queryset: QuerySet[Comparison]) -> QuerySet[Comparison]:
        return self.filtered(queryset)

    def search_queryset(self, queryset: QuerySet[Comparison]) -> QuerySet[Comparison]:
        """Search in questions, and in the answers that the reader may read."""
        if not self.is_searching:
            return queryset
        asked = Q(question__icontains=self.search_query)
        said = Exchange.objects.filter(answer__icontains=self.search_query, origin=Origin.COMPARE)
        columns = ComparisonColumn.objects.filter(exchange__in=said)
        answered = queryset.exclude(asked).filter(pk__in=columns.values("comparison"))
        return queryset.filter(asked | Q(pk__in=self.reader.readable_ids(answered)))

    @cached_property
    def columns(self) -> list[Column]:
        first, *others = super().columns
        first.label = _("Question")
        first.accessor = lambda row: Truncator(row.question).chars(TITLE_CHARACTERS)
        return [first, *others]

    def get_edit_url(self, instance: Comparison) -> str:
        return instance.get_absolute_url()

    def get_delete_url(self, instance: Comparison) -> str | None:
        if not permissions.may_delete_comparisons(self.request.user):
            return None
        return reverse("finetune_comparisons:delete", args=[instance.pk])

    def get_list_more_buttons(self, instance: Any) -> list[MenuItem]:
        buttons = []
        if permissions.may_compare(self.request.user) and instance.seen.may_read:
            url = f"{reverse('finetune_compare:index')}?again={instance.pk}"
            buttons.append(MenuItem(_("Ask again"), url=url, icon_name="rotate", priority=10))
        if delete_url := self.get_delete_url(instance):
            buttons.append(MenuItem(_("Delete"), url=delete_url, icon_name="bin", priority=30))
        return buttons

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        url = reverse("finetune_comparisons:tally")
        buttons = [HeaderButton(_("Tally"), url=url, icon_name="table", priority=20)]
        if permissions.may_compare(self.request.user):
            url = reverse("finetune_compare:index")
            buttons.append(HeaderButton(_("Compare"), url=url, icon_name="plus", priority=10))
        return buttons

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        return {**context, "may_compare": permissions.may_compare(self.request.user)}


def _export_batch(rows: Sequence[Any], reader: ComparisonReader) -> Iterator[dict[str, Any]]:
    """A row for each answer; one for a comparison that may not be read."""
    for seen in reader.see(rows):
        asked = {
            "question": seen.comparison.question,
            "asked_at": seen.comparison.asked_at,
            "asked_by": asked_by(seen.comparison),
        }
        if not seen.may_read:
            yield {**asked, "remark": _("You may not open every page that the answers rest on.")}
        for answer in seen.answers:
            yield {
                **asked,
                "blind": _("Yes") if seen.comparison.is_blind else _("No"),
                "instructions": seen.comparison.instructions,
                "remark": ""
                if seen.knows_names
                else _("Who answered is hidden until you have judged it."),
                **_answer_row(seen, answer),
            }


def _answer_row(seen: Seen, answer: SeenAnswer) -> dict[str, Any]:
    preferred = [word for word in seen.preferences if word.column_id == answer.column.pk]
    undecided = [word for word in seen.preferences if word.column_id is None]
    graded = [word for word in answer.grades if word.value]
    toned = [word for word in answer.grades if word.tone]
    row: dict[str, Any] = {
        "letter": answer.column.letter,
        "preferred_by": ", ".join(who(word.judge) for word in preferred),
        "no_preference": "; ".join(f"{who(word.judge)}: {word}" for word in undecided),
        "grades": "; ".join(f"{who(w.judge)}: {w.get_value_display()}" for w in graded),
        "tones": "; ".join(f"{who(word.judge)}: {word.get_tone_display()}" for word in toned),
        "notes": "\n\n".join(f"{who(w.judge)}: {w.note}" for w in answer.grades if w.note),
        "corrections": "\n\n".join(w.correction for w in answer.grades if w.correction),
    }
    exchange = answer.exchange
    if exchange is None:
        return row
    row |= {"answer": exchange.answer, "outcome": exchange.current_outcome.label}
    if seen.knows_names:
        row |= {
            "backend": answer.name,
            "model": str(exchange.backend_state.get("model", "")),
            "first_token_seconds": exchange.first_token_seconds,
            "load_seconds": exchange.load_seconds,
            "duration_seconds": exchange.duration_seconds,
            "prompt_tokens": exchange.prompt_tokens,
            "completion_tokens": exchange.completion_tokens,
            "cost": exchange.cost,
        }
    return row


class ComparisonDeleteView(PermissionFunctionMixin, generic.DeleteView):
    has_permission = staticmethod(permissions.may_delete_comparisons)
    model = Comparison
    permission_required = None
    header_icon = "bin"
    index_url_name = "finetune_comparisons:index"
    delete_url_name = "finetune_comparisons:delete"

    @property
    def confirmation_message(self) -> str:
        return _("Delete this comparison, with its answers and all verdicts on them?")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        ids = list(self.object.columns.values_list("exchange_id", flat=True))
        with transaction.atomic():
            response = super().post(request, *args, **kwargs)
            # Exchanges have no constraint to their column, and no other page shows these.
            Exchange.objects.filter(pk__in=ids, origin=Origin.COMPARE).delete()
        return response


class SuggestionsView(PermissionFunctionMixin, View):
    """Questions to begin with that contain ``?q=``, as JSON."""

    has_permission = staticmethod(permissions.may_compare)
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> JsonResponse:
        words = request.GET.get("q", "")[:LONGEST_SEARCH]
        found = suggest(words, ComparisonReader.of(request))
        return JsonResponse([one.as_dict() for one in found], safe=False)
