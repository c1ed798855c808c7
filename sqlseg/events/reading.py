"""Brings the events up to date with the sources, and reads of them only what can have changed.

Four ways, each tried where the one before does not settle it (docs/decisions/0006): the files are those of the last
time, so nothing is read; rows that arrived since are read, by `ingested_at`; the content of every day is hashed, and
days whose hash is another are read again; everything is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine
from sqlseg.events.appended import appended_sql
from sqlseg.events.erasure import NOBODY, Erased
from sqlseg.events.source_files import Signature, is_settled, source_signature
from sqlseg.events.source_memory import (
    EventContent,
    SourceMemory,
    find_changed_days,
    find_days_judged_anew,
    last_ingested,
    reading_definition,
    remember_days,
    remember_run,
    remember_source,
    source_memory,
)
from sqlseg.events.staging import (
    Changes,
    NoUsableEvents,
    Staged,
    accept_events,
    all_new,
    bind_appended,
    bind_source,
    changes_by_verdicts,
    changes_since,
    drop_staged,
    ignored_columns,
    keep_refused,
    record_refused,
    refused_by_reason,
    rows_of_shop_sql,
    shop_sql,
    stage_events,
    stage_rows,
    with_counts,
)
from sqlseg.resources import sql_text

MOST = 0.5
"""Where more than this share of the source has changed, all of it is read: one pass more is cheaper than two."""

REWRITTEN_FROM = 0.1
"""Where more than this share of the events has changed, their table is written anew."""

How = Literal["nothing", "arrivals", "days", "everything"]


@dataclass(frozen=True)
class EventSource:
    """Where events come from, and what decides which rows are usable. `databases` says what is attached, by name."""

    path: Path
    project: Path
    databases: Mapping[str, str]
    timezone: str
    max_quantity: float | None
    exported_at: datetime | None
    overlap: timedelta
    erased: Erased = NOBODY


@dataclass(frozen=True)
class Before:
    """The last refresh that changed something, and its newest event (UTC without zone)."""

    run_id: str
    data_through: datetime


@dataclass(frozen=True)
class Reading:
    """What a look at the sources found, how much of them was read for it, and why not less."""

    staged: Staged
    changes: Changes
    how: How
    why: str


@dataclass(frozen=True)
class _Look:
    """One look at a source: what it is, when, and what was known before."""

    engine: Engine
    source: EventSource
    run_id: str
    now: datetime
    before: Before

    @property
    def exported_at(self) -> datetime:
        return self.source.exported_at or self.now


def read_events(
    engine: Engine, source: EventSource, *, run_id: str, now: datetime, before: Before | None, full: bool = False
) -> Reading:
    """Bring `sqlseg.events` and the quarantine up to date; `now` is UTC without zone.

    Call it in a transaction. Leaves the temporary tables touched_users and late_users, and with `before` None everyone
    is touched. `full` reads everything. Raises SourceSqlFailed, UnusableSource or NoUsableEvents.
    """
    with shop_sql(source.path, source.project) as text:
        definition = reading_definition(
            text, databases=source.databases, timezone=source.timezone, max_quantity=source.max_quantity
        )
        signature = source_signature(engine, text)
    memory = source_memory(engine)
    why = _why_everything(memory, definition, before, full=full)
    reading, same_files = None, False
    if memory is not None and before is not None and not why:
        look = _Look(engine, source, run_id, now, before)
        same_files = _same_files(look, memory, signature)
        reading = _unread(look, memory) if same_files else None
        reading = reading or _read_again(look, memory, text, signature, same_files=same_files)
        why = "most of its content is another"
    if reading is None:
        moved = memory is None or memory.definition.get("timezone") != source.timezone
        if memory is not None and memory.definition.get("DuckDB") != definition["DuckDB"] and before is not None:
            engine.execute(sql_text("steps/events/hash_again.sql"))
        reading = _read_everything(engine, source, run_id, now, before, why, rewrite=moved)
    compared_at = now
    if memory is not None and (reading.how == "arrivals" or (same_files and not memory.is_compared)):
        compared_at = memory.compared_at
    known = SourceMemory(
        run_id=before.run_id if before is not None else "",
        definition=definition,
        signature=signature,
        read_at=now,
        compared_at=compared_at,
        exported_at=source.exported_at or now,
        ignored_columns=reading.staged.ignored_columns,
        fingerprint=reading.staged.fingerprint,
    )
    if reading.how != "nothing":
        remember_source(engine, known)
    return reading


def record_reading(engine: Engine, run_id: str) -> None:
    """Put on record, in a run that changes something, that the events in use are what it read."""
    record_refused(engine, run_id)
    remember_run(engine, run_id)


def _why_everything(
    memory: SourceMemory | None, definition: Mapping[str, str], before: Before | None, *, full: bool
) -> str:
    """Return why all of the source has to be read; empty where that may not be needed."""
    if before is None:
        return "this is the first refresh"
    if memory is None or memory.run_id != before.run_id:
        return "the refresh before did not keep what it read"
    changed = [name for name, value in definition.items() if memory.definition.get(name) != value]
    if changed:
        return f"changed: {', '.join(changed)}"
    return "--full asks for it" if full else ""


def _same_files(look: _Look, memory: SourceMemory, signature: Signature | None) -> bool:
    """Return whether files say that all rows are those of the last time.

    Where only arrivals were read since the content was compared, they say so on the same day alone: what arrivals do
    not show has to be found some time, also in a file that no longer changes.
    """
    if signature is None or signature != memory.signature or not is_settled(signature, memory.read_at):
        return False
    return memory.is_compared or _same_day(memory.compared_at, look.now, look.source.timezone)


def _unread(look: _Look, memory: SourceMemory) -> Reading | None:
    """Return that nothing is new in files that are as they were; None where rows are to be judged anew."""
    if find_days_judged_anew(look.engine, memory.exported_at, look.exported_at):
        return None
    engine = look.engine
    for table in ("touched_users", "late_users"):
        engine.execute(f"create or replace temp table {table} (user_id varchar)")
    rows, accepted, newest, _ = engine.rows(sql_text("steps/events/standing.sql"))[0]
    staged = Staged(rows, accepted, refused_by_reason(engine), newest, memory.fingerprint, memory.ignored_columns)
    return Reading(staged, Changes(0, 0, 0, 0), "nothing", "the files are as they were")


def _read_again(
    look: _Look, memory: SourceMemory, text: str, signature: Signature | None, *, same_files: bool
) -> Reading | None:
    """Read what arrived since the last time, or the days whose content is another; None where those are most."""
    engine, source = look.engine, look.source
    find_days_judged_anew(engine, memory.exported_at, look.exported_at)
    with shop_sql(source.path, source.project):
        columns = bind_source(engine, text, source.path)
        ignored = ignored_columns(columns)
        if same_files:
            return _read_days(look, memory, None, ignored)
        since = last_ingested(engine) if "ingested_at" in {name.lower() for name in columns} else None
        if since is not None and _same_day(memory.compared_at, look.now, source.timezone):
            reading = _read_days(look, memory, since - min(source.overlap, since - datetime.min), ignored)
            if reading is not None:
                return reading
        appended = _appended(look, memory, text, signature)
        if appended is not None:
            bind_appended(engine, appended, columns, source.path)
        with rows_of_shop_sql():
            find_changed_days(engine, appended=appended is not None)
        share = engine.value(sql_text("steps/events/share_of_reread_days.sql"))
        return None if share > MOST else _read_days(look, memory, None, ignored)


def _appended(look: _Look, memory: SourceMemory, text: str, signature: Signature | None) -> str | None:
    """Return the SELECT of what has come since all content was known, where that is known of files; else None."""
    if signature is None or memory.signature is None or not memory.is_compared:
        return None
    if not is_settled(memory.signature, memory.read_at):
        return None
    return appended_sql(look.engine, text, memory.signature, signature)


def _same_day(one: datetime, other: datetime, timezone: str) -> bool:
    zone, utc = ZoneInfo(timezone), ZoneInfo("UTC")
    return one.replace(tzinfo=utc).astimezone(zone).date() == other.replace(tzinfo=utc).astimezone(zone).date()


def _read_days(look: _Look, memory: SourceMemory, since: datetime | None, ignored: tuple[str, ...]) -> Reading | None:
    """Read the days in reread_days whole, and of all others what arrived since a moment; None where that is not enough.

    It is not enough where rows that had arrived since then are gone, or the number of rows says that others are.
    """
    engine, source = look.engine, look.source
    days, unreadable, first, after = engine.rows(sql_text("steps/events/bounds_of_reread_days.sql"))[0]
    rows = _rows_to_read(first, after, since, days=days > 0, unreadable=unreadable)
    stage_rows(engine, rows, exported_at=look.exported_at, max_quantity=source.max_quantity, erased=source.erased)
    engine.execute(sql_text("steps/events/prior_rows.sql"), {"first_day": first, "day_after": after, "since": since})
    engine.execute(sql_text("steps/events/added_rows.sql"))
    engine.execute(sql_text("steps/events/removed_rows.sql"))
    if engine.value("select count(*) from removed_rows where not replaced"):
        return None
    engine.execute(sql_text("steps/events/refused_rows.sql"), {"unreadable": unreadable, "arrivals": since is not None})
    engine.execute(sql_text("steps/events/partitions_read.sql"), {"unreadable": unreadable, "now": look.now})
    if since is not None:
        with rows_of_shop_sql():
            there = engine.value("select count(*) from raw_events")
        if there != engine.value("select coalesce(sum(row_count), 0) from partitions_read"):
            return None
    changes, content = _apply(look, memory.content, unreadable=unreadable)
    staged = _standing(look, content, ignored)
    if since is not None:
        return Reading(staged, changes, "arrivals", f"what arrived since {since} UTC was read")
    return Reading(staged, changes, "days", f"{days:,} days whose content is another were read")


def _rows_to_read(
    first: date | None, after: date | None, since: datetime | None, *, days: bool, unreadable: bool
) -> str:
    """Return the SELECT of the rows of some days and of what arrived since a moment.

    Plain bounds of a column reach into Parquet files, where whole groups of rows are passed over.
    """
    in_days = "event_day in (select day from reread_days where day is not null)"
    parts = ["select * from raw_events where false"]
    if days:
        bounds = [f"event_time >= {sqltext.literal(first)}"] if first else []
        bounds += [f"event_time < {sqltext.literal(after)}"] if after else []
        parts.append(f"select * from raw_events where {' and '.join([*bounds, in_days])}")
    if unreadable:
        parts.append("select * from raw_events where event_day is null")
    if since is not None:
        others = [f"coalesce(not {in_days}, true)"] if days else []
        others += ["event_day is not null"] if unreadable else []
        parts.append(
            f"select * from raw_events where {' and '.join([f'ingested_at >= {sqltext.literal(since)}', *others])}"
        )
    return "\nunion all\n".join(parts)


def _apply(look: _Look, before: EventContent, *, unreadable: bool) -> tuple[Changes, EventContent]:
    """Carry out what the rows that came and went decide; return that, and what all events come to, given `before`."""
    engine, timezone = look.engine, {"timezone": look.source.timezone}
    engine.execute(sql_text("steps/events/pool.sql"))
    engine.execute(sql_text("steps/events/verdicts.sql"))
    changes = changes_by_verdicts(engine, look.before.data_through)
    content = before.changed_by(*engine.rows(sql_text("steps/events/content_change.sql"))[0])
    engine.execute(sql_text("steps/events/days_of_duplicates.sql"))
    engine.execute(sql_text("steps/events/add_duplicates.sql"), timezone)
    _change_events(engine, look.source.timezone)
    engine.execute(
        "delete from sqlseg.duplicate_event "
        "where rowid in (select row_number from verdicts where origin = 'duplicates')"
    )
    engine.execute(sql_text("steps/events/remove_refused.sql"), {"unreadable": unreadable})
    engine.execute(
        'insert into quality.rejected_events (run_id, reason, "row", event_day) '
        "select $run_id, reason, rejected_row, event_day from staged_events "
        "where rowid in (select row_number from refused_rows)",
        {"run_id": look.run_id},
    )
    engine.execute(
        "delete from quality.rejected_events where reason = 'duplicate' "
        "and event_day in (select day from days_of_duplicates)"
    )
    engine.execute(sql_text("steps/events/quarantine_duplicates.sql"), {"run_id": look.run_id})
    remember_days(engine)
    drop_staged(engine)
    return changes, content


def _change_events(engine: Engine, timezone: str) -> None:
    engine.execute(sql_text("steps/events/add_events.sql"), {"timezone": timezone})
    engine.execute("delete from sqlseg.events where rowid in (select row_number from verdicts where origin = 'events')")


def _standing(look: _Look, content: EventContent, ignored: tuple[str, ...]) -> Staged:
    """Return what is known of the whole source now, given what its events come to. Raises NoUsableEvents."""
    rows, accepted, newest, raw_sum = look.engine.rows(sql_text("steps/events/standing.sql"))[0]
    refused = refused_by_reason(look.engine)
    if accepted + sum(refused.values()) != rows:
        raise AssertionError(f"{rows} rows in, {accepted} kept and {refused} rejected")
    if accepted == 0:
        raise NoUsableEvents(look.source.path, rows, refused)
    fingerprint = f"{content}/{accepted}/{rows}/{raw_sum}"
    return Staged(rows, accepted, refused, newest, with_counts(fingerprint, refused), ignored)


def _read_everything(
    engine: Engine,
    source: EventSource,
    run_id: str,
    now: datetime,
    before: Before | None,
    why: str,
    *,
    rewrite: bool,
) -> Reading:
    """Stage all of the source, and change what is another in the events, or write them anew."""
    staged = stage_events(
        engine,
        source.path,
        source.project,
        exported_at=source.exported_at or now,
        max_quantity=source.max_quantity,
        erased=source.erased,
        in_place=source.timezone if before is None else None,
    )
    changes = all_new(engine, staged) if before is None else changes_since(engine, before.data_through)
    keep_refused(engine, run_id=run_id, timezone=source.timezone)
    engine.execute(sql_text("steps/events/whole_partitions.sql"), {"now": now})
    remember_days(engine)
    if before is None or rewrite or changes.events_new + changes.events_gone > REWRITTEN_FROM * staged.accepted:
        accept_events(engine, timezone=source.timezone)
    else:
        _change_events(engine, source.timezone)
    drop_staged(engine)
    return Reading(staged, changes, "everything", why)
