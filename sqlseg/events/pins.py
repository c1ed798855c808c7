"""Reads from the shop's own SQL which users an analyst has pinned to a segment."""

from pathlib import Path

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.events.staging import UnusableSource, rows_of_shop_sql, shop_sql
from sqlseg.names import SCHEMAS

_COLUMNS = ("user_id", "segment_name")


def read_pins(engine: Engine, path: Path, project: Path) -> dict[str, str]:
    """Return the segment that each pinned user is pinned to, in the order of users.

    The SQL reads files and sources, as that of users does. A row without a segment pins nobody. Raises SourceSqlFailed,
    or UnusableSource where it cannot be told who is pinned where.
    """
    with shop_sql(path, project) as text:
        for table in sqltext.base_tables(sqltext.parse_select(text, path)):
            name = sqltext.table_name(table)
            if name.partition(".")[0] in SCHEMAS or name in ("events", "users", "items"):
                raise UnusableSource(
                    f"{path}:{sqltext.line_of(table)}: pins cannot read {name!r}.",
                    hint="A pin is set by hand: list users in VALUES, in a file or in a source. Who is in a segment "
                    'because of features or attributes is said by a segmentation of kind "rules".',
                )
        engine.create_temp_view("pin_source", text)
        columns = {column.lower(): column for column in engine.describe("select * from pin_source")}
        if set(columns) != set(_COLUMNS):
            raise UnusableSource(
                f"{path} returns {', '.join(columns.values())}.", hint="Return two columns: user_id and segment_name."
            )
        user, segment = (quoted(columns[column]) for column in _COLUMNS)
        with rows_of_shop_sql():
            rows = engine.rows(
                f"select {user}::varchar, nullif(trim({segment}::varchar), '') from pin_source order by 1, 2"
            )
    pinned: dict[str, str] = {}
    for name, group in rows:
        if group is None:
            continue
        if name is None:
            raise UnusableSource(f"{path} pins a row without user_id to {group!r}.", hint="Leave out such rows.")
        if name in pinned:
            raise UnusableSource(
                f"{path} pins user {name!r} twice: to {pinned[name]!r} and to {group!r}.", hint="Return one row a user."
            )
        pinned[name] = group
    spelled: dict[str, str] = {}
    for group in pinned.values():
        other = spelled.setdefault(group.casefold(), group)
        if other != group:
            raise UnusableSource(
                f"{path} names segments {min(other, group)!r} and {max(other, group)!r}, which are one to readers.",
                hint="Spell the name in one way.",
            )
    return pinned
