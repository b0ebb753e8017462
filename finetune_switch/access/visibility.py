"""Check which pages and objects an asker may open now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from inspect import signature
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Exists, Model, QuerySet
from wagtail import hooks
from wagtail.models import AbstractPage, DraftStateMixin, PageViewRestriction, Site

from finetune_switch.passages import Source

from .askers import Asker
from .faults import FATAL, report
from .root_paths import site_root_paths

VISIBILITY_HOOK = "finetune_switch_may_see"
SITE_HOOK = "finetune_switch_site_of"
# The columns needed by get_url() and by this module.
_COLUMNS = ("title", "path", "depth", "url_path", "live", "locale", "alias_of", "content_type")


def page_model() -> type[AbstractPage]:
    """The base model of all pages, which is swappable in Wagtail 8."""
    return PageViewRestriction._meta.get_field("page").related_model


def pages_open_to(
    asker: Asker,
    ids: Collection[str],
    *,
    site: Site | None = None,
    locale_ids: Collection[int] | None = None,
) -> dict[str, AbstractPage]:
    """The pages among these that the asker may open now, by primary key as text.

    Only live pages, and only those of ``site`` and ``locale_ids``, if given. At most five queries.
    """
    if not (ids := valid_keys(page_model(), ids)):
        return {}
    pages = [
        page
        for page in _pages(ids)
        if page.live and (locale_ids is None or page.locale_id in locale_ids)
    ]
    if site is not None:
        roots = site_root_paths()
        pages = [page for page in pages if site.pk in site_ids_of(page, roots)]
    guarded = restrictions_of(pages) if any(page.any_is_restricted for page in pages) else {}
    barred = {pk for pk, found in guarded.items() if not _passes(asker, found)}
    return {str(page.pk): page for page in _with_own_urls(pages) if page.pk not in barred}


def _pages(ids: Iterable[Any]) -> QuerySet[Any]:
    """The pages, each with whether any page of the project is restricted, to save a query."""
    return (
        page_model()
        ._default_manager.filter(pk__in=ids)
        .only(*_COLUMNS)
        .annotate(any_is_restricted=Exists(PageViewRestriction.objects.all()))
    )


def restrictions_of(pages: Iterable[AbstractPage]) -> dict[int, list[PageViewRestriction]]:
    """The view restrictions of pages and their ancestors, by primary key of the page.

    The same as ``page.get_view_restrictions()``, in which an alias has the restrictions of its
    source, but for many pages at once. Pages without restrictions are left out.
    """
    every = list(PageViewRestriction.objects.prefetch_related("groups"))
    if not every:
        return {}
    by_page: dict[int, list[PageViewRestriction]] = {}
    for restriction in every:
        by_page.setdefault(restriction.page_id, []).append(restriction)
    paths = {page.pk: _paths_to(page) for page in pages}
    model = page_model()
    wanted = {path for found in paths.values() for path in found}
    rows = model._default_manager.filter(path__in=wanted)
    nodes = {path: (pk, of) for pk, path, of in rows.values_list("pk", "path", "alias_of_id")}
    sources = _sources_of({of for _pk, of in nodes.values() if of}, model)
    found_of: dict[int, list[PageViewRestriction]] = {}
    for pk, found in paths.items():
        for path in found:
            own, alias_of = nodes.get(path, (None, None))
            guards = by_page.get(sources.get(alias_of, alias_of) if alias_of else own, [])
            found_of.setdefault(pk, []).extend(guards)
    return {pk: guards for pk, guards in found_of.items() if guards}


def _paths_to(page: AbstractPage) -> list[str]:
    """The tree paths of the page and its ancestors."""
    return [page.path[:end] for end in range(page.steplen, len(page.path) + 1, page.steplen)]


def _sources_of(ids: set[int], model: type[AbstractPage]) -> dict[int, int]:
    """The last source in the chain of aliases that starts at each page."""
    ends: dict[int, int] = {pk: pk for pk in ids}
    while ends:
        rows = model._default_manager.filter(pk__in=set(ends.values()), alias_of__isnull=False)
        further = dict(rows.values_list("pk", "alias_of_id"))
        if not further:
            break
        ends = {pk: further.get(end, end) for pk, end in ends.items()}
    return ends


def _passes(asker: Asker, restrictions: Iterable[PageViewRestriction]) -> bool:
    return all(asker.passes(restriction) for restriction in restrictions)


def site_ids_of(page: AbstractPage, roots: Sequence[Any] | None = None) -> set[int]:
    """Primary keys of the sites that contain the page, in any of their language trees.

    ``roots`` is ``Site.get_site_root_paths()``, which reads the cache on each call. Pass it to
    check many pages.
    """
    if roots is None:
        roots = site_root_paths()
    return {root.site_id for root in roots if page.url_path.startswith(root.root_path)}


def _with_own_urls(pages: Iterable[AbstractPage]) -> Iterable[AbstractPage]:
    """The pages, as specific instances if their type overrides ``get_url``."""
    base = page_model()
    for page in pages:
        specific = page.specific_class
        if specific is not None and any(
            getattr(specific, name) is not getattr(base, name)
            for name in ("get_url", "get_url_parts")
        ):
            try:
                yield page.specific
            except FATAL:
                raise
            except Exception as error:
                report(page, "cannot be read: it is left out.", error)
        else:
            yield page


def objects_open_to(
    asker: Asker, model: type[Model], ids: Collection[str], *, site: Site | None = None
) -> dict[str, Model]:
    """The objects among these that the asker may see now, by primary key as text.

    For models other than pages. Objects of other sites than ``site`` are left out, see
    :func:`object_site_ids`. Functions of the hook ``finetune_switch_may_see`` decide. They get the
    asker, the object and, if they have a parameter of that name, the ``site``, and return True,
    False, or None for no decision. Without a decision, only users who may see the object in the
    admin may see it.
    """
    rows = model._default_manager.filter(pk__in=valid_keys(model, ids))
    if issubclass(model, DraftStateMixin):
        rows = rows.filter(live=True)
    return {
        str(row.pk): row for row in rows if _is_of(site, row) and may_see(asker, row, site=site)
    }


def may_see(asker: Asker, instance: Model, *, site: Site | None = None) -> bool:
    """Whether the asker may see an object other than a page; see :func:`objects_open_to`."""
    try:
        for function in hooks.get_hooks(VISIBILITY_HOOK):
            options = {"site": site} if _takes_site(function) else {}
            if (decision := function(asker, instance, **options)) is not None:
                return bool(decision)
    except FATAL:
        raise
    except Exception as error:
        report(instance, "is left out: a hook that decides who may see it fails.", error)
        return False
    return _sees_in_admin(asker, instance)


def object_site_ids(instance: Model) -> frozenset[int] | None:
    """Primary keys of the sites that an object other than a page belongs to; ``None`` for all.

    The hook ``finetune_switch_site_of`` gets the object and returns a site, several sites, or None
    for no decision. Otherwise the object's relations to ``wagtailcore.Site`` count, as those of
    site settings. Without a related site, the object belongs to all sites.
    """
    try:
        for function in hooks.get_hooks(SITE_HOOK):
            if (found := function(instance)) is not None:
                return frozenset(
                    site.pk for site in ([found] if isinstance(found, Site) else found)
                )
    except FATAL:
        raise
    except Exception as error:
        report(instance, "is left out: a hook that says its site fails.", error)
        return frozenset()
    ids: set[int] = set()
    for field in (*instance._meta.concrete_fields, *instance._meta.many_to_many):
        if field.related_model is Site:
            value = field.value_from_object(instance)
            ids |= {site.pk for site in value} if isinstance(value, list) else {value} - {None}
    return frozenset(ids) or None


def _is_of(site: Site | None, instance: Model) -> bool:
    ids = object_site_ids(instance) if site is not None else None
    return site is None or ids is None or site.pk in ids


@lru_cache(maxsize=256)
def _takes_site(function: Callable[..., Any]) -> bool:
    parameters = signature(function).parameters.values()
    return any(p.name == "site" or p.kind == p.VAR_KEYWORD for p in parameters)


def valid_keys(model: type[Model], ids: Iterable[Any]) -> list[Any]:
    """The valid primary keys of this model: markup and indexes may contain any value."""
    kept = []
    for pk in ids:
        try:
            model._meta.pk.to_python(pk)
        except ValidationError:
            continue
        kept.append(pk)
    return kept


def _sees_in_admin(asker: Asker, instance: Model) -> bool:
    if asker.is_superuser:
        return True
    kind = ContentType.objects.get_for_model(instance)
    names = [f"{verb}_{kind.model}" for verb in ("view", "change", "add", "delete")]
    if asker.user is not None:
        user: Any = asker.user
        return user.has_perm("wagtailadmin.access_admin") and any(
            user.has_perm(f"{kind.app_label}.{name}") for name in names
        )
    return (
        Permission.objects.filter(group__in=asker.groups, content_type=kind, codename__in=names)
        .values("pk")
        .exists()
        and Permission.objects.filter(
            group__in=asker.groups, codename="access_admin", content_type__app_label="wagtailadmin"
        ).exists()
    )


def group_ids(ids: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    """Primary keys by model."""
    grouped: dict[str, set[str]] = {}
    for model, object_id in ids:
        grouped.setdefault(model, set()).add(object_id)
    return grouped


def page_id_of(source: Source) -> int | None:
    """The primary key of the source's page; ``None`` if it is not a page."""
    try:
        model = apps.get_model(source.model)
    except (LookupError, ValueError):
        return None
    is_page = issubclass(model, page_model()) and source.object_id.isdecimal()
    return int(source.object_id) if is_page else None
