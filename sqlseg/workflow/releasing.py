"""Releases counts and revenue of segments with noise, within a privacy budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.publish.noise import CONFIDENCE, LARGEST_EPSILON, NoisyIntegers, noisy_integers
from sqlseg.resources import sql_text
from sqlseg.settings import Settings, load_settings, setting_problem
from sqlseg.workflow.holding import Patience
from sqlseg.workflow.ledger import Entry, charge, read_ledger, spent
from sqlseg.workflow.narration import Clock, Narrator
from sqlseg.workflow.project import open_project
from sqlseg.workflow.published import check_privacy
from sqlseg.workflow.publishing import mark_unpublished, publish_whole
from sqlseg.workflow.state import last_refresh
from sqlseg.workflow.viewing import NoRefreshYet
from sqlseg.workflow.warehouse import open_warehouse


class CannotRelease(SqlsegError):
    """A release is asked for that makes no sense."""


@dataclass(frozen=True)
class Release:
    """What was released: rows as they stand in segments.private_segment, and what is left of the budget."""

    release_id: str
    rows: tuple[dict[str, Any], ...]
    epsilon: float
    spent: float
    budget: float


def release(
    directory: Path,
    epsilon: float,
    segmentations: Sequence[str],
    clock: Clock,
    narrator: Narrator,
    patience: Patience | None = None,
) -> Release:
    """Draw noise for every segment of some segmentations (by default all), and publish the result.

    Half of the epsilon goes into counts, half into revenue, and equal parts into the segmentations; a user is in one
    segment of each. The ledger is charged before anything is drawn. Raises CannotRelease, BudgetSpent, UnusableLedger,
    NoOpenDp, NoRefreshYet, and what opening and publishing raise.
    """
    project = open_project(directory)
    check_privacy(project)
    settings = project.settings
    budget, (low, high) = _declared(settings)
    if not 0 < epsilon <= LARGEST_EPSILON:
        raise CannotRelease(f"--epsilon must be above 0 and at most {LARGEST_EPSILON:g}, got {epsilon:g}.")
    if unknown := [name for name in segmentations if name not in settings.segmentations]:
        listed = ", ".join(settings.segmentations)
        raise CannotRelease(f"No segmentation named {unknown[0]!r} in sqlseg.toml.", hint=f"Choose of: {listed}.")
    wanted = list(dict.fromkeys(segmentations)) or list(settings.segmentations)
    noisy_integers([], 1, 1.0)  # where OpenDP is missing, that is told before anything is charged
    if not settings.warehouse.path.is_file():
        raise NoRefreshYet(project)
    with open_warehouse(project, "sqlseg privacy release", patience) as engine:
        last = last_refresh(engine)
        if last is None:
            raise NoRefreshYet(project)
        now = clock.now()
        entry = Entry(
            f"{now:%Y%m%dT%H%M%S%f}",
            now.isoformat(),
            epsilon,
            last.run_id,
            tuple(wanted),
            (low, high),
            f"discrete Laplace, OpenDP {package_version('opendp')}",
        )
        known = [row[0] for row in engine.rows("select distinct release_id from segments.private_segment")]
        charge(settings, entry, budget, known)
        rows = _drawn(engine, entry, now, last.as_of)
        import pyarrow as pa

        with engine.transaction(), engine.registered("private_rows", pa.Table.from_pylist(rows)):
            engine.execute("insert into segments.private_segment by name select * from private_rows")
            mark_unpublished(engine)
        with narrator.step("Publishing"):
            publish_whole(engine, project)
    return Release(entry.release_id, tuple(rows), epsilon, spent(read_ledger(settings)), budget)


def budget_of(directory: Path) -> tuple[float, tuple[Entry, ...]]:
    """Return the budget of a project, and every release so far. Raises InvalidSettings or UnusableLedger."""
    settings = load_settings(directory)
    return _declared(settings)[0], read_ledger(settings)


def _declared(settings: Settings) -> tuple[float, tuple[float, float]]:
    budget, bounds = settings.privacy.epsilon_budget, settings.privacy.revenue_bounds
    for key, value in (("epsilon_budget", budget), ("revenue_bounds", bounds)):
        if value is None:
            message = f"{key} is needed for releases with noise; the page Privacy says how to choose it"
            raise setting_problem(settings, ("privacy", key), message)
    assert budget is not None
    assert bounds is not None
    return budget, bounds


def _drawn(engine: Engine, entry: Entry, now: datetime, as_of: datetime) -> list[dict[str, Any]]:
    low, high = entry.revenue_bounds
    found = engine.rows(
        sql_text("steps/publish/private_aggregates.sql"),
        {"low": low, "high": high, "segmentations": list(entry.segmentations)},
    )
    part = entry.epsilon / (2 * len(entry.segmentations))
    cents = max(1, round(max(abs(low), abs(high)) * 100))
    rows = []
    for name in entry.segmentations:
        segments = [row for row in found if row[0] == name]
        counts = noisy_integers([row[3] for row in segments], 1, part)
        revenues = noisy_integers([row[4] for row in segments], cents, part)
        for place, (_, segment_id, segment_name, *_true) in enumerate(segments):
            rows.append(
                {
                    "release_id": entry.release_id,
                    "released_at": now,
                    "run_id": entry.run_id,
                    "as_of": as_of,
                    "segmentation": name,
                    "segment_id": segment_id,
                    "segment_name": segment_name,
                    **_figures(counts, revenues, place),
                    "epsilon": entry.epsilon,
                    "revenue_from": low,
                    "revenue_to": high,
                }
            )
    return rows


def _figures(counts: NoisyIntegers, revenues: NoisyIntegers, place: int) -> dict[str, Any]:
    """Return what is told of one segment; the mean is worked out from noisy figures alone, and costs nothing."""
    alpha = 1 - CONFIDENCE
    users, cents = counts.values[place], revenues.values[place]
    off_users, off_cents = counts.within(alpha), revenues.within(alpha)
    mean = mean_low = mean_high = None
    if users >= 1:
        mean = cents / 100 / users
    fewest, most = users - counts.within(alpha / 2), users + counts.within(alpha / 2)
    if fewest >= 1:  # both figures are within their bounds at once
        ends = [cents + sign * revenues.within(alpha / 2) for sign in (-1, 1)]
        corners = [end / 100 / number for end in ends for number in (fewest, most)]
        mean_low, mean_high = min(corners), max(corners)
    return {
        "user_count": users,
        "user_count_low": users - off_users,
        "user_count_high": users + off_users,
        "revenue": cents / 100,
        "revenue_low": (cents - off_cents) / 100,
        "revenue_high": (cents + off_cents) / 100,
        "mean_revenue": mean,
        "mean_revenue_low": mean_low,
        "mean_revenue_high": mean_high,
    }
