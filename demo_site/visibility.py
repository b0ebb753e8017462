"""Lists of pages that a visitor may open. Wagtail only restricts access to the pages themselves."""

from django.http import HttpRequest
from wagtail.models import Page


def children_open_to(request: HttpRequest, parent: Page) -> list[Page]:
    """The live children that this visitor may open, in tree order."""
    children = parent.get_children().live()
    # Most pages are public, and checking the restrictions of a page costs a query.
    public = set(children.public().values_list("pk", flat=True))
    return [
        child
        for child in children.specific()
        if child.pk in public
        or all(rule.accept_request(request) for rule in child.get_view_restrictions())
    ]
