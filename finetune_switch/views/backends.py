"""The list of chat backends, their forms, and what can be done with one of them."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View
from wagtail.admin import messages
from wagtail.admin.ui.tables import Column, StatusTagColumn
from wagtail.admin.views import generic
from wagtail.admin.views.generic import WagtailAdminTemplateMixin
from wagtail.admin.widgets.button import HeaderButton

from .. import conf, permissions
from ..exceptions import BackendError, ConnectionNotConfigured
from ..models import ChatBackend, Switch, SystemPrompt
from ..preflight import corrected_modelfile, run_check
from ..registration import free_alias, synchronise_backends
from ..servers import ModelServer
from ..widgets import admin_css


def state_of(row: ChatBackend, active: set[int]) -> str:
    """In a word or two, how a backend stands."""
    if row.unavailable_reason:
        return _("Gone")
    if row.pk in active:
        return _("Active")
    if row.check_passed is False:
        return _("Check failed")
    if row.check_passed or row.kind == ChatBackend.Kind.EXTRACTIVE:
        return _("Ready")
    return _("Not checked")


class StateColumn(StatusTagColumn):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("state", label=gettext_lazy("State"), primary=self.is_active, **kwargs)

    def get_value(self, instance: ChatBackend) -> str:
        return state_of(instance, self.active(instance))

    def is_active(self, instance: ChatBackend) -> bool:
        return instance.pk in self.active(instance)

    def active(self, instance: ChatBackend) -> set[int]:
        return instance.active_ids  # type: ignore[attr-defined]


class BackendIndexView(generic.IndexView):
    """The list; aliases of the settings get their rows when it is opened."""

    list_display = [
        "label",
        Column(
            "model_name",
            label=gettext_lazy("Model"),
            sort_key="model_name",
            classname="finetune-wide",
        ),
        Column(
            "data_destination",
            label=gettext_lazy("Where questions go"),
            classname="finetune-wide",
        ),
        Column(
            "shutdown_date",
            label=gettext_lazy("Shuts down"),
            sort_key="shutdown_date",
            classname="finetune-wide",
        ),
        StateColumn(classname="finetune-tag"),
    ]
    search_fields = ["label", "alias", "model_name"]
    default_ordering = "label"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        synchronise_backends()
        return super().get(request, *args, **kwargs)

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        active = set(
            Switch.objects.filter(active__isnull=False).values_list("active_id", flat=True)
        )
        for row in context["object_list"]:
            row.active_ids = active
        context["media"] += admin_css()
        return context

    def get_edit_url(self, instance: ChatBackend) -> str | None:
        return None if instance.is_read_only else super().get_edit_url(instance)

    def get_copy_url(self, instance: ChatBackend) -> str | None:
        return None if instance.is_read_only else super().get_copy_url(instance)

    def get_delete_url(self, instance: ChatBackend) -> str | None:
        return super().get_delete_url(instance) if may_be_deleted(instance) else None


def may_be_deleted(row: ChatBackend) -> bool:
    """What the settings declare would only come back; what has left them may go."""
    return not row.is_read_only or bool(row.unavailable_reason)


class BackendButtonsMixin:
    """Leads from a backend's form to what can be done with it."""

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
        """None: Wagtail's count would say "never", since the switches are no references of its."""

    def get_object(self, queryset: Any = None) -> ChatBackend:
        row = super().get_object(queryset)
        if row.is_read_only:
            raise PermissionDenied
        return row


class BackendInspectView(BackendButtonsMixin, generic.InspectView):
    template_name = "finetune_switch/admin/inspect_backend.html"

    def get_field_label(self, field_name: str, field: Any) -> str:
        own = {
            "kind": _("Kind"),
            "data_destination": _("Where questions go"),
            "unavailable_reason": _("Gone"),
        }
        return own.get(field_name) or super().get_field_label(field_name, field)

    def get_parameters_display_value(self) -> str:
        return ", ".join(f"{name}: {value}" for name, value in self.object.parameters.items())

    def get_fields_context(self) -> list[dict[str, Any]]:
        """What there is to say of it; what is empty is left out."""
        return [shown for shown in super().get_fields_context() if shown["value"] not in ("", None)]

    def get_edit_url(self) -> str | None:
        return None if self.object.is_read_only else super().get_edit_url()

    def get_delete_url(self) -> str | None:
        return super().get_delete_url() if may_be_deleted(self.object) else None


class BackendDeleteView(generic.DeleteView):
    template_name = "finetune_switch/admin/delete_backend.html"

    def get_object(self, queryset: Any = None) -> ChatBackend:
        row = super().get_object(queryset)
        if not may_be_deleted(row):
            raise PermissionDenied
        return row

    def get_usage_url(self) -> None:
        """None: where it is in use is asked of the switches, which know; see the template."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "used_by": self.object.usage()}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if not self.object.usage():
                return super().post(request, *args, **kwargs)
        except ProtectedError:
            # Somebody switched to it between the question and the deletion.
            pass
        return self.render_to_response(self.get_context_data())


class OneBackendMixin:
    """A page or an act that concerns one backend."""

    request: HttpRequest
    kwargs: dict[str, Any]
    permission = staticmethod(permissions.may_see_backends)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.permission(request.user):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]

    @cached_property
    def backend(self) -> ChatBackend:
        return get_object_or_404(ChatBackend, pk=self.kwargs["pk"])

    def get_page_subtitle(self) -> str:
        return str(self.backend)

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        edit = "inspect" if self.backend.is_read_only else "edit"
        return [
            *self.breadcrumbs_items,  # type: ignore[attr-defined]
            {
                "url": reverse("finetune_backends:index"),
                "label": ChatBackend._meta.verbose_name_plural.capitalize(),  # type: ignore[union-attr]
            },
            {
                "url": reverse(f"finetune_backends:{edit}", args=[self.backend.pk]),
                "label": str(self.backend),
            },
            {"url": "", "label": self.get_page_title()},  # type: ignore[attr-defined]
        ]


class CheckView(OneBackendMixin, WagtailAdminTemplateMixin, TemplateView):
    """What the last check found, step by step, and the button for another."""

    template_name = "finetune_switch/admin/check.html"
    page_title = gettext_lazy("Check connection")
    # No tick: it would stand above a check that failed.
    header_icon = "link"

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        steps = run_check(self.backend)
        if all(step.passed for step in steps):
            messages.success(request, _("“%s” answers.") % self.backend)
        else:
            messages.error(request, steps[-1].message)
        return redirect(self.backend.get_check_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        row = self.backend
        is_deaf = any(step.get("code") == "deaf" for step in row.check_report)
        return {
            **super().get_context_data(**kwargs),
            "backend": row,
            "modelfile_url": reverse("finetune_backends:modelfile", args=[row.pk])
            if is_deaf
            else "",
            "base_model": row.missing_base_model()
            if self.request.user.has_perm(permissions.ADD_BACKEND)
            else "",
        }


class AddBaseModelView(OneBackendMixin, View):
    """Adds the model that a fine-tune came from: the fair control in a comparison."""

    http_method_names = ["post"]
    permission = staticmethod(lambda user: user.has_perm(permissions.ADD_BACKEND))

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        tuned = self.backend
        if not tuned.base_model:
            messages.error(request, _("The server does not say what it was tuned from."))
            return redirect(tuned.get_check_url())
        if not tuned.missing_base_model():
            messages.warning(request, _("“%s” is a chat backend already.") % tuned.base_model)
            return redirect(tuned.get_check_url())
        base = ChatBackend(
            alias=free_alias(tuned.base_model),
            label=_("%s (untuned)") % tuned.base_model,
            connection=tuned.connection,
            model_name=tuned.base_model,
            context_window=tuned.context_window,
            parameters=tuned.parameters,
            hourly_price=tuned.hourly_price,
        )
        try:
            base.full_clean()
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return redirect(tuned.get_check_url())
        base.save(author=request.user)
        messages.success(request, _("“%s” was added. Check now whether it answers.") % base)
        return redirect(base.get_check_url())


class ModelfileView(OneBackendMixin, View):
    """The corrected Modelfile of a model that does not hear its instructions, to download."""

    http_method_names = ["get"]
    permission = staticmethod(permissions.may_see_backends)

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        try:
            text = corrected_modelfile(self.backend)
        except BackendError as error:
            messages.error(request, f"{error} {error.remedy}")
            return redirect(self.backend.get_check_url())
        response = HttpResponse(text, content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="Modelfile"'
        return response


class PromptsView(OneBackendMixin, WagtailAdminTemplateMixin, TemplateView):
    """Every wording that a backend's instructions have had; an earlier one can be taken again."""

    template_name = "finetune_switch/admin/prompts.html"
    page_title = gettext_lazy("Earlier instructions")
    header_icon = "history"

    def may_restore(self) -> bool:
        return not self.backend.is_read_only and self.request.user.has_perm(
            permissions.CHANGE_BACKEND
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {
            **super().get_context_data(**kwargs),
            "backend": self.backend,
            "versions": self.backend.prompt_versions.exclude(text="").select_related("created_by"),
            "may_restore": self.may_restore(),
        }

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.may_restore():
            raise PermissionDenied
        number = request.POST.get("number", "")
        version = get_object_or_404(
            SystemPrompt, backend=self.backend, number=number if number.isdecimal() else 0
        )
        self.backend.system_prompt = version.text
        self.backend.save(author=request.user, update_fields=["system_prompt", "updated_at"])
        messages.success(
            request,
            _("“%(backend)s” is told wording %(number)d again.")
            % {"backend": self.backend, "number": version.number},
        )
        return redirect("finetune_backends:prompts", self.backend.pk)


class ModelsView(View):
    """The models that a connection's server has, as JSON, for the form."""

    http_method_names = ["get"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not permissions.may_administer_backends(request.user):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> JsonResponse:
        try:
            connection = conf.get_connection(request.GET.get("connection", ""))
            models = ModelServer(connection).models()
        except ConnectionNotConfigured:
            return JsonResponse({"message": _("Choose a connection first.")}, status=400)
        except BackendError as error:
            return JsonResponse({"message": f"{error} {error.remedy}".strip()}, status=502)
        return JsonResponse(
            {
                "models": [
                    {
                        "name": model.name,
                        "note": _("shuts down on %s") % model.shutdown_date.isoformat()
                        if model.shutdown_date
                        else "",
                    }
                    for model in models
                ]
            }
        )
