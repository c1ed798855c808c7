"""Keeps what every user bought, on which days, and since when: what sizes and days of segments are counted from."""

from datetime import datetime

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.workflow.materialise import POPULATION, replace_touched
from sqlseg.workflow.touched import RECOMPUTED, TOUCHED_EVENTS

REVENUE = "user_revenue"
"""The table of what every user has spent."""

_TABLES = (REVENUE, "user_day", "first_day")


def keep_activity(engine: Engine, as_of: datetime, *, everyone: bool) -> None:
    """Bring the three tables up to date: for everyone, or for the touched users.

    Without `everyone` their events are read from touched_events.
    """
    everyone = everyone or not all(engine.relation_exists("sqlseg", table) for table in _TABLES)
    engine.create_temp_view("active_users", f"select user_id from {POPULATION if everyone else RECOMPUTED}")
    engine.create_temp_view("active_events", f"select * from {'sqlseg.events' if everyone else TOUCHED_EVENTS}")
    for table in _TABLES:
        select = sql_text(f"steps/segments/{table}.sql")
        if everyone:
            engine.execute(f"create or replace table sqlseg.{table} as {select}", {"as_of": as_of})
            continue
        engine.execute(f"create or replace temp table fresh_rows as {select}", {"as_of": as_of})
        replace_touched(engine, f"sqlseg.{table}", "fresh_rows")
        engine.execute("drop table fresh_rows")
    engine.execute("drop view active_users; drop view active_events")
