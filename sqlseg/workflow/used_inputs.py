"""Writes what a new model uses of its inputs, and what it leaves out and why."""

import pyarrow as pa

from sqlseg.engine.duckdb import Engine
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.supervised import SupervisedModel
from sqlseg.segments.used_inputs import used_axes, used_inputs


def record_inputs(engine: Engine, name: str, version: int, model: ClusterModel | SupervisedModel) -> None:
    """Add the inputs of a new model of one segmentation."""
    rows = used_inputs(model.preprocessing)
    if isinstance(model, SupervisedModel) and model.projection is not None:
        rows += used_axes(model.projection)
    table = pa.table(
        {
            "segmentation": pa.array([name] * len(rows), pa.string()),
            "model_version": pa.array([version] * len(rows), pa.int32()),
            "feature": pa.array([row.feature for row in rows], pa.string()),
            "input": pa.array([row.input for row in rows], pa.string()),
            "status": pa.array(["kept" if row.kept else "dropped" for row in rows], pa.string()),
            "reason": pa.array([row.reason for row in rows], pa.string()),
            "measure": pa.array([model.preprocessing.measure if row.rank else None for row in rows], pa.string()),
            "score": pa.array([row.score for row in rows], pa.float64()),
            "rank": pa.array([row.rank for row in rows], pa.int32()),
        }
    )
    with engine.registered("input_rows", table):
        engine.execute("insert into segments.input by name select * from input_rows")
