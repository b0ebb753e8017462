"""Lookups whose SQL is made once. Django takes longer to make it than a database to answer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from django.db.models import QuerySet
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

R = TypeVar("R")

# What a compiler knows after as_sql(), and needs to make objects of the rows.
_STATE = ("select", "klass_info", "annotation_col_map", "col_count", "has_extra_select")


@dataclass(frozen=True)
class _Made:
    """What a compiler has made: the SQL, its parameters, and what it then knows."""

    sql: str
    columns: tuple[Any, ...]
    """Parameters of what is selected, which stay."""
    conditions: tuple[Any, ...]
    """Those of the WHERE clause, which come after them."""
    state: dict[str, Any]

    @classmethod
    def by(cls, compiler: SQLCompiler) -> _Made:
        sql, parameters = compiler.as_sql()
        where = cast(Any, compiler).where
        conditions: Sequence[Any] = compiler.compile(where)[1] if where else ()
        columns = tuple(parameters)[: len(parameters) - len(conditions)]
        state = {name: value for name, value in vars(compiler).items() if name in _STATE}
        return cls(sql, columns, tuple(conditions), state)


class _CompiledQuery(Query):
    """Gives compilers that have done their work already, one kind for each kind of database."""

    made: dict[str, _Made]
    parameters: tuple[Any, ...] = ()

    def get_compiler(self, *args: Any, **kwargs: Any) -> SQLCompiler:
        compiler = super().get_compiler(*args, **kwargs)
        vendor = compiler.connection.vendor
        if vendor not in self.made:
            self.made[vendor] = _Made.by(compiler)
        made = self.made[vendor]
        given = self.parameters or made.conditions
        if len(given) != len(made.conditions):
            raise TypeError(f"The query has {len(made.conditions)} parameters, not {len(given)}.")
        vars(compiler).update(made.state)
        compiler.as_sql = lambda *args, **kwargs: (made.sql, (*made.columns, *given))
        return compiler


class CompiledLookup(Generic[R]):
    """The rows of a queryset that always has the same shape.

    ``rows`` gives the queryset, with any value where a parameter stands. It is called once, at the
    first lookup, since the models have to be loaded by then.
    """

    def __init__(self, rows: Callable[[], QuerySet[Any, R]]) -> None:
        self._rows = rows

    @cached_property
    def _compiled(self) -> QuerySet[Any, R]:
        rows = self._rows().order_by()
        rows.query.__class__ = _CompiledQuery
        cast(_CompiledQuery, rows.query).made = {}
        return rows

    def all(self, *parameters: Any) -> list[R]:
        """The rows for these parameters of the WHERE clause, in its order.

        Without any, for those that the queryset was made with.
        """
        rows = self._compiled.all()
        cast(_CompiledQuery, rows.query).parameters = parameters
        return list(rows)

    def first(self, *parameters: Any) -> R | None:
        """One of them, or ``None``: for a queryset that gives one row at most."""
        return next(iter(self.all(*parameters)), None)
