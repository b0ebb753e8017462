"""The demo's addresses, and a few through which the server tests reach what a site would call."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from finetune_switch.access import Asker
from finetune_switch.answers import stream_answer
from finetune_switch.exceptions import BackendError
from finetune_switch.models import ChatBackend, Switch
from finetune_switch.passages import Passage


def health(request: HttpRequest) -> JsonResponse:
    """What this process is, and whether it has imported litellm."""
    return JsonResponse(
        {
            "pid": os.getpid(),
            "interface": "asgi" if isinstance(request, ASGIRequest) else "wsgi",
            "litellm": "litellm" in sys.modules,
        }
    )


@csrf_exempt
def stream(request: HttpRequest) -> HttpResponseBase:
    """``stream_answer`` with what the JSON body says: question, backend, passages, exchange_id."""
    # Who asks is read from the session, as every site does: that is a query in the view.
    options = _options(request) | {"asker": Asker.from_request(request)}
    return stream_answer(request, **options)


@csrf_exempt
async def astream(request: HttpRequest) -> HttpResponseBase:
    """The same from a coroutine."""
    from asgiref.sync import sync_to_async

    return stream_answer(request, **await sync_to_async(_options)(request))


@csrf_exempt
def query(request: HttpRequest) -> JsonResponse:
    """``index.query()`` of wagtail-vector-index, as its documentation has it."""
    from wagtail_vector_index.storage import registry

    asked = json.loads(request.body)
    try:
        found = registry[asked["index"]].query(asked["question"])
    except BackendError as error:
        return JsonResponse({"message": str(error), "code": error.code}, status=502)
    return JsonResponse(
        {"answer": found.response, "sources": [source.title for source in found.sources]}
    )


@csrf_exempt
def chat(request: HttpRequest) -> StreamingHttpResponse:
    """The chat backend of wagtail-vector-index with ``stream=True``: its parts, a line each."""
    from wagtail_vector_index.ai import get_chat_backend

    messages = [{"role": "user", "content": json.loads(request.body)["question"]}]
    backend = get_chat_backend("default")

    def lines() -> Iterator[bytes]:
        for part in backend.chat(messages=messages, stream=True):
            yield _line(part)

    async def alines() -> AsyncIterator[bytes]:
        async for part in await backend.achat(messages=messages, stream=True):
            yield _line(part)

    content = alines() if isinstance(request, ASGIRequest) else lines()
    return StreamingHttpResponse(content, content_type="application/x-ndjson")


@csrf_exempt
def switch(request: HttpRequest) -> JsonResponse:
    """Switch to the backend of this alias, as the panel does."""
    from wagtail.models import Site

    row, _created = Switch.objects.get_or_create(site=Site.find_for_request(request))
    new = ChatBackend.objects.get(alias=json.loads(request.body)["backend"])
    row.activate(new, expected=row.active_id)
    return JsonResponse({"active": row.backend.alias})


def _options(request: HttpRequest) -> dict[str, Any]:
    options = json.loads(request.body)
    if (alias := options.pop("backend", None)) is not None:
        options["backend"] = ChatBackend.objects.get(alias=alias)
    if (passages := options.get("passages")) is not None:
        options["passages"] = [Passage.from_dict(passage) for passage in passages]
    if "exchange_id" in options:
        options["exchange_id"] = uuid.UUID(options["exchange_id"])
    return options


def _line(part: Any) -> bytes:
    return json.dumps(part).encode() + b"\n"


urlpatterns = [
    path("test/health/", health),
    path("test/stream/", stream),
    path("test/astream/", astream),
    path("test/query/", query),
    path("test/chat/", chat),
    path("test/switch/", switch),
    path("", include("demo_site.urls")),
]
