from django import template
from django.template import Context
from wagtail.models import Page, Site

from demo_site import wording
from demo_site.visibility import children_open_to

register = template.Library()

register.filter("time_words", wording.say_time)
register.filter("price_words", wording.say_price)


@register.simple_tag(takes_context=True)
def main_menu(context: Context) -> list[Page]:
    """The sections in the menu; empty without a site, as on an error page."""
    request = context.get("request")
    site = Site.find_for_request(request) if request else None
    return list(site.root_page.get_children().live().public().in_menu()) if site else []


@register.simple_tag(takes_context=True)
def visitor_information(context: Context):
    from demo_site.models import VisitorInformation

    request = context.get("request")
    site = Site.find_for_request(request) if request else None
    # for_site() would create a row in a GET request.
    return VisitorInformation.objects.filter(site=site).first() if site else None


@register.simple_tag(takes_context=True)
def open_siblings(context: Context, page: Page) -> list[Page]:
    return children_open_to(context["request"], page.get_parent())


@register.simple_tag
def breadcrumbs(page: Page) -> list[Page]:
    # Depth 1 is Wagtail's hidden root page.
    return list(page.get_ancestors().filter(depth__gt=1)) if page and page.pk else []


@register.filter
def is_within(page: Page | None, section: Page) -> bool:
    return bool(page and page.path and page.path.startswith(section.path))
