"""Filters that several listings share."""

from collections.abc import Callable
from typing import Any

import django_filters
from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters.widgets import SuffixedMultiWidget


class DaysWidget(SuffixedMultiWidget):
    """A range of days with the browser's date inputs, which need no script."""

    template_name = "finetune_switch/admin/widgets/days.html"
    suffixes = ["from", "to"]

    def __init__(self, attrs: Any = None) -> None:
        day = {"type": "date", "min": "2000-01-01", "max": "9998-12-31"}
        widgets = [forms.DateInput(format="%Y-%m-%d", attrs=day) for _suffix in self.suffixes]
        super().__init__(widgets, attrs)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        for subwidget, label in zip(
            context["widget"]["subwidgets"], (_("From"), _("To")), strict=True
        ):
            subwidget["label"] = label
        return context

    def decompress(self, value: Any) -> list[Any]:
        return [value.start, value.stop] if value else [None, None]


class LabelledFilter(django_filters.ModelChoiceFilter):
    """A choice of rows, each shown by what ``label_of`` says of it."""

    def __init__(self, *args: Any, label_of: Callable[[Any], str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_of = label_of

    @property
    def field(self) -> Any:
        field = super().field
        field.label_from_instance = self.label_of
        return field


def radio_filter(label: Any, choices: Any, method: str, empty_label: Any = None) -> Any:
    """A choice by radio buttons, as Wagtail's own filters of model fields."""
    return django_filters.ChoiceFilter(
        label=label,
        choices=choices,
        method=method,
        widget=forms.RadioSelect,
        empty_label=empty_label or gettext_lazy("All"),
    )
