"""Finds the usable rows that repeat another one."""

from typing import TYPE_CHECKING

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text

if TYPE_CHECKING:
    import pyarrow as pa

SORTED_AT_ONCE = 12_000_000
"""Rows whose keys are held in memory to be sorted, 16 bytes each; among more of them the database looks."""

RULES = ("keyed_rows", "mark_duplicates")
"""The queries in sql/steps/events that decide what a duplicate is."""


def mark_duplicates(engine: Engine) -> None:
    """Leave which of the staged events are duplicates in the temporary table duplicate_events."""
    engine.create_temp_view("keyed_rows", sql_text("steps/events/keyed_rows.sql"))
    marked = sql_text("steps/events/mark_duplicates.sql")
    if engine.value("select count(*) from staged_events") > SORTED_AT_ONCE:
        engine.create_temp_view("repeated_keys", "select key from keyed_rows group by key having count(*) > 1")
        engine.execute(marked)
        engine.execute("drop view repeated_keys; drop view keyed_rows")
        return
    with engine.registered("repeated_keys", _repeated_keys(engine)):
        engine.execute(marked)
    engine.execute("drop view keyed_rows")


def _repeated_keys(engine: Engine) -> "pa.Table":
    """Return the keys that several rows have, in the column `key`.

    NumPy sorts them in a quarter of the time of a GROUP BY, nearly all of whose groups are of one row.
    """
    import numpy as np
    import pyarrow as pa

    batches = engine.table("select key from keyed_rows").to_batches()
    keys = np.concatenate([np.empty(0, np.uint64), *(batch["key"].to_numpy() for batch in batches)])
    keys.sort()
    return pa.table({"key": pa.array(np.unique(keys[1:][keys[1:] == keys[:-1]]), pa.uint64())})
