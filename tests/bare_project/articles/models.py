"""A page that is indexed, word for word as the README says it."""

from wagtail.fields import RichTextField
from wagtail.models import Page
from wagtail_vector_index.storage.models import EmbeddingField, VectorIndexedMixin


class ArticlePage(VectorIndexedMixin, Page):
    body = RichTextField()
    embedding_fields = [EmbeddingField("title", important=True), EmbeddingField("body")]
