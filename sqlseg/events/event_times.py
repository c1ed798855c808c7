"""Finds when an event happened: one column or several, and the SQL that makes UTC of them."""

import re
from dataclasses import dataclass

from sqlseg.events.column_names import exact_rank, partial_rank, squashed
from sqlseg.events.inspection import ColumnProfile, SourceProfile
from sqlseg.events.recognition import number_sql

# From when to when a number is believed to be a time: 1990 to 2100, in seconds.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
_UNITS = {1: 1_000_000, 1_000: 1_000, 1_000_000: 1}


@dataclass(frozen=True)
class EventTime:
    """How event_time is made. `zoned` is False where the source does not say which zone its clock shows."""

    sql: str
    columns: tuple[str, ...]
    reason: str
    certain: bool
    zoned: bool
    has_clock: bool


def event_time(profile: SourceProfile) -> EventTime | None:
    """Return how to read the time of an event, or None where no column holds one."""
    readable = [
        (column, time)
        for column in profile.columns
        if exact_rank(column.name, "ingested_at") is None and (time := _one_column(column)) is not None
    ]
    named = sorted(
        (
            (not time.has_clock and not _clock(profile, column), not exact, rank, position)
            for position, (column, time) in enumerate(readable)
            for exact, rank in [_rank(column)]
            if rank is not None
        ),
    )
    if named:
        column, time = readable[named[0][-1]]
        return _with_clock(profile, column, time)
    if parts := _year_month_day(profile):
        return parts
    if len(readable) >= 1:
        column, time = readable[0]
        reason = f"{time.reason}; no column is named like the time of an event"
        return _with_clock(
            profile, column, EventTime(time.sql, time.columns, reason, False, time.zoned, time.has_clock)
        )
    return _day_counter(profile)


def time_sql(column: ColumnProfile) -> str | None:
    """Return the SQL that reads a column as a UTC timestamp, or None where it holds no times."""
    time = _one_column(column)
    return time.sql if time else None


def _rank(column: ColumnProfile) -> tuple[bool, int | None]:
    exact = exact_rank(column.name, "event_time")
    return exact is not None, partial_rank(column.name, "event_time") if exact is None else exact


def _one_column(column: ColumnProfile) -> EventTime | None:
    name, sql = (column.name,), column.sql
    has_clock = column.day_share < 1
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return EventTime(f"{sql} at time zone 'UTC'", name, "a time with its zone", True, True, has_clock)
    if column.type.startswith("TIMESTAMP"):
        return EventTime(
            f"{sql}::timestamp", name, "a time without a zone", True, "utc" in squashed(column.name), has_clock
        )
    if column.type == "DATE":
        return EventTime(f"{sql}::timestamp", name, "a day", True, False, False)
    if column.type.startswith("TIME"):
        return None
    if column.is_number:
        return _from_number(column)
    if not column.is_text:
        return None
    if column.time_share > 0.95:
        if column.zone_share > 0.5:
            zoned = f"try_cast({sql} as timestamptz) at time zone 'UTC'"
            return EventTime(zoned, name, "text with a zone or offset", True, True, has_clock)
        return EventTime(f"try_cast({sql} as timestamp)", name, "text in ISO order", True, False, has_clock)
    if column.formats:
        chosen = column.formats[0]
        rivals = [other for other in column.formats[1:] if sorted(other) == sorted(chosen)]
        reason = f"text written as {chosen}" + (f"; {rivals[0]} would fit as well" if rivals else "")
        return EventTime(
            f"try_strptime({sql}, '{chosen}')", name, reason, not rivals, False, "%H" in chosen or "%I" in chosen
        )
    return None


def _from_number(column: ColumnProfile) -> EventTime | None:
    low, high = column.minimum or 0.0, column.maximum or 0.0
    # Without a name to go by, only the content speaks: read_csv calls columns without a header column0, column1, ...
    is_named = _rank(column)[1] is not None or re.fullmatch(r"column\d+", column.name) is not None
    if column.is_whole and low >= 19000101 and high <= 21001231 and is_named:
        sql = f"try_strptime({column.sql}::varchar, '%Y%m%d')"
        return EventTime(sql, (column.name,), "a day as the number yyyymmdd", True, False, False)
    for scale, micros in _UNITS.items():
        if _EARLIEST * scale <= low and high <= _LATEST * scale and is_named:
            whole = (
                f"try_cast({column.sql} as bigint)"
                if column.is_text or column.type in ("DOUBLE", "FLOAT")
                else column.sql
            )
            if not column.is_whole:
                sql = f"make_timestamp(({number_sql(column)} * {micros})::bigint)"
            else:
                sql = (
                    f"make_timestamp({whole}::bigint * {micros})" if micros > 1 else f"make_timestamp({whole}::bigint)"
                )
            unit = {1: "seconds", 1_000: "milliseconds", 1_000_000: "microseconds"}[scale]
            return EventTime(sql, (column.name,), f"Unix {unit}", True, True, True)
    return None


def _year_month_day(profile: SourceProfile) -> EventTime | None:
    parts: list[ColumnProfile] = []
    for target, high in (("year", 2100), ("month", 12), ("day", 31)):
        part = _named(profile, target)
        if part is None or not part.is_whole or (part.maximum or 0) > high:
            return None
        parts.append(part)
    written = ", ".join(f"{part.sql}::bigint" for part in parts)
    names = tuple(part.name for part in parts)
    time = EventTime(
        f"make_date({written})::timestamp", names, "year, month and day in three columns", True, False, False
    )
    return _with_clock(profile, None, time)


def _day_counter(profile: SourceProfile) -> EventTime | None:
    for column in profile.columns:
        if squashed(column.name) in ("day", "dayno", "daynumber", "dayindex") and column.is_whole:
            reason = "a count of days; replace 2000-01-01 by the day before the first"
            sql = f"date '2000-01-01' + to_days({column.sql}::integer)"
            return _with_clock(profile, None, EventTime(sql, (column.name,), reason, False, False, False))
    return None


def _named(profile: SourceProfile, target: str) -> ColumnProfile | None:
    return next((column for column in profile.columns if exact_rank(column.name, target) is not None), None)


def _clock(profile: SourceProfile, beside: ColumnProfile | None) -> tuple[ColumnProfile, str, str] | None:
    """Return the column with the time of day, the SQL to add to the day, and what it is."""
    for column in profile.columns:
        if column is beside or exact_rank(column.name, "clock") is None:
            continue
        low, high = column.minimum or 0.0, column.maximum or 0.0
        if column.type == "TIME" or column.clock_share > 0.95:
            as_time = column.sql if column.type == "TIME" else f"try_cast({column.sql} as time)"
            return column, as_time, "its time of day in a column of its own"
        if column.is_whole and low >= 0 and high <= 23:
            return column, f"to_hours({column.sql}::integer)", "its hour in a column of its own"
        if column.is_whole and low >= 0 and high <= 2359:
            minutes = f"({column.sql}::integer // 100 * 60 + {column.sql}::integer % 100)"
            return column, f"to_minutes({minutes})", "its time of day as the number hhmm in a column of its own"
    return None


def _with_clock(profile: SourceProfile, column: ColumnProfile | None, time: EventTime) -> EventTime:
    """Add the time of day from another column to a day, else at least the order of the clicks within it."""
    if time.has_clock:
        return time
    if clock := _clock(profile, column):
        other, sql, what = clock
        day = time.sql.removesuffix("::timestamp")
        return EventTime(
            f"{day if day != time.sql else f'({day})::date'} + {sql}",
            (*time.columns, other.name),
            f"{time.reason}, {what}",
            time.certain,
            False,
            True,
        )
    steps = _named(profile, "sequence")
    if steps is not None and steps.is_whole and (steps.minimum or 0) >= 0 and (steps.maximum or 0) < 1000:
        sql = f"{time.sql} + to_microseconds({steps.sql}::bigint)"
        reason = f"{time.reason}; {steps.name} keeps the order within it, as microseconds after midnight"
        return EventTime(sql, (*time.columns, steps.name), reason, time.certain, False, False)
    return time
