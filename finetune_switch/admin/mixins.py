"""What the admin's views share."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase


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
