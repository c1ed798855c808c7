"""What stands in the published file."""

from collections.abc import Mapping, Sequence

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import Comments, comments
from sqlseg.names import CONTENT, PUBLISHED_TABLES, REASON, Relation
from sqlseg.publish.content_hash import content_sql
from sqlseg.publish.snapshot import PublishedRelation

CONTENT_COLUMNS: Mapping[str, str] = {
    "relation": "The table, with its schema.",
    "row_count": "Its rows.",
    "row_hash": "The sum of DuckDB's hash of each row, whatever their order; of segments.run without content_hash.",
}


def published_relations(engine: Engine, segmentations: Sequence[str]) -> list[PublishedRelation]:
    """Return every relation that people may read: segment tables, features and statistics; never raw events.

    Features are read from the rows that the refresh computed, so that a view over events becomes a table of its name.
    """
    said = comments(engine)
    relations = [_as_it_is(engine, relation, said) for relation in PUBLISHED_TABLES]
    for name in segmentations:
        relations.append(_as_it_is(engine, Relation("segments", f"{name}_users"), said))
    for (table,) in engine.rows("select name from sqlseg.computed_relation where schema_name = 'stats' order by 1"):
        relations.append(_as_it_is(engine, Relation("stats", table), said))
    return relations + _features(engine, said)


def content_view(relations: Sequence[PublishedRelation]) -> PublishedRelation:
    """Return the view of a published file that counts and hashes its tables."""
    parts = []
    for one in relations:
        if one.kind == "table":
            name = str(one.target).replace("'", "''")
            sums = content_sql(one.target, f"{one.target.schema}.{quoted(one.target.name)}")
            parts.append(f"select '{name}' as relation, row_count, row_hash::varchar as row_hash from ({sums})")
    text = "The tables of this file, counted and hashed at the time of the question; see segments.run.content_hash."
    return PublishedRelation(CONTENT, f"({' union all '.join(parts)})", text, CONTENT_COLUMNS, kind="view")


def _as_it_is(engine: Engine, relation: Relation, said: Mapping[tuple[str, str], Comments]) -> PublishedRelation:
    text, columns = said[relation.schema, relation.name]
    if relation == REASON:  # of tables that stand before it, so that it is one there too
        source = f"({_body(engine, relation)})"
        return PublishedRelation(relation, source, text, columns, kind="view")
    return PublishedRelation(relation, f"{relation.schema}.{quoted(relation.name)}", text, columns)


def _body(engine: Engine, view: Relation) -> str:
    """Return the SELECT of a view."""
    sql = str(
        engine.value(
            "select sql from duckdb_views() where database_name = current_database() "
            "and schema_name = $schema and view_name = $name",
            {"schema": view.schema, "name": view.name},
        )
    )
    return sql.partition(" AS ")[2].rstrip("; \n")


def _features(engine: Engine, said: Mapping[tuple[str, str], Comments]) -> list[PublishedRelation]:
    """Return the computed features; `features.<name>` is a view of the version in use, as it is in the warehouse."""
    tables = engine.rows("select name from sqlseg.computed_relation where schema_name = 'sqlseg'")
    computed = {name for (name,) in tables}
    versions, in_use = [], []
    for name, sql in engine.rows(
        "select view_name, sql from duckdb_views() as v "
        "join sqlseg.computed_relation as c on c.schema_name = v.schema_name and c.name = v.view_name "
        "where v.database_name = current_database() and v.schema_name = 'features' order by 1"
    ):
        target = Relation("features", name)
        text, columns = said["features", name]
        if f"feature_{name}" in computed:
            versions.append(PublishedRelation(target, features_source(name), text, columns))
        else:
            source = f"features.{quoted(_version_behind(sql))}"
            in_use.append(PublishedRelation(target, source, text, columns, kind="view"))
    return versions + in_use


def features_source(name: str) -> str:
    """Return the table of the warehouse with the rows of a version of a feature view.

    >>> features_source("rfm_v1")
    'sqlseg."feature_rfm_v1"'
    """
    return f"sqlseg.{quoted(f'feature_{name}')}"


def _version_behind(sql: str) -> str:
    """Return the versioned view that `features.<name>` selects from.

    >>> _version_behind("CREATE VIEW features.rfm AS SELECT * FROM features.rfm_v2;")
    'rfm_v2'
    """
    return sql.rstrip("; \n").rpartition("features.")[2].strip('"')
