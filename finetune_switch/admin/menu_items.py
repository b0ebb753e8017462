"""Menu items that only some users see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from wagtail.admin.menu import MenuItem


def shown_to(may: Callable[[Any], bool]) -> type[MenuItem]:
    """Menu items for those alone who may open what they lead to."""

    class ShownToSome(MenuItem):
        def is_shown(self, request: HttpRequest) -> bool:
            return may(request.user)

    return ShownToSome
