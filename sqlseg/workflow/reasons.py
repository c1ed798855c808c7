"""Writes why each user is in the segment and not in the next one."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.workflow.segmenting import Placed


def record_reasons(engine: Engine, name: str, placed: Placed, users: NDArray[Any]) -> None:
    """Replace the reasons of one segmentation; a rule needs none. Its profile must have been written."""
    engine.execute("delete from segments.reason where segmentation = $name", {"name": name})
    reasons = placed.reasons
    if reasons is None or not reasons.user.size:
        return
    ids = np.array(placed.segment_ids, dtype=object)
    rows = pa.table(
        {
            "user_id": pa.array(users[reasons.user], pa.string()),
            "segment_id": pa.array(ids[placed.labels[reasons.user]], pa.string()),
            "rank": pa.array(reasons.rank, pa.int32()),
            "feature": pa.array(np.array(reasons.features, dtype=object)[reasons.feature], pa.string()),
            "value": pa.array(reasons.value, pa.float64(), mask=np.isnan(reasons.value)),
            "contribution": pa.array(reasons.contribution, pa.float64()),
        }
    )
    with engine.registered("reason_rows", rows):
        engine.execute(sql_text("steps/segments/insert_reasons.sql"), {"segmentation": name})
