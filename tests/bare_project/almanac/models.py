"""Three kinds of page of a site that knows nothing of the plugin."""

from django.db import models
from wagtail.blocks import CharBlock, RichTextBlock, StructBlock
from wagtail.fields import RichTextField, StreamField
from wagtail.models import Page
from wagtail.search import index


class ProsePage(Page):
    body = RichTextField()

    search_fields = [*Page.search_fields, index.SearchField("body")]


class TidePage(Page):
    body = StreamField(
        [
            ("text", RichTextBlock()),
            ("tide", StructBlock([("place", CharBlock()), ("remark", CharBlock())])),
        ]
    )

    search_fields = [*Page.search_fields, index.SearchField("body")]


class KeeperPage(Page):
    office = models.CharField(max_length=100)
    telephone = models.CharField(max_length=30, blank=True)

    search_fields = [
        *Page.search_fields,
        index.SearchField("office"),
        index.SearchField("telephone"),
    ]
