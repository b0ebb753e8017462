"""Views that nothing imports before their first request."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import isfunction
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string


def deferred(name: str, **options: Any) -> Callable[..., HttpResponseBase]:
    """A view of ours, imported with its first request.

    What screens need is nothing that a start-up, or a command such as ``check``, should wait for.
    """

    @cache
    def view() -> Callable[..., HttpResponseBase]:
        found: Any = import_string(f"{__package__}.views.{name}")
        return found if isfunction(found) else found.as_view(**options)

    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view()(request, *args, **kwargs)

    return respond
