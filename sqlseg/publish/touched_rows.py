"""The rows of touched users as they are to be published, each relation read once."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.publish.snapshot import PublishedRelation

_NAMED_USERS = 10_000
"""So many users at most are named one by one in a query."""


@dataclass
class TouchedRows:
    """Reads the rows of some users into temporary tables of this connection.

    A view that puts rows of the same user beside each other, as `segments.<segmentation>_users` does, is read from what
    was read of its tables before: a join of all users takes longer than the rest of a patch.

    `at_end` says of some tables, by the source that names them, that the rows of these users are the last so many, one
    a user. To look there takes a tenth of the time of a search; were they not there, they would be searched for.
    """

    engine: Engine
    at_end: Mapping[str, int] = field(default_factory=dict)
    _kept: dict[tuple[str, str], str] = field(default_factory=dict)
    """The temporary tables, by the relation that they hold rows of and that of the users."""

    @functools.cached_property
    def views(self) -> dict[str, str]:
        """The SELECTs of the views that put rows of a user beside each other, by the source that names them."""
        return {
            f"{schema}.{quoted(name)}": sql.partition(" AS ")[2].rstrip("; \n")
            for schema, name, sql in self.engine.rows(
                "select schema_name, view_name, sql from duckdb_views() where database_name = current_database() "
                "and schema_name = 'segments' and ends_with(view_name, '_users')"
            )
        }

    def read(self, relation: PublishedRelation, columns: str, users: str) -> str:
        """Return a temporary table with the rows of some users, of these columns; `users` is a relation of them."""
        view, ids = self.views.get(relation.source), None
        if view is not None:
            select = f"select {columns} from ({self._joined(view, users)})"
        elif _is_name(relation.source):
            select = f"select {columns} from {relation.source} where user_id in (select user_id from {users})"
            if last := self._last(relation.source, select, users):
                return last
        else:
            select, ids = self._named(f"select {columns} from {relation.source}", users)
        return self._keep(relation.source, users, select, ids)[0]

    def drop(self) -> None:
        """Let go of what was read."""
        for table in self._kept.values():
            self.engine.execute(f"drop table if exists {table}")
        self._kept.clear()

    def _last(self, source: str, select: str, users: str) -> str | None:
        """Return a temporary table of what a SELECT finds among the last rows of a table, where that is all of it."""
        count = self.at_end.get(source)
        last = None if count is None else self._last_places[source]
        if count is None or last is None:
            return None
        name, found = self._keep(source, users, f"{select} and rowid > {last - count}")
        return name if found == count else None

    @functools.cached_property
    def _last_places(self) -> dict[str, int | None]:
        """The place of the last row of the tables whose last rows are those of the users."""
        sources = list(self.at_end)
        places = " union all ".join(f"select {number}, max(rowid) from {one}" for number, one in enumerate(sources))
        return {sources[number]: place for number, place in self.engine.rows(places)}

    def _keep(self, source: str, users: str, select: str, ids: list[str] | None = None) -> tuple[str, int]:
        """Return a temporary table of what a SELECT gives, and how many rows that are."""
        key = source.replace('"', "").lower(), users
        name = self._kept.setdefault(key, f"temp.touched_rows_{len(self._kept)}")
        return name, int(self.engine.value(f"create or replace temp table {name} as {select}", ids))

    def _joined(self, view: str, users: str) -> str:
        """Return the SELECT of a view over the rows that these users have in its tables."""
        for table in _tables(view):
            if (table, users) not in self._kept:
                schema, _, name = table.rpartition(".")
                rows = f"select * from {schema}.{quoted(name)} where user_id in (select user_id from {users})"
                self._keep(table, users, rows)
        return _bound(view, tuple((table, self._kept[table, users]) for table in _tables(view)))

    def _named(self, select: str, users: str) -> tuple[str, list[str] | None]:
        """Return the SELECT of the users' rows and its parameters.

        Single values reach through the joins of a view, where a subquery waits for the join of all users.
        """
        ids = [row[0] for row in self.engine.rows(f"select user_id from {users}")]
        if 0 < len(ids) <= _NAMED_USERS:
            return f"select * from ({select}) where user_id in ({', '.join('?' * len(ids))})", ids
        return f"select * from ({select}) where user_id in (select user_id from {users})", None


def _is_name(source: str) -> bool:
    """Whether a source is the name of one relation.

    >>> _is_name('sqlseg."feature_rfm_v1"'), _is_name("(select * from sizes)")
    (True, False)
    """
    return re.fullmatch(r'\w+(\.(\w+|"[^"]+"))?', source) is not None


@functools.lru_cache(maxsize=64)
def _tables(view: str) -> tuple[str, ...]:
    """Return the tables that the SELECT of a view reads, each of them once."""
    return tuple(sorted({sqltext.table_name(table) for table in sqltext.base_tables(sqltext.parse_select(view))}))


@functools.lru_cache(maxsize=64)
def _bound(view: str, tables: tuple[tuple[str, str], ...]) -> str:
    """Return the SELECT of a view with other tables in the place of its own."""
    return sqltext.to_sql(sqltext.bind(sqltext.parse_select(view), dict(tables)), pretty=False)
