"""How long the steps of a refresh take as a rule: what segments.run has kept of the last ones of its kind."""

import json
from datetime import datetime
from statistics import median_low

from sqlseg.engine.duckdb import Engine
from sqlseg.resources import sql_text
from sqlseg.workflow.plan import Kind, Plan

_RUNS = 3
"""So many runs are looked at: one that was out of the ordinary, such as with --full, does not tell what is usual."""


def usual_seconds(
    engine: Engine, run_id: str, kind: Kind, *, as_of: datetime | None = None, events: int | None = None
) -> dict[str, float]:
    """Return the seconds by step of refreshes of a kind before this one; empty where there was none.

    They are scaled to so many `events` in use; `as_of` (UTC) is that of this refresh, where it is known.
    """
    found: dict[str, list[float]] = {}
    asked = {"run_id": run_id, "kind": kind, "as_of": as_of, "runs": _RUNS}
    for seconds, total in engine.rows(sql_text("steps/run/usual_seconds.sql"), asked):
        scale = events / total if events is not None and total else 1.0
        for step, taken in json.loads(seconds).items():
            found.setdefault(step, []).append(taken * scale)
    return {step: median_low(taken) for step, taken in found.items()}


def usual_for(engine: Engine, run_id: str, plan: Plan) -> dict[str, float]:
    """Return the seconds by step of refreshes such as a plan is; empty where it does more than its kind as a rule."""
    if plan.kind == "warm" and plan.everyone_because is not None:
        return {}
    return usual_seconds(engine, run_id, plan.kind, as_of=plan.as_of, events=plan.staged.accepted)
