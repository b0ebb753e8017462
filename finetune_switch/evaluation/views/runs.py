"""The list of runs, the page of one, and the buttons on it."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.generic import TemplateView, View
from wagtail.admin import messages
from wagtail.admin.ui.menus import MenuItem
from wagtail.admin.ui.tables import Column, DateColumn, StatusTagColumn
from wagtail.admin.utils import get_user_display_name
from wagtail.admin.views import generic
from wagtail.admin.widgets.button import HeaderButton

from finetune_switch.admin import permissions
from finetune_switch.admin.listings import WIDE
from finetune_switch.admin.mixins import (
    AdminCSSMixin,
    AdminPageMixin,
    PermissionFunctionMixin,
)
from finetune_switch.evaluation.estimating import duration, seconds_left
from finetune_switch.evaluation.grading import pace_of
from finetune_switch.evaluation.reading import RunReader
from finetune_switch.evaluation.results import progress_counts, results_of
from finetune_switch.index.upkeep import runs_inside_the_request
from finetune_switch.models import Contender, Exchange, Grade, Origin, Run, RunItem

from .grid import GridRow, grid_questions, grid_rows
from .starting import give_to_worker

QUESTIONS_ON_A_PAGE = 25
COMMAND = "manage.py finetune_switch evaluate --run %d"


class RunIndexView(PermissionFunctionMixin, AdminCSSMixin, generic.IndexView):
    has_permission = staticmethod(permissions.may_see_runs)
    model = Run
    page_title = gettext_lazy("Evaluations")
    header_icon = "finetune-switch"
    any_permission_required = None
    index_url_name = "finetune_runs:index"
    index_results_url_name = "finetune_runs:index_results"
    results_template_name = "finetune_switch/evaluation/listing_results.html"
    list_display = [
        "name",
        Column("contenders", label=gettext_lazy("Backends"), accessor=lambda run: names_of(run)),
        StatusTagColumn(
            "status",
            label=gettext_lazy("Status"),
            accessor="get_status_display",
            primary=lambda run: run.status == Run.Status.FINISHED,
        ),
        Column("graded", label=gettext_lazy("Graded"), accessor=lambda run: graded_of(run)),
        Column(
            "started_by",
            label=gettext_lazy("Started by"),
            accessor=lambda run: get_user_display_name(run.started_by) if run.started_by else "",
            **WIDE,
        ),
        DateColumn("created_at", label=gettext_lazy("Started"), sort_key="created_at", **WIDE),
    ]
    default_ordering = "-created_at"
    paginate_by = 20

    def get_base_queryset(self) -> QuerySet[Run]:
        done = Q(items__status=RunItem.Status.DONE)
        return (
            super()
            .get_base_queryset()
            .select_related("started_by")
            .prefetch_related(Prefetch("contenders", Contender.objects.order_by("position")))
            .annotate(
                answered=Count("items", filter=done),
                graded=Count("items", filter=done & ~Q(items__grade="")),
            )
        )

    def get_edit_url(self, instance: Run) -> str:
        return instance.get_absolute_url()

    def get_list_more_buttons(self, instance: Run) -> list[MenuItem]:
        if not permissions.may_delete_runs(self.request.user):
            return []
        url = reverse("finetune_runs:delete", args=[instance.pk])
        return [MenuItem(_("Delete"), url=url, icon_name="bin", priority=30)]

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        if not permissions.may_start_runs(self.request.user):
            return []
        url = reverse("finetune_runs:start")
        return [HeaderButton(_("New evaluation"), url=url, icon_name="plus")]

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        return {**context, "may_start": permissions.may_start_runs(self.request.user)}


def names_of(run: Run) -> str:
    return ", ".join(str(contender) for contender in run.contenders.all())


def graded_of(run: Any) -> str:
    return _("%(graded)d of %(answered)d") % {"graded": run.graded, "answered": run.answered}


class RunMixin(PermissionFunctionMixin):
    has_permission = staticmethod(permissions.may_see_runs)
    request: HttpRequest
    kwargs: dict[str, Any]

    @cached_property
    def run(self) -> Run:
        rows = Run.objects.select_related("site", "started_by")
        return get_object_or_404(rows, pk=self.kwargs["pk"])

    @cached_property
    def reader(self) -> RunReader:
        return RunReader.of(self.request, self.run)


class RunPageMixin(RunMixin, AdminPageMixin):
    """A page below that of a run."""

    def get_page_title(self) -> str:
        return str(self.run)

    def pages_above(self) -> list[tuple[str, Any]]:
        above = [(reverse("finetune_runs:index"), _("Evaluations"))]
        if not isinstance(self, RunView):
            above.append((self.run.get_absolute_url(), str(self.run)))
        return above


class RunView(RunPageMixin, TemplateView):
    """The progress of a run, its verdict, its figures and its questions."""

    template_name = "finetune_switch/evaluation/run.html"
    header_icon = "finetune-switch"

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        url = reverse("finetune_runs:report", args=[self.run.pk])
        return [HeaderButton(_("Report"), url=url, icon_name="doc-full")]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        run, user = self.run, self.request.user
        results = results_of(run)
        only_different = bool(self.request.GET.get("different"))
        questions = grid_questions(run, only_different=only_different)
        page = Paginator(questions, QUESTIONS_ON_A_PAGE).get_page(self.request.GET.get("p"))
        rows: list[GridRow] = grid_rows(run, list(page.object_list), self.reader)
        may_grade = permissions.may_grade_runs(user)
        return {
            **super().get_context_data(**kwargs),
            "run": run,
            "results": results,
            "progress": progress_of(run),
            "rows": rows,
            "page": page,
            "only_different": only_different,
            "grade_labels": Grade.Value.labels,
            "tone_labels": Grade.Tone.labels,
            "may_start": permissions.may_start_runs(user),
            "pace": pace_of(run, user) if may_grade else None,
            "has_worker": not runs_inside_the_request(),
            "command": COMMAND % run.pk,
            "progress_url": reverse("finetune_runs:progress", args=[run.pk]),
            "export_url": reverse("finetune_runs:export", args=[run.pk]),
        }


def progress_of(run: Run) -> dict[str, Any]:
    """The progress of a run, for its page and the script on it."""
    counted = progress_counts(run)
    total = sum(counted.values())
    done = counted[RunItem.Status.DONE] + counted[RunItem.Status.FAILED]
    at_work = run.status in (Run.Status.QUEUED, Run.Status.RUNNING)
    to_find = run.questions.filter(searched_at=None).count() if at_work and not done else 0
    parts = [_("%(done)d of %(total)d answers") % {"done": done, "total": total}]
    if failed := counted[RunItem.Status.FAILED]:
        parts.append(ngettext("%d failed", "%d failed", failed) % failed)
    if run.status == Run.Status.QUEUED:
        parts = [str(run.get_status_display())]
    elif at_work and to_find and not counted[RunItem.Status.CLAIMED]:
        parts = [
            ngettext(
                "Finding passages: %d question left", "Finding passages: %d questions left", to_find
            )
            % to_find
        ]
    elif at_work and (left := seconds_left(run)) is not None:
        parts.append(_("%s left") % duration(left))
    return {
        "status": run.status,
        "is_at_work": at_work,
        "done": done,
        "total": total,
        "failed": failed,
        "sentence": ", ".join(parts),
    }


class ProgressView(RunMixin, View):
    http_method_names = ["get"]

    def get(self, request: HttpRequest, **kwargs: Any) -> JsonResponse:
        return JsonResponse(progress_of(self.run))


class RunActionView(RunMixin, View):
    """One of the buttons of a run. ``perform`` returns a sentence, or nothing if it did nothing."""

    has_permission = staticmethod(permissions.may_start_runs)
    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if sentence := self.perform():
            messages.success(request, sentence)
        else:
            messages.warning(
                request,
                _("Nothing was changed: the evaluation is %s.")
                % str(self.run.get_status_display()).lower(),
            )
        return redirect(self.run)

    def perform(self) -> str:
        raise NotImplementedError


class PauseView(RunActionView):
    def perform(self) -> str:
        return _("Paused. What was answered stays.") if self.run.pause() else ""


class CancelView(RunActionView):
    def perform(self) -> str:
        return _("Cancelled. What was answered stays.") if self.run.cancel() else ""


class ResumeView(RunActionView):
    def perform(self) -> str:
        if not self.run.resume():
            return ""
        give_to_worker(self.run)
        return _("It goes on. Nothing is asked twice.")


class AgainView(RunActionView):
    def perform(self) -> str:
        failed = self.run.ask_failed_again()
        if not failed:
            return ""
        give_to_worker(self.run)
        text = ngettext(
            "%d failed question is asked again.", "%d failed questions are asked again.", failed
        )
        return text % failed


class RunDeleteView(PermissionFunctionMixin, generic.DeleteView):
    has_permission = staticmethod(permissions.may_delete_runs)
    model = Run
    permission_required = None
    header_icon = "bin"
    index_url_name = "finetune_runs:index"
    delete_url_name = "finetune_runs:delete"

    @property
    def confirmation_message(self) -> str:
        return _("Delete this evaluation, with its answers and all grades of them?")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        ids = list(self.object.items.exclude(exchange=None).values_list("exchange_id", flat=True))
        with transaction.atomic():
            response = super().post(request, *args, **kwargs)
            # Exchanges have no constraint to their row, and no other page shows these.
            Exchange.objects.filter(pk__in=ids, origin=Origin.EVALUATION).delete()
        return response
