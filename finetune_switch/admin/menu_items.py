"""Menu items that only some users see."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from wagtail.admin.menu import MenuItem


def shown_to(may: Callable[[Any], bool]) -> type[MenuItem]:
    """A class of menu items that are shown to users for whom ``may`` is true."""

    class ShownToSome(MenuItem):
        def is_shown(self, request: HttpRequest) -> bool:
            return may(request.user)

    return ShownToSome
