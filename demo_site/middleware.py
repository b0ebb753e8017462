"""A strict Content-Security-Policy, which the plugin has to pass."""

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
    # A sync-only middleware would run async views in a thread.
    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> HttpResponse:
            return _add_policy(request, await get_response(request))

        return amiddleware

    def middleware(request: HttpRequest) -> HttpResponse:
        return _add_policy(request, get_response(request))

    return middleware
