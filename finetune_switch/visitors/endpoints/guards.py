"""Checks of visitors' requests: methods, origins, and how refusals are answered."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    JsonResponse,
)
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _

from finetune_switch import conf
from finetune_switch.exceptions import InvalidQuestion, Refused

# Methods that change nothing. Pages of other origins cannot read their responses.
SAFE_METHODS = ("GET", "HEAD")
# How long a browser may cache the response to a preflight request.
PREFLIGHT_SECONDS = 600

# Headers of every answer that depends on who asks.
PRIVATE = {"Cache-Control": "private, no-store"}

View = Callable[..., HttpResponseBase]


def visitor_endpoint(*methods: str) -> Callable[[View], View]:
    """Decorator for a view used by scripts on the site's own pages and of ``ALLOWED_ORIGINS``.

    Requests from another origin are anonymous, whatever cookies they carry. A
    :class:`~finetune_switch.exceptions.Refused` or
    :class:`~finetune_switch.exceptions.InvalidQuestion` becomes a JSON response with its sentence.
    The check of the origin replaces the CSRF token: ``urls.py`` makes the view ``csrf_exempt``.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            other_origin = allowed_origin(request)
            if request.method == "OPTIONS":
                response: HttpResponseBase = _preflight(other_origin, methods)
            elif request.method not in methods:
                response = HttpResponseNotAllowed([*methods, "OPTIONS"])
            elif other_origin or is_from_here(request):
                if other_origin:
                    forget_who_asks(request)
                response = _answer(view, request, *args, **kwargs)
            else:
                message = _("Questions can only be asked on this site's own pages.")
                response = refuse(message, 403, "origin")
            return _for_origin(response, other_origin)

        return respond

    return decorate


def _answer(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    try:
        return view(request, *args, **kwargs)
    except InvalidQuestion as error:
        return refuse(str(error), 400, "invalid_question")
    except Refused as error:
        return refuse(
            str(error),
            error.status,
            error.code,
            retry_after=error.retry_after,
            search_url=search_url(request),
        )


def is_from_here(request: HttpRequest) -> bool:
    """Whether the request's headers say that a page of this site sent it.

    Browsers send ``Sec-Fetch-Site`` over HTTPS, and ``Origin`` with each POST. A POST with neither
    does not come from a page; a GET with neither may.
    """
    origin = request.headers.get("Origin")
    if request.method in SAFE_METHODS:
        return origin is None or origin == own_origin(request)
    if fetch_site := request.headers.get("Sec-Fetch-Site"):
        return fetch_site == "same-origin"
    return origin == own_origin(request)


def is_meant(request: HttpRequest) -> bool:
    """Whether the headers of this GET say that a visitor opened it from this site or by hand.

    Pages of other sites can name any address as an image or a link, and browsers prefetch pages.
    """
    headers = request.headers
    if "prefetch" in headers.get("Sec-Purpose", headers.get("Purpose", "")):
        return False
    return headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


def own_origin(request: HttpRequest) -> str:
    return f"{request.scheme}://{request.get_host()}"


def allowed_origin(request: HttpRequest) -> str | None:
    """The request's origin if it is another one and among ``ALLOWED_ORIGINS``."""
    origin = request.headers.get("Origin")
    if origin is None or origin == own_origin(request):
        return None
    return origin if origin in conf.visitors().allowed_origins else None


def forget_who_asks(request: HttpRequest) -> None:
    """Make the request anonymous: no user, no cookies, no session."""

    async def nobody() -> AnonymousUser:
        return AnonymousUser()

    request.COOKIES = {}
    request.user = AnonymousUser()
    request.auser = nobody
    if hasattr(request, "session"):
        request.session = SessionStore()


def refuse(
    message: str,
    status: int,
    code: str = "refused",
    *,
    retry_after: int | None = None,
    search_url: str = "",
) -> JsonResponse:
    """A JSON refusal with a sentence for the visitor."""
    data = {"message": message, "code": code}
    if search_url:
        data["search_url"] = search_url
    response = JsonResponse(data, status=status, headers=PRIVATE)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def search_url(request: HttpRequest) -> str:
    """The address of the search page, absolute if the request comes from another origin."""
    path = reverse("finetune_visitors:search")
    return request.build_absolute_uri(path) if allowed_origin(request) else path


def _preflight(origin: str | None, methods: tuple[str, ...]) -> HttpResponse:
    if origin is None:
        return HttpResponse(status=403)
    headers = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return HttpResponse(status=204, headers=headers)


def _for_origin(response: HttpResponseBase, origin: str | None) -> HttpResponseBase:
    if conf.visitors().allowed_origins:
        patch_vary_headers(response, ["Origin"])
    if origin is not None:
        response["Access-Control-Allow-Origin"] = origin
        response["Access-Control-Expose-Headers"] = "Retry-After"
        response.cookies.clear()
    return response
