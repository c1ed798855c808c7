"""Reads the sources once, keeps what is usable as canonical events, and quarantines the rest with reasons."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.errors import DiskFull, OutOfMemory, QueryFailed, error_line
from sqlseg.errors import SqlsegError
from sqlseg.events.duplicates import mark_duplicates
from sqlseg.events.erasure import NOBODY, Erased, mark_erased
from sqlseg.names import EVENT_COLUMNS
from sqlseg.resources import shop_text, sql_text

_TIMES = ("event_time", "ingested_at")
_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UINTEGER", "UBIGINT", "HUGEINT", "FLOAT", "DOUBLE"}
_CANONICAL = frozenset(column.name for column in EVENT_COLUMNS)

_IN_PLACE = "sqlseg.staged_events"
"""Where rows are staged that become the events without being copied."""

_FOR_JUDGING = ("reason", "event_day", "raw_hash", "rejected_row")
"""The columns that staged rows have and events do not."""


class SourceSqlFailed(SqlsegError):
    """The SELECT of a shop's own SQL file does not run."""

    def __init__(self, path: Path, detail: SqlsegError) -> None:
        line = error_line(detail)
        where = f"{path}, line {line}" if line else str(path)
        super().__init__(
            f"{where}: {detail.message.splitlines()[0]}",
            hint="\n".join(
                [
                    *detail.message.splitlines()[1:],
                    *([detail.hint] if detail.hint else []),
                    "Relative paths in the SQL start at the project's folder.",
                ]
            ),
        )


class UnusableSource(SqlsegError):
    """The columns of sql/events.sql cannot become canonical events."""


class NoUsableEvents(SqlsegError):
    """Not one row of the source can be used."""

    def __init__(self, path: Path, rows_read: int, rejected: Mapping[str, int], example: str | None = None) -> None:
        if rows_read == 0:
            super().__init__(f"{path} returns no rows.", hint="Check the source it reads and its WHERE clause.")
            return
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in rejected.items())
        super().__init__(
            f"{path} returns {rows_read:,} rows, and none is usable ({reasons}).",
            hint=f"One of them: {example}\n" * bool(example)
            + "Correct the columns in that file; `sqlseg init` shows how each canonical column should look.",
        )


@dataclass(frozen=True)
class Staged:
    """What one look at the sources found. `rejected` counts refused rows by reason."""

    rows_read: int
    accepted: int
    rejected: Mapping[str, int]
    newest: datetime
    fingerprint: str
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True)
class Changes:
    """What is new in staged events against those of the run before."""

    events_new: int
    events_gone: int
    users_touched: int
    events_late: int


@contextlib.contextmanager
def shop_sql(path: Path, project: Path) -> Iterator[str]:
    """Give the text of a shop's SQL file, with relative paths in it starting at the project while it runs."""
    text = shop_text(path)
    with contextlib.chdir(project):
        try:
            yield text
        except (DiskFull, OutOfMemory):
            raise
        except QueryFailed as error:
            raise SourceSqlFailed(path, error) from error


@contextlib.contextmanager
def rows_of_shop_sql() -> Iterator[None]:
    """Take the line out of what fails while the rows of a shop's SQL are read: it is one of the SQL around it."""
    try:
        yield
    except QueryFailed as error:
        raise QueryFailed(error.message.partition("\n\nLINE ")[0], hint=error.hint) from error


def bind_source(engine: Engine, text: str, path: Path) -> dict[str, str]:
    """Make the rows of the project's events SQL readable as raw_events for the rest of this connection.

    Returns its columns and their types. raw_events has the canonical columns as the source gives them, the day of each
    row (NULL where its time cannot be read), and a hash of all that is given. Raises UnusableSource.
    """
    engine.create_temp_view("source_rows", text)
    columns = engine.describe("select * from source_rows")
    engine.create_temp_view("raw_events", _raw_rows("source_rows", columns, path))
    return columns


def bind_appended(engine: Engine, text: str, columns: Mapping[str, str], path: Path) -> None:
    """Make the rows that have come to the source readable as appended_rows, with the columns of raw_events.

    `text` is the project's events SQL over nothing but what has come; `columns` are those of all of it.
    """
    engine.create_temp_view("appended_source", text)
    engine.create_temp_view("appended_rows", _raw_rows("appended_source", columns, path))


def _raw_rows(relation: str, columns: Mapping[str, str], path: Path) -> str:
    hashed = ", ".join(quoted(name) for name in columns if name.lower() in _CANONICAL)
    return (
        "select *, case when isfinite(event_time) and event_time >= timestamp '0001-01-01' then event_time::date end "
        "as event_day\nfrom (\nselect\n    "
        f"{_raw_projection(columns, path)},\n    hash({hashed}) as raw_hash\nfrom {relation}\n)"
    )


def ignored_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that no canonical event has."""
    return tuple(name for name in columns if name.lower() not in _CANONICAL)


def stage_rows(
    engine: Engine, rows: str, *, exported_at: datetime, max_quantity: float | None, erased: Erased = NOBODY
) -> None:
    """Stage the rows of a SELECT from raw_events for the rest of this connection, each with why it is refused."""
    engine.create_temp_view("rows_to_stage", rows)
    with rows_of_shop_sql():
        engine.execute(
            f"create or replace temp table staged_events as\n{sql_text('steps/events/stage.sql')}",
            {"exported_at": exported_at, "max_quantity": max_quantity},
        )
    mark_erased(engine, erased)


def _stage_in_place(engine: Engine, *, exported_at: datetime, max_quantity: float | None, timezone: str) -> None:
    """Stage all of raw_events in a table of the warehouse, and name it staged_events for this connection.

    Where every row can be used it becomes the table of the events. To write a temporary table and copy that takes half
    as much processor time again, mostly for memory.
    """
    engine.create_temp_view("rows_to_stage", "select * from raw_events")
    with rows_of_shop_sql():
        engine.execute(
            f"create or replace table {_IN_PLACE} as\nwith judged_rows as (\n{sql_text('steps/events/stage.sql')})\n"
            f"{sql_text('steps/events/stage_in_place.sql')}",
            {"exported_at": exported_at, "max_quantity": max_quantity, "timezone": timezone},
        )
    engine.create_temp_view("staged_events", f"select *, rowid from {_IN_PLACE}")


def _raw_projection(columns: Mapping[str, str], path: Path) -> str:
    by_name = {name.lower(): (name, kind) for name, kind in columns.items()}
    missing = [column.name for column in EVENT_COLUMNS if column.required and column.name not in by_name]
    if missing:
        raise UnusableSource(
            f"{path} has no column {', '.join(missing)}; it returns: {', '.join(columns)}.",
            hint="Rename with `... as user_id`; user_id, event_time and event_type are required.",
        )
    parts = []
    for column in EVENT_COLUMNS:
        name, kind = by_name.get(column.name, ("", ""))
        source = quoted(name) if name else "null"
        if column.name not in _TIMES:
            parts.append(f"{source} as {column.name}")
            continue
        # A text may carry an offset, which a plain cast to TIMESTAMP would silently drop.
        if not name or kind.startswith("TIMESTAMP") or kind == "DATE":
            parts.append(f"try_cast({source} as timestamp) as {column.name}")
        elif kind == "VARCHAR":
            parts.append(f"try_cast({source} as timestamptz)::timestamp as {column.name}")
        else:
            raise UnusableSource(
                f"{path}: {column.name} is {kind}, not a time.",
                hint=_to_time(kind, name, column.name),
            )
        parts.append(f"{source} as {'time_given' if column.name == 'event_time' else 'ingested_given'}")
    return ",\n    ".join(parts)


def _to_time(kind: str, name: str, target: str) -> str:
    if kind in _NUMBERS or kind.startswith("DECIMAL"):
        return f"Convert it, for instance `make_timestamp({name} * 1000000) as {target}` for Unix seconds."
    if kind.startswith("TIME"):
        return f"Add the day to it: `day + {name} as {target}`."
    return f"Convert it to TIMESTAMP, for instance `strptime({name}::varchar, '%d.%m.%Y %H:%M') as {target}`."


def stage_events(
    engine: Engine,
    path: Path,
    project: Path,
    *,
    exported_at: datetime,
    max_quantity: float | None,
    erased: Erased = NOBODY,
    in_place: str | None = None,
) -> Staged:
    """Run the project's events SQL once and stage its rows for the rest of this connection.

    `exported_at` is UTC without zone: later events cannot have happened yet. Staged `in_place`, which names the time
    zone of the shop, they are written for good where `accept_events` finds them all usable; call it in a transaction.
    Raises SourceSqlFailed, UnusableSource or NoUsableEvents.
    """
    with shop_sql(path, project) as text:
        columns = bind_source(engine, text, path)
        # Of users who were forgotten nothing gets into the file, not even for the time of a transaction.
        if in_place is not None and not erased.hashes:
            _stage_in_place(engine, exported_at=exported_at, max_quantity=max_quantity, timezone=in_place)
        else:
            stage_rows(
                engine,
                "select * from raw_events",
                exported_at=exported_at,
                max_quantity=max_quantity,
                erased=erased,
            )
    mark_duplicates(engine)
    rejected = dict(engine.rows(sql_text("steps/events/count_rejections.sql")))
    row = engine.row(sql_text("steps/events/summary.sql"))
    assert row is not None
    rows_read, accepted, newest, fingerprint = row
    if accepted + sum(rejected.values()) != rows_read:
        raise AssertionError(f"{rows_read} rows in, {accepted} kept and {rejected} rejected")
    if accepted == 0:
        raise NoUsableEvents(path, rows_read, rejected, _refused_row(engine))
    told = with_counts(fingerprint, rejected)
    return Staged(rows_read, accepted, rejected, newest, told, ignored_columns(columns))


def _refused_row(engine: Engine) -> str | None:
    """Return one refused row as JSON, with what it has; None where all are duplicates or of erased users."""
    row = engine.value("select min(rejected_row) from staged_events where reason is not null")
    if row is None:
        return None
    text = json.dumps({name: value for name, value in json.loads(row).items() if value is not None}, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]} ..."


def with_counts(fingerprint: str, rejected: Mapping[str, int]) -> str:
    """Return a fingerprint of rows that also tells for which reasons they are refused."""
    return "/".join([fingerprint, *(f"{reason}: {count}" for reason, count in sorted(rejected.items()))])


def changes_since(engine: Engine, data_through: datetime) -> Changes:
    """Compare the staged events with those kept by the run before, whose newest event was at `data_through`.

    Leaves the users any of whose events changed in the temporary table touched_users, and those whose past has
    changed in late_users.
    """
    engine.execute(sql_text("steps/events/compare.sql"))
    return changes_by_verdicts(engine, data_through)


def changes_by_verdicts(engine: Engine, data_through: datetime) -> Changes:
    """Return what the verdicts on staged and known rows change; leaves touched_users and late_users."""
    engine.execute(sql_text("steps/events/compared_events.sql"))
    engine.execute(sql_text("steps/events/touched_users.sql"))
    engine.execute(sql_text("steps/events/late_users.sql"), {"data_through": data_through})
    row = engine.row(sql_text("steps/events/changes.sql"), {"data_through": data_through})
    assert row is not None
    return Changes(*row)


def all_new(engine: Engine, staged: Staged) -> Changes:
    """Return the changes of a first look: every staged event is new, and every user is in touched_users."""
    engine.execute(sql_text("steps/events/every_user.sql"))
    touched = engine.value("select count(*) from touched_users")
    return Changes(events_new=staged.accepted, events_gone=0, users_touched=touched, events_late=0)


def keep_events(engine: Engine, *, run_id: str, timezone: str) -> None:
    """Make the staged events the ones in use, and replace the quarantine and its counts."""
    keep_refused(engine, run_id=run_id, timezone=timezone)
    accept_events(engine, timezone=timezone)
    record_refused(engine, run_id)


def accept_events(engine: Engine, *, timezone: str) -> None:
    """Make the staged events the ones in use; nothing else can be asked of them after that."""
    if not engine.relation_exists(*_IN_PLACE.split(".")):
        engine.execute(sql_text("steps/events/accept.sql"), {"timezone": timezone})
        return
    refused = engine.value(f"select count(reason) + (select count(*) from duplicate_events) from {_IN_PLACE}")
    if refused:
        engine.execute(sql_text("steps/events/accept.sql"), {"timezone": timezone})
        engine.execute(f"drop view staged_events; drop table {_IN_PLACE}")
        return
    engine.execute("drop view staged_events; drop table if exists sqlseg.events")
    for column in _FOR_JUDGING:
        engine.execute(f"alter table {_IN_PLACE} drop column {column}")
    engine.execute(f"alter table {_IN_PLACE} rename to events")


def keep_refused(engine: Engine, *, run_id: str, timezone: str) -> None:
    """Replace the quarantine, and the duplicates that may be needed again, by those of a look at the whole source."""
    engine.execute("delete from sqlseg.duplicate_event")
    engine.execute(sql_text("steps/events/keep_duplicates.sql"), {"timezone": timezone})
    engine.execute("delete from quality.rejected_events")
    engine.execute(sql_text("steps/events/quarantine.sql"), {"run_id": run_id})
    engine.execute(
        "create or replace temp table days_of_duplicates as "
        "select distinct event_time::date as day from sqlseg.duplicate_event"
    )
    engine.execute(sql_text("steps/events/quarantine_duplicates.sql"), {"run_id": run_id})


def refused_by_reason(engine: Engine) -> dict[str, int]:
    """Return how many rows of the source are refused, by reason."""
    return dict(engine.rows(sql_text("steps/events/refused_by_reason.sql")))


def record_refused(engine: Engine, run_id: str) -> None:
    """Put the counts of refused rows on record."""
    counts = sql_text("steps/events/refused_by_reason.sql")
    engine.execute(
        f"insert into quality.rejection select $run_id, reason, row_count from (\n{counts})", {"run_id": run_id}
    )


_STAGED = (
    *("staged_events", "duplicate_events", "compared_events", "verdicts", "prior_rows", "added_rows", "removed_rows"),
    *("pool", "refused_rows", "partitions_read", "source_days", "reread_days", "days_of_duplicates"),
)


def drop_staged(engine: Engine) -> None:
    """Let go of the staged rows."""
    for table in _STAGED:
        engine.execute(f"drop table if exists {table}")


def keep_attributes(
    engine: Engine, kind: str, path: Path | None, project: Path, schema: str = "sqlseg", erased: Erased = NOBODY
) -> int:
    """Replace `users` or `items` (`kind`) of a schema by what the shop's SQL returns; return rows without an id.

    Without a file the table is empty. Of `erased` users nothing is kept. Raises SourceSqlFailed, or UnusableSource
    where the id column is missing or an id comes twice.
    """
    key = {"users": "user_id", "items": "item_id"}[kind]
    if path is None:
        engine.execute(f"create or replace table {schema}.{kind} ({key} varchar)")
        return 0
    with shop_sql(path, project) as text:
        engine.create_temp_view("source_rows", text)
        columns = engine.describe("select * from source_rows")
        name = next((column for column in columns if column.lower() == key), None)
        if name is None:
            raise UnusableSource(f"{path} has no column {key}; it returns: {', '.join(columns)}.")
        with rows_of_shop_sql():
            ids = f"select distinct {quoted(name)}::varchar as user_id from source_rows"
            gone = (erased if kind == "users" else NOBODY).among(engine, ids)
            with engine.registered("erased_ids", gone):
                engine.execute(
                    f"create or replace table {schema}.{kind} as "
                    f"select {quoted(name)}::varchar as {key}, * exclude ({quoted(name)}) from source_rows "
                    f"where {quoted(name)} is not null "
                    f"and {quoted(name)}::varchar not in (select user_id from erased_ids)"
                )
        without_id = int(engine.value(f"select count(*) from source_rows where {quoted(name)} is null"))
    twice = engine.row(
        f"select {key}, count(*) from {schema}.{kind} group by {key} having count(*) > 1 order by 2 desc, 1 limit 1"
    )
    if twice:
        raise UnusableSource(
            f"{path} returns {key} {twice[0]!r} {twice[1]} times.",
            hint=f"Return one row a {key}, for instance with `group by` or `distinct on ({key})`.",
        )
    return without_id
