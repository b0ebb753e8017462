"""Helpers for the tests of wagtail-vector-index's API with our storage provider."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import contextmanager

from django.contrib.auth.models import User
from wagtail.models import Page, PageViewRestriction
from wagtail_vector_index.storage import registry
from wagtail_vector_index.storage.base import VectorIndex
from wagtail_vector_index.storage.models import (
    EmbeddableFieldsVectorIndexMixin,
    PageEmbeddableFieldsVectorIndexMixin,
)

from finetune_switch.access import Asker
from finetune_switch.signal_handlers import connect_indexed_models
from finetune_switch.vector_index import part_search, parts
from finetune_switch.vector_index.storage import SiteStorageProvider
from tests.helpers import run

LAMP = "The lighthouse lamp was first lit in 1871 by Ada Pender, the keeper's daughter."
SOUP = "The lighthouse café serves kipper soup with brown bread from noon until three."
ROPE = "Rope for the boats is walked by hand in the long shed behind the chandler's."
QUESTION = "Who lit the lamp of the lighthouse?"


def restrict(page):
    return PageViewRestriction.objects.create(page=page, restriction_type=PageViewRestriction.LOGIN)


def member():
    return Asker.from_user(User.objects.create_user("member"))


def run_here(coroutine):
    """Run a coroutine in the caller's context, as a server does."""

    async def wait():
        return await asyncio.create_task(coroutine, context=context)

    context = contextvars.copy_context()
    return run(wait())


def names(objects):
    return [str(item) for item in objects]


def writes(queries):
    verbs = {query["sql"].split()[0].upper() for query in queries}
    return verbs - {"SELECT", "DECLARE", "WITH", "FETCH", "CLOSE"}


def call_sync(index, verb, *args, **kwargs):
    return getattr(index, verb)(*args, **kwargs)


def call_async(index, verb, *args, **kwargs):
    return run_here(getattr(index, f"a{verb}")(*args, **kwargs))


def disable_exact_search(monkeypatch):
    """Search parts of any size in the store."""
    for module in (parts, part_search):
        monkeypatch.setattr(module, "EXACT_SEARCH_LIMIT", 0)


@contextmanager
def registering():
    """Yields a function that registers indexes until the end of the context."""
    before = dict(registry._registry)

    def add(*querysets, name="TestIndex", provider=SiteStorageProvider, **values):
        of_pages = issubclass(querysets[0].model, Page) if querysets else False
        kind = (
            PageEmbeddableFieldsVectorIndexMixin if of_pages else EmbeddableFieldsVectorIndexMixin
        )
        bases = (kind, provider.index_mixin, VectorIndex)
        index = type(name, bases, {"querysets": list(querysets), **values})()
        registry.register_index(index)
        connect_indexed_models()
        return index

    try:
        yield add
    finally:
        registry._registry.clear()
        registry._registry.update(before)
