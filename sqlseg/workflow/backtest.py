"""Says what segments were worth: replays history, and looks what users of each segment did afterwards."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.insight.worth import Record, area_under_curve, epsilon_squared, record, rfm_groups
from sqlseg.resources import sql_text
from sqlseg.segments.measures import adjusted_rand_index, contingency, eta_squared
from sqlseg.settings import ClusterSegmentation
from sqlseg.workflow.as_of import first_midnight_after, local, parse_as_of
from sqlseg.workflow.confinement import check_shop_sql
from sqlseg.workflow.inputs import read_blocks
from sqlseg.workflow.locking import check_lock
from sqlseg.workflow.narration import Clock, Narrator
from sqlseg.workflow.project import open_project
from sqlseg.workflow.refresh import UnknownSegmentation
from sqlseg.workflow.replaying import Replay, TooEarly, notes_on_labels, replay, replayable
from sqlseg.workflow.segmenting import labels_of_a_fresh_fit

Groups = NDArray[np.object_]
_QUESTIONS = ("repurchase", "churn")
_QUINTILES = ("quintiles", "they are drawn anew every day")


class HistoryTooShort(SqlsegError):
    """The events do not reach far enough, before or after the days that were asked for."""


class NothingToReplay(SqlsegError):
    """The project has no segmentation."""


@dataclass(frozen=True)
class BacktestOptions:
    """What is asked: the first and last day as text, or None to choose them, and lengths in days."""

    first: str | None = None
    last: str | None = None
    every_days: int = 30
    horizon_days: int = 90
    segmentation: str | None = None


@dataclass(frozen=True)
class Worth:
    """What one division of the users of one day was worth in the days after; None where it cannot be said.

    - `action` and `because`: what the refresh of that day did for the division, as `sqlseg plan` would have told.
    - `revenue_eta2`: share of the variance of future revenue between groups; `revenue_epsilon2` without what chance
      explains with so many groups; `log_revenue_epsilon2` that of log(1 + revenue), which no single big spender rules.
    - `repurchase_auc`: of two users who had bought, one of whom buys again, how often the group knows which; groups
      are ranked by the windows that had closed by then. `churn_auc` asks the same of those seen in the days before:
      who is not seen again.
    - `moved`: share of the users of the backtest's day before who are in another group now; `ari` the agreement with
      that day; `refit_ari` that with a fit from scratch under another seed.
    """

    as_of: datetime
    division: str
    action: str
    because: str
    users: int
    groups: int
    revenue_eta2: float | None
    revenue_epsilon2: float | None
    log_revenue_epsilon2: float | None
    repurchase_auc: float | None
    churn_auc: float | None
    moved: float | None
    ari: float | None
    refit_ari: float | None


MEASURES = (
    *("revenue_eta2", "revenue_epsilon2", "log_revenue_epsilon2", "repurchase_auc", "churn_auc"),
    *("moved", "ari", "refit_ari"),
)


@dataclass(frozen=True)
class CauseOfMoves:
    """Users of a segmentation who moved between segments for one cause, over all days of the backtest."""

    segmentation: str
    cause: str
    user_count: int


@dataclass(frozen=True)
class Backtest:
    """Every division on every day, in order; those of the project first, then the two by RFM quintiles."""

    dates: tuple[datetime, ...]
    every_days: int
    horizon_days: int
    rows: tuple[Worth, ...]
    causes: tuple[CauseOfMoves, ...]
    notes: tuple[str, ...] = ()

    def means(self) -> list[dict[str, Any]]:
        """Return one row a division: the mean of each measure over the days on which it is known."""
        found = []
        for division in dict.fromkeys(row.division for row in self.rows):
            rows = [row for row in self.rows if row.division == division]
            mean: dict[str, Any] = {"division": division, "dates": len(rows)}
            mean["groups"] = float(np.mean([row.groups for row in rows]))
            for measure in MEASURES:
                known = [getattr(row, measure) for row in rows if getattr(row, measure) is not None]
                mean[measure] = float(np.mean(known)) if known else None
            found.append(mean)
        return found


def backtest(directory: Path, options: BacktestOptions, clock: Clock, narrator: Narrator) -> Backtest:
    """Replay a project's history and measure its segmentations beside RFM quintiles.

    The warehouse and the published file stay as they are. Raises HistoryTooShort, with what would do, or SqlsegError.
    """
    project = open_project(directory)
    check_lock(project)
    check_shop_sql(project.settings)
    every = list(project.settings.segmentations)
    names = list(replayable(project.settings.segmentations))
    if not every:
        raise NothingToReplay("sqlseg.toml has no [segmentations.<name>] to replay.", hint="Declare one there first.")
    if not names or (options.segmentation in every and options.segmentation not in names):
        raise NothingToReplay(
            f"{options.segmentation or ', '.join(every)} cannot be replayed: without a time, labels are those of "
            "today, and would tell the past what came later; so are pins.",
            hint="Let the SQL of labels also return labelled_at, when each label was given.",
        )
    if options.segmentation is not None:
        if options.segmentation not in names:
            raise UnknownSegmentation(options.segmentation, names)
        names = [options.segmentation]
    with ExitStack() as stack:
        with narrator.step("Reading the sources"):
            history = stack.enter_context(replay(project, clock))
        dates = replay_dates(history.first_event, history.newest_event, project.settings.project.timezone, options)
        with narrator.step(f"Replaying {len(dates)} days"):
            found = _replayed(history, dates, names, options, narrator)
    asked = {name: one for name, one in project.settings.segmentations.items() if options.segmentation in (None, name)}
    return replace(found, notes=notes_on_labels(asked))


def replay_dates(
    first_event: datetime, newest_event: datetime, timezone: str, options: BacktestOptions
) -> list[datetime]:
    """Return the days to replay, as midnights of the zone in UTC. Raises HistoryTooShort or BadAsOf.

    >>> days = replay_dates(datetime(2024, 1, 1), datetime(2024, 12, 31), "UTC", BacktestOptions(first="2024-09-01"))
    >>> [f"{day:%d %b}" for day in days]
    ['01 Sep', '01 Oct']
    """
    zone = ZoneInfo(timezone)
    horizon = timedelta(days=options.horizon_days)
    begin, end = local(first_event, timezone), local(first_midnight_after(newest_event, timezone), timezone)
    latest = end - horizon
    if latest <= begin:
        raise HistoryTooShort(
            f"The events span {(end - begin).days} days: {options.horizon_days} days to look ahead leave none before.",
            hint="Take a shorter --horizon, such as 30d.",
        )
    last = latest if options.last is None else local(parse_as_of(options.last, timezone), timezone)
    if last > latest:
        raise HistoryTooShort(
            f"--to {last:%Y-%m-%d} leaves no {options.horizon_days} days to look ahead: the newest event is of "
            f"{local(newest_event, timezone):%Y-%m-%d}.",
            hint=f"The last day that can be judged is {latest:%Y-%m-%d}; or take a shorter --horizon.",
        )
    if options.first is None:
        middle = begin + (last - begin) / 2
        first = middle.replace(hour=0, minute=0, second=0, microsecond=0)
        first = first if first > begin else last
    else:
        first = local(parse_as_of(options.first, timezone), timezone)
    if first <= begin:
        raise HistoryTooShort(
            f"--from {first:%Y-%m-%d} is not after the first event, of {begin:%Y-%m-%d}.",
            hint="Leave some weeks before it, for segments to be found in.",
        )
    if first > last:
        raise HistoryTooShort(f"--from {first:%Y-%m-%d} is later than --to {last:%Y-%m-%d}.")
    days = range(0, (last - first).days + 1, options.every_days)
    return [(first + timedelta(days=n)).replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None) for n in days]


@dataclass
class _Division:
    """One way of dividing users, through the days: where they were last, and what each day's groups came to do."""

    users: NDArray[Any] | None = None
    groups: Groups | None = None
    windows: list[tuple[datetime, Mapping[str, Record]]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """What the users of a day, in order of their ids, did before and after it."""

    users: NDArray[Any]
    recency_days: NDArray[np.float64]
    orders: NDArray[np.float64]
    revenue: NDArray[np.float64]
    future_revenue: NDArray[np.float64]
    asked: Mapping[str, NDArray[np.bool_]]
    """By question, whom it is asked of."""
    answer: Mapping[str, NDArray[np.bool_]]


def _replayed(
    history: Replay, dates: Sequence[datetime], names: Sequence[str], options: BacktestOptions, narrator: Narrator
) -> Backtest:
    horizon = timedelta(days=options.horizon_days)
    divisions: dict[str, _Division] = {}
    rows: list[Worth] = []
    runs: list[str] = []
    # Groups are ranked by what earlier users of theirs did, so the first day needs a window that has closed by then.
    warm_up = dates[0] - horizon
    days = [warm_up, *dates] if history.events_before(warm_up) else list(dates)
    for done, as_of in enumerate(days):
        narrator.progress(done, len(days))
        try:
            outcome = history.refresh(as_of, options.segmentation)
        except TooEarly:
            if as_of in dates:
                raise
            continue  # a first day without a window before it has no AUC
        found = _outcomes(history.engine, as_of, horizon)
        done_for = {plan.name: (plan.action, "; ".join(plan.reasons)) for plan in outcome.plan.segmentations}
        today: dict[str, Groups] = {name: _segments(history.engine, name) for name in names}
        quintiles = rfm_groups(found.recency_days, found.orders, found.revenue)
        today |= {name: numbers.astype(str).astype(object) for name, numbers in quintiles.items()}
        reported = as_of in dates
        if reported and rows:
            runs.append(outcome.run_id)
        for name, groups in today.items():
            division = divisions.setdefault(name, _Division())
            if reported:
                refit = _refit_agreement(history, name, groups) if name in names else None
                rows.append(_worth(division, as_of, name, done_for.get(name, _QUINTILES), found, groups, refit))
                division.users, division.groups = found.users, groups
            did = {q: record(groups[found.asked[q]], found.answer[q][found.asked[q]]) for q in _QUESTIONS}
            division.windows.append((as_of + horizon, did))
    return Backtest(tuple(dates), options.every_days, options.horizon_days, tuple(rows), _causes(history.engine, runs))


def _outcomes(engine: Engine, as_of: datetime, horizon: timedelta) -> _Outcomes:
    table = engine.table(
        sql_text("steps/backtest/outcomes.sql"), {"as_of": as_of, "since": as_of - horizon, "until": as_of + horizon}
    )

    def numbers(column: str) -> NDArray[np.float64]:
        return np.asarray(table[column].cast("double").to_numpy(), dtype=np.float64)

    def flags(column: str) -> NDArray[np.bool_]:
        return np.asarray(table[column].to_numpy(), dtype=bool)

    orders = numbers("orders")
    return _Outcomes(
        np.asarray(table["user_id"].to_numpy(), dtype=object),
        numbers("recency_days"),
        orders,
        numbers("revenue"),
        numbers("future_revenue"),
        {"repurchase": orders > 0, "churn": flags("seen_lately")},
        {"repurchase": flags("buys"), "churn": ~flags("is_seen")},
    )


def _segments(engine: Engine, name: str) -> Groups:
    table = engine.table(
        "select segment_id from segments.membership where segmentation = $name order by user_id", {"name": name}
    )
    return np.asarray(table["segment_id"].to_numpy(), dtype=object)


def _worth(
    division: _Division,
    as_of: datetime,
    name: str,
    done: tuple[str, str],
    found: _Outcomes,
    groups: Groups,
    refit_ari: float | None,
) -> Worth:
    labels = _numbered(groups)
    count = int(labels.max()) + 1
    eta = eta_squared(found.future_revenue, labels)
    eta_of_logs = eta_squared(np.log1p(np.maximum(found.future_revenue, 0.0)), labels)
    moved, ari = None, None
    if division.users is not None and division.groups is not None:
        _, before, now = np.intersect1d(division.users, found.users, assume_unique=True, return_indices=True)
        if before.size:
            moved = float(np.mean(division.groups[before] != groups[now]))
            ari = _agreement(division.groups[before], groups[now])
    return Worth(
        as_of,
        name,
        *done,
        len(groups),
        count,
        eta,
        epsilon_squared(eta, len(groups), count),
        epsilon_squared(eta_of_logs, len(groups), count),
        _curve(division, as_of, "repurchase", found, groups),
        _curve(division, as_of, "churn", found, groups),
        moved,
        ari,
        refit_ari,
    )


def _curve(division: _Division, as_of: datetime, question: str, found: _Outcomes, groups: Groups) -> float | None:
    closed = [records[question] for closes, records in division.windows if closes <= as_of]
    if not closed:
        return None
    known = closed[0]
    for more in closed[1:]:
        known = known.plus(more)
    asked = found.asked[question]
    scores = np.array([known.rate_of(group) for group in groups[asked]], dtype=np.float64)
    return area_under_curve(scores, found.answer[question][asked])


def _refit_agreement(history: Replay, name: str, groups: Groups) -> float | None:
    segmentation = history.project.settings.segmentations[name]
    if not isinstance(segmentation, ClusterSegmentation):
        return None
    blocks = read_blocks(history.engine, history.project, segmentation)
    seed = history.project.settings.project.seed + 1
    fresh = labels_of_a_fresh_fit(segmentation, blocks, seed=seed, k=len(set(groups)))
    return _agreement(groups, fresh.astype(str).astype(object))


def _agreement(one: Groups, other: Groups) -> float:
    first, second = _numbered(one), _numbered(other)
    return adjusted_rand_index(contingency(first, second, int(first.max()) + 1, int(second.max()) + 1))


def _numbered(groups: Groups) -> NDArray[np.int64]:
    return np.unique(groups.astype(str), return_inverse=True)[1].astype(np.int64)


def _causes(engine: Engine, runs: Sequence[str]) -> tuple[CauseOfMoves, ...]:
    if not runs:
        return ()
    rows = engine.rows(
        "select segmentation, cause, sum(user_count)::bigint from segments.transition "
        "where list_contains($runs, run_id) and cause not in ('first_seen', 'erased') group by all order by all",
        {"runs": list(runs)},
    )
    return tuple(CauseOfMoves(*row) for row in rows)
