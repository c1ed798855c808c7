"""Brings the published file to the state of the warehouse."""

import json
from dataclasses import replace
from pathlib import Path

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.names import Relation
from sqlseg.publish import patching
from sqlseg.publish.patching import NoPatch, Patch, patch_copy
from sqlseg.publish.snapshot import publish_snapshot
from sqlseg.workflow.locking import lock_new_versions
from sqlseg.workflow.narration import Stopwatch
from sqlseg.workflow.outcome import Outcome
from sqlseg.workflow.project import Project
from sqlseg.workflow.published import as_published, policy, published_measures, relations_to_publish
from sqlseg.workflow.side_by_side import beside
from sqlseg.workflow.state import last_refresh, update_run

PATCHED_SHARE = 0.2
"""Of the users: where more are touched, a new file is written sooner than an old one is patched."""


def publish(engine: Engine, project: Project, outcome: Outcome, stopwatch: Stopwatch) -> Outcome:
    """Replace the published file, unless nothing is new and it holds the last refresh already."""
    path = project.settings.warehouse.published
    if outcome.plan.kind == "noop" and published_run(path) == _last_run_id(engine):
        if published_measures(path) == policy(project).measures:
            return outcome
        stopwatch.narrator.note("Nothing is new; what [privacy] asks of the published file is.")
    with stopwatch.step("publish", "Publishing"):
        _publish(engine, project, outcome, path, stopwatch)
    update_run(engine, outcome.run_id, {"seconds": json.dumps(stopwatch.seconds), "finished_at": stopwatch.clock.now()})
    added = lock_new_versions(project)
    notes = (f"features.lock now holds {', '.join(added)}.",) if added else ()
    return replace(outcome, published=path, seconds=stopwatch.seconds, notes=notes)


def _publish(engine: Engine, project: Project, outcome: Outcome, path: Path, stopwatch: Stopwatch) -> None:
    """Patch a copy of the last published file where little has changed since, else build it whole; then swap."""
    patch, whole = _patch(engine, project, outcome, path), True
    relations = relations_to_publish(engine, project, [] if patch is None else [patch.users])
    if patch is not None:
        patch = replace(patch, users=as_published(project, patch.users))
    with engine.beside() as other, beside(other.checkpoint):  # one thread writes either file, so both at a time
        if patch is not None:
            try:
                publish_snapshot(engine, path, relations, lambda new: patch_copy(engine, path, new, relations, patch))
                whole = False
            except NoPatch as reason:
                stopwatch.narrator.note(f"The published file is built whole: {reason.message}.")
        size = publish_snapshot(engine, path, relations) if whole or patch is None else patch.whole_bytes
    with engine.transaction():
        engine.execute("delete from sqlseg.published_file")
        engine.execute(
            "insert into sqlseg.published_file values ($path, $run_id, $bytes)",
            {"path": str(path), "run_id": _last_run_id(engine), "bytes": size},
        )


def _patch(engine: Engine, project: Project, outcome: Outcome, path: Path) -> Patch | None:
    """Return how the file can be patched: where it holds the refresh before, and this one has touched few users."""
    known = engine.row("select run_id, whole_bytes from sqlseg.published_file where path = $path", {"path": str(path)})
    # On a new day every membership says another as_of, and most tables are others.
    if Relation("segments", "membership") not in outcome.by_user or known is None:
        return None
    before = engine.value(
        "select max(run_id) from segments.run where status = 'done' and kind <> 'noop' and run_id < $run_id",
        {"run_id": outcome.run_id},
    )
    touched = int(engine.value("select count(*) from touched_users"))
    if known[1] < patching.SMALLEST_BYTES or touched > PATCHED_SHARE * outcome.users_total:
        return None
    if known[0] != before or published_run(path) != before or published_measures(path) != policy(project).measures:
        return None
    return Patch("touched_users", frozenset(outcome.by_user), int(known[1]))


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
