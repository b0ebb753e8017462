"""The page on which somebody grades one answer after another, without names."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.generic import TemplateView, View
from wagtail.admin import messages

from finetune_switch.admin import permissions
from finetune_switch.admin.presenting import passages_shown
from finetune_switch.evaluation.grading import (
    give_grade,
    last_graded,
    pace_of,
    reserve,
    to_grade,
    undo_grade,
)
from finetune_switch.models import Grade, RunItem

from .runs import RunMixin, RunPageMixin

PARTIAL = "XMLHttpRequest"
CARD = "finetune_switch/evaluation/grade_card.html"
# Rows are looked through in groups of this size for one that the grader may read.
BATCH = 20
TONE_KEYS = {Grade.Tone.YES: 5, Grade.Tone.NEARLY: 6, Grade.Tone.NO: 7}


class GradeItemForm(forms.Form):
    value = forms.ChoiceField(choices=Grade.Value.choices)
    tone = forms.ChoiceField(choices=[("", "–"), *Grade.Tone.choices], required=False)
    note = forms.CharField(required=False)
    correction = forms.CharField(required=False)


class GradingMixin(RunMixin):
    has_permission = staticmethod(permissions.may_grade_runs)

    def next_item(self, skipped: set[int]) -> tuple[RunItem | None, int]:
        """The next answer to grade, and how many the grader may not read."""
        closed = 0
        rows = to_grade(self.run, self.request.user).exclude(pk__in=skipped)
        for item in rows.iterator(chunk_size=BATCH):
            if self.reader.may_read([item.question]):
                return item, closed
            closed += 1
        return None, closed

    def card_context(self, *, skipped: set[int], hold: bool) -> dict[str, Any]:
        """Context of the card; ``hold`` reserves the answer for the grader."""
        item, closed = self.next_item(skipped)
        if item is not None and hold:
            reserve(item, self.request.user)
        user = self.request.user
        return {
            "run": self.run,
            "item": item,
            "closed": closed,
            "question": item.question if item else None,
            "exchange": item.exchange if item else None,
            "proposal": Grade.objects.filter(
                exchange=item.exchange_id, source=Grade.Source.RULE, is_current=True
            ).first()
            if item
            else None,
            "passages": passages_shown(item.question.frozen_passages, user) if item else [],
            "values": [
                (number, value, label)
                for number, (value, label) in enumerate(Grade.Value.choices, start=1)
            ],
            "tones": [
                (TONE_KEYS[Grade.Tone(value)], value, label) for value, label in Grade.Tone.choices
            ],
            "pace": pace_of(self.run, user),
            "may_undo": last_graded(self.run, user) is not None,
        }


class GradeView(GradingMixin, RunPageMixin, TemplateView):
    template_name = "finetune_switch/evaluation/grade.html"
    header_icon = "edit"

    def get_page_title(self) -> str:
        return _("Grade answers")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {
            **super().get_context_data(**kwargs),
            **self.card_context(skipped=set(), hold=True),
            "card_url": reverse("finetune_runs:grade_card", args=[self.run.pk]),
        }


class GradeCardView(GradingMixin, View):
    """The HTML of the answer after ``?after=``, to show it as soon as that one is graded."""

    http_method_names = ["get"]

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        after = request.GET.get("after", "")
        skipped = {int(after)} if after.isdecimal() and len(after) < 10 else set()
        hold = "hold" in request.GET
        return TemplateResponse(request, CARD, self.card_context(skipped=skipped, hold=hold))


class GiveGradeView(GradingMixin, View):
    """Record a grade, or undo the last one."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        status = self._undo() if "undo" in request.POST else self._grade()
        if request.headers.get("X-Requested-With") == PARTIAL:
            context = self.card_context(skipped=set(), hold=True)
            return TemplateResponse(request, CARD, context, status=status)
        if status != 200:
            messages.error(request, _("Choose a grade first."))
        return redirect("finetune_runs:grade", self.run.pk)

    def _undo(self) -> int:
        item = last_graded(self.run, self.request.user)
        if item is None:
            return 409
        undo_grade(item, self.request.user)
        return 200

    def _grade(self) -> int:
        form = GradeItemForm(self.request.POST)
        given = self.request.POST.get("item", "")
        if not form.is_valid() or not given.isdecimal():
            return 400
        rows = self.run.items.select_related("question", "exchange")
        item = rows.filter(pk=given, status=RunItem.Status.DONE).first()
        if item is None or not self.reader.may_read([item.question]):
            return 404
        opinion = {name: value for name, value in form.cleaned_data.items() if value}
        give_grade(item, self.request.user, **opinion)
        return 200
