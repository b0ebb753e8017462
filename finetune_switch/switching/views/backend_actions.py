"""Pages and actions of one chat backend: its check, instructions and base model."""

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View
from wagtail.admin import messages
from wagtail.log_actions import log

from finetune_switch.admin import permissions
from finetune_switch.admin.mixins import AdminPageMixin, PermissionFunctionMixin
from finetune_switch.backends.preflight import corrected_modelfile, run_check
from finetune_switch.backends.registration import free_alias
from finetune_switch.backends.servers import ModelServer
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import BackendError, ConnectionNotConfigured
from finetune_switch.models import ChatBackend, SystemPrompt


class OneBackendMixin(PermissionFunctionMixin):
    has_permission = staticmethod(permissions.may_see_backends)
    request: HttpRequest
    kwargs: dict[str, Any]

    @cached_property
    def backend(self) -> ChatBackend:
        return get_object_or_404(ChatBackend, pk=self.kwargs["pk"])

    def get_page_subtitle(self) -> str:
        return str(self.backend)

    def pages_above(self) -> list[tuple[str, Any]]:
        edit = "inspect" if self.backend.is_read_only else "edit"
        return [
            (reverse("finetune_backends:index"), capfirst(ChatBackend._meta.verbose_name_plural)),
            (reverse(f"finetune_backends:{edit}", args=[self.backend.pk]), str(self.backend)),
        ]


class CheckView(OneBackendMixin, AdminPageMixin, TemplateView):
    """The steps of the last check, and a button that starts another."""

    template_name = "finetune_switch/switching/check.html"
    page_title = gettext_lazy("Check connection")
    # A tick would be wrong above a failed check.
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
            if permissions.may_add_backends(self.request.user)
            else "",
        }


class AddBaseModelView(OneBackendMixin, View):
    """Add the base model of a fine-tune, the control in a comparison."""

    http_method_names = ["post"]
    has_permission = staticmethod(permissions.may_add_backends)

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
        log(instance=base, action="wagtail.create", user=request.user)
        messages.success(request, _("“%s” was added. Check now whether it answers.") % base)
        return redirect(base.get_check_url())


class ModelfileView(OneBackendMixin, View):
    """Download the corrected Modelfile of a model whose template ignores instructions."""

    http_method_names = ["get"]

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        try:
            text = corrected_modelfile(self.backend)
        except BackendError as error:
            messages.error(request, f"{error} {error.remedy}")
            return redirect(self.backend.get_check_url())
        response = HttpResponse(text, content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="Modelfile"'
        return response


class PromptsView(OneBackendMixin, AdminPageMixin, TemplateView):
    """All versions of a backend's instructions; an earlier one can be restored."""

    template_name = "finetune_switch/switching/prompts.html"
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
        log(instance=self.backend, action="wagtail.edit", user=request.user, content_changed=True)
        messages.success(
            request,
            _("“%(backend)s” uses wording %(number)d of its instructions again.")
            % {"backend": self.backend, "number": version.number},
        )
        return redirect("finetune_backends:prompts", self.backend.pk)


class ModelsView(PermissionFunctionMixin, View):
    """The models of a connection's server, as JSON."""

    has_permission = staticmethod(permissions.may_administer_backends)
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> JsonResponse:
        try:
            connection = get_connection(request.GET.get("connection", ""))
        except ConnectionNotConfigured:
            return JsonResponse({"message": _("Choose a connection first.")}, status=400)
        try:
            models = ModelServer(connection).models()
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
