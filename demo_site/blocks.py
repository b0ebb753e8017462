"""StreamField blocks.

Wagtail does not index times, numbers and addresses of blocks. The blocks that hold them return
sentences as searchable content, so that "how much is a family ticket?" finds the price list.
"""

from django.utils.translation import gettext_lazy as _
from wagtail import blocks
from wagtail.images.blocks import ImageBlock

from .wording import say_price, say_time

TEXT_FEATURES = ["h3", "bold", "italic", "link", "ol", "ul"]


class QuoteBlock(blocks.StructBlock):
    text = blocks.TextBlock()
    attribution = blocks.CharBlock(required=False)

    class Meta:
        icon = "openquote"
        label = _("Quote")
        template = "demo_site/blocks/quote.html"


class FigureBlock(blocks.StructBlock):
    image = ImageBlock()
    caption = blocks.CharBlock(required=False)

    class Meta:
        icon = "image"
        label = _("Picture")
        template = "demo_site/blocks/figure.html"


class HoursRowBlock(blocks.StructBlock):
    days = blocks.CharBlock()
    opens = blocks.TimeBlock(required=False, help_text=_("Leave both empty for “closed”."))
    closes = blocks.TimeBlock(required=False)
    note = blocks.CharBlock(required=False)


class OpeningHoursBlock(blocks.StructBlock):
    title = blocks.CharBlock()
    rows = blocks.ListBlock(HoursRowBlock())

    class Meta:
        icon = "time"
        label = _("Opening hours")
        template = "demo_site/blocks/hours.html"

    def get_searchable_content(self, value) -> list[str]:
        lines = []
        for row in value["rows"]:
            if row["opens"] and row["closes"]:
                hours = f"open {say_time(row['opens'])} to {say_time(row['closes'])}"
            else:
                hours = "closed"
            note = f" ({row['note']})" if row["note"] else ""
            lines.append(f"{value['title']}: {row['days']}, {hours}{note}.")
        return lines


class PriceRowBlock(blocks.StructBlock):
    item = blocks.CharBlock()
    price = blocks.DecimalBlock(min_value=0, decimal_places=2, help_text=_("0 reads “free”."))
    note = blocks.CharBlock(required=False)


class PriceListBlock(blocks.StructBlock):
    title = blocks.CharBlock()
    rows = blocks.ListBlock(PriceRowBlock())

    class Meta:
        icon = "tag"
        label = _("Price list")
        template = "demo_site/blocks/prices.html"

    def get_searchable_content(self, value) -> list[str]:
        lines = []
        for row in value["rows"]:
            note = f" ({row['note']})" if row["note"] else ""
            lines.append(f"{value['title']}: {row['item']}, {say_price(row['price'])}{note}.")
        return lines


class ContactCardBlock(blocks.StructBlock):
    name = blocks.CharBlock()
    role = blocks.CharBlock(required=False, help_text=_("What to write to them about."))
    phone = blocks.CharBlock(required=False)
    email = blocks.EmailBlock(required=False)
    address = blocks.TextBlock(required=False)

    class Meta:
        icon = "mail"
        label = _("Contact")
        template = "demo_site/blocks/contact.html"

    def get_searchable_content(self, value) -> list[str]:
        parts = [value["name"], value["role"]]
        if value["phone"]:
            parts.append(f"telephone {value['phone']}")
        if value["email"]:
            parts.append(f"e-mail {value['email']}")
        parts.append(", ".join((value["address"] or "").splitlines()))
        return [f"{', '.join(part for part in parts if part)}."]


class FAQBlock(blocks.StructBlock):
    question = blocks.CharBlock()
    answer = blocks.RichTextBlock(features=TEXT_FEATURES)

    class Meta:
        icon = "help"
        label = _("Question and answer")
        template = "demo_site/blocks/faq.html"


class CardBlock(blocks.StructBlock):
    page = blocks.PageChooserBlock()
    title = blocks.CharBlock(required=False, help_text=_("Empty: the page's own title."))
    text = blocks.TextBlock(required=False)

    class Meta:
        icon = "doc-full"
        label = _("Card")


class BodyBlock(blocks.StreamBlock):
    heading = blocks.CharBlock(
        icon="title", label=_("Heading"), template="demo_site/blocks/heading.html"
    )
    paragraph = blocks.RichTextBlock(
        features=TEXT_FEATURES, label=_("Text"), template="demo_site/blocks/paragraph.html"
    )
    notice = blocks.RichTextBlock(
        features=["bold", "italic", "link"],
        icon="warning",
        label=_("Notice"),
        template="demo_site/blocks/notice.html",
    )
    picture = FigureBlock()
    quote = QuoteBlock()
    hours = OpeningHoursBlock()
    prices = PriceListBlock()
    contact = ContactCardBlock()
    faq = FAQBlock()

    class Meta:
        template = "demo_site/blocks/body.html"


class HomeBlock(blocks.StreamBlock):
    cards = blocks.ListBlock(
        CardBlock(), icon="doc-full", label=_("Cards"), template="demo_site/blocks/cards.html"
    )
    paragraph = blocks.RichTextBlock(
        features=TEXT_FEATURES, label=_("Text"), template="demo_site/blocks/paragraph.html"
    )
    quote = QuoteBlock()

    class Meta:
        template = "demo_site/blocks/body.html"
