"""The list of chat backends, their forms, and what can be done with one of them."""

from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.ui.tables import Column, StatusTagColumn
from wagtail.admin.views import generic
from wagtail.admin.widgets.button import HeaderButton

from finetune_switch import conf
from finetune_switch.admin.listings import WIDE
from finetune_switch.admin.mixins import AdminCSSMixin
from finetune_switch.backends.registration import free_alias, synchronise_backends
from finetune_switch.models import ChatBackend, Switch


def is_active(row: ChatBackend) -> bool:
    return row.pk in row.active_ids  # type: ignore[attr-defined]


def state_of(row: ChatBackend) -> str:
    if row.unavailable_reason:
        return _("Gone")
    if is_active(row):
        return _("Active")
    if row.check_passed is False:
        return _("Check failed")
    if row.check_passed or row.kind == ChatBackend.Kind.EXTRACTIVE:
        return _("Ready")
    return _("Not checked")


class BackendIndexView(AdminCSSMixin, generic.IndexView):
    """Opening the list creates the rows of the aliases in the settings."""

    list_display = [
        "name",
        Column("model_name", label=gettext_lazy("Model"), sort_key="model_name", **WIDE),
        Column("data_destination", label=gettext_lazy("Where questions go"), **WIDE),
        Column("shutdown_date", label=gettext_lazy("Shuts down"), sort_key="shutdown_date", **WIDE),
        StatusTagColumn(
            "state",
            label=gettext_lazy("State"),
            accessor=state_of,
            primary=is_active,
            classname="finetune-tag",
        ),
    ]
    default_ordering = "label"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        synchronise_backends()
        return super().get(request, *args, **kwargs)

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        active = set(Switch.objects.values_list("active_id", flat=True))
        for row in context["object_list"]:
            row.active_ids = active
        return context

    def get_edit_url(self, instance: ChatBackend) -> str | None:
        return None if instance.is_read_only else super().get_edit_url(instance)

    def get_copy_url(self, instance: ChatBackend) -> str | None:
        return None if instance.is_read_only else super().get_copy_url(instance)

    def get_delete_url(self, instance: ChatBackend) -> str | None:
        return super().get_delete_url(instance) if may_be_deleted(instance) else None


def may_be_deleted(row: ChatBackend) -> bool:
    """Not where the settings declare it, since its row would be created again."""
    return not row.is_read_only or bool(row.unavailable_reason)


class BackendButtonsMixin:
    """Links from a backend's form to its pages and actions."""

    object: ChatBackend

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        return [
            HeaderButton(_("Check connection"), url=self.object.get_check_url(), icon_name="link"),
            HeaderButton(
                _("Earlier instructions"),
                url=reverse("finetune_backends:prompts", args=[self.object.pk]),
                icon_name="history",
            ),
        ]


class BackendCreateView(generic.CreateView):
    def get_initial_form_instance(self) -> ChatBackend:
        aliases = conf.connection_aliases()
        return ChatBackend(connection=aliases[0] if len(aliases) == 1 else "")

    def get_success_url(self) -> str:
        return self.object.get_check_url()

    def get_success_message(self, instance: ChatBackend) -> str:
        return _("“%s” was added. Check now whether it answers.") % instance


class BackendCopyView(generic.CopyView):
    def get_object(self, queryset: Any = None) -> ChatBackend:
        # Wagtail wants "view" or "change" as well, which the list's link does not know; who may
        # add a backend may inspect every one anyway.
        row = get_object_or_404(ChatBackend, pk=unquote(str(self.kwargs["pk"])))
        if row.is_read_only:
            raise PermissionDenied
        return row

    def get_initial_form_instance(self) -> ChatBackend:
        row = self.get_object()
        row.pk, row._state.adding = None, True
        row.forget_check()
        row.alias = free_alias(row.alias)
        row.label = _("%s (copy)") % row.label
        return row

    def get_success_url(self) -> str:
        return self.object.get_check_url()


class BackendEditView(BackendButtonsMixin, generic.EditView):
    def get_usage_url(self) -> None:
        """None, since switches are not in Wagtail's reference index."""

    def get_object(self, queryset: Any = None) -> ChatBackend:
        row = super().get_object(queryset)
        if row.is_read_only:
            raise PermissionDenied
        return row


class BackendInspectView(BackendButtonsMixin, generic.InspectView):
    template_name = "finetune_switch/switching/inspect_backend.html"

    def get_field_label(self, field_name: str, field: Any) -> str:
        own = {
            "kind": _("Kind"),
            "data_destination": _("Where questions go"),
            "unavailable_reason": _("Gone"),
        }
        return own.get(field_name) or super().get_field_label(field_name, field)

    def get_label_display_value(self) -> str:
        return str(self.object)

    def get_parameters_display_value(self) -> str:
        return ", ".join(f"{name}: {value}" for name, value in self.object.parameters.items())

    def get_fields_context(self) -> list[dict[str, Any]]:
        """The fields that have a value."""
        return [shown for shown in super().get_fields_context() if shown["value"] not in ("", None)]

    def get_edit_url(self) -> str | None:
        return None if self.object.is_read_only else super().get_edit_url()

    def get_delete_url(self) -> str | None:
        return super().get_delete_url() if may_be_deleted(self.object) else None


class BackendDeleteView(generic.DeleteView):
    template_name = "finetune_switch/switching/delete_backend.html"

    def get_object(self, queryset: Any = None) -> ChatBackend:
        row = super().get_object(queryset)
        if not may_be_deleted(row):
            raise PermissionDenied
        return row

    def get_usage_url(self) -> None:
        """None, since the template lists the switches that use it."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "used_by": self.object.usage()}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if not self.object.usage():
                return super().post(request, *args, **kwargs)
        except ProtectedError:
            # Somebody switched to it after the confirmation page was shown.
            pass
        return self.render_to_response(self.get_context_data())
