"""The moment of which a refresh speaks."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlseg.errors import SqlsegError


class BadAsOf(SqlsegError):
    """The moment that was asked for is none, or lies before what has been published."""


class NoEventsBefore(SqlsegError):
    """Every usable event lies at or after as_of."""

    def __init__(self, as_of: datetime, newest: datetime) -> None:
        super().__init__(
            f"No event is before --as-of {as_of} UTC; the newest is at {newest} UTC.",
            hint="Leave --as-of out to take the first midnight after the newest event.",
        )


def first_midnight_after(newest: datetime, timezone: str) -> datetime:
    """Return the first midnight of the zone after an instant; both are UTC without zone. Raises BadAsOf.

    >>> first_midnight_after(datetime(2011, 7, 9, 23, 30), "Europe/London")
    datetime.datetime(2011, 7, 10, 23, 0)
    """
    zone = ZoneInfo(timezone)
    try:
        day = newest.replace(tzinfo=UTC).astimezone(zone).date() + timedelta(days=1)
        return datetime.combine(day, time(), zone).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise BadAsOf(
            f"The newest event, at {newest} UTC, lies on the last day of the calendar.",
            hint="Set [events] exported_at in sqlseg.toml, so that times that cannot be are refused.",
        ) from None


def parse_as_of(text: str, timezone: str) -> datetime:
    """Return the UTC instant that `--as-of` names: a date or a time, in the zone of the project unless it has its own.

    Raises BadAsOf.

    >>> parse_as_of("2011-07-10", "Europe/London")
    datetime.datetime(2011, 7, 9, 23, 0)
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(timezone))
        return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        raise BadAsOf(f"--as-of is no date: {text!r}.", hint="Write it as 2024-05-31 or 2024-05-31T18:00:00.") from None


def resolve_as_of(
    asked: datetime | None, newest: datetime, timezone: str, last: datetime | None, known_through: datetime
) -> datetime:
    """Return the as_of of a refresh; all instants are UTC without zone.

    By default it is the first midnight after the newest event, and never before that of the last run, also where
    the newest events have since been taken back. One that was asked for lies between that of the last run and the
    first midnight after `known_through`, the moment of the export or now. Raises BadAsOf where it does not.
    """
    if asked is None:
        default = first_midnight_after(newest, timezone)
        return default if last is None else max(default, last)
    latest = first_midnight_after(known_through, timezone)
    if asked > latest:
        raise BadAsOf(
            f"--as-of {asked.isoformat(sep=' ')} UTC lies in the future of the data, which speak of the time up to "
            f"{latest.isoformat(sep=' ')} UTC.",
            hint="History only goes forward: a date too far ahead could not be taken back.",
        )
    if last is not None and asked < last:
        raise BadAsOf(
            f"--as-of {asked.isoformat(sep=' ')} UTC is before the last refresh's {last.isoformat(sep=' ')} UTC.",
            hint="History only goes forward. Leave --as-of out, or use another warehouse to look at the past.",
        )
    return asked


def days_before(moment: datetime, days: int, timezone: str) -> datetime:
    """Return the UTC instant when clocks of a zone showed the same time so many days before.

    >>> days_before(datetime(2011, 4, 1, 23, 0), 30, "Europe/London")  # before clocks went forward
    datetime.datetime(2011, 3, 3, 0, 0)
    """
    then = local(moment, timezone) - timedelta(days=days)
    return then.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC).replace(tzinfo=None)


def local_days_between(earlier: datetime, later: datetime, timezone: str) -> int:
    """Return the whole days between two UTC instants, by the clocks of a zone.

    >>> local_days_between(datetime(2011, 3, 3, 0, 30), datetime(2011, 4, 1, 23, 0), "Europe/London")
    29
    """
    return (local(later, timezone) - local(earlier, timezone)).days


def local(moment: datetime, timezone: str) -> datetime:
    """Return a UTC instant as the wall clock of a zone shows it, without zone.

    >>> local(datetime(2011, 7, 9, 23, 0), "Europe/London")
    datetime.datetime(2011, 7, 10, 0, 0)
    """
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
