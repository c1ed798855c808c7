"""Reads reviews with their ratings from the shop's own SQL."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.events.staging import UnusableSource, rows_of_shop_sql, shop_sql

_KINDS = {"text": "varchar", "rating": "double", "user_id": "varchar", "event_time": "timestamp"}


def read_ratings(engine: Engine, path: Path, project: Path, *, before: datetime, most: int, seed: int) -> pa.Table:
    """Return text, rating, user_id and event_time (UTC) of reviews from before a moment; of more than `most`, a draw.

    Rows without any of the four are left out. Raises SourceSqlFailed, or UnusableSource where a column is missing.
    """
    with shop_sql(path, project) as text:
        engine.create_temp_view("source_rows", text)
        columns = {name.lower(): (name, kind) for name, kind in engine.describe("select * from source_rows").items()}
        missing = [name for name in _KINDS if name not in columns]
        if missing:
            raise UnusableSource(
                f"{path} has no column {', '.join(missing)}; it returns: {', '.join(columns)}.",
                hint="Select text, rating, user_id and event_time: models are tried on later reviews by other users.",
            )
        cast = []
        for name, wanted in _KINDS.items():
            given, kind = columns[name]
            # A text may carry an offset, which a plain cast to TIMESTAMP would silently drop.
            source = quoted(given)
            if wanted == "timestamp" and kind == "VARCHAR":
                source = f"try_cast({source} as timestamptz)"
            cast.append(f"try_cast({source} as {wanted}) as {name}")
        known = " and ".join(f"{name} is not null" for name in _KINDS)
        with rows_of_shop_sql():
            return engine.table(
                f"select * from (select {', '.join(cast)} from source_rows) "
                f"where {known} and isfinite(rating) and trim(text) <> '' and event_time < $before "
                "order by md5($seed || user_id || text), event_time, rating limit $most",
                {"before": before, "seed": str(seed), "most": most},
            )
