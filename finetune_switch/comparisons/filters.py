"""The filters of the list of comparisons, and of the tally."""

from typing import Any

import django_filters
from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.utils import get_user_display_name

from finetune_switch.admin.filters import DaysWidget, LabelledFilter, radio_filter
from finetune_switch.models import ChatBackend, Column, Comparison, Exchange, Grade, Outcome

from .reading import FAILURES, ComparisonReader


def askers(request: Any) -> QuerySet[Any]:
    asked = Comparison.objects.filter(user__isnull=False).order_by().values("user")
    users = get_user_model()._default_manager.filter(pk__in=asked)
    return users.order_by(get_user_model().USERNAME_FIELD)


def failed() -> Q:
    overdue = Q(outcome=Outcome.OPEN, deadline_at__lt=timezone.now())
    return Q(outcome__in=FAILURES) | overdue


class ComparisonFilterSet(WagtailFilterSet):
    """Where ``is_about_answers``, the view keeps only the comparisons that the reader may read."""

    backend = django_filters.ModelChoiceFilter(
        label=gettext_lazy("Backend"),
        queryset=ChatBackend.objects.order_by("label"),
        method="with_backend",
    )
    grade = radio_filter(gettext_lazy("Grade"), Grade.Value.choices, "with_grade")
    user = LabelledFilter(
        label=gettext_lazy("Asked by"), queryset=askers, label_of=get_user_display_name
    )
    asked_at = django_filters.DateFromToRangeFilter(label=gettext_lazy("Asked"), widget=DaysWidget)
    failed = radio_filter(
        gettext_lazy("Failures"),
        [
            ("yes", gettext_lazy("A backend failed")),
            ("no", gettext_lazy("No backend failed")),
        ],
        "with_failure",
    )

    class Meta:
        model = Comparison
        fields: list[str] = []

    @property
    def is_about_answers(self) -> bool:
        """Whether a filter is in use whose result tells something about the answers."""
        return any(self.form.cleaned_data.get(name) for name in ("backend", "grade", "failed"))

    @cached_property
    def reader(self) -> ComparisonReader:
        return ComparisonReader.of(self.request)

    def with_backend(self, found: QuerySet[Any], name: str, value: ChatBackend) -> QuerySet[Any]:
        columns = Column.objects.filter(comparison=OuterRef("pk"), backend=value)
        # A result would reveal a name that is still hidden.
        return found.filter(Exists(columns), self.reader.with_known_names())

    def with_grade(self, found: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        grades = Grade.objects.filter(
            exchange__columns__comparison=OuterRef("pk"), is_current=True, value=value
        )
        return found.filter(Exists(grades), self.reader.with_others_words())

    def with_failure(self, found: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        exchanges = Exchange.objects.filter(failed(), columns__comparison=OuterRef("pk"))
        return found.filter(Exists(exchanges) if value == "yes" else ~Exists(exchanges))
