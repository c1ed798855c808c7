"""What the catalogue says of the file being patched, and of the tables that fill it: read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.names import Relation
from sqlseg.publish.snapshot import ALIAS


@dataclass
class Entry:
    """A table or view of the file: its columns with their types, its comments, and the SQL of a view."""

    columns: dict[str, str] = field(default_factory=dict)
    comment: str | None = None
    column_comments: dict[str, str] = field(default_factory=dict)
    sql: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """The tables and views of the file, and by the sources that name them the columns of the warehouse's tables."""

    there: Mapping[Relation, Entry]
    sources: Mapping[str, Mapping[str, str]]

    def columns_of(self, engine: Engine, source: str) -> Mapping[str, str]:
        """Return the columns of a source with their types; one that is no table of the warehouse is looked at."""
        known = self.sources.get(source)
        return engine.describe(f"select * from {source}") if known is None else known


def read_catalogue(engine: Engine) -> Catalogue:
    """Return what the catalogue says of the file that is attached to be patched, and of the warehouse."""
    there: dict[Relation, Entry] = {}
    sources: dict[str, dict[str, str]] = {}
    for ours, schema, table, column, kind, comment in engine.rows(
        "select database_name <> $alias, schema_name, table_name, column_name, data_type, comment "
        "from duckdb_columns() where not internal and (database_name = $alias or "
        "database_name = current_database() and (schema_name, table_name) in (select (schema_name, table_name) "
        "from duckdb_tables() where database_name = current_database() and not temporary)) "
        "order by database_name, schema_name, table_name, column_index",
        {"alias": ALIAS},
    ):
        if ours:
            sources.setdefault(f"{schema}.{quoted(table)}", {})[column] = kind
            continue
        entry = there.setdefault(Relation(schema, table), Entry())
        entry.columns[column] = kind
        if comment is not None:
            entry.column_comments[column] = comment
    for schema, name, comment, sql in engine.rows(
        "select schema_name, table_name, comment, null from duckdb_tables() "
        "where database_name = $alias and not internal union all "
        "select schema_name, view_name, comment, sql from duckdb_views() where database_name = $alias and not internal",
        {"alias": ALIAS},
    ):
        entry = there.setdefault(Relation(schema, name), Entry())
        entry.comment, entry.sql = comment, sql
    return Catalogue(there, sources)


def view_texts(engine: Engine) -> dict[Relation, str]:
    """Return the SQL of every view of the file, as the database writes it."""
    return {
        Relation(schema, name): str(sql)
        for schema, name, sql in engine.rows(
            "select schema_name, view_name, sql from duckdb_views() where database_name = $alias and not internal",
            {"alias": ALIAS},
        )
    }
