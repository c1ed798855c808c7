"""The published file: built beside the old one, verified, then put in its place in one step."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from sqlseg.engine.duckdb import ROW_GROUP_SIZE, Engine, quoted
from sqlseg.engine.errors import PathNotWritable
from sqlseg.engine.warehouse import comment_on
from sqlseg.errors import SqlsegError
from sqlseg.names import RUN, Relation
from sqlseg.publish.content_hash import TableContent, content_hash, table_content, table_contents
from sqlseg.publish.spare import discard_spare

STORAGE_VERSION = "v1.0.0"
"""DuckDB's oldest stable file format: clients from 0.10.3 on open it."""

ALIAS = "sqlseg_snapshot"


class SnapshotDiffers(SqlsegError):
    """The file that was built does not hold what the warehouse holds."""

    def __init__(self, relation: Relation, expected: TableContent, found: TableContent) -> None:
        self.relation = relation
        differs = f"has {found.row_count:,} rows in {relation} instead of {expected.row_count:,}"
        if found.row_count == expected.row_count:
            differs = f"has other rows in {relation} than were written"
        super().__init__(
            f"The new published file {differs}; it was thrown away.",
            hint="The published file is unchanged. Check the disk, then refresh again.",
        )


@dataclass(frozen=True)
class Snapshot:
    """A published file: its size in bytes, the hash over all that it holds, and what each table holds."""

    size: int
    content_hash: str
    contents: Mapping[Relation, TableContent]


Built = tuple[str, Mapping[Relation, TableContent]]
"""The hash over a file that was built, and what its tables hold."""


@dataclass(frozen=True)
class PublishedRelation:
    """A table of the published file, and the relation of the warehouse that fills it.

    With `kind` "view" it is a view of the published file instead, and `source` a relation that stands there before it.
    """

    target: Relation
    source: str
    comment: str | None = None
    column_comments: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["table", "view"] = "table"


def portable_type(kind: str) -> str:
    """Return the type of a published column, one that every supported client reads.

    >>> portable_type("TIMESTAMP WITH TIME ZONE"), portable_type("HUGEINT"), portable_type("FLOAT[64]")
    ('TIMESTAMP', 'DOUBLE', 'FLOAT[64]')
    """
    if kind == "TIMESTAMP WITH TIME ZONE" or kind.startswith("TIMESTAMP_"):
        return "TIMESTAMP"
    if kind.startswith("ENUM") or kind in {"JSON", "UUID", "BIT", "VARIANT"}:
        return "VARCHAR"
    return "DOUBLE" if kind in {"HUGEINT", "UHUGEINT", "UBIGINT"} else kind


def projection(columns: Mapping[str, str]) -> str:
    """Return columns, given with their types, each as a type that every supported client reads.

    >>> projection({"user_id": "VARCHAR", "seen": "TIMESTAMP WITH TIME ZONE"})
    '"user_id", cast("seen" as TIMESTAMP) as "seen"'
    """
    parts = []
    for name, kind in columns.items():
        column, portable = quoted(name), portable_type(kind)
        parts.append(column if kind == portable else f"cast({column} as {portable}) as {column}")
    return ", ".join(parts)


def create(
    engine: Engine, relation: PublishedRelation, *, replaced: bool = False, columns: Mapping[str, str] | None = None
) -> None:
    """Make a relation in the file being built, with its comments; `replaced` says that it may be there already.

    `columns` are those of a table's source with their types, where they are known.
    """
    target = f"{ALIAS}.{relation.target.schema}.{quoted(relation.target.name)}"
    create = "create or replace" if replaced else "create"
    if relation.kind == "view":
        with _within_snapshot(engine):
            columns = engine.describe(f"select * from {relation.source}")
            engine.execute(f"{create} view {target} as select * from {relation.source}")
    else:
        if columns is None:
            columns = engine.describe(f"select * from {relation.source}")
        engine.execute(f"{create} table {target} as select {projection(columns)} from {relation.source}")
    known = {name: text for name, text in relation.column_comments.items() if name in columns}
    comment_on(engine, relation.kind, target, relation.comment, known)


@contextlib.contextmanager
def _within_snapshot(engine: Engine) -> Iterator[None]:
    """Let names stand for relations of the file being built, as they do where it is read."""
    database = quoted(str(engine.value("select current_database()")))
    engine.execute(f"use {ALIAS}")
    try:
        yield
    finally:
        engine.execute(f"use {database}")


def _create_and_look(engine: Engine, relation: PublishedRelation) -> TableContent:
    create(engine, relation)
    written = f"select * from {ALIAS}.{relation.target.schema}.{quoted(relation.target.name)}"
    return table_content(engine, relation.target, written)


def stamp(engine: Engine, contents: Mapping[Relation, TableContent], run_id: str | None) -> str:
    """Return the content hash of the file being built, and write it into the row of its refresh."""
    hashed = content_hash(engine, contents)
    if run_id is not None:
        engine.execute(
            f"update {ALIAS}.{RUN} set content_hash = $hash where run_id = $run_id", {"hash": hashed, "run_id": run_id}
        )
    return hashed


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)


def building_file(path: Path) -> Path:
    """Return where a published file is built before it takes its place."""
    return path.with_name(f".{path.name}.building")


def publish_snapshot(
    engine: Engine,
    path: Path,
    relations: Sequence[PublishedRelation],
    run_id: str | None = None,
    build: Callable[[Path], Built] | None = None,
) -> Snapshot:
    """Replace the published file by one that holds exactly `relations`; return what it is now.

    The hash over its content is written into the row of `run_id` in its segments.run. `build` makes and verifies the
    new file in its own way, at the path it is given, and returns what it holds; by default it is built whole.

    Readers that hold the old file keep a whole old snapshot; whoever opens the path next sees the new one.
    A file left by a killed build is never reused. Raises PathNotWritable, DiskFull or SnapshotDiffers; the old
    file then stays as it was.
    """
    building = building_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(building)
    except OSError as error:
        raise PathNotWritable(str(path), str(error)) from error
    try:
        hashed, contents = _build(engine, building, relations, run_id) if build is None else build(building)
        size = building.stat().st_size
        _swap(building, path)
        discard_spare(path)  # a copy of what was published before is of no more use, and may hold who is gone
    except OSError as error:
        raise PathNotWritable(str(path), str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(building)
    return Snapshot(size, hashed, contents)


def _build(engine: Engine, building: Path, relations: Sequence[PublishedRelation], run_id: str | None) -> Built:
    engine.attach(building, ALIAS, read_only=False, storage_version=STORAGE_VERSION, row_group_size=ROW_GROUP_SIZE)
    try:
        with engine.transaction():
            for schema in sorted({relation.target.schema for relation in relations}):
                engine.execute(f"create schema {ALIAS}.{schema}")
        here, anywhere = _shared_out(engine, relations)
        with engine.beside() as other, ThreadPoolExecutor(1, thread_name_prefix="publish") as thread:
            beside = thread.submit(_create_tables, other, _taken(anywhere)) if anywhere else None
            try:
                contents = _create_tables(engine, chain(here, _taken(anywhere)))
            except BaseException:
                other.interrupt()
                raise
            if beside is not None:
                contents |= beside.result()
        with engine.transaction():
            for relation in relations:
                if relation.kind == "view":
                    create(engine, relation)
            hashed = stamp(engine, contents, run_id)
    finally:
        engine.detach(ALIAS)
    verify(building, contents)
    return hashed, contents


def _shared_out(
    engine: Engine, relations: Sequence[PublishedRelation]
) -> tuple[list[PublishedRelation], deque[PublishedRelation]]:
    """Return the tables that only this connection can make, and those that one beside it makes, too.

    A table of so many users as are read at a time is read on one thread, so two are written side by side. The other
    connection sees nothing temporary, such as pseudonyms, nor views of it, so it takes only tables that stand in the
    warehouse as they are published; and none where a database is to use a single thread.
    """
    tables = [relation for relation in relations if relation.kind == "table"]
    if engine.value("select current_setting('threads')") == 1:
        return tables, deque()
    sizes: dict[str, int] = {
        f"{schema}.{quoted(name)}": rows * columns
        for schema, name, rows, columns in engine.rows(
            "select schema_name, table_name, estimated_size, column_count from duckdb_tables() "
            "where database_name = current_database() and not temporary"
        )
    }
    # The largest first: a large one that is begun last ends alone.
    stored = sorted((t for t in tables if t.source in sizes), key=lambda t: sizes[t.source], reverse=True)
    # Users beside their features, who come last, take longest.
    return [table for table in reversed(tables) if table.source not in sizes], deque(stored)


def _taken(shared: deque[PublishedRelation]) -> Iterator[PublishedRelation]:
    """Take what is next until nothing is left; several threads may."""
    with contextlib.suppress(IndexError):
        while True:
            yield shared.popleft()


def _create_tables(engine: Engine, relations: Iterable[PublishedRelation]) -> dict[Relation, TableContent]:
    with engine.transaction():
        return {relation.target: _create_and_look(engine, relation) for relation in relations}


def verify(building: Path, contents: Mapping[Relation, TableContent]) -> None:
    """Raise SnapshotDiffers where a file, opened as its readers do, does not hold the rows that were written."""
    with Engine.open(building, read_only=True) as reader:
        selects = {relation: f"select * from {relation.schema}.{quoted(relation.name)}" for relation in contents}
        compare(contents, table_contents(reader, selects))


def compare(contents: Mapping[Relation, TableContent], found: Mapping[Relation, TableContent]) -> None:
    """Raise SnapshotDiffers for the first table of which something else was found than it should hold."""
    for relation, expected in contents.items():
        if found[relation] != expected:
            raise SnapshotDiffers(relation, expected, found[relation])


def _swap(building: Path, path: Path) -> None:
    # A stale log beside the new file would be replayed into it.
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    building.chmod(0o444)
    _sync(building)
    building.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, and the replace itself is durable
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
