"""Brings the published file to the state of the warehouse."""

import json
from dataclasses import replace
from pathlib import Path

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.publish.contents import published_relations
from sqlseg.publish.snapshot import publish_snapshot
from sqlseg.workflow.live import live_views
from sqlseg.workflow.locking import lock_new_versions
from sqlseg.workflow.narration import Stopwatch
from sqlseg.workflow.outcome import Outcome
from sqlseg.workflow.project import Project
from sqlseg.workflow.state import last_refresh, update_run


def publish(engine: Engine, project: Project, outcome: Outcome, stopwatch: Stopwatch) -> Outcome:
    """Replace the published file, unless nothing is new and it holds the last refresh already."""
    path = project.settings.warehouse.published
    if outcome.plan.kind == "noop" and published_run(path) == _last_run_id(engine):
        return outcome
    with stopwatch.step("publish", "Publishing"):
        names = list(project.settings.segmentations)
        publish_snapshot(engine, path, [*published_relations(engine, names), *live_views(engine, names)])
    update_run(engine, outcome.run_id, {"seconds": json.dumps(stopwatch.seconds), "finished_at": stopwatch.clock.now()})
    added = lock_new_versions(project)
    notes = (f"features.lock now holds {', '.join(added)}.",) if added else ()
    return replace(outcome, published=path, seconds=stopwatch.seconds, notes=notes)


def _last_run_id(engine: Engine) -> str | None:
    state = last_refresh(engine)
    return state.run_id if state else None


def published_run(path: Path) -> str | None:
    """Return the refresh that a published file holds, or None where there is no such file that opens."""
    if not path.is_file():
        return None
    try:
        with Engine.open(path, read_only=True) as reader:
            run_id = reader.value("select max(run_id) from segments.run where status = 'done' and kind <> 'noop'")
    except SqlsegError:
        return None
    return None if run_id is None else str(run_id)
