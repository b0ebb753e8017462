"""The page of a comparison, its streams, and the actions that judge its answers."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View

from finetune_switch.access import Asker
from finetune_switch.admin import permissions
from finetune_switch.admin.mixins import AdminPageMixin, PermissionFunctionMixin
from finetune_switch.admin.presenting import create_page_url, passages_shown
from finetune_switch.answers import stream_answer
from finetune_switch.answers.events import Event, TextEvent, event_data
from finetune_switch.comparisons.comparing import (
    answered,
    asker_of,
    is_settled,
    may_read,
    reveal,
    save_question,
)
from finetune_switch.comparisons.reading import ComparisonReader
from finetune_switch.judging.forms import GradeForm
from finetune_switch.models import Column, Comparison, Grade, Origin, Preference

from .compare import CompareView
from .context import columns_shown, verdict_shown, waking_seconds

PARTIAL = "XMLHttpRequest"


class ComparisonMixin(PermissionFunctionMixin):
    """The comparison of the URL. ``must_read`` refuses those who may not open its pages."""

    has_permission = staticmethod(permissions.may_compare)
    request: HttpRequest
    kwargs: dict[str, Any]

    @cached_property
    def comparison(self) -> Comparison:
        rows = Comparison.objects.select_related("site", "user", "as_group")
        return get_object_or_404(rows, pk=self.kwargs["pk"])

    @cached_property
    def reader(self) -> ComparisonReader:
        return ComparisonReader.of(self.request)

    @cached_property
    def may_read(self) -> bool:
        return may_read(Asker.from_request(self.request), self.comparison)

    @cached_property
    def column(self) -> Column:
        columns = self.comparison.columns.select_related("backend")
        return get_object_or_404(columns, position=self.kwargs["position"])

    def must_read(self) -> None:
        """Raise ``PermissionDenied`` unless the user may open every page of the answers now."""
        if not self.may_read:
            raise PermissionDenied

    def knows_names(self) -> bool:
        return self.comparison.tells_names_to(self.request.user)

    def shown_column(self) -> dict[str, Any]:
        [shown] = columns_shown(
            self.comparison, [self.column], self.request.user, knows_names=self.knows_names()
        )
        return shown


class ComparisonView(ComparisonMixin, AdminPageMixin, TemplateView):
    has_permission = staticmethod(permissions.may_see_comparisons)
    template_name = "finetune_switch/comparisons/detail.html"
    page_title = gettext_lazy("Comparison")
    header_icon = "finetune-switch"

    def get_page_subtitle(self) -> str:
        return self.comparison.question

    def pages_above(self) -> list[tuple[str, Any]]:
        return [(reverse("finetune_compare:index"), CompareView.page_title)]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        comparison, user = self.comparison, self.request.user
        context = {
            **super().get_context_data(**kwargs),
            "comparison": comparison,
            "may_read": self.may_read,
            "may_compare": permissions.may_compare(user),
            "again_url": f"{reverse('finetune_compare:index')}?again={comparison.pk}",
        }
        if not self.may_read:
            return context
        columns = list(comparison.columns.select_related("backend"))
        knows_names = self.knows_names()
        shown = columns_shown(comparison, columns, user, knows_names=knows_names)
        for column, part in zip(columns, shown, strict=True):
            if not part["may_grade"]:
                part["waking_seconds"] = waking_seconds(column, knows_names=knows_names)
        return {
            **context,
            "columns": shown,
            "passages": passages_shown(comparison.frozen_passages, user),
            "create_page_url": ""
            if comparison.passages
            else create_page_url(comparison.site, user),
            "asks_by_itself": comparison.user_id == user.pk,
            **verdict_shown(comparison, columns, self.reader, knows_names=knows_names),
        }


class ColumnView(ComparisonMixin, TemplateView):
    """The current HTML of one column."""

    has_permission = staticmethod(permissions.may_see_comparisons)
    template_name = "finetune_switch/comparisons/column.html"
    http_method_names = ["get"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.must_read()
        return {
            **super().get_context_data(**kwargs),
            "comparison": self.comparison,
            "column": self.shown_column(),
        }


class StreamView(ComparisonMixin, View):
    """Ask a column's backend once, and stream its answer."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        self.must_read()
        comparison, column = self.comparison, self.column
        if column.backend is None:
            return HttpResponse(status=410)
        return stream_answer(
            request,
            comparison.question,
            show=without_names,
            site=comparison.site,
            locale=comparison.locale,
            asker=asker_of(comparison.as_group),
            backend=column.backend,
            passages=comparison.frozen_passages,
            retrieval=comparison.retrieval,
            instructions=comparison.instructions,
            origin=Origin.COMPARE,
            exchange_id=column.exchange_id,
            finishes=Column.objects.filter(pk=column.pk, is_stopped=False).exists,
        )


class StopView(ComparisonMixin, View):
    """Say that a column's answer is to end when its reader leaves it. The page then leaves it."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        self.must_read()
        Column.objects.filter(pk=self.column.pk).update(is_stopped=True)
        return HttpResponse(status=204)


def without_names(event: Event) -> dict[str, Any]:
    """Keep only the text of an event, since names, times and costs are shown after judging."""
    return event_data(event) if isinstance(event, TextEvent) else {}


class PartView(ComparisonMixin, View):
    """Change a comparison, and return the HTML of the part that changed.

    A request without the page's script is redirected to the page.
    """

    http_method_names = ["post"]
    part_class: type[TemplateView] = ColumnView

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        self.must_read()
        status = self.perform(request)
        if request.headers.get("X-Requested-With") != PARTIAL:
            return redirect(self.comparison)
        view = self.part_class()
        view.setup(request, **self.kwargs)
        return view.render_to_response(view.get_context_data(**self.kwargs), status=status)

    def perform(self, request: HttpRequest) -> int:
        """Make the change, and return the HTTP status."""
        raise NotImplementedError


class AgainView(PartView):
    """Ask a column's backend again where it failed or was stopped."""

    def perform(self, request: HttpRequest) -> int:
        if self.shown_column()["may_try_again"]:
            self.column.try_again(instead_of=self.column.exchange_id)
        return 200


class GradeView(PartView):
    """Grade an answer, or withdraw the last grade."""

    def perform(self, request: HttpRequest) -> int:
        shown = self.shown_column()
        if not shown["may_grade"]:
            return 409
        exchange = shown["exchange"]
        if "undo" in request.POST:
            Grade.undo(exchange, judge=request.user)
            return 200
        form = GradeForm(request.POST, instance=Grade(exchange=exchange))
        if not form.is_valid():
            return 400
        given = {
            name: form.cleaned_data[name] for name in Grade.OPINION_FIELDS if name in request.POST
        }
        if given:
            blind = not self.knows_names()
            Grade.record(exchange, judge=request.user, was_blind=blind, **given)
        return 200


class VerdictPartView(ComparisonMixin, TemplateView):
    """The HTML of the bar below the columns."""

    template_name = "finetune_switch/comparisons/verdict.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        columns = list(self.comparison.columns.select_related("backend"))
        return {
            **super().get_context_data(**kwargs),
            "comparison": self.comparison,
            "again_url": f"{reverse('finetune_compare:index')}?again={self.comparison.pk}",
            **verdict_shown(self.comparison, columns, self.reader, knows_names=self.knows_names()),
        }


class PreferView(PartView):
    """Record a preference, or withdraw it."""

    part_class = VerdictPartView

    def perform(self, request: HttpRequest) -> int:
        comparison = self.comparison
        if "undo" in request.POST:
            Preference.undo(comparison, judge=request.user)
            return 200
        choice = request.POST.get("choice", "")
        column = None
        if choice in (Preference.Outcome.BOTH_GOOD, Preference.Outcome.BOTH_BAD):
            outcome = choice
            if len(answered(comparison.columns.all())) < 2:
                return 409
        else:
            columns = {column.letter: column for column in comparison.columns.all()}
            outcome, column = Preference.Outcome.COLUMN, columns.get(choice)
            if column is None:
                return 400
            if column.pk not in {one.pk for one in answered(columns.values())}:
                return 409
        # A preference reveals all names, also those of columns that are still being answered.
        if not is_settled(comparison.columns.select_related("backend")):
            return 409
        Preference.record(
            comparison,
            judge=request.user,
            was_blind=not self.knows_names(),
            outcome=outcome,
            column=column,
        )
        return 200


class RevealView(PartView):
    part_class = VerdictPartView

    def perform(self, request: HttpRequest) -> int:
        return 200 if reveal(self.comparison, request.user) else 409


class SaveQuestionView(PartView):
    has_permission = staticmethod(permissions.may_see_comparisons)
    part_class = VerdictPartView

    def perform(self, request: HttpRequest) -> int:
        if not request.user.has_perm(permissions.ADD_QUESTION):
            raise PermissionDenied
        save_question(self.comparison, request.user)
        return 200
