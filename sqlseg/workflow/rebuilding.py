"""Makes a warehouse that was lost or damaged anew: its history from the published file, all else from the sources."""

import contextlib
import json
import os
import shutil
from datetime import datetime
from pathlib import Path

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.errors import PathNotWritable
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.errors import SqlsegError
from sqlseg.names import PRIVACY, PUBLISHED_TABLES, Relation
from sqlseg.publish.content_hash import file_content
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.supervised import stored_model
from sqlseg.settings import Settings
from sqlseg.workflow.holding import Patience, patiently, take_lock
from sqlseg.workflow.warehouse_key import warehouse_key

_ALIAS = "published"


class CannotRebuild(SqlsegError):
    """There is no published file from which history could be taken over."""

    def __init__(self, published: Path, why: str) -> None:
        super().__init__(
            f"The history of segments cannot be taken over from {published}: {why}.",
            hint="Restore the warehouse from a backup. Or begin anew, with new segment ids and without history: move "
            "the warehouse away and run `sqlseg refresh`.",
        )


def rebuild_warehouse(settings: Settings, now: datetime, patience: Patience | None = None) -> Path | None:
    """Replace the warehouse by a new one that holds what is published; return where the old one is kept.

    It has every segment id, name, stay, move and model of the published file. Events, features and embeddings come with
    the next refresh, which places users by those models. A process that is killed leaves the old file or the new one.
    Raises CannotRebuild, WarehouseHeld, DiskFull or PathNotWritable.
    """
    path = settings.warehouse.path
    lock = patiently(patience, lambda: take_lock(settings, "sqlseg refresh --rebuild"))
    building = path.with_name(f".{path.name}.rebuilding")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(building)
        with Engine.open(building, key=warehouse_key(settings)) as engine:
            with engine.transaction():
                prepare_warehouse(engine)
            _check_published(settings.warehouse.published)
            engine.attach(settings.warehouse.published, _ALIAS)
            with engine.transaction():
                _take_over(engine)
            engine.detach(_ALIAS)
        kept = _keep(path, now)
        _remove(path.with_name(path.name + ".wal"))  # it would be replayed into the new file
        building.replace(path)
        return kept
    except OSError as error:
        raise PathNotWritable(str(path), str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(building)
        lock.release()


def _check_published(published: Path) -> None:
    """Raise CannotRebuild where the published file does not hold one whole refresh with all of its history."""
    if not published.is_file():
        raise CannotRebuild(published, "it is not there")
    try:
        with Engine.open(published, read_only=True) as reader:
            content = file_content(reader)
            withheld = reader.relation_exists(PRIVACY.schema, PRIVACY.name)
    except SqlsegError as error:
        raise CannotRebuild(published, error.message) from error
    if content.comparable and not content.whole:
        raise CannotRebuild(published, "it is damaged too, its content hash is another one")
    if withheld:
        raise CannotRebuild(published, "[privacy] keeps users, tables or figures out of it")


def _take_over(engine: Engine) -> None:
    for relation in PUBLISHED_TABLES:
        theirs = _columns(engine, relation)
        ours = engine.columns(relation.schema, relation.name)
        both = ", ".join(quoted(name) for name in ours if name in theirs)
        is_table = engine.row(
            "select 1 from duckdb_tables() where database_name = current_database() "
            "and schema_name = $schema and table_name = $name",
            {"schema": relation.schema, "name": relation.name},
        )
        if both and is_table:
            engine.execute(f"insert into {relation} ({both}) select {both} from {_ALIAS}.{relation}")
    tables = engine.rows(
        f"select table_name from duckdb_tables() where database_name = '{_ALIAS}' and schema_name = 'stats' order by 1"
    )
    for (name,) in tables:
        engine.execute(f"create table stats.{quoted(name)} as from {_ALIAS}.stats.{quoted(name)}")
        engine.execute("insert into sqlseg.computed_relation values ('table', 'stats', $name)", {"name": name})
    _recall_models(engine)
    _recall_names(engine)


def _columns(engine: Engine, relation: Relation) -> set[str]:
    return {
        row[0]
        for row in engine.rows(
            "select column_name from duckdb_columns() "
            "where database_name = $database and schema_name = $schema and table_name = $name",
            {"database": _ALIAS, "schema": relation.schema, "name": relation.name},
        )
    }


def _recall_models(engine: Engine) -> None:
    """Put the models that place users back in use, and the names that pins give to segments."""
    in_use = engine.rows(
        "select m.segmentation, m.model_version, m.algorithm, m.parameters, m.inputs from segments.model as m "
        "join segments.segmentation as s using (segmentation, model_version)"
    )
    for name, version, algorithm, parameters, inputs in in_use:
        definition = json.dumps(json.loads(inputs)["definition"], sort_keys=True)
        engine.execute(
            "insert into sqlseg.model_fingerprint values ($name, $version, $definition)",
            {"name": name, "version": version, "definition": definition},
        )
        if algorithm == "rules":
            continue
        model = stored_model(parameters)
        if isinstance(model, ClusterModel):
            for pinned, place in model.pinned.items():
                _recall_rule(engine, name, pinned, model.segment_ids[place])


def _recall_names(engine: Engine) -> None:
    """Put on record which rule or label each segment goes by, and which names people gave instead."""
    named = engine.rows(
        "select segmentation, segment_id, segment_name, rule_sql from segments.segment join segments.segmentation "
        "using (segmentation) where kind <> 'cluster' order by retired_at is null, segment_id"
    )
    for segmentation, segment_id, name, rule in named:
        by_rule = _name_in(rule) if rule else name
        _recall_rule(engine, segmentation, by_rule, segment_id)
        if by_rule != name:
            engine.execute(
                "insert into sqlseg.segment_name values ($segment_id, $name)", {"segment_id": segment_id, "name": name}
            )


def _name_in(rule_sql: str) -> str:
    """Return the name of a segment in the SELECT of its users, where it stands as a text beside segment_name.

    >>> _name_in("select user_id from (\\nselect 1\\n) where trim(segment_name::varchar) = 'It''s' and user_id = 'x'")
    "It's"
    """
    where = sqltext.parse_select(rule_sql).args["where"]
    return next(
        str(one.right.this)
        for one in where.find_all(exp.EQ)
        if isinstance(one.right, exp.Literal) and any(c.name == "segment_name" for c in one.left.find_all(exp.Column))
    )


def _recall_rule(engine: Engine, segmentation: str, name: str, segment_id: str) -> None:
    values = {"segmentation": segmentation, "name": name, "segment_id": segment_id}
    engine.execute(
        "delete from sqlseg.rule_segment where segmentation = $segmentation and rule_name = $name",
        {"segmentation": segmentation, "name": name},
    )
    engine.execute("insert into sqlseg.rule_segment values ($segmentation, $name, $segment_id)", values)


def _keep(path: Path, now: datetime) -> Path | None:
    """Give the old warehouse and its log a second name, under which they stay; return it."""
    if not path.exists():
        return None
    kept = path.with_name(f"{path.name}.before-{now:%Y%m%dT%H%M%S}")
    log = path.with_name(path.name + ".wal")
    for file, name in ((path, kept), (log, kept.with_name(kept.name + ".wal"))):
        if file.exists():
            name.unlink(missing_ok=True)
            try:
                os.link(file, name)
            except OSError:  # where a file cannot have two names
                shutil.copyfile(file, name)
    return kept


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    if path.suffix != ".wal":
        path.with_name(path.name + ".wal").unlink(missing_ok=True)
