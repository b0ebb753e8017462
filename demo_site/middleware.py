"""The strictest Content-Security-Policy that a site can send, to show that ours passes it."""

from collections.abc import Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
# Wagtail 8's own choosers still write inline scripts.
ADMIN = "/admin/"


def _add_policy(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if not request.path.startswith(ADMIN):
        response.headers.setdefault("Content-Security-Policy", POLICY)
    return response


@sync_and_async_middleware
def content_security_policy(get_response: Callable) -> Callable:
    # Both ways, because a sync-only middleware would move every async view to a thread.
    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> HttpResponse:
            return _add_policy(request, await get_response(request))

        return amiddleware

    def middleware(request: HttpRequest) -> HttpResponse:
        return _add_policy(request, get_response(request))

    return middleware
