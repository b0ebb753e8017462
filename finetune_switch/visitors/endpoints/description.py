"""The OpenAPI description of the endpoints for visitors."""

from django.http import HttpRequest, JsonResponse
from django.urls import reverse

from finetune_switch.visitors.openapi import description

from .guards import visitor_endpoint


@visitor_endpoint("GET")
def describe(request: HttpRequest) -> JsonResponse:
    """OpenAPI 3.1, with this site's own address of the endpoints."""
    here = reverse("finetune_visitors:openapi")
    server_url = request.build_absolute_uri(here.removesuffix("openapi.json")).rstrip("/")
    return JsonResponse(description(server_url), json_dumps_params={"indent": 2})
