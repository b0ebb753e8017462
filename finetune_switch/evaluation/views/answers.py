"""The answers to one question of a run, and the spreadsheet of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View

from finetune_switch.admin import permissions
from finetune_switch.admin.presenting import details, passages_shown
from finetune_switch.admin.spreadsheets import SafeSpreadsheetMixin
from finetune_switch.evaluation.grading import to_grade
from finetune_switch.models import Grade, RunItem, RunQuestion

from .grid import cell_of, export_rows
from .runs import RunMixin, RunPageMixin

LETTERS = "ABCDEFGHIJKL"


class QuestionView(RunPageMixin, TemplateView):
    """One question with its reference, its passages and all answers.

    Names are hidden from somebody who still has to grade one of the answers.
    """

    template_name = "finetune_switch/evaluation/question.html"
    header_icon = "help"

    @cached_property
    def question(self) -> RunQuestion:
        return get_object_or_404(self.run.questions, position=self.kwargs["position"])

    def get_page_title(self) -> str:
        return _("Question %d") % (self.question.position + 1)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        may_read = self.question.pk in self.reader.may_read([self.question])
        is_blind = (
            permissions.may_grade_runs(user)
            and to_grade(self.run, user).filter(question=self.question).exists()
        )
        return {
            **super().get_context_data(**kwargs),
            "run": self.run,
            "question": self.question,
            "may_read": may_read,
            "is_blind": is_blind,
            "passages": passages_shown(self.question.frozen_passages, user) if may_read else [],
            "answers": self._answers(is_blind) if may_read else [],
        }

    def _answers(self, is_blind: bool) -> list[dict[str, Any]]:
        items = self.question.items.select_related("exchange__backend", "contender")
        order = ("shuffle",) if is_blind else ("repetition", "contender__position")
        rows = list(items.order_by(*order))
        grades: dict[Any, list[Grade]] = {}
        if not is_blind:
            found = Grade.objects.filter(
                exchange__in=[row.exchange_id for row in rows], is_current=True
            )
            for grade in found.select_related("judge"):
                grades.setdefault(grade.exchange_id, []).append(grade)
        shown = []
        for number, row in enumerate(rows):
            is_done = row.status == RunItem.Status.DONE
            exchange = row.exchange if is_done else None
            name = LETTERS[number % len(LETTERS)] if is_blind else str(row.contender)
            if row.repetition and not is_blind:
                name = _("%s, asked again") % name
            shown.append(
                {
                    "name": name,
                    "exchange": exchange,
                    "cell": cell_of(self.question, row.contender, row),
                    "grades": grades.get(row.exchange_id, []),
                    "details": details(exchange) if exchange is not None and not is_blind else [],
                }
            )
        return shown


class ExportView(RunMixin, SafeSpreadsheetMixin, View):
    """All answers with their grades, as CSV or XLSX."""

    http_method_names = ["get"]
    export_headings = {
        "number": gettext_lazy("Number"),
        "question": gettext_lazy("Question"),
        "tags": gettext_lazy("Tags"),
        "expects": gettext_lazy("Right answer"),
        "reference": gettext_lazy("Reference answer"),
        "backend": gettext_lazy("Backend"),
        "model": gettext_lazy("Model"),
        "repetition": gettext_lazy("Time asked"),
        "status": gettext_lazy("Status"),
        "error": gettext_lazy("Error"),
        "answer": gettext_lazy("Answer"),
        "grade": gettext_lazy("Grade"),
        "tone": gettext_lazy("Sounds like us"),
        "graded_by": gettext_lazy("Graders"),
        "duration_seconds": gettext_lazy("Seconds in all"),
        "prompt_tokens": gettext_lazy("Tokens read"),
        "completion_tokens": gettext_lazy("Tokens written"),
        "cost": gettext_lazy("Cost in US dollars"),
    }
    list_export = list(export_headings)

    def get_filename(self) -> str:
        return f"evaluation-{self.run.pk}"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        kind = request.GET.get("export")
        if kind not in (self.FORMAT_CSV, self.FORMAT_XLSX):
            kind = self.FORMAT_CSV
        rows: Iterator[dict[str, Any]] = export_rows(self.run, self.reader)
        return self.as_spreadsheet(rows, kind)
