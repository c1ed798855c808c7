"""The scoring of fitted segmentations as SQL: the views `segments.<name>_live`, and the same for other databases."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import comment_on
from sqlseg.names import live_relation
from sqlseg.publish.snapshot import PublishedRelation
from sqlseg.segments.scoring_sql import CannotCompile, InputTable, scoring_query, scoring_sql
from sqlseg.segments.sql_parts import Dialect
from sqlseg.segments.supervised import stored_model
from sqlseg.settings import parse_input

LIVE_COLUMNS: Mapping[str, str] = {
    "user_id": "The user.",
    "segmentation": "The segmentation.",
    "segment_id": "The segment that the model puts the user in, by the features as they stand now.",
    "segment_name": "The name of the segment.",
    "distance": "Distance to the centre of the segment, in the space of the model; NULL of learned segments.",
    "confidence": "0 to 1: how clearly the user belongs to the segment.",
    "runner_up_segment_id": "The next best segment; NULL where there is one segment only.",
}

_READABLE: Mapping[str, str] = {"features": "", "forecast": "forecast_", "sentiment": "sentiment_"}
"""The kinds of inputs that are relations in `features`, with what stands before their name there."""


def membership_sql(engine: Engine, segmentation: str, dialect: Dialect = "duckdb", *, pretty: bool = True) -> str:
    """Return the scoring of the model in use as one SELECT; `engine` is the warehouse or the published file.

    For DuckDB it is the text of the live view. For other databases, which need not have segments.segment, the names
    of the segments are written in. Raises CannotCompile.
    """
    found = engine.row(
        "select s.kind, m.parameters, m.inputs from segments.segmentation as s "
        "join segments.model as m using (segmentation, model_version) where segmentation = $name",
        {"name": segmentation},
    )
    if found is None:
        raise CannotCompile(segmentation, "no refresh has placed its users yet")
    kind, model, inputs = found
    if kind == "rules":
        raise CannotCompile(segmentation, "only models are, and this is of kind rules")
    if model is None:
        raise CannotCompile(segmentation, "[privacy] in sqlseg.toml keeps its model out of the published file")
    names = None
    if dialect != "duckdb":
        names = dict(
            engine.rows(
                "select segment_id, segment_name from segments.segment where segmentation = $name",
                {"name": segmentation},
            )
        )
    tables = _tables(engine, segmentation, json.loads(inputs)["inputs"])
    named = None if names is None else tuple(names.items())
    return _scoring_text(model, segmentation, tuple(tables.items()), named, dialect, pretty)


@lru_cache(maxsize=16)
def _scoring_text(
    model: str,
    segmentation: str,
    tables: tuple[tuple[str, InputTable], ...],
    names: tuple[tuple[str, str], ...] | None,
    dialect: Dialect,
    pretty: bool,
) -> str:
    """Write the scoring of a model once; the rounds of a watch have the same one."""
    told = None if names is None else dict(names)
    query = scoring_query(stored_model(model), segmentation, dict(tables), names=told, dialect=dialect)
    return scoring_sql(query, dialect, pretty=pretty)


def _tables(engine: Engine, segmentation: str, inputs: Sequence[str]) -> dict[str, InputTable]:
    kinds: dict[str, dict[str, str]] = {}
    for table, column, kind in engine.rows(
        "select table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and schema_name = 'features'"
    ):
        kinds.setdefault(table, {})[column] = kind
    tables = {}
    for one in map(parse_input, inputs):
        if one.kind not in _READABLE:
            continue
        view = f"{_READABLE[one.kind]}{one.name}_v{one.version}"
        if view not in kinds:
            raise CannotCompile(segmentation, f"features.{view}, which its model reads, is no longer computed")
        booleans = frozenset(column for column, kind in kinds[view].items() if kind == "BOOLEAN")
        tables[str(one)] = InputTable(f"features.{view}", booleans)
    return tables


def live_views(engine: Engine, segmentations: Sequence[str]) -> list[PublishedRelation]:
    """Return the live view of every segmentation that can be written as SQL."""
    views = []
    for name in segmentations:
        try:
            sql = membership_sql(engine, name, pretty=False)
        except CannotCompile:
            continue
        text = f"Users of the segmentation {name}, placed by its model from their features at the time of the question."
        views.append(PublishedRelation(live_relation(name), f"({sql})", text, LIVE_COLUMNS, kind="view"))
    return views


def create_live_views(engine: Engine, segmentations: Sequence[str]) -> None:
    """Make or replace the live views of the warehouse, and drop those that can no longer be."""
    views = live_views(engine, segmentations)
    there = {view.target for view in views}
    for name in segmentations:
        if live_relation(name) not in there:
            drop_live_view(engine, name)
    for view in views:
        relation = f"{view.target.schema}.{quoted(view.target.name)}"
        engine.execute(f"create or replace view {relation} as select * from {view.source}")
        comment_on(engine, "view", relation, view.comment, view.column_comments)


def drop_live_view(engine: Engine, segmentation: str) -> None:
    """Take away the live view of a segmentation, where it has one."""
    relation = live_relation(segmentation)
    engine.execute(f"drop view if exists {relation.schema}.{quoted(relation.name)}")
