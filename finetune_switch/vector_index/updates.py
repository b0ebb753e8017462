"""The write operations of wagtail-vector-index, applied to the site's own index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from wagtail.models import AbstractPage

from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.exceptions import BackendError
from finetune_switch.index.building import run_build, update_objects, wanted_space
from finetune_switch.index.builds import needs_rebuild, start_build
from finetune_switch.index.sources import Sources
from finetune_switch.index.stores import get_store
from finetune_switch.index.writing import DocumentWriter, Key
from finetune_switch.models import Document, EmbeddingSpace, IndexBuild

from .documents import keys_of
from .parts import Part

BATCH = 500


def rebuild(index: Any) -> None:
    """See :meth:`~.storage.SiteIndexMixin.rebuild_index`."""
    part = _indexed_part(index)
    if needs_rebuild():
        build = run_build(start_build())
        if build.status == IndexBuild.Status.FAILED:
            raise BackendError(build.error, code="index_failed")
        return
    _ensure_space()
    rows = Document.objects.filter(model__in=part.labels).values_list("model", "object_id")
    # Includes indexed objects that were deleted or excluded since, so that they are removed.
    update_objects(dict.fromkeys([*rows.distinct(), *part.keys()]))


def update(index: Any, documents: Iterable[Any]) -> None:
    """See :meth:`~.storage.SiteIndexMixin.upsert`."""
    part = _indexed_part(index)
    _ensure_space()
    keys: dict[Key, None] = {}
    for key in keys_of(documents):
        if key not in keys and key[0] in part.labels:
            keys[key] = None
            if len(keys) == BATCH:
                update_objects(keys)
                keys = {}
    update_objects(keys)


def delete(index: Any, document_ids: Sequence[str]) -> None:
    """See :meth:`~.storage.SiteIndexMixin.delete`."""
    labels = Part.of(index).labels
    for start in range(0, len(document_ids), BATCH):
        some = document_ids[start : start + BATCH]
        _remove(Document.objects.filter(chunks__pk__in=some, model__in=labels).distinct())


def clear(index: Any) -> None:
    """See :meth:`~.storage.SiteIndexMixin.clear`."""
    part = Part.of(index)
    rows = Document.objects.filter(model__in=part.labels)
    keys = part.only(set(rows.values_list("model", "object_id")))
    gone = [pk for pk, *key in rows.values_list("pk", "model", "object_id") if tuple(key) in keys]
    for start in range(0, len(gone), BATCH):
        _remove(Document.objects.filter(pk__in=gone[start : start + BATCH]))


def _remove(documents: QuerySet[Document]) -> None:
    by_space: dict[int, list[int]] = {}
    for pk, space_id in documents.values_list("pk", "space_id"):
        by_space.setdefault(space_id, []).append(pk)
    for space in EmbeddingSpace.objects.filter(pk__in=by_space):
        DocumentWriter(space, get_embedder(space)).remove(by_space[space.pk])


def _indexed_part(index: Any) -> Part:
    """The part of an index. Raises ``ImproperlyConfigured`` if its models are not indexed."""
    part = Part.of(index)
    known = Sources().labels
    for model in part.models:
        if not issubclass(model, AbstractPage) and model._meta.label_lower not in known:
            raise ImproperlyConfigured(
                f'The site\'s index does not hold "{model._meta.label}". Register the index '
                f'"{type(index).__name__}" with wagtail_vector_index.storage.registry, or name the '
                'model in FINETUNE_SWITCH["INDEX"]["MODELS"].'
            )
    return part


def _ensure_space() -> None:
    known = set(EmbeddingSpace.objects.values_list("pk", flat=True))
    space = wanted_space(get_embedder())
    if space.pk not in known:
        get_store().prepare(space)
