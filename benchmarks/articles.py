"""The demo's home page with any number of articles beneath it, written and indexed in bulk.

What is written is what saving and indexing them one by one writes, but for the vectors, which are
made of those of words. Import it once Django is set up.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from functools import cache

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.utils import timezone
from wagtail.models import Locale, Page, Site

from demo_site.models import ArticlePage, HomePage
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.index.building import wanted_space
from finetune_switch.index.stores import get_store
from finetune_switch.index.texts import get_text_ranking
from finetune_switch.models import Chunk, Document, EmbeddingSpace
from finetune_switch.models.index import active_space

from . import corpus
from .measuring import tell

BATCH = 2_000
MODEL = ArticlePage._meta.label_lower


def make_site() -> Site:
    """The default site with an empty home page."""
    home = HomePage(title="Town", slug="town", strapline="A town", introduction="A town.")
    Page.get_first_root_node().add_child(instance=home)
    site, _created = Site.objects.update_or_create(
        is_default_site=True, defaults={"hostname": "localhost", "root_page": home}
    )
    return site


def grow(site: Site, count: int, *, indexed: bool = True) -> None:
    """Add articles until there are that many."""
    present = ArticlePage.objects.count()
    tell(f"writing {count - present:,} articles")
    store = get_store()
    if indexed and hasattr(store, "drop_index"):
        # Built once in the end, it takes a fraction of what it takes to keep it up.
        store.drop_index(_space())
    for start in range(present, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        with transaction.atomic():
            pages = _write_pages(site, numbers)
            if indexed:
                _index(site, pages, numbers)
    Page.objects.filter(pk=site.root_page_id).update(numchild=count)
    if indexed:
        _finish_index()


def _write_pages(site: Site, numbers: Sequence[int]) -> list[Page]:
    home = Page.objects.get(pk=site.root_page_id)
    kind = ContentType.objects.get_for_model(ArticlePage)
    locale = Locale.get_default()
    articles = [corpus.article(number) for number in numbers]
    now = timezone.now()
    pages = Page.objects.bulk_create(
        Page(
            title=article.title,
            draft_title=article.title,
            slug=f"article-{number}",
            url_path=f"{home.url_path}article-{number}/",
            path=Page._get_path(home.path, home.depth + 1, number + 1),
            depth=home.depth + 1,
            content_type=kind,
            locale=locale,
            translation_key=uuid.uuid4(),
            first_published_at=now,
            last_published_at=now,
        )
        for number, article in zip(numbers, articles, strict=True)
    )
    rows = [
        (page.pk, article.text, json.dumps([]))
        for page, article in zip(pages, articles, strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {ArticlePage._meta.db_table} (page_ptr_id, introduction, body) "
            "VALUES (%s, %s, %s)",
            rows,
        )
    return pages


def _index(site: Site, pages: Sequence[Page], numbers: Sequence[int]) -> None:
    space = _space()
    articles = [corpus.article(number) for number in numbers]
    vectors = word_vectors()([article.embedded_text for article in articles])
    documents = Document.objects.bulk_create(
        Document(
            space=space,
            model=MODEL,
            object_id=str(page.pk),
            site_id=site.pk,
            locale_id=page.locale_id,
            path=page.path,
            title=page.title,
        )
        for page in pages
    )
    version = space.next_version()
    chunks = Chunk.objects.bulk_create(
        Chunk(
            document=document,
            space=space,
            position=0,
            text=article.text,
            digest=str(number),
            vector=vector.astype("<f4").tobytes(),
            version=version,
        )
        for document, article, number, vector in zip(
            documents, articles, numbers, vectors, strict=True
        )
    )
    written = [chunk.pk for chunk in chunks]
    get_store().add(space, written)
    get_text_ranking().add(written)


@cache
def word_vectors() -> corpus.WordVectors:
    return corpus.WordVectors(get_embedder(_space()).embed)


def _space() -> EmbeddingSpace:
    found = active_space()
    if found is None:
        found = wanted_space(get_embedder())
        EmbeddingSpace.objects.filter(pk=found.pk).update(is_active=True)
        get_store().prepare(found)
        found.refresh_from_db()
    return found


def _finish_index() -> None:
    """The vectors' own index, and then the statistics by which a database chooses its plans."""
    store = get_store()
    if hasattr(store, "create_index"):
        store.create_index(_space(), concurrently=False)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
