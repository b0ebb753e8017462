"""What the admin's views share."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from wagtail.admin.views.generic import WagtailAdminTemplateMixin

from .widgets import admin_css


class PermissionFunctionMixin:
    """Refuse every user for whom ``has_permission`` is false.

    Set it to a function of :mod:`finetune_switch.admin.permissions` as a ``staticmethod``, or
    define it as a method where more than the user decides.
    """

    def has_permission(self, user: Any) -> bool:
        raise NotImplementedError

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.has_permission(request.user):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]


class AdminPageMixin(WagtailAdminTemplateMixin):
    """Breadcrumbs that lead over the pages above to the page's own title."""

    def pages_above(self) -> list[tuple[str, Any]]:
        """Their URLs and labels, the home page excepted."""
        return []

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        above = [{"url": url, "label": label} for url, label in self.pages_above()]
        return [*self.breadcrumbs_items, *above, {"url": "", "label": self.get_page_title()}]


class AdminCSSMixin:
    """Add the stylesheet of our screens to a page of Wagtail's."""

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)  # type: ignore[misc]
        context["media"] += admin_css()
        return context
