"""Page types of a chocolate maker's site, written by somebody who knows nothing of the plugin."""

from django.db import models
from modelcluster.fields import ParentalKey
from wagtail.blocks import CharBlock, ChoiceBlock, ListBlock, RichTextBlock, StructBlock
from wagtail.contrib.table_block.blocks import TableBlock
from wagtail.fields import RichTextField, StreamField
from wagtail.models import Orderable, Page
from wagtail.search import index
from wagtail.snippets.models import register_snippet


@register_snippet
class Origin(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class IntroducedPage(Page):
    introduction = models.TextField(blank=True)

    search_fields = [*Page.search_fields, index.SearchField("introduction")]

    class Meta:
        abstract = True


class TextPage(IntroducedPage):
    body = StreamField(
        [
            ("heading", CharBlock()),
            ("paragraph", RichTextBlock()),
            ("table", TableBlock()),
            (
                "note",
                StructBlock(
                    [("size", ChoiceBlock([("s", "Small"), ("l", "Large")])), ("text", CharBlock())]
                ),
            ),
        ],
        blank=True,
    )

    search_fields = [*IntroducedPage.search_fields, index.SearchField("body")]


class BarPage(IntroducedPage):
    """A product."""

    code = models.CharField(max_length=20)
    price = models.CharField(max_length=20)
    origin = models.ForeignKey(Origin, models.SET_NULL, null=True)
    body = RichTextField()

    search_fields = [
        *IntroducedPage.search_fields,
        index.SearchField("code"),
        index.SearchField("price"),
        index.SearchField("body"),
        index.RelatedFields("origin", [index.SearchField("name")]),
    ]


class RecipePage(IntroducedPage):
    ingredients = StreamField([("ingredients", ListBlock(CharBlock()))])
    steps = StreamField([("step", CharBlock())])

    search_fields = [
        *IntroducedPage.search_fields,
        index.SearchField("ingredients"),
        index.SearchField("steps"),
    ]


class ShopPage(IntroducedPage):
    address = models.TextField()
    telephone = models.CharField(max_length=30)
    body = RichTextField()

    search_fields = [
        *IntroducedPage.search_fields,
        index.SearchField("address"),
        index.SearchField("telephone"),
        index.SearchField("body"),
        index.RelatedFields(
            "hours",
            [index.SearchField("day"), index.SearchField("opens"), index.SearchField("closes")],
        ),
    ]


class OpeningHours(Orderable):
    shop = ParentalKey(ShopPage, on_delete=models.CASCADE, related_name="hours")
    day = models.CharField(max_length=20)
    opens = models.TimeField(null=True)
    closes = models.TimeField(null=True)
    closed = models.BooleanField(default=False)
