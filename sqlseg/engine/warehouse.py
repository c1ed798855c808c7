"""The working database: its schemas, its tables, and the sources attached to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.errors import DatabaseDamaged, DatabaseEncrypted
from sqlseg.errors import SqlsegError
from sqlseg.names import PUBLISHED_TABLES, REASON, SCHEMAS, WAREHOUSE_TABLES
from sqlseg.resources import sql_text

FORMAT = 1
"""Counts up when the tables of a warehouse change in a way that older releases cannot read."""


ADDED_COLUMNS: Final = (
    ("segments.transition", "revenue", "0001_revenue_of_moves"),
    ("segments.profile", "effect_size", "0002_profile_intervals"),
    ("segments.membership", "assignment_probability", "0003_assignment_probability"),
    ("quality.rejected_events", "event_day", "0004_day_of_refused_rows"),
    ("segments.run", "content_hash", "0006_content_hash_of_runs"),
    ("sqlseg.published_file", "modified_ns", "0007_published_file_as_it_lies"),
)
"""Columns that tables of earlier releases lack, in the order of the files in sql/migrations that add them."""


class NewerWarehouse(SqlsegError):
    """The warehouse was written by a later release."""

    def __init__(self, path: Path | None, found: int) -> None:
        super().__init__(
            f"{path} was written by a newer sqlseg (format {found}; this release knows {FORMAT}).",
            hint="Upgrade with `pip install --upgrade sqlseg`.",
        )


class SchemaTaken(SqlsegError):
    """A database that is to become a warehouse has relations of its own where sqlseg keeps its tables."""

    def __init__(self, path: Path | None, relations: list[str]) -> None:
        shown = ", ".join(relations[:3]) + (", ..." if len(relations) > 3 else "")
        super().__init__(
            f"{path} already holds {shown}, in a schema that sqlseg keeps for itself ({', '.join(SCHEMAS)}).",
            hint="Set another file as [warehouse] path, and read this one as a source: [sources.<name>].",
        )


class MissingSource(SqlsegError):
    """A source that sqlseg.toml declares is not there or cannot be attached."""


@dataclass(frozen=True)
class Source:
    """A database that is attached read-only under `alias`."""

    alias: str
    kind: Literal["duckdb", "sqlite", "postgres"]
    path: str


def prepare_warehouse(engine: Engine) -> None:
    """Make the schemas and tables that are not there yet. Raises NewerWarehouse or SchemaTaken."""
    there = _relations(engine)
    if there and "sqlseg.warehouse" not in there:
        raise SchemaTaken(engine.path, list(there))
    for schema in SCHEMAS:
        engine.execute(f"create schema if not exists {schema}")
    engine.execute("create table if not exists sqlseg.warehouse (format integer)")
    found = engine.value("select max(format) from sqlseg.warehouse")
    if found is None:
        engine.execute("insert into sqlseg.warehouse values ($format)", {"format": FORMAT})
    elif found > FORMAT:
        raise NewerWarehouse(engine.path, found)
    if there.get(str(REASON)) == "table":
        engine.execute(sql_text("migrations/0005_reasons_as_a_view.sql"))
        there = _relations(engine)
    for relation in (*PUBLISHED_TABLES, *WAREHOUSE_TABLES):
        if str(relation) not in there:
            engine.execute(sql_text(f"tables/{relation}.sql"))
    for table, column, migration in ADDED_COLUMNS:
        if table in there and column not in engine.describe(table):
            engine.execute(sql_text(f"migrations/{migration}.sql"))


def _relations(engine: Engine) -> dict[str, Literal["table", "view"]]:
    """Return what there is in the schemas of a warehouse, such as segments.reason, in order."""
    found = engine.rows(sql_text("steps/run/relations_in_our_schemas.sql"))
    return {f"{schema}.{name}": "view" if is_view else "table" for schema, name, is_view in found}


def attach_sources(engine: Engine, sources: Mapping[str, Source]) -> None:
    """Attach every source read-only. Raises MissingSource, naming the source and its path."""
    for alias, source in sources.items():
        if source.kind != "postgres" and not Path(source.path).is_file():
            raise MissingSource(
                f"Source {alias!r}: there is no file {source.path}.", hint=f"Correct path in [sources.{alias}]."
            )
        try:
            engine.attach(source.path, alias, kind=source.kind)
        except SqlsegError as error:
            raise MissingSource(f"Source {alias!r} cannot be attached: {error.message}", hint=_advice(error)) from error


def _advice(error: SqlsegError) -> str | None:
    if isinstance(error, DatabaseEncrypted):
        return "Sources are read without a key: write what is needed of it into a DuckDB or Parquet file."
    if not isinstance(error, DatabaseDamaged):
        return error.hint
    if "read a database file with" in error.message:
        return "A later DuckDB wrote it: `pip install --upgrade duckdb`, or write it with STORAGE_VERSION 'v1.0.0'."
    return 'Check that path names a DuckDB file that is whole; an SQLite file needs type = "sqlite".'


Comments = tuple[str | None, dict[str, str]]
"""The comment of a table or view, and those of its columns that have one."""


def comments(engine: Engine, database: str | None = None) -> dict[tuple[str, str], Comments]:
    """Return the comments of every table and view of this database, or of an attached one, by schema and name."""
    where = "where database_name = coalesce($database, current_database()) and not internal"
    found: dict[tuple[str, str], Comments] = {
        (schema, name): (text, {})
        for schema, name, text in engine.rows(
            f"select schema_name, table_name, comment from duckdb_tables() {where} "
            f"union all select schema_name, view_name, comment from duckdb_views() {where}",
            {"database": database},
        )
    }
    for schema, name, column, text in engine.rows(
        f"select schema_name, table_name, column_name, comment from duckdb_columns() {where} and comment is not null",
        {"database": database},
    ):
        found[schema, name][1][column] = text
    return found


def comment_on(
    engine: Engine, kind: Literal["table", "view"], relation: str, text: str | None, columns: Mapping[str, str]
) -> None:
    """Write the comments of a table or view and of its columns."""
    said = [f"comment on {kind} {relation} is {_text(text)}"] if text else []
    said += [
        f"comment on column {relation}.{quoted(column)} is {_text(description)}"
        for column, description in columns.items()
    ]
    if said:
        engine.execute("; ".join(said))


def _text(value: str) -> str:
    # COMMENT takes no parameters.
    return "'" + value.replace("'", "''") + "'"
