"""What a visitor's request has to pass before it is answered."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse


def is_from_here(request: HttpRequest) -> bool:
    """Whether a page of this very site sent the request, as the browser says.

    Browsers send ``Sec-Fetch-Site`` over HTTPS, and ``Origin`` with each POST. A request with
    neither is none of a page's.
    """
    if fetch_site := request.headers.get("Sec-Fetch-Site"):
        return fetch_site == "same-origin"
    origin = request.headers.get("Origin")
    return origin == f"{request.scheme}://{request.get_host()}"


def refuse(message: str, status: int) -> JsonResponse:
    """The answer to a request that is not answered: a sentence for the visitor."""
    return JsonResponse({"message": message}, status=status)
