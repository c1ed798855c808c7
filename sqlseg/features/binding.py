"""Binds a view to relations and to a point in time: the text that DuckDB runs and that people can paste."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.features.parts import Part
from sqlseg.features.view import BASE_RELATIONS, View


@dataclass(frozen=True)
class Source:
    """The relations that a view is bound to, as SQL: a name, or a SELECT in parentheses.

    `events` may hold any time; what lies at or after as_of is cut off when a view is bound. `features` says whether
    other feature views are read as the public views (`features.rfm_v1`) or as their materialised rows
    (`sqlseg.feature_rfm_v1`). `views` overrides single ones, by relation. Nothing names the database, so that a text
    runs wherever the warehouse is opened.
    """

    events: str = "sqlseg.events"
    users: str = "sqlseg.users"
    items: str = "sqlseg.items"
    holidays: str = "sqlseg.holidays"
    population: str = "sqlseg.population"
    features: Literal["views", "tables"] = "views"
    views: Mapping[str, str] | None = None

    def relation(self, name: str) -> str:
        """Return the SQL for a relation that a view names."""
        if self.views and name in self.views:
            return self.views[name]
        schema, _, table = name.partition(".")
        if schema == "features" and self.features == "tables":
            return f"sqlseg.feature_{table}"
        if schema in ("features", "stats"):
            return name
        return str(getattr(self, name))


WAREHOUSE = Source()
"""For the views in the warehouse and for reading: every other view under its public name."""

MATERIALIZED = Source(features="tables")
"""For computing features one after another: other feature views as the tables they were computed into."""


def bound_sql(
    view: View, as_of: datetime, local_as_of: datetime, source: Source = WAREHOUSE, *, pretty: bool = True
) -> str:
    """Return a view's own rows as one SELECT: bound to relations, with as_of (UTC) and local_as_of as literals.

    Both are times without a zone. A user without a row stays without; see `every_user_sql`.
    """
    views = tuple(sorted((source.views or {}).items()))
    text = _undated(view, replace(source, views=None), views, pretty)
    for stands_for, moment in ((_AS_OF, as_of), (_LOCAL_AS_OF, local_as_of)):
        text = text.replace(stands_for.isoformat(sep=" "), moment.isoformat(sep=" "))
    return text


# No shop's SQL speaks of these moments.
_AS_OF = datetime(1004, 4, 3, 2, 1, 0, 101)
_LOCAL_AS_OF = datetime(1004, 4, 3, 2, 1, 0, 102)


@lru_cache(maxsize=256)
def _undated(view: View, source: Source, views: tuple[tuple[str, str], ...], pretty: bool) -> str:
    """Return a view bound to relations (`views` as in Source), with two moments that stand for as_of and local_as_of.

    Forecasts look at the same views at many moments, and binding one can take longer than running it.
    """
    source = replace(source, views=dict(views))
    cut = f"(SELECT * FROM {source.events} WHERE event_time < {sqltext.literal(_AS_OF)})"
    names = [name for name in (*BASE_RELATIONS, *view.depends_on) if name != "events"]
    tables = {"events": cut} | {name: source.relation(name) for name in names}
    functions = {"as_of": sqltext.literal(_AS_OF), "local_as_of": sqltext.literal(_LOCAL_AS_OF)}
    return sqltext.to_sql(_lower_names(sqltext.bind(view.tree, tables, functions)), pretty)


def part_sql(part: Part, as_of: datetime, events: str) -> str:
    """Return a steady part of a view as one SELECT over the events before as_of (UTC) of a relation."""
    cut = f"(SELECT * FROM {events} WHERE event_time < {sqltext.literal(as_of)})"
    return sqltext.to_sql(sqltext.bind(part.tree, {"events": cut}), pretty=False)


def every_user_sql(
    view: View, as_of: datetime, local_as_of: datetime, source: Source = WAREHOUSE, *, pretty: bool = True
) -> str:
    """Return a feature view with one row for every user of the population: its own, or NULLs and declared defaults."""
    own = bound_sql(view, as_of, local_as_of, source, pretty=False)
    columns = ["p.user_id", *(_filled(column.name, column.default) for column in view.values)]
    text = f"SELECT {', '.join(columns)} FROM {source.population} AS p LEFT JOIN ({own}) AS f ON f.user_id = p.user_id"
    # Laying it out for a reader means parsing it again, which takes longer than running it on a small shop.
    return sqltext.to_sql(sqltext.parse_select(text)) if pretty else text


def _lower_names(tree: exp.Query) -> exp.Query:
    """Name the output columns as the view's columns are named: `SELECT USER_ID` gives user_id."""
    for column in sqltext.output_columns(tree):
        name = column.output_name
        if name != name.lower():
            column.replace(exp.alias_(column.unalias().copy(), name.lower()))
    return tree


def _filled(name: str, default: str | None) -> str:
    column = f"f.{sqltext.quote_if_needed(name)}"
    if default is None:
        return column
    return f"CASE WHEN f.user_id IS NULL THEN {default} ELSE {column} END AS {sqltext.quote_if_needed(name)}"
