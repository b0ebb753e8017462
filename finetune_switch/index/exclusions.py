"""Exclusion of pages from answers, by checkboxes on the settings tab.

The panel is added to the ``settings_panels`` of every page type at startup. Its fields are
submitted with the form of the page and stored in ``Exclusion``. Like privacy, they take effect when
the page is saved, published or not.

A page type with its own ``edit_handler`` shows the panel only if the handler uses
``settings_panels`` or contains an :class:`ExclusionPanel`.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from wagtail.admin.panels import Panel
from wagtail.log_actions import log
from wagtail.models import AbstractPage, PageLogEntry, get_page_models

from finetune_switch.access.visibility import page_model
from finetune_switch.admin.log_actions import LEAVE_OUT_ACTION
from finetune_switch.models import Exclusion

from .sources import left_out_types

PREFIX = "finetune_switch"


class ExclusionForm(forms.Form):
    """``shown`` distinguishes unchecked checkboxes from a form without the panel."""

    shown = forms.BooleanField(required=False, initial=True, widget=forms.HiddenInput)
    left_out = forms.BooleanField(
        required=False, label=gettext_lazy("Leave this page out of AI answers")
    )
    subtree = forms.BooleanField(required=False, label=gettext_lazy("…and everything beneath it"))


class ExclusionPanel(Panel):
    """The checkboxes in the form of a page."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "finetune_switch/index/panels/exclusion.html"
        instance: AbstractPage

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            parent = getattr(self.form, "parent_page", None)
            return {
                **super().get_context_data(parent_context),
                "exclusion_form": self._form(),
                "left_out_above": left_out_above(self.instance, parent),
                "left_out_type": is_left_out_type(type(self.instance)),
            }

        def _form(self) -> ExclusionForm:
            data = getattr(self.request, "POST", None)
            if data and f"{PREFIX}-shown" in data:
                return ExclusionForm(data, prefix=PREFIX)
            row = Exclusion.objects.filter(page_id=self.instance.pk).first()
            initial = {"left_out": row is not None, "subtree": row is not None and row.subtree}
            return ExclusionForm(initial=initial, prefix=PREFIX)


def left_out_above(page: AbstractPage, parent: AbstractPage | None = None) -> AbstractPage | None:
    """The highest ancestor that is excluded with its subtree, if any.

    ``parent`` is the parent of a page that is not in the tree yet.
    """
    model = page_model()
    above = page.path[: -page.steplen] if page.path else getattr(parent, "path", "")
    paths = [above[:end] for end in range(page.steplen, len(above) + 1, page.steplen)]
    whole = Exclusion.objects.filter(subtree=True).values("page_id")
    return model._default_manager.filter(path__in=paths, pk__in=whole).order_by("depth").first()


def is_left_out_type(model: type[Model]) -> bool:
    return model._meta.label_lower in left_out_types()


def set_exclusion(
    page: AbstractPage, *, left_out: bool, subtree: bool = False, user: Any = None
) -> None:
    """Exclude a page from answers, or include it again. Signals update the index."""
    left_out = left_out or subtree
    with transaction.atomic():
        row = Exclusion.objects.select_for_update().filter(page_id=page.pk).first()
        if left_out == (row is not None) and (row is None or row.subtree == subtree):
            return
        if row is not None and not left_out:
            row.delete()
        else:
            Exclusion.objects.update_or_create(page_id=page.pk, defaults={"subtree": subtree})
        data = {"left_out": left_out, "subtree": subtree}
        log(page, LEAVE_OUT_ACTION, user=user, data=data)


def save_ticks(request: HttpRequest, page: AbstractPage) -> None:
    """Hook for ``after_create_page`` and ``after_edit_page``."""
    form = ExclusionForm(request.POST, prefix=PREFIX)
    if form.is_valid() and form.cleaned_data["shown"]:
        set_exclusion(
            page,
            left_out=form.cleaned_data["left_out"],
            subtree=form.cleaned_data["subtree"],
            user=request.user,
        )


def follow_copy(source_id: int, copy: AbstractPage, *, user: Any = None) -> None:
    """Exclude a copy, a translation or an alias of an excluded page as well."""
    row = Exclusion.objects.filter(page_id=source_id).first()
    if row is not None:
        set_exclusion(copy, left_out=True, subtree=row.subtree, user=user)


def follow_logged_copy(entry: PageLogEntry) -> None:
    """Exclude a copy that Wagtail's log tells of, if its original is excluded.

    The entry names the parent of the original: that is its excluded child with the same title.
    """
    parent_id = ((entry.data or {}).get("source") or {}).get("id")
    copy = page_model()._default_manager.filter(pk=entry.page_id).first()
    parent = page_model()._default_manager.filter(pk=parent_id).first()
    if copy is None or parent is None:
        return
    excluded = Exclusion.objects.values("page_id")
    originals = (
        page_model()
        ._default_manager.child_of(parent)
        .filter(title=copy.title, content_type=copy.content_type_id, pk__in=excluded)
    )
    for original in originals.exclude(pk=copy.pk)[:1]:
        follow_copy(original.pk, copy, user=entry.user)


def copy_ticks(request: HttpRequest, page: AbstractPage, new_page: AbstractPage) -> None:
    """Hook for ``after_copy_page``: copies are excluded like their originals."""
    pages = page_model()._default_manager
    ticked = dict(Exclusion.objects.values_list("page_id", "subtree"))
    # All copies except the first keep their slugs.
    copies = {
        row.url_path.removeprefix(new_page.url_path): row for row in pages.descendant_of(new_page)
    }
    for row in pages.descendant_of(page, inclusive=True).filter(pk__in=ticked):
        place = row.url_path.removeprefix(page.url_path)
        copy = copies.get(place) if place else new_page
        if copy is not None:
            set_exclusion(copy, left_out=True, subtree=ticked[row.pk], user=request.user)


def add_panels() -> None:
    """Add the panel to the settings tab of every page type."""
    for model in get_page_models():
        panels = model.settings_panels
        if any(isinstance(panel, ExclusionPanel) for panel in panels):
            continue
        added = ExclusionPanel(heading=gettext_lazy("AI answers"), icon="finetune-switch")
        if isinstance(panels, list):
            # In place, since subclasses may share the list.
            panels.append(added)
        else:
            model.settings_panels = [*panels, added]
