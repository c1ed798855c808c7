"""Keeps what every user bought, on which days, and since when: what sizes and days of segments are counted from."""

from datetime import datetime

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.workflow.materialise import POPULATION, fresh_rows, replace_touched
from sqlseg.workflow.touched import RECOMPUTED, TOUCHED, TOUCHED_EVENTS

REVENUE = "user_revenue"
"""The table of what every user has spent."""

_TABLES = ("user_day", "first_day", REVENUE)
"""In this order: what a user has spent is the sum of the days."""


def keep_activity(engine: Engine, as_of: datetime, *, everyone: bool) -> bool:
    """Bring the three tables up to date: for everyone, or for the touched users; return whether it was for these.

    Without `everyone` their events are read from touched_events, and what was kept of their days so far is left in the
    temporary tables user_day_then and first_day_then, with the places of the rows. Leaves days_of_shop.
    """
    everyone = everyone or not _are_there(engine)
    engine.create_temp_view("active_users", f"select user_id from {POPULATION if everyone else RECOMPUTED}")
    engine.create_temp_view("active_events", f"select * from {'sqlseg.events' if everyone else TOUCHED_EVENTS}")
    for table in _TABLES:
        select = sql_text(f"steps/segments/{table}.sql")
        until = None if table == REVENUE else {"as_of": as_of}
        if table == REVENUE:
            days = "sqlseg.user_day" if everyone else fresh_rows("user_day")
            engine.create_temp_view("active_days", f"select * from {days}")
        if everyone:
            engine.execute(f"create or replace table sqlseg.{table} as {select}", until)
            continue
        engine.execute(f"create or replace temp table {fresh_rows(table)} as {select}", until)
        if table == REVENUE:
            replace_touched(engine, f"sqlseg.{table}", fresh_rows(table))
        else:
            _put_aside(engine, table)
            engine.execute(f"insert into sqlseg.{table} select * from {fresh_rows(table)} order by user_id")
    engine.execute("drop view active_users; drop view active_events; drop view active_days")
    engine.execute(sql_text("steps/daily/days_of_shop.sql"), {"as_of": as_of})
    return not everyone


def _are_there(engine: Engine) -> bool:
    there = (
        "select count(*) from duckdb_tables() where database_name = current_database() and schema_name = 'sqlseg' "
        "and table_name in (select unnest($tables))"
    )
    return bool(engine.value(there, {"tables": list(_TABLES)}) == len(_TABLES))


def _put_aside(engine: Engine, table: str) -> None:
    """Take the rows of the touched users out of a table; they are searched for once, and found by their places."""
    theirs = f"select *, rowid as place from sqlseg.{table} where user_id in (select user_id from {TOUCHED})"
    engine.execute(f"create or replace temp table {table}_then as {theirs}")
    engine.execute(f"delete from sqlseg.{table} where rowid in (select place from {table}_then)")
