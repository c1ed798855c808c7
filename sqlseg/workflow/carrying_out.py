"""Carries out a plan within the transaction of a refresh, once the sources have been read.

What all of its steps import takes a third of a second, for which a refresh has time while the sources are being read.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlseg.engine.duckdb import Engine
from sqlseg.workflow import steps
from sqlseg.workflow.checking import run_checks
from sqlseg.workflow.completing import complete_run, moves_of
from sqlseg.workflow.computing import compute, count_embedded
from sqlseg.workflow.kept import Kept
from sqlseg.workflow.narration import Clock, Stopwatch
from sqlseg.workflow.outcome import Options, Outcome
from sqlseg.workflow.plan import Plan
from sqlseg.workflow.project import Project
from sqlseg.workflow.state import LastRefresh, ModelInUse, Run, remember_refresh, segmentations_behind
from sqlseg.workflow.work import Work


def work_of(
    engine: Engine,
    project: Project,
    options: Options,
    plan: Plan,
    run: Run,
    last: LastRefresh | None,
    models: Mapping[str, ModelInUse],
    stopwatch: Stopwatch,
    kept: Kept | None,
) -> Work:
    """Return what the steps of a plan begin with."""
    return Work(
        engine,
        project,
        plan,
        run,
        last,
        models,
        stopwatch.narrator,
        options.require_gpu,
        project.settings.warehouse.threads or int(engine.value("select current_setting('threads')")),
        frozenset(segmentations_behind(engine)),
        kept or Kept(lasting=False),
        publish_anyway=options.publish_anyway,
    )


def carry_out(
    work: Work,
    plan_for: Callable[[Mapping[str, tuple[str, ...]]], Plan],
    source_fingerprint: str,
    stopwatch: Stopwatch,
    clock: Clock,
) -> Outcome:
    """Compute, place, record and check what a plan says; `plan_for` gives the plan where segmentations have drifted.

    Raises SqlsegError, CheckFailed among them.
    """
    engine, run = work.engine, work.run
    with stopwatch.step("events", "Keeping the events"):
        steps.accept_events(work)
    with stopwatch.step("features", "Computing features and embeddings"):
        before = compute(work)
    with stopwatch.step("segments", "Placing users in segments"):
        drifted = steps.place_everyone(work)
    if drifted:
        measured = {name: placed.evidence for name, placed in work.placed.items()}
        work.plan = plan_for(drifted)
        stopwatch.usual = {}
        with stopwatch.step("features", "Computing features and embeddings"):
            before = compute(work)
        with stopwatch.step("segments", "Fitting anew what has drifted"):
            steps.place_everyone(work)
        for name in drifted:
            work.placed[name] = replace(work.placed[name], evidence=measured[name])
    work.plan = steps.with_evidence(work)
    with stopwatch.step("tables", "Writing the segment tables"):
        steps.record_everything(work, before)
        steps.remove_dropped(work)
        steps.create_public_views(work)
    with stopwatch.step("checks", "Checking the result"):
        by_user = steps.changed_by_user(work)
        run_checks(work, by_user)
    for note in work.content_notes:
        stopwatch.narrator.note(note)
    for name, placed in work.placed.items():
        for note in placed.notes:
            stopwatch.narrator.note(f"{name}: {note}")
    state = LastRefresh(run.run_id, run.as_of, run.data_through, source_fingerprint, work.plan.definition)
    remember_refresh(engine, state)
    moves = moves_of(engine, run.run_id)
    embedded = count_embedded(work)
    complete_run(
        engine,
        run,
        work.plan,
        clock,
        {
            "kind": work.plan.kind,
            "users_total": len(work.users),
            "users_embedded": embedded,
            "users_moved": work.users_moved,
            "provider": work.provider,
            "seconds": json.dumps(stopwatch.seconds),
        },
    )
    work.give_back_memory()  # a commit needs some of its own
    return Outcome(
        run.run_id,
        work.plan,
        len(work.users),
        embedded,
        work.users_moved,
        work.provider,
        moves,
        None,
        stopwatch.seconds,
        evidence={
            name: placed.evidence
            for name, placed in work.placed.items()
            if placed.evidence is not None and name not in drifted
        },
        by_user=by_user,
    )
