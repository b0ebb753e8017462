"""Wagtail's collections of documents that not everybody may open."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from wagtail.documents.models import AbstractDocument
from wagtail.models import CollectionViewRestriction


def without_private_documents(documents: QuerySet[Any]) -> QuerySet[Any]:
    """Exclude documents of private collections, and of those beneath them. One query more."""
    for path in CollectionViewRestriction.objects.values_list("collection__path", flat=True):
        documents = documents.exclude(collection__path__startswith=path)
    return documents


def is_private_document(instance: Model) -> bool:
    if not isinstance(instance, AbstractDocument):
        return False
    documents = type(instance)._default_manager.filter(pk=instance.pk)
    return not without_private_documents(documents).exists()
