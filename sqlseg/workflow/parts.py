"""Keeps what feature views need of each user and no as_of changes, so that a new day need not read all events.

The tables are made where views are computed for all users, and lag behind while as_of stays: whom a refresh touches is
put on a list. On a new day the rows of those on it are computed again, and the views of all users from these tables.
"""

from collections.abc import Iterable
from dataclasses import replace

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.errors import QueryFailed
from sqlseg.features.binding import part_sql
from sqlseg.features.parts import Part, split
from sqlseg.features.view import View
from sqlseg.resources import sql_text
from sqlseg.workflow.materialise import Moment, ViewFailed, compute_features
from sqlseg.workflow.touched import read_touched_events

EVENTS_OF_BEHIND = "events_of_behind"
"""The temporary table of the events of users whose parts are behind."""

FOLLOWED_SHARE = 0.2
"""Of the users: where the parts of more are behind, they are made anew of all."""


def read_events_of_behind(engine: Engine, last_run_id: str) -> frozenset[str]:
    """Return the parts to go on from, none where they cannot be; leaves the events of who is behind or touched.

    They are of the refresh before or of no use: one by another release may have touched users without a word.
    """
    kept = engine.rows("select name from sqlseg.kept_part where run_id = $run_id", {"run_id": last_run_id})
    if not kept:
        read_touched_events(engine)
        return frozenset()
    engine.execute(sql_text("steps/parts/fall_behind.sql"))
    behind, users = engine.rows(
        "select (select count(*) from sqlseg.behind_part), (select count(*) from sqlseg.population)"
    )[0]
    if behind > FOLLOWED_SHARE * users:
        read_touched_events(engine)
        return frozenset()
    engine.execute(sql_text("steps/parts/events_of_behind.sql"))
    engine.execute(sql_text("steps/parts/touched_events.sql"))
    return frozenset(name for (name,) in kept)


def compute_from_parts(engine: Engine, view: View, moment: Moment, users: int, kept: frozenset[str]) -> None:
    """Compute a feature view of all users by way of its steady parts, where it has any.

    Those of `kept` are there but for users who are behind; the others are made of all users. Raises what
    `compute_features` does.
    """
    found = split(view)
    if found is None:
        compute_features(engine, view, moment, users)
        return
    for part in found.parts:
        try:
            _bring_up_to_date(engine, part, moment, there=part.table in kept)
        except QueryFailed as error:
            raise ViewFailed(view, error) from error
    tables = {part.name: f"sqlseg.{quoted(part.table)}" for part in found.parts}
    compute_features(engine, found.rest, replace(moment, views={**(moment.views or {}), **tables}), users)


def _bring_up_to_date(engine: Engine, part: Part, moment: Moment, *, there: bool) -> None:
    table = f"sqlseg.{quoted(part.table)}"
    if not there:
        engine.execute(f"create or replace table {table} as {part_sql(part, moment.as_of, moment.events)}")
        return
    engine.execute(f"delete from {table} where user_id in (select user_id from sqlseg.behind_part)")
    engine.execute(f"insert into {table} {part_sql(part, moment.as_of, EVENTS_OF_BEHIND)}")


def remember_parts(engine: Engine, views: Iterable[View], run_id: str) -> None:
    """Put on record that the parts of these views are up to date, and drop those of others."""
    tables = [part.table for view in views if (found := split(view)) is not None for part in found.parts]
    for (name,) in engine.rows("select name from sqlseg.kept_part"):
        if name not in tables:
            engine.execute(f"drop table if exists sqlseg.{quoted(name)}")
    engine.execute(f"drop table if exists temp.{EVENTS_OF_BEHIND}")
    engine.execute("delete from sqlseg.behind_part; delete from sqlseg.kept_part")
    engine.insert("sqlseg.kept_part", [(table, run_id) for table in tables])


def leave_parts_behind(engine: Engine, last_run_id: str, run_id: str) -> None:
    """Put on record that the parts that the refresh before has kept lack what the touched users have done."""
    known = {"last": last_run_id, "run_id": run_id}
    engine.execute("update sqlseg.kept_part set run_id = $run_id where run_id = $last", known)
    engine.execute(sql_text("steps/parts/fall_behind.sql"))
