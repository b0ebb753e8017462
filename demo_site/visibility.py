"""Who sees that a page is there. Wagtail guards the page itself; a list of pages has to guard
its titles and introductions on its own."""

from django.http import HttpRequest
from wagtail.models import Page


def children_open_to(request: HttpRequest, parent: Page) -> list[Page]:
    """The live children that this visitor may open, in the order of the tree."""
    children = parent.get_children().live()
    # Most are public, and asking a page for its restrictions costs a query.
    public = set(children.public().values_list("pk", flat=True))
    return [
        child
        for child in children.specific()
        if child.pk in public
        or all(rule.accept_request(request) for rule in child.get_view_restrictions())
    ]
