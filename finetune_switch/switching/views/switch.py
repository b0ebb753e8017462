"""The page on which a site's backend is chosen."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View
from wagtail.admin import messages
from wagtail.models import Site

from finetune_switch.access.sites import site_name
from finetune_switch.admin import permissions
from finetune_switch.admin.mixins import AdminPageMixin, PermissionFunctionMixin
from finetune_switch.backends.preflight import probe, run_check
from finetune_switch.exceptions import SwitchConflict
from finetune_switch.limits import budgets
from finetune_switch.models import ChatBackend, Switch
from finetune_switch.switching.forms import SwitchChoiceForm


class ChooseSiteView(View):
    """Redirect to the switch of the current site, or of the first that the user may see."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        site = permissions.site_to_open(request)
        if site is None:
            raise PermissionDenied
        return redirect("finetune_switch:site", site.pk)


class SiteMixin(PermissionFunctionMixin):
    """The site of the URL, for those who may open its settings."""

    request: HttpRequest
    kwargs: dict[str, Any]

    def has_permission(self, user: Any) -> bool:
        return permissions.may_edit_settings(user, self.site)

    @cached_property
    def site(self) -> Site:
        return get_object_or_404(Site, pk=self.kwargs["site"])

    @cached_property
    def switch(self) -> Switch:
        """The switch of the site. Creates its row if there is none."""
        switch, _created = Switch.objects.select_related(
            "active", "previous", "switched_by", "site"
        ).get_or_create(site=self.site)
        return switch

    def back_to_switch(self) -> HttpResponse:
        return redirect("finetune_switch:site", self.site.pk)


class SwitchingMixin(SiteMixin):
    def has_permission(self, user: Any) -> bool:
        return permissions.may_switch(user, self.site)

    def change(self, act: Callable[[], object], done: str) -> HttpResponse:
        """Change the switch, and say that it is done or why not."""
        try:
            act()
        except ValidationError as error:
            messages.error(self.request, " ".join(error.messages))
        except SwitchConflict as error:
            messages.error(self.request, str(error))
        else:
            values = {"backend": self.switch.backend, "site": site_name(self.site)}
            messages.success(self.request, done % values)
        return self.back_to_switch()


class SwitchView(SiteMixin, AdminPageMixin, TemplateView):
    template_name = "finetune_switch/switching/switch.html"
    page_title = gettext_lazy("Switch")
    header_icon = "finetune-switch"

    def get_page_subtitle(self) -> str:
        return site_name(self.site)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        active = self.switch.backend
        rows = ChatBackend.objects.all()
        user = self.request.user
        return {
            **super().get_context_data(**kwargs),
            "site": self.site,
            "sites": [(site, site_name(site)) for site in permissions.editable_sites(user)],
            "switch": self.switch,
            "active": active,
            "used_up": budgets.used_up(self.site.pk),
            "others": [row for row in rows if row.pk != active.pk and row.alias != active.alias],
            "may_switch": permissions.may_switch(user, self.site),
            "may_see_backends": permissions.may_see_backends(user),
            "may_add_backend": permissions.may_add_backends(user),
            "settings_url": reverse(
                "wagtailsettings:edit", args=["finetune_switch", "switch", self.site.pk]
            ),
            "state_url": reverse("finetune_switch:state", args=[self.site.pk]),
        }


class ActivateView(SwitchingMixin, AdminPageMixin, TemplateView):
    """Activate a backend; ask for confirmation where its last check failed."""

    template_name = "finetune_switch/switching/confirm_switch.html"
    page_title = gettext_lazy("Switch")
    header_icon = "warning"
    http_method_names = ["post"]
    backend: ChatBackend | None = None

    def get_page_subtitle(self) -> str:
        return str(self.backend or "")

    def pages_above(self) -> list[tuple[str, Any]]:
        return [(reverse("finetune_switch:site", args=[self.site.pk]), site_name(self.site))]

    def post(self, request: HttpRequest, site: int) -> HttpResponseBase:
        form = SwitchChoiceForm(request.POST)
        if not form.is_valid():
            messages.error(request, _("Choose a backend from the list."))
            return self.back_to_switch()
        backend = ChatBackend.objects.filter(pk=form.cleaned_data["backend"]).first()
        if backend is None:
            messages.error(request, _("This backend was deleted in the meantime."))
            return self.back_to_switch()
        self.backend = backend
        if backend.check_passed is False and not form.cleaned_data["confirmed"]:
            return self.render_to_response(
                self.get_context_data(backend=backend, expected=form.cleaned_data["expected"])
            )
        return self.change(
            lambda: self.switch.activate(
                backend, expected=form.cleaned_data["expected"], user=request.user
            ),
            _("“%(backend)s” answers on %(site)s from the next question on."),
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        failed = [step for step in kwargs["backend"].check_report if not step["passed"]]
        return {
            **context,
            "site": self.site,
            "site_name": site_name(self.site),
            "may_see_backends": permissions.may_see_backends(self.request.user),
            "failed": failed[0] if failed else None,
        }


class BackView(SwitchingMixin, View):
    """Swap the active and the previous backend."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, site: int) -> HttpResponse:
        form = SwitchChoiceForm({"backend": 1, **request.POST.dict()})
        shown = form.cleaned_data if form.is_valid() else {}
        return self.change(
            lambda: self.switch.back(
                expected=shown.get("expected"), to=shown.get("previous"), user=request.user
            ),
            _("Switched back: “%(backend)s” answers on %(site)s again."),
        )


class CheckActiveView(SiteMixin, View):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, site: int) -> HttpResponse:
        backend = self.switch.backend
        failed = next((step for step in run_check(backend) if not step.passed), None)
        if failed is None:
            messages.success(request, _("“%s” answers.") % backend)
        else:
            messages.error(request, " ".join([failed.message, failed.remedy]).strip())
        return self.back_to_switch()


class StateView(SiteMixin, View):
    """Whether the active backend's server responds, as JSON. Asks no question."""

    http_method_names = ["get"]

    def get(self, request: HttpRequest, site: int) -> JsonResponse:
        backend = Switch.for_question(self.site).backend
        step = probe(backend)
        return JsonResponse({"passed": step.passed, "message": step.message, "remedy": step.remedy})
