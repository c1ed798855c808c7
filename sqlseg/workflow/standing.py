"""Where users stood before, so that a refresh scores only those whose inputs may have changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.segments.assignment import NOBODY, Assignment
from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.workflow.touched import RECOMPUTED


@dataclass(frozen=True, eq=False)
class Standing:
    """What the last refresh said of every user of the population, by user_id; `changed` marks those to score anew.

    What is said of these is of no meaning.
    """

    before: Assignment
    changed: NDArray[np.bool_]

    def with_fresh(self, rows: IntArray, fresh: Assignment) -> Assignment:
        """Return where all users stand, given where the users of `rows` do now."""
        before = self.before
        labels, runner_up = before.labels.copy(), before.runner_up.copy()
        distance, confidence = before.distance.copy(), before.confidence.copy()
        labels[rows], runner_up[rows] = fresh.labels, fresh.runner_up
        distance[rows], confidence[rows] = fresh.distance, fresh.confidence
        probability = None
        if fresh.probability is not None:
            assert before.probability is not None
            probability = before.probability.copy()
            probability[rows] = fresh.probability
        return Assignment(labels, distance, runner_up, confidence, probability)


def read_standing(engine: Engine, segmentation: str, segment_ids: Sequence[str], version: int) -> Standing | None:
    """Return where the model of this version put users in the last refresh, for all but the touched ones.

    None where it left out others than these: then all have to be placed.
    """
    table = engine.table(
        sql_text("steps/segments/standing.sql"), {"segmentation": segmentation, "model_version": version}
    )
    ids = pa.array(segment_ids, pa.string())
    labels, runner_up = (_numbers(table[column], ids) for column in ("segment_id", "runner_up_segment_id"))
    changed = table["changed"].to_numpy() | (labels == NOBODY)
    if changed.sum() != engine.value(f"select count(*) from {RECOMPUTED}"):
        return None
    return Standing(
        Assignment(
            labels,
            _floats(table["distance"]),
            runner_up,
            _floats(table["confidence"]),
            _floats(table["assignment_probability"]),
        ),
        changed,
    )


def _numbers(column: pa.ChunkedArray, ids: pa.Array) -> IntArray:
    found = pc.fill_null(pc.index_in(column, value_set=ids, skip_nulls=True), NOBODY)
    return np.asarray(found.to_numpy(), dtype=np.int64)


def _floats(column: pa.ChunkedArray) -> FloatArray:
    return np.array(column.to_numpy(), dtype=np.float64)
