"""Writes why users are in their segments: the reasons of each, and the rule that imitates the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine
from sqlseg.insight.rules import imitate, readable_rule
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import IntArray
from sqlseg.segments.explain import UserReasons
from sqlseg.workflow.inputs import Readable
from sqlseg.workflow.restating import OF_ONE
from sqlseg.workflow.segmenting import Placed
from sqlseg.workflow.state import Run


def record_reasons(engine: Engine, name: str, placed: Placed, users: NDArray[Any], *, everyone: bool) -> None:
    """Replace the reasons of everyone in one segmentation, or of those users who are `restated`; a rule needs none.

    Where all have been placed anew, those whose reasons alone are others join the restated users.
    """
    some = "" if everyone else f" and user_id in (select user_id from {OF_ONE})"
    where = {"segmentation": name}
    delete = f"delete from segments.user_reason where segmentation = $segmentation{some}"
    if placed.reasons is None:
        engine.execute(delete, where)
        return
    with engine.registered("reason_rows", _reason_rows(placed, placed.reasons, users), large=True):
        if placed.changed is None and not everyone:
            engine.execute(sql_text("steps/segments/other_reasons.sql"), where)
        engine.execute(delete, where)
        engine.execute(sql_text("steps/segments/insert_reasons.sql"), {**where, "everyone": everyone})


def _reason_rows(placed: Placed, reasons: UserReasons, users: NDArray[Any]) -> pa.Table:
    def texts(numbers: IntArray, values: Sequence[str] | NDArray[Any]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(values, pa.string()))

    # All users are not written down once more for the reasons of a few.
    few = len(reasons.user) < len(users)
    return pa.table(
        {
            "user_id": pa.array(users[reasons.user], pa.string()) if few else texts(reasons.user, users),
            "segment_id": texts(placed.labels[reasons.user], placed.segment_ids),
            "rank": pa.array(reasons.rank, pa.int32()),
            "feature": texts(reasons.feature, reasons.features),
            "value": pa.array(reasons.value, pa.float64(), mask=np.isnan(reasons.value)),
            "contribution": pa.array(reasons.contribution, pa.float64()),
        }
    )


def record_rules(engine: Engine, run: Run, name: str, placed: Placed, readable: Readable, version: int) -> None:
    """Replace the rules that imitate a new model, and add to the measures how well they do."""
    engine.execute("delete from segments.rule where segmentation = $name", {"name": name})
    imitation = imitate(readable.values, placed.labels, len(placed.segment_ids), run.seed)
    if imitation is None:
        return
    measures: dict[str, float | None] = {"rule_fidelity": imitation.fidelity}
    for rule in imitation.rules:
        segment = placed.segment_ids[rule.segment]
        engine.execute(
            "insert into segments.rule values ($name, $segment, $version, $condition, $precision, $recall)",
            {
                "name": name,
                "segment": segment,
                "version": version,
                "condition": readable_rule(rule.ways) if rule.ways else None,
                "precision": rule.precision,
                "recall": rule.recall,
            },
        )
        measures |= {f"rule_precision[{segment}]": rule.precision, f"rule_recall[{segment}]": rule.recall}
    for measure, value in measures.items():
        if value is not None:
            engine.execute(
                "insert into segments.metric values ($run_id, $as_of, $name, $measure, $value)",
                {"run_id": run.run_id, "as_of": run.as_of, "name": name, "measure": measure, "value": value},
            )
