"""Lookups whose SQL is made once. Django takes longer to make it than a database to answer it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

M = TypeVar("M", bound=Model)

# What a compiler knows after as_sql(), and needs to make objects of the rows.
_MADE = ("select", "klass_info", "annotation_col_map", "col_count", "has_extra_select")


class _CompiledQuery(Query):
    """Gives compilers that have done their work already, one kind for each kind of database."""

    made: dict[str, tuple[str, dict[str, Any]]]
    parameters: tuple[Any, ...] = ()

    def get_compiler(self, *args: Any, **kwargs: Any) -> SQLCompiler:
        compiler = super().get_compiler(*args, **kwargs)
        vendor = compiler.connection.vendor
        if vendor not in self.made:
            sql, parameters = compiler.as_sql()
            if len(parameters) != len(self.parameters):
                raise TypeError(f"The query has {len(parameters)} parameters.")
            state = {name: value for name, value in vars(compiler).items() if name in _MADE}
            self.made[vendor] = sql, state
        sql, state = self.made[vendor]
        vars(compiler).update(state)
        compiler.as_sql = lambda *args, **kwargs: (sql, self.parameters)
        return compiler


class CompiledLookup(Generic[M]):
    """The first row of a queryset that always has the same shape.

    ``rows`` gives the queryset, with any value where a parameter stands. It is called once, at the
    first lookup, since the models have to be loaded by then.
    """

    def __init__(self, rows: Callable[[], QuerySet[M]]) -> None:
        self._rows = rows

    @cached_property
    def _compiled(self) -> QuerySet[M]:
        rows = self._rows().order_by()[:1]
        rows.query.__class__ = _CompiledQuery
        rows.query.made = {}  # type: ignore[attr-defined]
        return rows

    def first(self, *parameters: Any) -> M | None:
        """The row for these parameters of the WHERE clause, in its order; or ``None``."""
        rows = self._compiled.all()
        rows.query.parameters = parameters  # type: ignore[attr-defined]
        return next(iter(rows), None)
