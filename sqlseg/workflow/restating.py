"""Knows of whom something else is said than before, also where everybody had to be placed anew."""

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.workflow.touched import TOUCHED

RESTATED = "restated_users"
"""The temporary table of the users of whom this refresh says something else than the last: all touched ones, and those
whom what happened to others has put elsewhere."""

OF_ONE = "restated"
"""The temporary table of those among them of whom the segmentation that is being written says something else."""


def begin_restating(engine: Engine) -> None:
    """Begin with the touched users, and with nobody of the first segmentation."""
    engine.execute(f"create or replace temp table {RESTATED} as select distinct user_id from {TOUCHED}")
    engine.execute(f"create or replace temp table {OF_ONE} as select user_id from {RESTATED} where false")


def find_restated(engine: Engine, segmentation: str, version: int, *, placed_anew: bool) -> None:
    """Leave in the temporary table `restated` whose membership differs, and in `assigned` these users alone.

    Where everybody was `placed_anew`, that is found by comparing; else they are the touched users.
    """
    if not placed_anew:
        engine.execute(f"create or replace temp table {OF_ONE} as select distinct user_id from {TOUCHED}")
        return
    engine.execute(sql_text("steps/segments/restated.sql"), {"segmentation": segmentation, "model_version": version})
    engine.execute(f"delete from assigned where user_id not in (select user_id from {OF_ONE})")


def keep_restated(engine: Engine) -> None:
    """Add the users of one segmentation to those of all."""
    engine.execute(
        f"insert into {RESTATED} select user_id from {OF_ONE} where user_id not in (select user_id from {RESTATED})"
    )
