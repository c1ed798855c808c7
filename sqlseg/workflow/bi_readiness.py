"""Looks at a published file as a BI tool meets it, without touching the warehouse."""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.errors import DatabaseLocked
from sqlseg.engine.filelock import lock_holder
from sqlseg.engine.filesystems import NETWORK, file_system
from sqlseg.engine.processes import Process, processes_with
from sqlseg.errors import SqlsegError
from sqlseg.publish.connecting import Connection, connections
from sqlseg.publish.fileformat import V1_0_0, FileFormat, file_format
from sqlseg.settings import Settings, load_settings
from sqlseg.workflow.examining import Finding
from sqlseg.workflow.holding import lock_path
from sqlseg.workflow.narration import Clock

READABLE_TYPES = frozenset(
    {
        *("VARCHAR", "BOOLEAN", "DOUBLE", "FLOAT", "DECIMAL", "DATE", "TIME", "TIMESTAMP", "INTERVAL", "BLOB"),
        *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
        *("STRUCT", "MAP"),
    }
)
"""Types, and what lists and arrays are of, that DuckDB has known since 0.10 and reads without an extension."""

STALE_DAYS = 2

_PUBLISH_AGAIN = "Run `sqlseg refresh --full`, which makes the file anew."


@dataclass(frozen=True)
class BiReport:
    """What was found of a published file, and how each tool opens it."""

    path: Path
    findings: tuple[Finding, ...]
    connections: tuple[Connection, ...]


def examine_for_bi(directory: Path, clock: Clock) -> BiReport:
    """Return what keeps BI tools from reading the published file, if anything does.

    Raises what reading settings raises.
    """
    settings = load_settings(directory)
    path = settings.warehouse.published.absolute()
    return BiReport(path, tuple(_findings(settings, path, clock.now())), connections(path))


def _findings(settings: Settings, path: Path, now: datetime) -> Iterator[Finding]:
    if not path.is_file():
        told = "a folder stands there" if path.is_dir() else f"there is no {path} yet"
        yield Finding("published file", told, fine=False, advice="Run `sqlseg refresh`.")
        return
    try:
        found = file_format(path)
        mode, size = path.stat().st_mode, path.stat().st_size
    except OSError as error:
        yield Finding("published file", f"{path}: {error.strerror}", False, "Let this user read it and its folder.")
        return
    yield Finding("published file", f"{path}, {size / 1e6:,.1f} MB", fine=True)
    yield _storage(found)
    if found is None:
        return
    yield _log(path)
    yield from _content(path, now)
    yield _permissions(path, mode)
    yield _place(path)
    yield from _holders(settings, path)


def _storage(found: FileFormat | None) -> Finding:
    if found is None:
        return Finding("storage version", "it is no DuckDB file", False, _PUBLISH_AGAIN)
    by = f"; written by DuckDB {found.written_by.removeprefix('v')}" if found.written_by else ""
    clients = f"opens in DuckDB {found.oldest_client} and later" if found.oldest_client else "of no release known here"
    if found.storage == V1_0_0:
        return Finding("storage version", f"v1.0.0 ({clients}){by}", fine=True)
    advice = f"Older clients cannot open it, and it is not how sqlseg publishes. {_PUBLISH_AGAIN}"
    return Finding("storage version", f"number {found.storage} ({clients}){by}", False, advice)


def _log(path: Path) -> Finding:
    log = path.with_name(f"{path.name}.wal")
    if not log.exists():
        return Finding("log beside it", "none", fine=True)
    advice = (
        "Somebody has written into the published file, or a tool that opened it for writing was killed: what is in the "
        f"log is mixed into what people read. Delete it, open the file read-only, and publish anew. {_PUBLISH_AGAIN}"
    )
    return Finding("log beside it", str(log), False, advice)


def _content(path: Path, now: datetime) -> Iterator[Finding]:
    try:
        with Engine.open(path, read_only=True) as reader:
            tables = reader.rows("select schema_name, table_name, comment from duckdb_tables() where not internal")
            views = reader.rows("select schema_name, view_name, comment from duckdb_views() where not internal")
            for schema, view, _ in views:
                reader.rows(f"select * from {quoted(schema)}.{quoted(view)} limit 0")
            yield Finding("opens", f"yes: {len(tables)} tables, {len(views)} views", fine=True)
            yield _types(reader)
            yield _keys(reader)
            yield _comments(reader, [comment for _, _, comment in (*tables, *views)])
            yield _snapshot(reader, now)
    except DatabaseLocked as error:
        advice = "That program has it open for writing. Close it there, and open the file read-only."
        yield Finding("opens", error.message, fine=False, advice=advice)
    except SqlsegError as error:
        yield Finding("opens", error.message, fine=False, advice=_PUBLISH_AGAIN)


def _types(reader: Engine) -> Finding:
    rows = reader.rows(
        "select schema_name || '.' || table_name || '.' || column_name, data_type from duckdb_columns() "
        "where not internal order by all"
    )
    strange = [f"{column} is {kind}" for column, kind in rows if not _readable(kind)]
    if strange:
        shown = "; ".join(strange[:3]) + ("; ..." if len(strange) > 3 else "")
        advice = f"Old clients and drivers may not know these types. {_PUBLISH_AGAIN}"
        return Finding("column types", shown, False, advice)
    kinds = ", ".join(sorted({kind for _, kind in rows}))
    return Finding("column types", f"known to every client: {kinds}", fine=True)


def _readable(kind: str) -> bool:
    """Return whether every client reads a type.

    >>> [_readable(kind) for kind in ("DECIMAL(18,2)[]", "FLOAT[64]", "TIMESTAMP WITH TIME ZONE", "JSON", "ENUM('a')")]
    [True, True, False, False, False]
    """
    return re.sub(r"(\[\d*\])+$", "", kind).partition("(")[0] in READABLE_TYPES


def _keys(reader: Engine) -> Finding:
    found = int(
        reader.value(
            "select (select count(*) from duckdb_constraints() where constraint_type <> 'NOT NULL') "
            "+ (select count(*) from duckdb_indexes())"
        )
    )
    advice = f"DuckDB 0.10 and 1.0 do not open files with keys. {_PUBLISH_AGAIN}"
    return Finding("keys and indexes", "none" if not found else f"{found:,}", fine=not found, advice=advice)


def _comments(reader: Engine, of_relations: list[str | None]) -> Finding:
    columns = reader.rows("select comment from duckdb_columns() where not internal")
    missing = sum(not comment for comment in of_relations) + sum(not comment for (comment,) in columns)
    told = f"{len(of_relations)} of tables and views, {len(columns)} of columns"
    return Finding("comments", told if not missing else f"{told}; {missing:,} are missing", None if missing else True)


def _snapshot(reader: Engine, now: datetime) -> Finding:
    row = reader.row(
        "select run_id, finished_at, data_through from segments.run where status = 'done' and kind <> 'noop' "
        "order by run_id desc limit 1"
    )
    if row is None:
        return Finding("snapshot", "it holds no finished refresh", False, _PUBLISH_AGAIN)
    run_id, finished, data_through = row
    age = now - finished
    hours = age.total_seconds() / 3600
    told = f"{hours:,.1f} hours old" if hours < 48 else f"{age.days:,} days old"
    stale = age.days >= STALE_DAYS
    return Finding(
        "snapshot",
        f"{told}: {run_id}, published {finished:%Y-%m-%d %H:%M} UTC, events through {data_through:%Y-%m-%d %H:%M} UTC",
        fine=None if stale else True,
        advice="Run `sqlseg refresh`, or keep `sqlseg refresh --watch` running." if stale else None,
    )


def _permissions(path: Path, mode: int) -> Finding:
    shut = [folder for folder in path.resolve().parents if not folder.stat().st_mode & stat.S_IXOTH]
    if mode & stat.S_IROTH and not shut:
        return Finding("who may read it", "every user of this machine", fine=True)
    where = f"the folder {shut[0]} is shut to others" if shut else "the file is"
    told = f"its owner and group only: {where}" if shut else "its owner and group only"
    advice = "A BI server usually runs as a user of its own: it needs to read the file and to enter its folders."
    return Finding("who may read it", told, None, advice)


def _place(path: Path) -> Finding:
    kind = file_system(path.resolve())
    if kind is None:
        return Finding("file system", "not told by this system")
    if kind in NETWORK:
        advice = (
            "Over a network, a file that is replaced may be gone for readers on other machines, and locks may not "
            "work. Let BI servers copy it to a disk of their own: to a temporary name, which is then renamed."
        )
        return Finding("file system", f"{kind}, over a network", None, advice)
    return Finding("file system", f"{kind}, local", fine=True)


def _holders(settings: Settings, path: Path) -> Iterator[Finding]:
    readers = processes_with(path)
    if readers is None:
        yield Finding("read by", "not told by this system")
        return
    writing = [one for one in readers if one.writes and not one.outdated]
    if writing:
        advice = "While it is open for writing there, nobody else can open it. Open it read-only."
        yield Finding("written by", _named(writing), False, advice)
    reading = [one for one in readers if one not in writing]
    yield Finding("read by", _named(reading) if reading else "nobody at the moment", fine=True)
    old = [one for one in reading if one.outdated]
    if old:
        advice = "They see a new snapshot once they have closed all their connections to the file."
        yield Finding("old snapshots", f"still open in {_named(old)}", None, advice)
    warehouse = settings.warehouse.path
    holder = lock_holder(lock_path(settings))
    strangers = [one for one in processes_with(warehouse) or () if holder is None or one.pid != holder.pid]
    if strangers:
        advice = f"Refreshes fail until it is closed there. Open {path} instead."
        yield Finding("warehouse", f"{warehouse} is open in {_named(strangers)}", None, advice)


def _named(processes: list[Process]) -> str:
    more = f" and {len(processes) - 3} more" if len(processes) > 3 else ""
    return ", ".join(map(str, processes[:3])) + more
