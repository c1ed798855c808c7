"""Puts a finished refresh on record, and tells who moved in it."""

import json
from collections.abc import Mapping
from importlib.metadata import version as package_version

from sqlseg import __version__
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.statements import duckdb_version
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.outcome import Move
from sqlseg.workflow.plan import Plan
from sqlseg.workflow.state import Run, update_run


def complete_run(engine: Engine, run: Run, plan: Plan, clock: Clock, values: Mapping[str, object]) -> None:
    """Record that a run is done, what it found and which versions of everything it used; `values` are more columns."""
    engine.execute(
        "insert into segments.run (run_id, started_at) select $run_id, $started_at "
        "where $run_id not in (select run_id from segments.run)",
        {"run_id": run.run_id, "started_at": run.started_at},
    )
    update_run(
        engine,
        run.run_id,
        {
            "status": "done",
            "finished_at": clock.now(),
            "as_of": run.as_of,
            "data_through": run.data_through,
            "events_total": plan.staged.accepted,
            "events_new": plan.changes.events_new,
            "events_rejected": sum(plan.staged.rejected.values()),
            "users_touched": plan.changes.users_touched,
            "versions": json.dumps(_versions(plan)),
            **values,
        },
    )


def _versions(plan: Plan) -> dict[str, str]:
    libraries = ("sqlglot", "numpy", "scikit-learn", "pyarrow")
    return {
        "sqlseg": __version__,
        "duckdb": duckdb_version(),
        **{name: package_version(name) for name in libraries},
        **{view.relation: view.ref for view in plan.views},
    }


def moves_of(engine: Engine, run_id: str) -> tuple[Move, ...]:
    """Return the moves of a run between segments, and why, those of most users first."""
    rows = engine.rows(
        "select t.segmentation, f.segment_name, s.segment_name, t.cause, t.user_count from segments.transition as t "
        "left join segments.segment as f on f.segment_id = t.from_segment_id "
        "left join segments.segment as s on s.segment_id = t.to_segment_id "
        "where t.run_id = $run_id order by t.user_count desc, 1, 2, 3, 4",
        {"run_id": run_id},
    )
    return tuple(Move(*row) for row in rows)
