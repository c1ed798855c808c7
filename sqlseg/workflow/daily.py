"""Counts what happened by day and segment: anew, or of those alone whose days changed since the last refresh."""

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.workflow.state import Run

COUNTED_ANEW_FROM = 0.2
"""Where more than this share of the users has changed, to count all of them anew is as quick."""


def remember_days(engine: Engine, run: Run, name: str, last_run_id: str | None) -> bool:
    """Put aside how the users who changed counted before; False where all days must be counted anew.

    Call it after `find_moves` and before history changes. `last_run_id` is the refresh that what is there must be of,
    None where no difference to it may be taken. Reads touched_users, and what `keep_activity` has put aside.
    """
    counted = "select 1 from sqlseg.segment_day where segmentation = $name and run_id = $run_id limit 1"
    if last_run_id is None or engine.row(counted, {"name": name, "run_id": last_run_id}) is None:
        return False
    engine.execute(sql_text("steps/daily/changed_users.sql"))
    changed = engine.value("select count(*) from changed_users")
    if changed > COUNTED_ANEW_FROM * engine.value("select count(*) from sqlseg.first_day"):
        return False
    _keep_stays(engine, run, name, "stays_then", sql_text("steps/daily/first_days_then.sql"))
    engine.execute(f"create or replace temp table days_then as {sql_text('steps/daily/days_then.sql')}")
    return True


def record_daily(engine: Engine, run: Run, name: str, *, remembered: bool) -> None:
    """Replace the daily activity of one segmentation.

    With `remembered` that is what it was, less what the users who changed came to before, plus what they come to now;
    sums of doubles are not taken apart: what was bought on a day that has changed is summed up anew.
    """
    if remembered:
        _keep_stays(engine, run, name, "stays_now", sql_text("steps/daily/first_days_now.sql"))
        engine.create_temp_view("days_now", sql_text("steps/daily/days_now.sql"))
        engine.execute(sql_text("steps/daily/changed_days.sql"))
        days = "select * from sqlseg.user_day where day in (select day from changed_days)"
        engine.execute(f"create or replace temp table days_again as {days}")
        # For a day on which somebody bought, it makes no difference how far before it the first stay reaches back.
        buyers = "select user_id, min(day) as day from days_again group by user_id"
        _keep_stays(engine, run, name, "stays_again", buyers)
        days, stays = "days_again", "stays_again"
    else:
        engine.execute("delete from sqlseg.segment_day where segmentation = $name", {"name": name})
        _keep_stays(engine, run, name, "stays_now", "select * from sqlseg.first_day")
        engine.execute(
            "create or replace temp table stays_then as from stays_now where false; "
            "create or replace temp table changed_days (day date)"
        )
        days, stays = "sqlseg.user_day", "stays_now"
    engine.create_temp_view("days_counted", f"select * from {days}")
    engine.create_temp_view("stays_counted", f"select * from {stays}")
    engine.execute(sql_text("steps/daily/count_days.sql"), {"segmentation": name})
    engine.execute("delete from sqlseg.segment_day where segmentation = $name", {"name": name})
    engine.execute(sql_text("steps/daily/keep_days.sql"), {"segmentation": name, "run_id": run.run_id})
    engine.execute("delete from segments.daily where segmentation = $name", {"name": name})
    engine.execute(sql_text("steps/daily/insert_daily.sql"), {"segmentation": name})


def _keep_stays(engine: Engine, run: Run, name: str, table: str, first_days: str) -> None:
    """Leave stays by day in a temporary table: those of users of whom the SELECT `first_days` has the first day."""
    engine.create_temp_view("first_days", first_days)
    engine.execute(
        f"create or replace temp table {table} as {sql_text('steps/daily/stays.sql')}",
        {"segmentation": name, "timezone": run.timezone},
    )
