"""Copies a database into a new file, which has nothing of what was deleted, and puts it in its place in one step."""

import contextlib
import os
from pathlib import Path

from sqlseg.engine.duckdb import ROW_GROUP_SIZE, Engine, quoted
from sqlseg.engine.errors import PathNotWritable
from sqlseg.errors import SqlsegError


class CopyDiffers(SqlsegError):
    """The copy of a database does not hold what the database holds; it was thrown away."""


def rewrite_database(
    path: Path,
    *,
    threads: int | None = None,
    memory_limit: str | None = None,
    key: str | None = None,
    fresh_key: str | None = None,
) -> None:
    """Replace a database file by a copy of all that it holds; DuckDB leaves deleted bytes in a file otherwise.

    Nobody else may write it meanwhile, which the open file sees to. A process that is killed leaves either the old
    file or the new one. `key` is that of the file, `fresh_key` that of the copy, where they are encrypted. Needs the
    room of a second file. Raises CopyDiffers, DiskFull, DatabaseLocked or
    PathNotWritable; the old file then stays.
    """
    fresh = path.with_name(f".{path.name}.rewriting")
    try:
        _remove(fresh)
        spill = path.with_name(f"{path.name}.tmp")
        with Engine.open(None, threads=threads, memory_limit=memory_limit, temp_directory=spill) as engine:
            if key is not None or fresh_key is not None:
                engine.load_crypto()
            engine.attach(path, "before", key=key)
            engine.attach(fresh, "after", read_only=False, key=fresh_key, row_group_size=ROW_GROUP_SIZE)
            engine.execute("copy from database before to after")
            rows = _row_counts(engine, "before")
            if _row_counts(engine, "after") != rows:
                raise CopyDiffers(f"The copy of {path} does not hold the same rows.", hint="Try again.")
            engine.detach("after")
            with Engine.open(fresh, read_only=True, key=fresh_key) as reader:
                if _row_counts(reader) != rows:
                    raise CopyDiffers(f"The copy of {path} does not open with the same rows.", hint="Try again.")
            fresh.chmod(path.stat().st_mode & 0o777)
            _sync(fresh)
            fresh.replace(path)
            _sync(path.parent)
    except OSError as error:
        raise PathNotWritable(str(path), str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(fresh)


def _row_counts(engine: Engine, database: str | None = None) -> list[tuple[str, str, int]]:
    name = engine.value("select current_database()") if database is None else database
    tables = engine.rows(
        "select schema_name, table_name from duckdb_tables() where database_name = $name and not internal order by all",
        {"name": name},
    )
    return [
        (
            schema,
            table,
            int(engine.value(f"select count(*) from {quoted(name)}.{quoted(schema)}.{quoted(table)}")),
        )
        for schema, table in tables
    ]


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, and the replace itself is durable
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
