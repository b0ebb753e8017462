"""One page about a run, to print or to send to somebody who knows no statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.generic import TemplateView
from wagtail.admin.utils import get_user_display_name

from finetune_switch.evaluation.grading import to_grade
from finetune_switch.evaluation.results import results_of
from finetune_switch.models import Grade, RunItem

from .runs import RunPageMixin

EXAMPLES = 3
TONES = [Grade.Tone.YES, Grade.Tone.NEARLY, "", Grade.Tone.NO]


class ReportView(RunPageMixin, TemplateView):
    template_name = "finetune_switch/evaluation/report.html"
    header_icon = "doc-full"

    def get_page_title(self) -> str:
        return _("Report")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        run = self.run
        return {
            **super().get_context_data(**kwargs),
            "run": run,
            "results": results_of(run),
            "grade_labels": Grade.Value.labels,
            "graders": self._graders(),
            "is_blind": self.is_blind,
            "best": self._examples(Grade.Value.CORRECT, TONES),
            "worst": self._examples(Grade.Value.WRONG, TONES[::-1]),
        }

    @cached_property
    def is_blind(self) -> bool:
        """Whether the reader still has to grade, and so must not see who gave an answer."""
        return to_grade(self.run, self.request.user).exists()

    def _graders(self) -> list[str]:
        users = get_user_model()._default_manager.filter(
            pk__in=Grade.objects.filter(
                exchange__run_items__run=self.run, is_current=True, judge__isnull=False
            ).values("judge")
        )
        return [str(get_user_display_name(user)) for user in users]

    def _examples(self, grade: str, tones: list[Any]) -> list[RunItem]:
        """Answers with this grade, in the order of their tones, that the reader may read."""
        if self.is_blind:
            return []
        order = Case(
            *(When(tone=tone, then=Value(place)) for place, tone in enumerate(tones)),
            output_field=IntegerField(),
        )
        items = self.run.items.filter(grade=grade, repetition=0).select_related(
            "question", "contender", "exchange"
        )
        found = self._readable(items.order_by(order, "question__position"))
        return [item for item, _number in zip(found, range(EXAMPLES), strict=False)]

    def _readable(self, items: QuerySet[RunItem]) -> Iterator[RunItem]:
        seen = set()
        for item in items.iterator(chunk_size=20):
            if item.question_id in seen:
                continue
            seen.add(item.question_id)
            if self.reader.may_read([item.question]):
                yield item
