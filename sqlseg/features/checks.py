"""Turns column tags into check queries, and compares a view over all users with the same view over slices of them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from sqlseg.features.binding import WAREHOUSE, Source, bound_sql
from sqlseg.features.tags import Check
from sqlseg.features.view import Column, View
from sqlseg.sqltext import quote_if_needed

Severity = Literal["error", "warning"]

SEVERITY: dict[str, Severity] = {
    "grain": "error",
    "unique": "error",
    "not_null": "error",
    "range": "warning",
    "accepted": "warning",
}
"""What breaks the tables is an error; a value outside of what was expected of it is a warning."""

_TOLERANCE = {"DOUBLE": 1e-9, "FLOAT": 1e-5}


class Reader(Protocol):
    """The part of an engine that checks need."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""

    def describe(self, sql: str) -> dict[str, str]:
        """Return the names and DuckDB types of a query's columns."""


@dataclass(frozen=True)
class CheckQuery:
    """A SELECT that must return no rows; `name` is such as `rfm@1.recency_days.range`.

    Where it looks at one row after the other, `condition` is what must hold for no row r. `proof` is an aggregate over
    all rows r which, where it is true, says that there is nothing to find.
    """

    name: str
    relation: str
    severity: Severity
    sql: str
    condition: str | None = None
    proof: str | None = None


@dataclass(frozen=True)
class SliceDifference:
    """A user for whom a view says something else once other users are left out; no columns: the row is missing."""

    user_id: str
    columns: tuple[str, ...]


def check_queries(view: View, rows: str, *, every_user: bool = False) -> list[CheckQuery]:
    """Return the checks of a view's grain and tags over its rows: a relation, or a SELECT in parentheses.

    With `every_user` the rows are those of `every_user_sql`: users without a row of the view are left out of the
    checks of values, since nobody promised that a default lies in a range, or that there is one.
    """
    filled = _filled(view) if every_user else None
    queries = {"grain": _grain(view, rows)}
    for column in view.columns:
        checks = list(column.checks)
        if column.name in view.grain and view.kind != "statistics":
            checks.append(Check("not_null"))
        for check in checks:
            if check.kind != "unique" or view.grain != (column.name,):
                queries[f"{column.name}.{check.kind}"] = _query(rows, column, check, filled)
    return [
        CheckQuery(f"{view.ref}.{name}", view.relation, SEVERITY[name.rpartition(".")[2]], sql, condition, proof)
        for name, (sql, condition, proof) in queries.items()
    ]


def slice_differences(
    engine: Reader, view: View, as_of: datetime, local_as_of: datetime, source: Source = WAREHOUSE, slices: int = 4
) -> list[SliceDifference]:
    """Return users for whom a view differs between all users at once and slices of users, at most ten.

    Sums of floats depend on the order of rows, so floats are equal within a relative 1e-9 (FLOAT: 1e-5).
    """
    whole = bound_sql(view, as_of, local_as_of, source)
    sliced = [
        bound_sql(view, as_of, local_as_of, slice_of(view, source, number, slices), pretty=False)
        for number in range(slices)
    ]
    parts = " UNION ALL ".join(f"SELECT * FROM ({part})" for part in sliced)
    types = engine.describe(whole)
    differs = [
        f"CASE WHEN {_differs(quote_if_needed(column.name), types[column.name])} THEN '{column.name}' END"
        for column in view.values
    ]
    on = " AND ".join(f"w.{quote_if_needed(key)} = s.{quote_if_needed(key)}" for key in view.grain)
    found = engine.rows(f"""
        WITH whole AS ({whole}), sliced AS ({parts}), compared AS (
            SELECT
                coalesce(w.user_id, s.user_id, '') AS user_id,
                w.user_id IS NULL OR s.user_id IS NULL AS missing,
                list_filter([{", ".join([*differs, "NULL::VARCHAR"])}], lambda name: name IS NOT NULL) AS columns
            FROM whole AS w FULL JOIN sliced AS s ON {on}
        )
        SELECT user_id, CASE WHEN missing THEN [] ELSE columns END FROM compared WHERE missing OR len(columns) > 0
        ORDER BY user_id = '', user_id LIMIT 10
    """)
    return [SliceDifference(user_id, tuple(columns)) for user_id, columns in found]


_Query = tuple[str, str | None, str | None]
"""The SELECT, the condition and the proof of a CheckQuery."""


def _grain(view: View, rows: str) -> _Query:
    if not view.grain:
        return f"SELECT count(*) AS row_count FROM {rows} AS r HAVING count(*) > 1", None, "count(*) <= 1"
    keys = ", ".join(f"r.{quote_if_needed(key)}" for key in view.grain)
    repeated = f"SELECT {keys}, count(*) AS row_count FROM {rows} AS r GROUP BY {keys} HAVING count(*) > 1"
    return repeated, None, f"count(*) = count(DISTINCT {keys})" if len(view.grain) == 1 else None


def _query(rows: str, column: Column, check: Check, filled: str | None) -> _Query:
    name = f"r.{quote_if_needed(column.name)}"
    if check.kind == "unique":
        found = f"SELECT {name}, count(*) AS row_count FROM {rows} AS r WHERE {name} IS NOT NULL"
        return f"{found} GROUP BY {name} HAVING count(*) > 1", None, f"count({name}) = count(DISTINCT {name})"
    if check.kind == "not_null":
        condition = f"{name} IS NULL"
    elif check.kind == "accepted":
        condition = f"{name} NOT IN ({', '.join(str(value) for value in check.arguments)})"
    else:
        low, high = check.arguments
        ends = [f"{name} < {low}"] if low else []
        ends += [f"{name} > {high}"] if high else []
        condition = " OR ".join([*ends, f"NOT isfinite({name}::DOUBLE)"])
    exempt = f" AND NOT ({filled})" if filled and column.name not in ("user_id",) else ""
    return f"SELECT r.* FROM {rows} AS r WHERE ({condition}){exempt}", f"({condition}){exempt}", None


def _filled(view: View) -> str:
    conditions = (f"r.{quote_if_needed(c.name)} IS NOT DISTINCT FROM {c.default or 'NULL'}" for c in view.values)
    return " AND ".join(conditions) or "FALSE"


def slice_of(view: View, source: Source, number: int, slices: int) -> Source:
    """Return a source with one of several slices of the users, in events, users and feature views alike."""

    def part(relation: str) -> str:
        return f"(SELECT * FROM {relation} WHERE hash(user_id) % {slices} = {number})"

    features = {name: part(source.relation(name)) for name in view.depends_on if name.startswith("features.")}
    return replace(
        source, events=part(source.events), users=part(source.users), views={**(source.views or {}), **features}
    )


def _differs(name: str, duckdb_type: str) -> str:
    whole, sliced = f"w.{name}", f"s.{name}"
    element = duckdb_type.partition("[")[0]
    if element in _TOLERANCE and element != duckdb_type:
        whole, sliced = (f"list_transform({side}::DOUBLE[], lambda v: round(v, 5))" for side in (whole, sliced))
        return f"{whole} IS DISTINCT FROM {sliced}"
    if element in _TOLERANCE:
        close = f"abs({whole} - {sliced}) <= {_TOLERANCE[element]} * greatest(abs({whole}), abs({sliced}), 1)"
        return f"{whole} IS DISTINCT FROM {sliced} AND NOT coalesce({close}, FALSE)"
    return f"{whole} IS DISTINCT FROM {sliced}"
