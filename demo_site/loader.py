"""Creates pages, restrictions and users from the content files.

Existing ones are left unchanged, so that editors' changes survive a second run.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import time
from decimal import Decimal
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import transaction
from django.db.models.signals import post_save
from django.utils import timezone
from wagtail.models import Page, PageViewRestriction, Site
from wagtail.search.index import get_indexed_models
from wagtail.search.signal_handlers import post_save_signal_handler
from wagtail.signal_handlers import disable_reference_index_auto_update

from . import models
from .content import read_sections
from .markup import rich_text

KINDS = {
    "home": models.HomePage,
    "section": models.SectionPage,
    "article": models.ArticlePage,
    "boat": models.BoatPage,
    "story": models.StoryPage,
    "course": models.CoursePage,
    "policy": models.PolicyPage,
    "person": models.PersonPage,
}
# Keys of a page in the content files that are not fields of its model.
NON_FIELD_KEYS = {"type", "draft", "restriction", "unpublished_change"}

HOME_SLUG = "tarrowby-harbour"
PASSWORD = "demo"
# user name → (superuser, groups)
PEOPLE = {
    "admin": (True, []),
    "editor": (False, ["Editors"]),
    "member": (False, []),
    "trustee": (False, ["Trustees"]),
}


class SiteHasContent(Exception):
    """The site has pages that are not part of the demo."""


@dataclass
class Report:
    pages: list[str] = field(default_factory=list)
    kept: int = 0
    drafts: int = 0
    restrictions: int = 0
    people: list[str] = field(default_factory=list)
    removed: int = 0


def load(*, reset: bool = False) -> Report:
    """Create what is missing, then update Wagtail's search and reference indexes once."""
    report = Report()
    with _without_search_and_reference_updates(), transaction.atomic():
        home = _home_page(report, reset=reset)
        _pages(home, report)
        _visitor_information(Site.objects.get(root_page_id=home.pk))
        _people(report)
    if report.pages or report.removed:
        call_command("update_index", verbosity=0, stdout=_NullOutput())
        call_command("rebuild_references_index", verbosity=0, stdout=_NullOutput())
    return report


class _NullOutput:
    def write(self, *args) -> None: ...

    def flush(self) -> None: ...


@contextmanager
def _without_search_and_reference_updates() -> Iterator[None]:
    # Two background tasks for each saved page would be 400 rows for the worker. The two commands
    # at the end take a second.
    indexed = [model for model in get_indexed_models() if issubclass(model, Page)]
    for model in indexed:
        post_save.disconnect(post_save_signal_handler, sender=model)
    try:
        with disable_reference_index_auto_update():
            yield
    finally:
        for model in indexed:
            post_save.connect(post_save_signal_handler, sender=model)


def _home_page(report: Report, *, reset: bool) -> models.HomePage:
    home = models.HomePage.objects.first()
    if home and reset:
        # Keep the home page. Deleting it would delete the site and its settings.
        for child in home.get_children():
            report.removed += 1 + child.get_descendant_count()
            child.specific.delete()
        return models.HomePage.objects.get()
    if home:
        _update_port(home)
        return home

    site = Site.objects.filter(is_default_site=True).first()
    welcome = site.root_page if site else None
    if welcome and (welcome.specific_class is not Page or welcome.get_children().exists()):
        raise SiteHasContent(f"“{site}” already has pages of its own.")
    content = _section_contents()["/"]
    home = models.HomePage(slug=HOME_SLUG, **_fields(content, defaultdict(int)))
    Page.get_first_root_node().add_child(instance=home)
    site = site or Site(is_default_site=True)
    site.site_name = settings.WAGTAIL_SITE_NAME
    site.hostname, site.port = _address()
    site.root_page = home
    site.save()
    if welcome:
        # Last, since deleting a site's root page deletes the site.
        Page.objects.get(pk=welcome.pk).delete()
    report.pages.append("/")
    return models.HomePage.objects.get()


def _address() -> tuple[str, int]:
    address = urlsplit(settings.WAGTAILADMIN_BASE_URL)
    return (
        address.hostname or "localhost",
        address.port or (443 if address.scheme == "https" else 80),
    )


def _update_port(home: models.HomePage) -> None:
    # A local demo may be started on another port than before.
    address, port = _address()
    site = Site.objects.filter(root_page_id=home.pk, hostname="localhost").first()
    if site and address == site.hostname and port != site.port:
        site.port = port
        site.save()


def _section_contents() -> dict[str, dict]:
    """The content of each page by path, parents first."""
    contents = {}
    for section in read_sections():
        head = section["section"]
        path = f"/{head['slug']}/" if head["slug"] else "/"
        contents[path] = head
        for page in section.get("pages", []):
            contents[f"{path}{page['slug']}/"] = page
    return contents


def _pages(home: models.HomePage, report: Report) -> None:
    contents = _section_contents()
    pages: dict[str, Page] = {"/": home}
    new = {"/"} if report.pages or report.removed else set()
    # Two passes, since links need the ids of pages that may not exist in the first.
    for path, content in contents.items():
        if path == "/":
            continue
        parent = pages[path[: path.rstrip("/").rindex("/") + 1]]
        existing = parent.get_children().filter(slug=content["slug"]).first()
        if existing:
            pages[path] = existing.specific
            report.kept += 1
            continue
        pages[path] = _create(parent, content)
        new.add(path)
        report.pages.append(path)

    page_ids = {path: page.pk for path, page in pages.items()}
    for path in new:
        # Reload the page, since children have been added.
        page, content = pages[path].specific_class.objects.get(pk=pages[path].pk), contents[path]
        for name, value in _fields(content, page_ids).items():
            setattr(page, name, value)
        page.save()
        if not page.live:
            page.save_revision(changed=True)
            report.drafts += 1
        elif change := content.get("unpublished_change"):
            _save_unpublished_change(page, change, page_ids)
        if restriction := content.get("restriction"):
            _restrict(page, restriction)
            report.restrictions += 1


def _create(parent: Page, content: Mapping) -> Page:
    page = KINDS[content["type"]](**_fields(content, defaultdict(int)))
    page.live = not content.get("draft", False)
    page.has_unpublished_changes = not page.live
    if page.live:
        page.first_published_at = page.last_published_at = timezone.now()
    # The tree fields of ``parent`` are stale after the first child.
    return Page.objects.get(pk=parent.pk).add_child(instance=page)


def _save_unpublished_change(page: Page, change: Mapping, page_ids: Mapping[str, int]) -> None:
    """Save a change to a live page as a draft revision."""
    page.save_revision()
    draft = page.get_latest_revision_as_object()
    for name, value in _fields(change, page_ids).items():
        setattr(draft, name, value)
    draft.save_revision()


def _restrict(page: Page, restriction: Mapping) -> None:
    row = PageViewRestriction(page=page, restriction_type=PageViewRestriction.LOGIN)
    if password := restriction.get("password"):
        row.restriction_type, row.password = PageViewRestriction.PASSWORD, password
    elif groups := restriction.get("groups"):
        row.restriction_type = PageViewRestriction.GROUPS
        row.save()
        row.groups.set([Group.objects.get_or_create(name=name)[0] for name in groups])
    row.save()


def _fields(content: Mapping, page_ids: Mapping[str, int]) -> dict:
    fields = {name: value for name, value in content.items() if name not in NON_FIELD_KEYS}
    if not fields.get("slug", True):  # the home page
        del fields["slug"]
    if isinstance(body := fields.get("body"), str):
        fields["body"] = rich_text(body, page_ids)
    elif body:
        fields["body"] = [_block(block, page_ids) for block in body]
    for name in ("price", "member_price", "length"):
        if name in fields:
            fields[name] = Decimal(str(fields[name]))
    return fields


def _block(block: Mapping, page_ids: Mapping[str, int]) -> tuple[str, object]:
    ((kind, value),) = block.items()
    match kind:
        case "text":
            return "paragraph", rich_text(value, page_ids)
        case "notice":
            return kind, rich_text(value, page_ids)
        case "faq":
            return kind, {**value, "answer": rich_text(value["answer"], page_ids)}
        case "hours":
            return kind, {**value, "rows": [_hours_row(*row) for row in value["rows"]]}
        case "prices":
            return kind, {**value, "rows": [_price_row(*row) for row in value["rows"]]}
        case "cards":
            return kind, [{**card, "page": _page(page_ids[card["page"]])} for card in value]
    return kind, value


def _page(page_id: int) -> Page | None:
    return Page.objects.filter(pk=page_id).first()


def _hours_row(days: str, opens: str = "", closes: str = "", note: str = "") -> dict:
    return {
        "days": days,
        "opens": time.fromisoformat(opens) if opens else None,
        "closes": time.fromisoformat(closes) if closes else None,
        "note": note,
    }


def _price_row(item: str, price: str, note: str = "") -> dict:
    return {"item": item, "price": Decimal(price), "note": note}


def _visitor_information(site: Site) -> None:
    content = read_sections()[0]["visitor_information"]
    models.VisitorInformation.objects.get_or_create(site=site, defaults=content)


def _people(report: Report) -> None:
    for name, (is_superuser, groups) in PEOPLE.items():
        user, created = get_user_model().objects.get_or_create(
            username=name,
            defaults={
                "email": f"{name}@tarrowbyharbour.example",
                "is_superuser": is_superuser,
                "is_staff": is_superuser,
            },
        )
        if created:
            user.set_password(PASSWORD)
            user.save()
            user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
            report.people.append(name)
