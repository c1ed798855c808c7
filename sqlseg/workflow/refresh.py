"""Carries out a plan from the sources to the published file: all of it, or nothing.

Nothing that needs NumPy, Arrow or ONNX Runtime is imported before the sources are read: where nothing is new nobody
waits for them, and a first refresh imports them beside the database.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.errors import SqlsegError
from sqlseg.events.attributes import read_attributes
from sqlseg.events.reading import Before as LastReading
from sqlseg.events.reading import EventSource, Reading, read_events
from sqlseg.events.staging import Staged
from sqlseg.publish.spare import CopyBeside
from sqlseg.workflow.ahead import begin_ahead
from sqlseg.workflow.as_of import NoEventsBefore, parse_as_of, resolve_as_of
from sqlseg.workflow.checking import CheckFailed, record_checks
from sqlseg.workflow.completing import complete_run
from sqlseg.workflow.confinement import check_shop_sql
from sqlseg.workflow.erasure_list import FINISH, erased_users, unfinished_erasure
from sqlseg.workflow.holding import Patience
from sqlseg.workflow.locking import check_lock
from sqlseg.workflow.narration import Clock, Narrator, Stopwatch
from sqlseg.workflow.outcome import Options, Outcome
from sqlseg.workflow.plan import Plan, make_plan
from sqlseg.workflow.project import Project, open_project
from sqlseg.workflow.published import check_privacy
from sqlseg.workflow.publishing import patch_is_likely, publish
from sqlseg.workflow.state import (
    LastRefresh,
    Run,
    begin_run,
    forecasts_in_use,
    last_refresh,
    models_in_use,
    next_run_id,
    segmentations_behind,
    sentiment_in_use,
    update_run,
)
from sqlseg.workflow.time_left import Outlook
from sqlseg.workflow.touched import remember_attributes, touch_changed_attributes
from sqlseg.workflow.usual_seconds import usual_for, usual_seconds
from sqlseg.workflow.warehouse import open_warehouse, open_without_warehouse

if TYPE_CHECKING:
    from sqlseg.workflow.kept import Kept


class UnknownSegmentation(SqlsegError):
    """A command names a segmentation that sqlseg.toml does not have."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"No segmentation named {name!r} in sqlseg.toml.", hint=f"Choose one of: {', '.join(known)}.")


class Interrupted(SqlsegError):
    """Somebody stopped the command."""

    def __init__(self, *, committed: bool) -> None:
        if committed:
            super().__init__(
                "Interrupted while publishing: the warehouse is refreshed, the published file is as it was.",
                hint="Run `sqlseg refresh` to publish.",
            )
        else:
            super().__init__("Interrupted; the warehouse and the published file are as they were.")


def _read(
    engine: Engine, project: Project, run_id: str, started_at: datetime, last: LastRefresh | None, *, full: bool
) -> tuple[Reading, str]:
    """Bring events and attributes up to date with the sources; return what was found and a fingerprint of it all."""
    settings = project.settings.events
    erased = erased_users(project.settings)
    source = EventSource(
        path=settings.sql,
        project=project.directory,
        databases={alias: f"{one.type}:{one.path}" for alias, one in project.settings.sources.items()},
        timezone=project.settings.project.timezone,
        max_quantity=settings.max_quantity,
        exported_at=settings.exported_at,
        overlap=settings.overlap,
        erased=erased,
    )
    before = None if last is None else LastReading(last.run_id, last.data_through)
    reading = read_events(engine, source, run_id=run_id, now=started_at, before=before, full=full)
    parts = [reading.staged.fingerprint]
    for kind in ("users", "items"):
        path = project.directory / "sql" / f"{kind}.sql"
        parts.append(
            read_attributes(
                engine, kind, path, project.directory, databases=source.databases, now=started_at, erased=erased
            )
        )
    if project.image_encoder is not None:
        from sqlseg.workflow.images import files_fingerprint

        parts.append(files_fingerprint(engine, project.image_root))
    return reading, " ".join(parts)


def refresh(
    directory: Path,
    options: Options,
    clock: Clock,
    narrator: Narrator,
    *,
    dry: bool = False,
    kept: "Kept | None" = None,
    checkpoint: bool = True,
    closing: ExitStack | None = None,
) -> Outcome:
    """Bring a project's segment tables up to date and publish them; with `dry`, find out what that would do.

    Everything in the warehouse happens in one transaction, and the published file is replaced in one step after it:
    a refresh that fails or is killed leaves both as they were. `kept` is what an earlier one has left in memory, and
    will have from this one. Without `checkpoint` what has changed stays in the log beside the warehouse, which
    `take_over_log` empties. With `closing` the warehouse is closed when that is. Raises SqlsegError.
    """
    project = open_project(directory)
    check_lock(project)
    check_privacy(project)
    check_shop_sql(project.settings)
    if options.segmentation is not None and options.segmentation not in project.settings.segmentations:
        raise UnknownSegmentation(options.segmentation, list(project.settings.segmentations))
    if unfinished := unfinished_erasure(project.settings):
        narrator.note(f"{unfinished} {FINISH}")
    patience = Patience(options.wait, clock, narrator)
    if options.rebuild:
        from sqlseg.workflow.rebuilding import rebuild_warehouse

        with narrator.step("Taking the history over from the published file"):
            before = rebuild_warehouse(project.settings, clock.now(), patience)
        if before is not None:
            narrator.note(f"The warehouse of before is kept as {before}.")
    if dry and not project.settings.warehouse.path.is_file():
        engine = open_without_warehouse(project)
    else:
        command = "sqlseg plan" if dry else "sqlseg refresh"
        engine = open_warehouse(project, command, patience, prepared=not dry, sources=True, kept=kept)
    with ExitStack() as at_end, CopyBeside(project.settings.warehouse.published) as copy:
        (closing or at_end).enter_context(engine)
        try:
            outcome = refresh_within(engine, project, options, clock, narrator, dry=dry, kept=kept, copy=copy)
        except KeyboardInterrupt:
            raise Interrupted(committed=False) from None
        if dry:
            return outcome
        try:
            usual = usual_for(engine, outcome.run_id, outcome.plan)
            stopwatch = Stopwatch(narrator, clock, outcome.seconds, usual)
            outcome = publish(engine, project, outcome, stopwatch, checkpoint=checkpoint, copy=copy)
            if kept and (last := last_refresh(engine)):
                kept.settle(last.run_id)
        except KeyboardInterrupt:
            raise Interrupted(committed=True) from None
        if not checkpoint and outcome.published is not None:
            engine.leave_log()
        return outcome


class _DryRun(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def refresh_within(
    engine: Engine,
    project: Project,
    options: Options,
    clock: Clock,
    narrator: Narrator,
    *,
    dry: bool = False,
    kept: "Kept | None" = None,
    copy: CopyBeside | None = None,
) -> Outcome:
    """Bring the tables of an open warehouse up to date; sources are attached, and nothing is published.

    Meanwhile the published file is copied if it is likely to be patched.
    """
    started_at = clock.now()
    stopwatch = Stopwatch(narrator, clock, outlook=Outlook(statement=engine.statement_progress))
    if dry:
        try:
            with engine.transaction():
                prepare_warehouse(engine)
                run_id = next_run_id(engine, started_at)
                raise _DryRun(_carry_out(engine, project, options, run_id, started_at, clock, stopwatch, kept))
        except _DryRun as done:
            return done.outcome
    run_id = next_run_id(engine, started_at)
    begin_run(engine, run_id, started_at)
    try:
        # What follows, publishing as a rule, leaves a core free to write the warehouse's file.
        with engine.transaction(checkpoint=False):
            return _carry_out(engine, project, options, run_id, started_at, clock, stopwatch, kept, copy)
    except (Exception, KeyboardInterrupt) as error:
        _record_failure(engine, run_id, clock, error)
        raise


def _record_failure(engine: Engine, run_id: str, clock: Clock, error: BaseException) -> None:
    message = "Interrupted." if isinstance(error, KeyboardInterrupt) else str(error)
    try:
        if engine.value("select status from segments.run where run_id = $run_id", {"run_id": run_id}) == "done":
            return  # stopped in the instant after the commit: the work is kept, and the next refresh publishes it
        update_run(engine, run_id, {"status": "failed", "finished_at": clock.now(), "error": message})
        if isinstance(error, CheckFailed):
            record_checks(engine, run_id, error.results)
    except SqlsegError as second:
        # On a full disk the record cannot be written either; the next refresh closes it.
        error.add_note(f"The failure could not be recorded: {second}")


def _carry_out(
    engine: Engine,
    project: Project,
    options: Options,
    run_id: str,
    started_at: datetime,
    clock: Clock,
    stopwatch: Stopwatch,
    kept: "Kept | None",
    copy: CopyBeside | None = None,
) -> Outcome:
    settings = project.settings.project
    last, models = last_refresh(engine), models_in_use(engine)
    if kept:
        kept.go_on_from(None if last is None else last.run_id)
    if last is None:
        begin_ahead(project, everyone=True)
    elif not options.full:
        stopwatch.usual = usual_seconds(engine, run_id, "warm")
    with stopwatch.step("events", "Reading the sources"):
        attributes = remember_attributes(engine) if last else None
        reading, source_fingerprint = _read(engine, project, run_id, started_at, last, full=options.full)
        concerns = touch_changed_attributes(engine, attributes) if attributes else ()
        if project.takes_pins:
            from sqlseg.workflow.pins import with_pins

            project = with_pins(engine, project)
    staged = reading.staged
    if last is not None and reading.how == "everything":
        stopwatch.narrator.note(f"All of the source was read: {reading.why}.")
    _tell_of_events(stopwatch.narrator, staged)
    if not project.settings.segmentations:
        stopwatch.narrator.note(
            "sqlseg.toml has no [segmentations.<name>]: features are computed, and nobody is placed."
        )
    asked = None if options.as_of is None else parse_as_of(options.as_of, settings.timezone)
    known_through = min(started_at, project.settings.events.exported_at or started_at)
    # Also a warehouse that was rebuilt, which has no last refresh, goes on from the moment that its history ends at.
    known = "select max(as_of), max(data_through) from segments.run where status = 'done'"
    last_as_of, last_through = (last.as_of, last.data_through) if last else engine.rows(known)[0]
    as_of = resolve_as_of(asked, staged.newest, settings.timezone, last_as_of, known_through)
    data_through: datetime | None = staged.newest
    if staged.newest >= as_of:
        newest = "select max(event_time) from sqlseg.events where event_time < $as_of"
        data_through = engine.value(newest, {"as_of": as_of})
    if data_through is None:
        raise NoEventsBefore(as_of, staged.newest)
    if last_through is not None:  # stays begin and end at these moments, also where the newest events were taken back
        data_through = max(data_through, last_through)

    def plan_for(drifted: Mapping[str, tuple[str, ...]]) -> Plan:
        there = engine.rows("select schema_name, name from sqlseg.computed_relation")
        return make_plan(
            project,
            staged=staged,
            source_fingerprint=source_fingerprint,
            changes=reading.changes,
            as_of=as_of,
            data_through=data_through,
            last=last,
            models=models,
            statistics_there=frozenset(f"stats.{name}" for schema, name in there if schema == "stats"),
            forecasts_there=forecasts_in_use(engine, readable=options.refit == "always"),
            sentiment_there=sentiment_in_use(engine) if project.sentiment else None,
            behind=segmentations_behind(engine),
            only=options.segmentation,
            refit=options.refit,
            full=options.full,
            drifted=drifted,
            tables_there=frozenset(name for schema, name in there if schema == "sqlseg"),
            concerns=concerns,
        )

    plan = plan_for({})
    run = Run(run_id, as_of, data_through, started_at, settings.timezone, settings.seed)
    if plan.kind == "noop":
        users = int(engine.value("select count(*) from sqlseg.population"))
        complete_run(engine, run, plan, clock, {"kind": "noop", "users_total": users, "users_moved": 0})
        return Outcome(run_id, plan, users, 0, 0, None, (), None, stopwatch.seconds)
    stopwatch.usual = usual_for(engine, run_id, plan)
    if last is not None:
        begin_ahead(project, everyone=False)
        if copy is not None and patch_is_likely(engine, project, plan, last):
            copy.begin()
    from sqlseg.workflow.carrying_out import carry_out, work_of

    work = work_of(engine, project, options, plan, run, last, models, stopwatch, kept)
    return carry_out(work, plan_for, source_fingerprint, stopwatch, clock)


def _tell_of_events(narrator: Narrator, staged: Staged) -> None:
    refused = sum(staged.rejected.values())
    if refused:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in staged.rejected.items())
        narrator.note(f"{refused:,} of {staged.rows_read:,} source rows cannot be used ({reasons}).")
    if staged.ignored_columns:
        narrator.note(f"Columns of the source that no canonical event has: {', '.join(staged.ignored_columns)}.")
