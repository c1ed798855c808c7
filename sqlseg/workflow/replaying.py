"""Repeats history in a database of its own: refreshes as of past days, from what had happened by then.

The project's warehouse is only read, for shops whose events lie in it; sqlseg's tables are made in a temporary folder.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.errors import SqlsegError
from sqlseg.events.staging import drop_staged, keep_attributes, stage_events
from sqlseg.resources import sql_text
from sqlseg.segments.supervised import UnusableLabels
from sqlseg.settings import ClusterSegmentation, InvalidSettings, Segmentation, SupervisedSegmentation
from sqlseg.workflow.confinement import confine_to_project
from sqlseg.workflow.erasure_list import erased_users
from sqlseg.workflow.forecasting import PastTooShort
from sqlseg.workflow.narration import Clock, Silence
from sqlseg.workflow.outcome import Options, Outcome
from sqlseg.workflow.project import Project
from sqlseg.workflow.refresh import refresh_within
from sqlseg.workflow.supervising import labels_of_the_day, tell_when
from sqlseg.workflow.warehouse import attach_project_sources
from sqlseg.workflow.warehouse_key import warehouse_key

_REPLAYED = "_replayed"
"""What the temporary database is called; no source can be."""


class TooEarly(SqlsegError):
    """On a day of the past, too little was known to learn what a segmentation needs."""

    def __init__(self, as_of: datetime, told: str) -> None:
        super().__init__(
            f"As of {as_of:%Y-%m-%d}, {told}.",
            hint="Begin later with --from, or name another segmentation with --segmentation.",
        )


@dataclass(frozen=True)
class Replay:
    """A project as it would have been: `refresh` goes to a later day each time. Instants are UTC without zone."""

    engine: Engine
    project: Project
    first_event: datetime
    newest_event: datetime
    clock: Clock

    def events_before(self, moment: datetime) -> int:
        """Return how many events had happened by then."""
        return int(
            self.engine.value("select count(*) from history.events where event_time < $moment", {"moment": moment})
        )

    def refresh(self, as_of: datetime, segmentation: str | None = None) -> Outcome:
        """Refresh as of a day, from a source that has no later event."""
        self.project.settings.events.sql.write_text(
            f"select * from history.events where event_time < timestamp '{as_of.isoformat(sep=' ')}'\n",
            encoding="utf-8",
        )
        then = Clock(now=lambda: as_of, seconds=self.clock.seconds)
        options = Options(as_of=as_of.replace(tzinfo=UTC).isoformat(), segmentation=segmentation)
        project = replace(self.project, labels_before=as_of)
        try:
            return refresh_within(self.engine, project, options, then, Silence())
        except InvalidSettings as error:
            if isinstance(error.__cause__, UnusableLabels):
                raise TooEarly(as_of, f"too few labels were known: {error.__cause__.message}") from error
            if isinstance(error.__cause__, PastTooShort):
                raise TooEarly(as_of, error.__cause__.message) from error
            raise


def replayable(segmentations: Mapping[str, Segmentation]) -> dict[str, Segmentation]:
    """Return the segmentations that can be replayed: pins, and labels without a time, would tell the future."""

    def known(one: Segmentation) -> bool:
        if isinstance(one, SupervisedSegmentation):
            return labels_of_the_day(one.labels) or tell_when(one.labels)
        return not (isinstance(one, ClusterSegmentation) and one.pins is not None)

    return {name: one for name, one in segmentations.items() if known(one)}


def notes_on_labels(segmentations: Mapping[str, Segmentation]) -> tuple[str, ...]:
    """Return a sentence for each segmentation with labels or pins: which of them a past day knows."""
    notes = []
    for name, one in segmentations.items():
        if isinstance(one, ClusterSegmentation) and one.pins is not None:
            notes.append(f"{name} is left out: its pins are those of today, and would tell the past what came later.")
        if not isinstance(one, SupervisedSegmentation):
            continue
        if labels_of_the_day(one.labels):
            notes.append(f"{name}: its labels are worked out from the features of each day.")
        elif tell_when(one.labels):
            notes.append(f"{name}: each day knows the labels with a labelled_at before it, and no others.")
        else:
            notes.append(
                f"{name} is left out: {one.labels.name} returns no labelled_at, so its labels are those of today, and "
                "would tell the past what came later."
            )
    return tuple(notes)


@contextmanager
def replay(project: Project, clock: Clock) -> Iterator[Replay]:
    """Read the sources once, and give what is needed to repeat history for as long as the block runs.

    Events count from when they happened, whenever they arrived; attributes of users and items are those of today.
    """
    settings = project.settings
    with TemporaryDirectory(prefix="sqlseg-backtest-") as folder:
        directory = Path(folder)
        file = directory / f"{_REPLAYED}.duckdb"
        attributes = _keep_history(project, file, clock.now())
        (directory / "sql").mkdir()
        for kind in attributes:
            (directory / "sql" / f"{kind}.sql").write_text(f"select * from history.{kind}\n", encoding="utf-8")
        events = settings.events.model_copy(
            update={"sql": directory / "sql" / "events.sql", "max_quantity": None, "exported_at": None}
        )
        nothing_more = settings.features.model_copy(update={"publish": ()})
        sections = {"events": events, "sources": {}, "features": nothing_more}
        replayed = replayable(settings.segmentations)
        moved = settings.moved_to(directory, {**sections, "segmentations": replayed})
        warehouse = settings.warehouse
        key = warehouse_key(settings)
        with Engine.open(file, threads=warehouse.threads, memory_limit=warehouse.memory_limit, key=key) as engine:
            prepare_warehouse(engine)
            confine_to_project(engine, settings)
            first, newest = engine.rows("select min(event_time), max(event_time) from history.events")[0]
            yield Replay(engine, replace(project, settings=moved), first, newest, clock)


def _keep_history(project: Project, file: Path, now: datetime) -> list[str]:
    """Copy all usable events and the attributes into a new database; return the kinds of attributes there are."""
    settings = project.settings
    warehouse = settings.warehouse
    erased = erased_users(settings)
    key = warehouse_key(settings)
    with Engine.open(file, threads=warehouse.threads, memory_limit=warehouse.memory_limit, key=key) as reader:
        attach_project_sources(reader, project)
        reader.execute("create schema history")
        if warehouse.path.is_file():
            # The shop's events may lie there; its SQL finds them as it does when the warehouse is open itself.
            name = warehouse.path.name.partition(".")[0]
            reader.attach(warehouse.path, name, key=key)
            reader.execute(f"use {quoted(name)}")
        confine_to_project(reader, settings)
        stage_events(
            reader,
            settings.events.sql,
            project.directory,
            exported_at=settings.events.exported_at or now,
            max_quantity=settings.events.max_quantity,
            erased=erased,
        )
        reader.execute(sql_text("steps/backtest/keep_history.sql"))
        drop_staged(reader)
        kinds = [kind for kind in ("users", "items") if (project.directory / "sql" / f"{kind}.sql").is_file()]
        for kind in kinds:
            sql = project.directory / "sql" / f"{kind}.sql"
            keep_attributes(reader, kind, sql, project.directory, schema=f"{_REPLAYED}.history", erased=erased)
    return kinds
