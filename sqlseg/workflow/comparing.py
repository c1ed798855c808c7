"""Compares what two refreshes left behind, from the published file: who moved and why, what became of segments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.resources import sql_text
from sqlseg.workflow.as_of import BadAsOf, parse_as_of
from sqlseg.workflow.reading import UnknownSegmentation, check_published, open_published


class UnknownRun(SqlsegError):
    """A command names a run that is not there, or several at once."""


@dataclass(frozen=True)
class RunInHistory:
    """A completed refresh; instants are UTC without zone."""

    run_id: str
    kind: str
    as_of: datetime
    data_through: datetime


@dataclass(frozen=True)
class SegmentMove:
    """Users who went from one segment to another for one cause, over some runs; who moves twice counts twice.

    Without `from_segment_id` they are new, without `to_segment_id` gone. `revenue` is what they had brought by the
    run they moved in; None where it is not known. `user_count` is None where privacy settings withhold it.
    """

    segmentation: str
    from_segment_id: str | None
    from_segment: str | None
    to_segment_id: str | None
    to_segment: str | None
    cause: str
    user_count: int | None
    revenue: float | None


@dataclass(frozen=True)
class Descent:
    """What became of a segment in a run: split, merged, born or retired; `overlap` as in segments.lineage."""

    segmentation: str
    run_id: str
    relation: str
    from_segment_id: str | None
    from_segment: str | None
    to_segment_id: str | None
    to_segment: str | None
    overlap: float | None


@dataclass(frozen=True)
class Standing:
    """Users of a segmentation at both ends; `users_elsewhere` were there at both, in different segments."""

    segmentation: str
    users_before: int
    users_after: int
    users_elsewhere: int


@dataclass(frozen=True)
class Difference:
    """What happened between two runs.

    `standings` is empty where the history cannot tell: of runs over the same data it keeps what the last one left.
    """

    before: RunInHistory
    after: RunInHistory
    run_ids: tuple[str, ...]
    moves: tuple[SegmentMove, ...]
    descents: tuple[Descent, ...]
    standings: tuple[Standing, ...]


_READ = tuple(
    f"segments.{name}" for name in ("segmentation", "segment", "transition", "lineage", "model", "membership_history")
)


def difference(
    published: Path, timezone: str, *, before: str | None, after: str | None, segmentation: str | None = None
) -> Difference:
    """Return what happened after the run `before` and up to the run `after`; without them, in the last run.

    A run is named by its id, by the beginning of one, or by a date or time: then it is the last one that speaks of
    it, by its as_of. Raises UnknownRun, UnknownSegmentation or NothingPublished.
    """
    with open_published(published) as reader:
        check_published(reader, *_READ)
        if segmentation is not None:
            known = [row[0] for row in reader.rows("select segmentation from segments.segmentation order by 1")]
            if segmentation not in known:
                raise UnknownSegmentation(segmentation, known)
        return _difference(reader, timezone, before, after, segmentation)


def _difference(
    reader: Engine, timezone: str, before: str | None, after: str | None, segmentation: str | None
) -> Difference:
    runs = [RunInHistory(*row) for row in reader.rows(sql_text("steps/read/runs.sql"))]
    effective = [run for run in runs if run.kind != "noop"]
    last = find_run(runs, after, timezone) if after is not None else effective[-1]
    if before is not None:
        first = find_run(runs, before, timezone)
    else:
        earlier = [run for run in effective if run.run_id < last.run_id]
        if not earlier:
            raise UnknownRun(
                f"There is no run before {last.run_id} to compare it with.",
                hint="Every user was seen for the first time in it: `sqlseg segments list` shows where they are.",
            )
        first = earlier[-1]
    if first.run_id >= last.run_id:
        same = first.run_id == last.run_id
        raise UnknownRun(
            f"--from and --to are one run, {last.run_id}."
            if same
            else f"--from {first.run_id} is later than --to {last.run_id}.",
            hint="Name the earlier run with --from, the later one with --to.",
        )
    between = {"after": first.run_id, "through": last.run_id, "segmentation": segmentation}
    standings: list[Standing] = []
    if all(_last_of_its_data(run, effective) for run in (first, last)):
        moments = {"then": first.data_through, "now": last.data_through, "segmentation": segmentation}
        standings = [Standing(*row) for row in reader.rows(sql_text("steps/read/users_between_moments.sql"), moments)]
    return Difference(
        first,
        last,
        tuple(run.run_id for run in effective if first.run_id < run.run_id <= last.run_id),
        tuple(SegmentMove(*row) for row in reader.rows(sql_text("steps/read/moves_between_runs.sql"), between)),
        tuple(Descent(*row) for row in reader.rows(sql_text("steps/read/descents_between_runs.sql"), between)),
        tuple(standings),
    )


def _last_of_its_data(run: RunInHistory, runs: Sequence[RunInHistory]) -> bool:
    return all(other.data_through > run.data_through for other in runs if other.run_id > run.run_id)


def find_run(runs: Sequence[RunInHistory], text: str, timezone: str) -> RunInHistory:
    """Return the run that a person names, out of runs in order. Raises UnknownRun.

    >>> day = datetime(2024, 3, 1)
    >>> find_run([RunInHistory("20240301T080000-001", "cold", day, day)], "20240301", "UTC").kind
    'cold'
    """
    named = [run for run in runs if text and run.run_id.startswith(text)]
    exact = [run for run in named if run.run_id == text]
    if len(named) == 1 or exact:
        return (exact or named)[0]
    if named:
        listed = ", ".join(run.run_id for run in named[-3:])
        raise UnknownRun(
            f"{len(named)} runs begin with {text!r}, the last of them {listed}.", hint="Give one id in full."
        )
    try:
        moment = parse_as_of(text, timezone)
    except BadAsOf:
        listed = ", ".join(run.run_id for run in runs[-3:]) or "none yet"
        raise UnknownRun(
            f"{text!r} is no run: neither an id, nor the beginning of one, nor a date.",
            hint=f"The last runs: {listed}.",
        ) from None
    speaking = [run for run in runs if run.as_of <= moment]
    if not speaking:
        oldest = f"the oldest speaks of {runs[0].as_of} UTC" if runs else "there is none yet"
        raise UnknownRun(f"No run speaks of {text} or before: {oldest}.", hint="Name a later date.")
    return speaking[-1]
