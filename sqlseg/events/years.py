"""Finds the years in which events happened, on the clock of the shop."""

from datetime import datetime

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text

_MANY = 50
"""From so many years on, to look at every event is quicker than to ask for them one by one."""


def years_of_events(engine: Engine) -> list[int]:
    """Return the years of all events in use, ascending.

    The first and the last one are quick to find; of each between them it is enough to come upon one event.
    """
    first, last = engine.rows(sql_text("steps/events/first_and_last_year.sql"))[0]
    if first is None:
        return []
    if last - first >= _MANY:
        return [row[0] for row in engine.rows("select distinct year(local_time) from sqlseg.events order by 1")]
    return [year for year in range(first, last + 1) if year in (first, last) or _has_events(engine, year)]


def _has_events(engine: Engine, year: int) -> bool:
    within = "select 1 from sqlseg.events where local_time >= $first and local_time < $next limit 1"
    return engine.row(within, {"first": datetime(year, 1, 1), "next": datetime(year + 1, 1, 1)}) is not None
