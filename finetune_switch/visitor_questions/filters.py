"""The filters of what visitors asked."""

from operator import methodcaller
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy
from wagtail.admin.filters import WagtailFilterSet
from wagtail.coreutils import get_content_languages
from wagtail.models import Site

from finetune_switch.access.sites import site_name
from finetune_switch.access.visibility import page_model
from finetune_switch.admin.filters import DaysWidget, LabelledFilter, radio_filter
from finetune_switch.models import ChatBackend, Exchange, Outcome
from finetune_switch.search.readers import LATEST, QuestionReader, Reader

DAYS = 30
YES_OR_NO = [("yes", gettext_lazy("Yes")), ("no", gettext_lazy("No"))]


def cited_pages(request: Any) -> QuerySet[Any]:
    """The pages that the latest answers cite and the user may open."""
    reader = QuestionReader(Reader.of(request))
    found = reader.cited_pages(wanted=request.GET.get("cited"))
    return page_model()._default_manager.filter(pk__in=found).order_by("title")


def languages() -> list[tuple[str, str]]:
    """The languages of the pages and of the latest questions, sorted by code."""
    names = dict(get_content_languages())
    latest = Exchange.objects.of_visitors().exclude(locale="").order_by("-opened_at")
    codes = set(latest.values_list("locale", flat=True)[:LATEST])
    return sorted((code, names.get(code, code)) for code in codes | set(names))


class PlaceFilterSet(WagtailFilterSet):
    """Filters by site, where there are several, and by language."""

    site = LabelledFilter(
        label=gettext_lazy("Site"),
        queryset=Site.objects.order_by("hostname"),
        label_of=site_name,
    )
    locale = django_filters.ChoiceFilter(label=gettext_lazy("Language"), choices=languages)

    class Meta:
        model = Exchange
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if Site.objects.count() < 2:
            del self.filters["site"]


class VisitorQuestionFilterSet(PlaceFilterSet):
    outcome = radio_filter(gettext_lazy("Outcome"), Outcome.choices, "ended_as")
    thumb = radio_filter(
        gettext_lazy("Thumb"),
        [
            ("up", gettext_lazy("Up")),
            ("down", gettext_lazy("Down")),
            ("none", gettext_lazy("None")),
        ],
        "with_thumb",
    )
    slow = radio_filter(
        gettext_lazy("First word after"),
        [
            (2, gettext_lazy("more than 2 seconds")),
            (5, gettext_lazy("more than 5 seconds")),
            (10, gettext_lazy("more than 10 seconds")),
        ],
        "slower_than",
    )
    withheld_facts = radio_filter(
        gettext_lazy("Fact lock withheld something"), YES_OR_NO, "with_withheld_facts"
    )
    prepared = radio_filter(gettext_lazy("Prepared answer"), YES_OR_NO, "with_prepared")
    backend = django_filters.ModelChoiceFilter(
        label=gettext_lazy("Backend"), queryset=ChatBackend.objects.order_by("label")
    )
    cited = LabelledFilter(
        label=gettext_lazy("Page cited"),
        queryset=cited_pages,
        method="citing",
        label_of=methodcaller("get_admin_display_title"),
    )
    opened_at = django_filters.DateFromToRangeFilter(label=gettext_lazy("Asked"), widget=DaysWidget)

    @cached_property
    def reader(self) -> QuestionReader:
        return QuestionReader(Reader.of(self.request))

    def ended_as(self, found: Any, name: str, value: str) -> Any:
        return found.ended_as(value)

    def with_thumb(self, found: Any, name: str, value: str) -> Any:
        if value == "none":
            return found.filter(feedback__isnull=True)
        return found.filter(feedback__is_helpful=value == "up")

    def slower_than(self, found: Any, name: str, value: str) -> Any:
        return found.filter(first_token_seconds__gt=int(value))

    def with_withheld_facts(self, found: Any, name: str, value: str) -> Any:
        return (
            found.exclude(withheld_facts=[]) if value == "yes" else found.filter(withheld_facts=[])
        )

    def with_prepared(self, found: Any, name: str, value: str) -> Any:
        return found.filter(prepared_answer__isnull=value == "no")

    def citing(self, found: Any, name: str, value: Any) -> Any:
        return found.filter(pk__in=self.reader.citing_ids(found, value.pk))


class UnansweredFilterSet(PlaceFilterSet):
    days = radio_filter(
        gettext_lazy("Asked"),
        [
            (7, gettext_lazy("in the last 7 days")),
            (90, gettext_lazy("in the last 90 days")),
            (365, gettext_lazy("in the last 365 days")),
        ],
        "since",
        gettext_lazy("in the last 30 days"),
    )

    @property
    def chosen_days(self) -> int:
        chosen = self.form.cleaned_data.get("days") if self.is_valid() else None
        return int(chosen or DAYS)

    def since(self, found: Any, name: str, value: str) -> Any:
        # The view filters by date, since it has a default.
        return found
