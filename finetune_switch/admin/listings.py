"""Listings whose rows depend on what the reader may see, on the page and in spreadsheets."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from wagtail.admin.ui.tables import Column

from finetune_switch.search.readers import batched

from .mixins import AdminCSSMixin
from .spreadsheets import SafeSpreadsheetMixin

TITLE_CHARACTERS = 140
EXPORT_BATCH = 200
# For columns that narrow screens leave out.
WIDE: dict[str, Any] = {"classname": "finetune-wide"}


class SeenColumn(Column):
    """A cell whose template gets ``seen``: what the reader may see of the row."""

    def get_cell_context_data(self, instance: Any, parent_context: Any) -> dict[str, Any]:
        context = super().get_cell_context_data(instance, parent_context)
        return {**context, "seen": instance.seen}

    def get_value(self, instance: Any) -> Any:
        return ""


class SeenRowsMixin(AdminCSSMixin, SafeSpreadsheetMixin):
    """A listing that sets ``seen`` on each row of a page, and exports rows in batches."""

    def see(self, rows: Sequence[Any]) -> Sequence[Any]:
        """What the reader may see of each row."""
        raise NotImplementedError

    def export_rows(self, queryset: QuerySet[Any]) -> Iterable[dict[str, Any]]:
        """The spreadsheet's rows, by the names in ``list_export``."""
        raise NotImplementedError

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.is_export:
            # Wagtail would read every row before it sends the first.
            rows = self.export_rows(self.get_queryset())
            return self.as_spreadsheet(rows, request.GET["export"])
        return super().get(request, *args, **kwargs)

    def order_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # The key decides between rows of the same moment, so that no page repeats one.
        return queryset.order_by(self.ordering, "pk")

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        rows = list(context["object_list"])
        for row, seen in zip(rows, self.see(rows), strict=True):
            row.seen = seen
        context["object_list"] = rows
        context["table"] = self.get_table(rows)
        return context


def in_batches(queryset: QuerySet[Any], *related: str) -> Iterator[list[Any]]:
    """The rows in their order, with these relations, without those deleted meanwhile."""
    # A cursor of the database would stay open for as long as the download takes.
    keys = list(queryset.values_list("pk", flat=True))
    for ids in batched(keys, EXPORT_BATCH):
        found = queryset.model._default_manager.select_related(*related).in_bulk(ids)
        yield [found[pk] for pk in ids if pk in found]
