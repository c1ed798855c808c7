"""Keeps what every user bought, on which days, and since when: what sizes and days of segments are counted from."""

from datetime import datetime

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.workflow.materialise import POPULATION, fresh_rows, replace_touched
from sqlseg.workflow.touched import RECOMPUTED, TOUCHED, TOUCHED_EVENTS

REVENUE = "user_revenue"
"""The table of what every user has spent."""

_OF_DAYS = ("user_day", "first_day")
_TABLES = (*_OF_DAYS, REVENUE)
"""In this order: what a user has spent is the sum of the days."""


def keep_activity(engine: Engine, as_of: datetime, *, everyone: bool) -> bool:
    """Bring the three tables up to date: for everyone, or for the touched users; return whether it was for these.

    Without `everyone` their events are read from touched_events, and what was kept of their days so far is left in the
    temporary tables user_day_then and first_day_then. Leaves days_of_shop.
    """
    everyone = everyone or not all(engine.relation_exists("sqlseg", table) for table in _TABLES)
    engine.create_temp_view("active_users", f"select user_id from {POPULATION if everyone else RECOMPUTED}")
    engine.create_temp_view("active_events", f"select * from {'sqlseg.events' if everyone else TOUCHED_EVENTS}")
    for table in _TABLES:
        select = sql_text(f"steps/segments/{table}.sql")
        until = None if table == REVENUE else {"as_of": as_of}
        if everyone:
            engine.execute(f"create or replace table sqlseg.{table} as {select}", until)
            continue
        if table in _OF_DAYS:
            theirs = f"select * from sqlseg.{table} where user_id in (select user_id from {TOUCHED})"
            engine.execute(f"create or replace temp table {table}_then as {theirs}")
        engine.execute(f"create or replace temp table {fresh_rows(table)} as {select}", until)
        replace_touched(engine, f"sqlseg.{table}", fresh_rows(table))
    engine.execute("drop view active_users; drop view active_events")
    engine.execute(sql_text("steps/daily/days_of_shop.sql"), {"as_of": as_of})
    return not everyone
