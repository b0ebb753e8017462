"""The page types of the demo site.

As documented by wagtail-vector-index, each type uses VectorIndexedMixin and defines
embedding_fields, and so has an index of its own (ArticlePageIndex, BoatPageIndex …).

Typed fields (prices, dates, lengths) are indexed as sentences, in the property `particulars`.
wagtail-vector-index indexes nothing for an empty body, so every type has a required field besides
the title.
"""

from django.db import models
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from wagtail.admin.panels import FieldPanel, FieldRowPanel, MultiFieldPanel
from wagtail.contrib.settings.models import BaseSiteSetting, register_setting
from wagtail.fields import RichTextField, StreamField
from wagtail.models import Page
from wagtail.search import index
from wagtail_vector_index.storage.models import EmbeddingField, VectorIndexedMixin

from .blocks import TEXT_FEATURES, BodyBlock, HomeBlock
from .visibility import children_open_to
from .wording import say_length, say_price


def prose() -> RichTextField:
    return RichTextField(_("text"), features=[*TEXT_FEATURES, "h2"])


class IntroducedPage(VectorIndexedMixin, Page):
    """Base class of all page types."""

    introduction = models.TextField(_("introduction"))

    content_panels = [*Page.content_panels, FieldPanel("introduction")]
    search_fields = [*Page.search_fields, index.SearchField("introduction", boost=2)]
    embedding_fields = [EmbeddingField("title", important=True), EmbeddingField("introduction")]

    class Meta:
        abstract = True


class HomePage(IntroducedPage):
    strapline = models.CharField(_("strapline"), max_length=120)
    body = StreamField(HomeBlock(), blank=True, verbose_name=_("body"))

    max_count = 1
    parent_page_types = ["wagtailcore.Page"]
    content_panels = [
        *Page.content_panels,
        FieldPanel("strapline"),
        FieldPanel("introduction"),
        FieldPanel("body"),
    ]
    search_fields = [
        *IntroducedPage.search_fields,
        index.SearchField("strapline"),
        index.SearchField("body"),
    ]
    embedding_fields = [
        *IntroducedPage.embedding_fields,
        EmbeddingField("strapline"),
        EmbeddingField("body"),
    ]

    class Meta:
        verbose_name = _("home page")


class SectionPage(IntroducedPage):
    """A section of the site, which lists its pages."""

    body = StreamField(BodyBlock(), blank=True, verbose_name=_("body"))

    content_panels = [*IntroducedPage.content_panels, FieldPanel("body")]
    search_fields = [*IntroducedPage.search_fields, index.SearchField("body")]
    embedding_fields = [*IntroducedPage.embedding_fields, EmbeddingField("body")]

    class Meta:
        verbose_name = _("section")

    def get_context(self, request, *args, **kwargs) -> dict:
        context = super().get_context(request, *args, **kwargs)
        children = children_open_to(request, self)
        context["children"] = children
        # Sections with a single page type have their own layout, such as a fleet of boats.
        kinds = {type(child).__name__ for child in children}
        context["kind"] = kinds.pop() if len(kinds) == 1 else ""
        return context


class ArticlePage(IntroducedPage):
    """A general page with blocks."""

    body = StreamField(BodyBlock(), verbose_name=_("body"))

    content_panels = [*IntroducedPage.content_panels, FieldPanel("body")]
    search_fields = [*IntroducedPage.search_fields, index.SearchField("body")]
    embedding_fields = [*IntroducedPage.embedding_fields, EmbeddingField("body")]

    class Meta:
        verbose_name = _("article")


class ProsePage(IntroducedPage):
    """Base class of pages with rich text and a few typed fields."""

    body = prose()

    search_fields = [
        *IntroducedPage.search_fields,
        index.SearchField("body"),
        index.SearchField("particulars"),
    ]
    embedding_fields = [
        *IntroducedPage.embedding_fields,
        EmbeddingField("body"),
        EmbeddingField("particulars"),
    ]

    class Meta:
        abstract = True

    @property
    def particulars(self) -> str:
        """The typed fields as sentences."""
        raise NotImplementedError


class BoatPage(ProsePage):
    class Drawing(models.TextChoices):
        COBLE = "coble", _("Coble")
        SMACK = "smack", _("Sailing smack")
        CUTTER = "cutter", _("Pilot cutter")
        LIFEBOAT = "lifeboat", _("Pulling lifeboat")
        DRIFTER = "drifter", _("Steam drifter")
        LAUNCH = "launch", _("Launch")
        KEELBOAT = "keelboat", _("Motor keelboat")
        DINGHY = "dinghy", _("Sailing dinghy")
        PUNT = "punt", _("Punt")
        FERRY = "ferry", _("Rowing ferry")

    boat_type = models.CharField(_("type of boat"), max_length=80)
    built = models.CharField(_("built"), max_length=20, help_text=_("A year, or “about 1860”."))
    builder = models.CharField(_("builder"), max_length=120)
    length = models.DecimalField(_("length in metres"), max_digits=5, decimal_places=2)
    registration = models.CharField(_("number on the bow"), max_length=20, blank=True)
    where_to_see = models.CharField(_("where to see her"), max_length=160)
    drawing = models.CharField(_("drawing"), max_length=20, choices=Drawing)

    content_panels = [
        *IntroducedPage.content_panels,
        MultiFieldPanel(
            [
                FieldPanel("boat_type"),
                FieldRowPanel([FieldPanel("built"), FieldPanel("builder")]),
                FieldRowPanel([FieldPanel("length"), FieldPanel("registration")]),
                FieldPanel("where_to_see"),
                FieldPanel("drawing"),
            ],
            heading=_("Particulars"),
        ),
        FieldPanel("body"),
    ]

    class Meta:
        verbose_name = _("boat")

    @property
    def length_words(self) -> str:
        return say_length(self.length)

    @property
    def particulars(self) -> str:
        number = f" Registration {self.registration}." if self.registration else ""
        return (
            f"{self.title} is a {self.boat_type}, built in {self.built} by {self.builder}, "
            f"{self.length_words} long.{number} Where to see her: {self.where_to_see}."
        )


class StoryPage(ProsePage):
    """A story or a news item, with author and date."""

    author = models.CharField(_("author"), max_length=80)
    date = models.DateField(_("date"))

    content_panels = [
        *IntroducedPage.content_panels,
        FieldRowPanel([FieldPanel("author"), FieldPanel("date")]),
        FieldPanel("body"),
    ]
    search_fields = [*ProsePage.search_fields, index.FilterField("date")]

    class Meta:
        verbose_name = _("story")
        verbose_name_plural = _("stories")

    @property
    def particulars(self) -> str:
        return f"Written by {self.author}, {date_format(self.date, 'j F Y')}."


class CoursePage(ProsePage):
    """A course or an event that can be booked."""

    dates = models.CharField(_("dates"), max_length=160)
    hours = models.CharField(_("hours"), max_length=80)
    price = models.DecimalField(_("price"), max_digits=7, decimal_places=2)
    member_price = models.DecimalField(_("price for members"), max_digits=7, decimal_places=2)
    places = models.PositiveSmallIntegerField(_("places"))
    minimum_age = models.PositiveSmallIntegerField(_("minimum age"))
    location = models.CharField(_("where"), max_length=120)

    content_panels = [
        *IntroducedPage.content_panels,
        MultiFieldPanel(
            [
                FieldRowPanel([FieldPanel("dates"), FieldPanel("hours")]),
                FieldRowPanel([FieldPanel("price"), FieldPanel("member_price")]),
                FieldRowPanel([FieldPanel("places"), FieldPanel("minimum_age")]),
                FieldPanel("location"),
            ],
            heading=_("Particulars"),
        ),
        FieldPanel("body"),
    ]

    class Meta:
        verbose_name = _("course")

    @property
    def particulars(self) -> str:
        return (
            f"{self.title} costs {say_price(self.price)} a person, "
            f"{say_price(self.member_price)} for members. Dates: {self.dates}, {self.hours}. "
            f"There are {self.places} places. Minimum age {self.minimum_age}. "
            f"Where: {self.location}."
        )


class PolicyPage(ProsePage):
    reference = models.CharField(_("reference"), max_length=20)
    kept_by = models.CharField(_("who looks after it"), max_length=80)
    approved = models.DateField(_("approved"))
    review_by = models.DateField(_("to be reviewed by"))

    content_panels = [
        *IntroducedPage.content_panels,
        FieldRowPanel([FieldPanel("reference"), FieldPanel("kept_by")]),
        FieldRowPanel([FieldPanel("approved"), FieldPanel("review_by")]),
        FieldPanel("body"),
    ]

    class Meta:
        verbose_name = _("policy")
        verbose_name_plural = _("policies")

    @property
    def particulars(self) -> str:
        return (
            f"Policy {self.reference}, looked after by {self.kept_by}. "
            f"Approved on {date_format(self.approved, 'j F Y')}, to be reviewed by "
            f"{date_format(self.review_by, 'j F Y')}."
        )


class PersonPage(ProsePage):
    role = models.CharField(_("role"), max_length=120)
    phone = models.CharField(_("telephone"), max_length=40, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)

    content_panels = [
        *IntroducedPage.content_panels,
        FieldPanel("role"),
        FieldRowPanel([FieldPanel("phone"), FieldPanel("email")]),
        FieldPanel("body"),
    ]

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")

    @property
    def particulars(self) -> str:
        phone = f" Telephone {self.phone}." if self.phone else ""
        email = f" E-mail {self.email}." if self.email else ""
        return f"{self.title}: {self.role}.{phone}{email}"


@register_setting(icon="clipboard-list")
class VisitorInformation(BaseSiteSetting):
    """The contact details and opening hours in the footer."""

    address = models.TextField(_("address"))
    phone = models.CharField(_("telephone"), max_length=40)
    email = models.EmailField(_("e-mail"))
    summer_hours = models.TextField(_("opening hours in summer"))
    winter_hours = models.TextField(_("opening hours in winter"))

    class Meta:
        verbose_name = _("visitor information")
