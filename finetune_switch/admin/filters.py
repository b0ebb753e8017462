"""Filters that several listings share."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.utils.translation import gettext as _
from django_filters.widgets import SuffixedMultiWidget
from wagtail.admin.utils import get_user_display_name


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


class PersonChoiceField(django_filters.fields.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return get_user_display_name(obj)


class PersonFilter(django_filters.ModelChoiceFilter):
    field_class = PersonChoiceField
