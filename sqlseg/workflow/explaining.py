"""Writes why users are in their segments: the reasons of each, and the rule that imitates the model."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine
from sqlseg.insight.rules import imitate, readable_rule
from sqlseg.resources import sql_text
from sqlseg.workflow.inputs import Readable
from sqlseg.workflow.recording import Run
from sqlseg.workflow.segmenting import Placed


def record_reasons(engine: Engine, name: str, placed: Placed, users: NDArray[Any]) -> None:
    """Replace the reasons of those users of one segmentation who were looked at; a rule needs none."""
    some = "" if placed.changed is None else " and user_id in (select user_id from touched_users)"
    engine.execute(f"delete from segments.user_reason where segmentation = $name{some}", {"name": name})
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
