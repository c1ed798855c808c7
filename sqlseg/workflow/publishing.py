"""Brings the published file to the state of the warehouse."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.memory import give_back_memory
from sqlseg.errors import SqlsegError
from sqlseg.names import Relation
from sqlseg.publish import patching
from sqlseg.publish.content_hash import FileContent, TableContent, file_content
from sqlseg.publish.contents import features_source
from sqlseg.publish.patching import NoPatch, Patch, patch_copy
from sqlseg.publish.snapshot import Built, PublishedRelation, Snapshot, publish_snapshot
from sqlseg.publish.spare import CopyBeside
from sqlseg.workflow.locking import lock_new_versions
from sqlseg.workflow.narration import Stopwatch
from sqlseg.workflow.outcome import Outcome
from sqlseg.workflow.plan import Plan
from sqlseg.workflow.project import Project
from sqlseg.workflow.published import as_published, policy, published_measures, relations_to_publish
from sqlseg.workflow.side_by_side import beside
from sqlseg.workflow.state import LastRefresh, last_refresh, update_run
from sqlseg.workflow.touched import RECOMPUTED
from sqlseg.workflow.warehouse import open_warehouse

PATCHED_SHARE = 0.2
"""Of the users: where more are touched, a new file is written sooner than an old one is patched."""


def publish(
    engine: Engine,
    project: Project,
    outcome: Outcome,
    stopwatch: Stopwatch,
    *,
    checkpoint: bool = True,
    copy: CopyBeside | None = None,
) -> Outcome:
    """Replace the published file, unless nothing is new and it holds the last refresh already, whole.

    Without `checkpoint` the changes of the warehouse stay in its log. `copy` may be making a copy of the file to patch.
    """
    path = project.settings.warehouse.published
    if outcome.plan.kind == "noop" and _is_current(engine, path):
        if published_measures(path) == policy(project).measures:
            return outcome
        stopwatch.narrator.note("Nothing is new; what [privacy] asks of the published file is.")
    with stopwatch.step("publish", "Publishing"):
        if copy is not None:
            copy.wait()
        snapshot, whole_bytes = _publish(engine, project, outcome, path, stopwatch, checkpoint=checkpoint)
    took = {"seconds": json.dumps(stopwatch.seconds), "finished_at": stopwatch.clock.now()}
    with engine.transaction(checkpoint=checkpoint):
        _remember(engine, path, snapshot, whole_bytes)
        update_run(engine, outcome.run_id, took)
    added = lock_new_versions(project)
    notes = (f"features.lock now holds {', '.join(added)}.",) if added else ()
    return replace(outcome, published=path, seconds=stopwatch.seconds, notes=notes)


def publish_whole(engine: Engine, project: Project) -> None:
    """Replace the published file by one that is built whole from the warehouse as it stands."""
    path = project.settings.warehouse.published
    snapshot = publish_snapshot(engine, path, relations_to_publish(engine, project), _last_run_id(engine))
    with engine.transaction():
        _remember(engine, path, snapshot, snapshot.size)


def mend_published(project: Project) -> None:
    """Build a published file anew that does not hold what was published. Raises what opening and publishing raise."""
    with open_warehouse(project, "sqlseg refresh") as engine:
        publish_whole(engine, project)


def mark_unpublished(engine: Engine) -> None:
    """Put on record that the warehouse holds more than the published file, until that is replaced."""
    engine.execute(
        "update segments.run set content_hash = null where run_id = $run_id", {"run_id": _last_run_id(engine)}
    )


def _publish(
    engine: Engine, project: Project, outcome: Outcome, path: Path, stopwatch: Stopwatch, *, checkpoint: bool
) -> tuple[Snapshot, int]:
    """Patch a copy of the last published file where little has changed since, else build it whole; then swap.

    Returns what has been published, and the size that it had when it was last built whole.
    """
    patch = _patch(engine, project, outcome, path)
    relations = relations_to_publish(engine, project, [] if patch is None else sorted(set(patch.by_user.values())))
    if patch is not None:
        published = {table: as_published(project, users) for table, users in patch.by_user.items()}
        patch = replace(patch, by_user=published)
    if patch is None:  # whatever was read before is not what the whole file is built from
        give_back_memory(engine, project.settings.warehouse.memory_limit)
    # One thread writes either file, so both at a time.
    with engine.beside() as other, beside(other.checkpoint if checkpoint else None):
        return _patched_or_whole(engine, path, relations, patch, stopwatch)


def _patched_or_whole(
    engine: Engine, path: Path, relations: Sequence[PublishedRelation], patch: Patch | None, stopwatch: Stopwatch
) -> tuple[Snapshot, int]:
    """Return what has been published, and the size that it had when it was last built whole."""
    run_id = _last_run_id(engine)
    if patch is not None:

        def build(new: Path) -> Built:
            return patch_copy(engine, path, new, relations, patch, run_id)

        try:
            return publish_snapshot(engine, path, relations, run_id, build), patch.whole_bytes
        except NoPatch as reason:
            stopwatch.narrator.note(f"The published file is built whole: {reason.message}.")
    snapshot = publish_snapshot(engine, path, relations, run_id)
    return snapshot, snapshot.size


def _remember(engine: Engine, path: Path, snapshot: Snapshot, whole_bytes: int) -> None:
    """Put on record what has been published: its hash in the row of its refresh, and how the file lies on disk."""
    run_id = _last_run_id(engine)
    if run_id is not None:
        update_run(engine, run_id, {"content_hash": snapshot.content_hash})
    _remember_file(engine, path, run_id, whole_bytes)
    engine.execute("delete from sqlseg.published_content")
    engine.insert(
        "sqlseg.published_content",
        [(str(table), one.row_count, one.row_hash) for table, one in snapshot.contents.items()],
    )


def _remember_file(engine: Engine, path: Path, run_id: str | None, whole_bytes: int) -> None:
    size, modified = _as_it_lies(path)
    engine.execute("delete from sqlseg.published_file")
    engine.execute(
        "insert into sqlseg.published_file values ($path, $run_id, $whole_bytes, $bytes, $modified)",
        {"path": str(path), "run_id": run_id, "whole_bytes": whole_bytes, "bytes": size, "modified": modified},
    )


def _as_it_lies(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _is_current(engine: Engine, path: Path) -> bool:
    """Whether the published file is the one that the last refresh published.

    One that lies on disk as it was left is taken to be; any other is read and hashed.
    """
    run_id = _last_run_id(engine)
    expected = engine.value("select content_hash from segments.run where run_id = $run_id", {"run_id": run_id})
    if not path.is_file() or expected is None:
        return False
    known = engine.row(
        "select bytes, modified_ns, whole_bytes from sqlseg.published_file where run_id = $run_id", {"run_id": run_id}
    )
    if known is not None and known[:2] == _as_it_lies(path):
        return True
    found = published_content(path)
    if found is None or found.run_id != run_id or found.recorded != expected or not found.whole:
        return False
    with engine.transaction():
        _remember_file(engine, path, run_id, path.stat().st_size if known is None else int(known[2]))
    return True


def patch_is_likely(engine: Engine, project: Project, plan: Plan, last: LastRefresh) -> bool:
    """Whether a refresh of this plan will patch the published file, as far as can be told before it begins."""
    path = project.settings.warehouse.published
    known = engine.row(
        "select run_id, bytes, modified_ns, whole_bytes from sqlseg.published_file where path = $path",
        {"path": str(path)},
    )
    if known is None or plan.everyone_because is not None or plan.as_of != last.as_of:
        return False
    if known[0] != last.run_id or known[3] < patching.SMALLEST_BYTES or not path.is_file():
        return False
    users = engine.value("select count(*) from sqlseg.population")
    return bool(known[1:3] == _as_it_lies(path) and plan.changes.users_touched <= PATCHED_SHARE * users)


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
    most = max(int(engine.value(f"select count(*) from {users}")) for users in set(outcome.by_user.values()))
    if known[1] < patching.SMALLEST_BYTES or most > PATCHED_SHARE * outcome.users_total:
        return None
    if before is None or known[0] != before:
        return None
    by_user, contents = _one_name(engine, outcome.by_user), _contents(engine)
    count = int(engine.value(f"select count(*) from {RECOMPUTED}"))
    at_end = {features_source(table.name): count for table in by_user if table.schema == "features"}
    return Patch(by_user, int(known[1]), contents, before, policy(project).measures, at_end)


def _one_name(engine: Engine, by_user: Mapping[Relation, str]) -> dict[Relation, str]:
    """Return tables with the relations of their users, in which the same users have the same relation."""
    first, *others = sorted(set(by_user.values()))
    same = {first: first}
    for other in others:
        only_in_one = f"(from {first} except from {other}) union all (from {other} except from {first})"
        same[other] = other if engine.row(f"select 1 from ({only_in_one}) limit 1") else first
    return {table: same[users] for table, users in by_user.items()}


def _contents(engine: Engine) -> dict[Relation, TableContent]:
    """Return what the tables of the published file held when it was published."""
    return {
        Relation(*table.split(".", 1)): TableContent(int(rows), int(hashed))
        for table, rows, hashed in engine.rows("select relation, row_count, row_hash from sqlseg.published_content")
    }


def _last_run_id(engine: Engine) -> str | None:
    state = last_refresh(engine)
    return state.run_id if state else None


def published_content(path: Path) -> FileContent | None:
    """Return what a published file says that it holds, and what it holds; None where it cannot be read."""
    try:
        with Engine.open(path, read_only=True) as reader:
            return file_content(reader)
    except SqlsegError:
        return None
