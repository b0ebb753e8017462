"""The side-by-side page: one question, the same passages, several answers, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy
from django.views.generic import FormView, TemplateView, View
from wagtail.admin.views.generic import WagtailAdminTemplateMixin
from wagtail.models import Site

from .. import permissions
from ..askers import Asker
from ..comparing import (
    asker_of,
    is_settled,
    knows_names,
    may_read,
    open_comparison,
    reveal,
    save_question,
)
from ..comparison_forms import CompareForm, GradeForm
from ..events import Event, TextEvent
from ..exceptions import BackendError, InvalidQuestion
from ..models import (
    ChatBackend,
    Column,
    Comparison,
    Grade,
    Origin,
    Preference,
    Question,
    Switch,
    SystemPrompt,
)
from ..reading import Reader
from ..streaming import stream_answer
from ..suggestions import suggest
from .showing import (
    columns_shown,
    create_page_url,
    passages_shown,
    verdict_shown,
    waking_seconds,
)

PARTIAL = "XMLHttpRequest"
EXAMPLES = 6
WORDINGS = 50


class ComparerMixin:
    """For those who may compare or, where nothing is asked or judged, may look at comparisons."""

    request: HttpRequest
    is_for_readers = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        may = permissions.may_see_comparisons if self.is_for_readers else permissions.may_compare
        if not may(request.user):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]


class CompareView(ComparerMixin, WagtailAdminTemplateMixin, FormView):
    """A question, and what is to answer it."""

    form_class = CompareForm
    template_name = "finetune_switch/admin/compare.html"
    page_title = gettext_lazy("Compare")
    header_icon = "finetune-switch"

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [*self.breadcrumbs_items, {"url": "", "label": self.get_page_title()}]

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.request.user}

    def get_initial(self) -> dict[str, Any]:
        """As the last time; the first time the active backend, and one beside it.

        ``?again=`` names a comparison and ``?saved=`` a question to begin with.
        """
        user: Any = self.request.user
        own = Comparison.objects.filter(user=user)
        again = _row(Comparison, self.request.GET.get("again"))
        if again is not None and not may_read(Asker.from_request(self.request), again):
            again = None
        last = again or own.first()
        site = (again and again.site) or Site.find_for_request(self.request)
        initial: dict[str, Any] = {
            "site": site,
            "backends": _suggested(last, site),
            "locale": again.locale if again is not None else _language_of(site),
        }
        if last is not None:
            initial |= {"is_blind": last.is_blind, "retrieval": last.retrieval}
        if again is not None:
            initial |= {
                "question": again.question,
                "saved_question": again.saved_question,
                "instructions": again.instructions,
            }
        saved = _row(Question, self.request.GET.get("saved"))
        if saved is not None:
            initial |= {"question": saved.text, "saved_question": saved}
        return initial

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        backends = list(ChatBackend.objects.all())
        may_add = self.request.user.has_perm(permissions.ADD_BACKEND)
        return {
            **super().get_context_data(**kwargs),
            "suggestions": suggest("", Reader.of(self.request))[:EXAMPLES],
            "active": Switch.for_question(Site.find_for_request(self.request)).backend,
            "backends": backends,
            "controls": _controls(backends, may_add=may_add),
            "wordings": _wordings() if permissions.may_see_backends(self.request.user) else {},
        }

    def form_valid(self, form: CompareForm) -> HttpResponse:
        asked = form.cleaned_data
        site = asked["site"] or Site.find_for_request(self.request)
        try:
            comparison = open_comparison(
                asked["question"],
                backends=asked["backends"],
                site=site,
                locale=asked["locale"] or _language_of(site),
                user=self.request.user,
                as_group=asked["as_group"],
                is_blind=asked["is_blind"],
                retrieval=asked["retrieval"],
                limit=asked["limit"],
                indexes=[asked["index"]] if asked["index"] else None,
                instructions=asked["instructions"],
                saved_question=asked["saved_question"],
            )
        except InvalidQuestion as error:
            form.add_error(None, str(error))
        except BackendError as error:
            form.add_error(None, " ".join([str(error), error.remedy]).strip())
        else:
            return redirect(comparison)
        return self.form_invalid(form)


class ComparisonMixin(ComparerMixin):
    """The comparison that a URL names, for those who may open the pages that it rests on."""

    kwargs: dict[str, Any]

    @cached_property
    def comparison(self) -> Comparison:
        rows = Comparison.objects.select_related("site", "user", "as_group")
        return get_object_or_404(rows, pk=self.kwargs["pk"])

    @cached_property
    def may_read(self) -> bool:
        return may_read(Asker.from_request(self.request), self.comparison)

    @cached_property
    def column(self) -> Column:
        columns = self.comparison.columns.select_related("backend")
        return get_object_or_404(columns, position=self.kwargs["position"])

    def must_read(self) -> None:
        """Raises ``PermissionDenied`` for those who may not, or not any more."""
        if not self.may_read:
            raise PermissionDenied

    def knows_names(self) -> bool:
        return knows_names(self.comparison, self.request.user)

    def shown_column(self) -> dict[str, Any]:
        [shown] = columns_shown(
            self.comparison, [self.column], self.request.user, knows_names=self.knows_names()
        )
        return shown


class ComparisonView(ComparisonMixin, WagtailAdminTemplateMixin, TemplateView):
    """A comparison at its address: what was given, what was answered, what people thought."""

    is_for_readers = True
    template_name = "finetune_switch/admin/comparison.html"
    page_title = gettext_lazy("Comparison")
    header_icon = "finetune-switch"

    def get_page_subtitle(self) -> str:
        return self.comparison.question

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [
            *self.breadcrumbs_items,
            {"url": reverse("finetune_compare:index"), "label": CompareView.page_title},
            {"url": "", "label": self.get_page_title()},
        ]

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
        shown = columns_shown(comparison, columns, user, knows_names=self.knows_names())
        for column, part in zip(columns, shown, strict=True):
            if not part["may_grade"]:
                part["waking_seconds"] = waking_seconds(column, knows_names=self.knows_names())
        return {
            **context,
            "columns": shown,
            "passages": passages_shown(comparison, user),
            "create_page_url": ""
            if comparison.passages
            else create_page_url(comparison.site, user),
            "asks_by_itself": comparison.user_id == user.pk,
            **verdict_shown(comparison, columns, user, knows_names=self.knows_names()),
        }


class ColumnView(ComparisonMixin, TemplateView):
    """One column as it is now, as a part of the page."""

    is_for_readers = True
    template_name = "finetune_switch/admin/compare_column.html"
    http_method_names = ["get"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.must_read()
        return {
            **super().get_context_data(**kwargs),
            "comparison": self.comparison,
            "column": self.shown_column(),
        }


class StreamView(ComparisonMixin, View):
    """Asks a column's backend, and streams what it says. It is never asked a second time."""

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
        )


def without_names(event: Event) -> dict[str, Any]:
    """The text alone: who answered, how fast and for how much is shown once it is judged."""
    return {"text": event.text} if isinstance(event, TextEvent) else {}


class PartView(ComparisonMixin, View):
    """Does something to a comparison, and gives the part of the page that it changed.

    Without the page's script it leads back to the page.
    """

    http_method_names = ["post"]
    template_name = "finetune_switch/admin/compare_column.html"

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        self.must_read()
        status = self.perform(request)
        if request.headers.get("X-Requested-With") != PARTIAL:
            return redirect(self.comparison)
        view = self.part()
        view.setup(request, **self.kwargs)
        return view.render_to_response(view.get_context_data(**self.kwargs), status=status)

    def perform(self, request: HttpRequest) -> int:
        """Do it, and return the HTTP status."""
        raise NotImplementedError

    def part(self) -> TemplateView:
        return ColumnView()


class AgainView(PartView):
    """Asks a column's backend once more, where it failed or was stopped."""

    def perform(self, request: HttpRequest) -> int:
        shown = self.shown_column()
        if shown["may_try_again"]:
            self.column.try_again(instead_of=self.column.exchange_id)
        return 200


class GradeView(PartView):
    """Grades an answer, or takes the last grade back."""

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
        given = {name: form.cleaned_data[name] for name in Grade.VALUES if name in request.POST}
        if given:
            blind = not self.knows_names()
            Grade.record(exchange, judge=request.user, was_blind=blind, **given)
        return 200


class VerdictPartView(ComparisonMixin, TemplateView):
    """The bar beneath the columns."""

    template_name = "finetune_switch/admin/compare_verdict.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        columns = list(self.comparison.columns.select_related("backend"))
        return {
            **super().get_context_data(**kwargs),
            "comparison": self.comparison,
            "again_url": f"{reverse('finetune_compare:index')}?again={self.comparison.pk}",
            **verdict_shown(
                self.comparison, columns, self.request.user, knows_names=self.knows_names()
            ),
        }


class PreferView(PartView):
    """Says which answer is better, or takes that back."""

    def part(self) -> TemplateView:
        return VerdictPartView()

    def perform(self, request: HttpRequest) -> int:
        comparison = self.comparison
        if "undo" in request.POST:
            Preference.undo(comparison, judge=request.user)
            return 200
        choice = request.POST.get("choice", "")
        column = None
        if choice in (Preference.Outcome.BOTH_GOOD, Preference.Outcome.BOTH_BAD):
            outcome = choice
        else:
            columns = {column.letter: column for column in comparison.columns.all()}
            outcome, column = Preference.Outcome.COLUMN, columns.get(choice)
            if column is None:
                return 400
        # Who prefers an answer may be told whose it is, also of one that is still to come.
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
    """Tells who answered, to somebody who has judged."""

    def part(self) -> TemplateView:
        return VerdictPartView()

    def perform(self, request: HttpRequest) -> int:
        return 200 if reveal(self.comparison, request.user) else 409


class SaveQuestionView(PartView):
    """Keeps the question, to be asked again."""

    is_for_readers = True

    def part(self) -> TemplateView:
        return VerdictPartView()

    def perform(self, request: HttpRequest) -> int:
        if not request.user.has_perm(permissions.ADD_QUESTION):
            raise PermissionDenied
        save_question(self.comparison, request.user)
        return 200


def _row(model: Any, pk: str | None) -> Any:
    """The row that a query names, or ``None`` for whatever else it says."""
    try:
        return model.objects.filter(pk=pk).first() if pk else None
    except (ValueError, ValidationError):
        return None


def _controls(
    backends: Sequence[ChatBackend], *, may_add: bool
) -> list[tuple[ChatBackend, ChatBackend | None]]:
    """Each fine-tune with the untuned model to compare it with, where its last check found one.

    The second is ``None`` where that is no backend yet, which only those who may add one hear of.
    """
    pairs = [
        (tuned, tuned.base_among(backends))
        for tuned in backends
        if tuned.base_model and not tuned.unavailable_reason
    ]
    return [(tuned, base) for tuned, base in pairs if base or may_add]


def _wordings() -> dict[ChatBackend, list[SystemPrompt]]:
    """The latest wordings of instructions, newest first, of each backend by its name."""
    latest = SystemPrompt.objects.exclude(text="").select_related("backend").order_by("-pk")
    grouped: dict[ChatBackend, list[SystemPrompt]] = {}
    for wording in sorted(latest[:WORDINGS], key=lambda wording: str(wording.backend)):
        grouped.setdefault(wording.backend, []).append(wording)
    return grouped


def _language_of(site: Site | None) -> str:
    """The language of a site's pages, whichever one its editors have in the admin."""
    return str(site.root_page.locale.language_code) if site else settings.LANGUAGE_CODE


def _suggested(last: Comparison | None, site: Site | None) -> list[Any]:
    """The backends of the last time, else the active one and another that can be asked."""
    if last is not None:
        chosen = [pk for pk in last.columns.values_list("backend", flat=True) if pk]
        if len(chosen) > 1:
            return chosen
    active = Switch.for_question(site).active
    rows = [row for row in ChatBackend.objects.all() if not row.unavailable_reason]
    # What did not pass its check comes last, and before that what needs no model.
    rows.sort(
        key=lambda row: (
            row != active,
            row.check_passed is False,
            row.kind == ChatBackend.Kind.EXTRACTIVE,
            row.pk,
        )
    )
    return [row.pk for row in rows[:2]]
