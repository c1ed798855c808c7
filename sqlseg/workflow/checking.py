"""Checks what a refresh has computed before it is published, and again whenever somebody asks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.features.checks import CheckQuery, Severity, check_queries
from sqlseg.features.view import View
from sqlseg.names import Relation
from sqlseg.resources import sql_text
from sqlseg.settings import RulesSegmentation, Settings, setting_problem
from sqlseg.workflow.materialise import fresh_rows

if TYPE_CHECKING:
    from sqlseg.workflow.work import Work

_TABLE_CHECKS = (
    ("one_segment_a_user", "segments.membership"),
    ("every_user_has_a_segment", "segments.membership"),
    ("segment_counts_add_up", "segments.segment"),
    ("one_open_stay_a_user", "segments.membership_history"),
    ("stays_follow_one_another", "segments.membership_history"),
    ("names_are_distinct", "segments.segment"),
    ("one_model_a_version", "segments.model"),
    ("daily_counts_add_up", "segments.daily"),
    ("daily_revenue_adds_up", "segments.daily"),
    ("events_are_accounted_for", "quality.rejection"),
)

_HISTORY = Relation("segments", "membership_history")
_FOLLOW = "stays_follow_one_another"

VALUE_VIEW = "feature_rfm_v1"
"""The table of rfm@1, by which tiers of value are judged."""


@dataclass(frozen=True)
class CheckResult:
    """What one check found; `detail` says in words what failed, where rows alone say little."""

    name: str
    relation: str
    severity: Severity
    failing_rows: int
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether no row failed."""
        return self.failing_rows == 0

    @property
    def stops(self) -> bool:
        """Whether this keeps the result from being published."""
        return not self.passed and self.severity == "error"


class CheckFailed(SqlsegError):
    """A check of severity error found rows; nothing is published. `results` holds what every check found."""

    def __init__(self, results: Sequence[CheckResult]) -> None:
        self.results = tuple(results)
        told = "; ".join(
            f"{check.name} ({check.failing_rows:,} rows in {check.relation}{f': {check.detail}' * bool(check.detail)})"
            for check in results
            if check.stops
        )
        super().__init__(
            f"The result does not pass its checks: {told}.",
            hint="Nothing was changed or published. Correct the view, the rule or the source; the tags of columns and "
            "[checks] in sqlseg.toml say what is checked. `sqlseg refresh --publish-anyway` publishes it as it is.",
        )


def run_checks(work: "Work", by_user: Mapping[Relation, str]) -> None:
    """Run every check and record it. Raises CheckFailed where one of severity error fails, unless told to publish.

    In the tables `by_user` only rows of some users are others than the last refresh left: those of the relation named.
    """
    if work.checked is None:
        check_features(work)
    settings, run = work.project.settings, work.run
    moved = by_user.get(_HISTORY) if _FOLLOW in _passed(work) else None
    table_results = _table_results(work.engine, settings, run_id=run.run_id, now=run.started_at, moved=moved)
    results = [*(work.checked or ()), *table_results]
    record_checks(work.engine, work.run.run_id, results)
    if any(check.stops for check in results) and not work.publish_anyway:
        raise CheckFailed(results)
    for check in results:
        if not check.passed:
            told = check.detail or "out of what was declared"
            work.narrator.note(f"Check {check.name}: {check.failing_rows:,} rows of {check.relation} ({told}).")


def check_features(work: "Work") -> None:
    """Check the features as they are now, for `run_checks` to record: nothing of it depends on segments."""
    views, checks = (*work.plan.features(), *work.learned_views), work.project.settings
    stand = frozenset(view for view in work.plan.features() if not work.concerns_everyone(view))
    if not work.views_stand or work.last is None:
        work.checked = _feature_results(work.engine, checks, views)
        return
    work.checked = _feature_results(work.engine, checks, views, stand, _passed(work))


def _passed(work: "Work") -> frozenset[str]:
    """Return the checks that found nothing in what the last refresh left."""
    if work.last is None:
        return frozenset()
    passed = "select check_name from quality.check where run_id = $run_id and passed"
    return frozenset(row[0] for row in work.engine.rows(passed, {"run_id": work.last.run_id}))


def check_results(
    engine: Engine, settings: Settings, views: Sequence[View], *, run_id: str, now: datetime
) -> list[CheckResult]:
    """Return what every check finds in the warehouse: the tags of views, the tables, and what `[checks]` declares.

    `run_id` is the refresh that left the tables as they are, `now` is UTC. Raises InvalidSettings where tiers are
    declared that cannot be judged.
    """
    return [*_feature_results(engine, settings, views), *_table_results(engine, settings, run_id=run_id, now=now)]


def _feature_results(
    engine: Engine,
    settings: Settings,
    views: Sequence[View],
    of_touched: Collection[View] = (),
    passed: Collection[str] = (),
) -> list[CheckResult]:
    """Return what the tags of views find.

    Of the views `of_touched` only rows of touched users are others than at the last refresh, so a check of single rows
    that `passed` then looks at their fresh rows alone. There is one row a user, as whoever computed them has counted.
    """
    results = []
    for view in views:
        table = f"sqlseg.{view.table}"
        theirs = fresh_rows(view.table)
        stands = {
            query.name
            for query in check_queries(view, table)
            if view in of_touched and query.name in passed and not query.name.endswith(".unique")
        }
        of_all = [one for one in check_queries(view, table, every_user=True) if one.name not in stands]
        of_some = [one for one in check_queries(view, theirs, every_user=True) if one.name in stands]
        failing = {**_failing_rows(engine, table, of_all), **_failing_rows(engine, theirs, of_some)}
        for query in check_queries(view, table, every_user=True):
            severity = "error" if query.name.rpartition(".")[2] in settings.checks.errors else query.severity
            results.append(CheckResult(query.name, query.relation, severity, failing[query.name]))
    return results


def _failing_rows(engine: Engine, rows: str, queries: Sequence[CheckQuery]) -> dict[str, int]:
    """Return how many rows fail each check.

    Those that look at single rows are counted in one pass, in which others may show that they find nothing.
    """
    told = {query.name: _told_in_passing(query) for query in queries}
    in_passing = {name: aggregate for name, aggregate in told.items() if aggregate is not None}
    failing: dict[str, int | None] = dict.fromkeys(told)
    if in_passing:
        found = engine.row(f"select {', '.join(in_passing.values())} from {rows} as r")
        assert found is not None
        failing |= dict(zip(in_passing, found, strict=True))
    return {
        query.name: engine.value(f"select count(*) from (\n{query.sql}\n)") if count is None else int(count)
        for query, count in zip(queries, failing.values(), strict=True)
    }


def _told_in_passing(query: CheckQuery) -> str | None:
    """Return the aggregate that says how many rows fail a check, NULL where that takes a query of its own."""
    if query.condition is not None:
        return f"count(*) filter (where {query.condition})"
    return None if query.proof is None else f"case when {query.proof} then 0 end"


def _table_results(
    engine: Engine, settings: Settings, *, run_id: str, now: datetime, moved: str | None = None
) -> list[CheckResult]:
    """Return what the checks of tables find; the stays of all but the users of `moved` are known to be in order."""
    errors, results = settings.checks.errors, []
    settled = _settled(engine)
    engine.create_temp_view("stays_looked_at", _stays_to_look_at(settled, moved))
    for name, relation in _TABLE_CHECKS:
        failing = 0 if name in settled else len(_failing(engine, name, {}))
        results.append(CheckResult(name, relation, "error", failing))
    engine.execute("drop view stays_looked_at; drop table members")
    results.append(
        CheckResult(
            "events_balance", "segments.run", "error", len(_failing(engine, "events_balance", {"run_id": run_id}))
        )
    )
    for kind, name, relation, parameters in _declared(settings, run_id, now):
        rows_found = _failing(engine, name, parameters)
        detail = ", ".join(_told(row) for row in rows_found[:3]) + ", ..." * (len(rows_found) > 3)
        results.append(CheckResult(name, relation, "error" if kind in errors else "warning", len(rows_found), detail))
    return results + _tiers(engine, settings)


def _settled(engine: Engine) -> frozenset[str]:
    """Return the checks of every user's segment of which sums over all rows prove that they find nothing.

    A sum of hashes of 64 bits is that of the same users, but for one case in 10^19. Leaves the temporary table members.
    """
    engine.execute(sql_text("steps/checks/members.sql"))
    one_segment_each, stays_are_members = engine.rows(sql_text("steps/checks/sums_agree.sql"))[0]
    settled = {"one_segment_a_user", "every_user_has_a_segment"} if one_segment_each else set()
    return frozenset(settled | ({"one_open_stay_a_user"} if stays_are_members else set()))


def _stays_to_look_at(settled: Collection[str], moved: str | None) -> str:
    """Return a SELECT of the stays among which those are that may not follow one another.

    Where every user has one open stay, that of a user who has no other follows none.
    """
    if not {"one_segment_a_user", "one_open_stay_a_user"} <= set(settled):
        return f"select * from {_HISTORY}"
    users = moved or f"{_HISTORY} where valid_to is not null"
    return f"select * from {_HISTORY} where user_id in (select user_id from {users})"


def _declared(settings: Settings, run_id: str, now: datetime) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """Return the checks that `[checks]` sets bounds for: their kind, name, relation and parameters."""
    checks = settings.checks
    found: list[tuple[str, str, str, Mapping[str, Any]]] = [
        ("size", "segments_are_not_too_small", "segments.segment", {"min_share": checks.min_share}),
        ("size", "segments_are_not_too_large", "segments.segment", {"max_share": checks.max_share}),
        ("drift", "inputs_have_not_drifted", "segments.drift", {"run_id": run_id}),
    ]
    if checks.max_age_days is not None:
        oldest = now - timedelta(days=checks.max_age_days)
        found.append(("freshness", "events_are_fresh", "sqlseg.events", {"oldest": oldest}))
    return found


def _failing(engine: Engine, name: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return engine.rows(sql_text(f"steps/checks/{name}.sql"), parameters or None)


def _told(row: tuple[Any, ...]) -> str:
    return " ".join(f"{value:.1%}" if isinstance(value, float) else f"{value}" for value in row)


def _tiers(engine: Engine, settings: Settings) -> list[CheckResult]:
    """Return, of each rule that declares tiers, how many buyers stand below somebody who is worse in everything."""
    results = []
    for name, segmentation in settings.segmentations.items():
        if not isinstance(segmentation, RulesSegmentation) or segmentation.tiers is None:
            continue
        if not engine.relation_exists("sqlseg", VALUE_VIEW):
            message = "tiers are judged by rfm@1, which this project does not compute; add it to [features] publish"
            raise setting_problem(settings, ("segmentations", name, "tiers"), message)
        import numpy as np

        from sqlseg.insight.monotonicity import ranked_below_worse

        rows = engine.table(sql_text("steps/checks/tiers.sql"), {"segmentation": name})
        numbers = {tier: number for number, tier in enumerate(segmentation.tiers)}
        tier = np.array([numbers.get(segment, -1) for segment in rows["segment_name"].to_pylist()], dtype=np.int64)
        judged = tier >= 0
        measures = [rows[column].to_numpy()[judged] for column in ("recency", "orders", "spend")]
        below = ranked_below_worse(measures[0], measures[1], np.round(measures[2], 2), tier[judged])
        severity: Severity = "error" if "monotonicity" in settings.checks.errors else "warning"
        told = "users in a lower tier than somebody less recent, less frequent and of less spend" if below.any() else ""
        results.append(CheckResult(f"{name}.monotonicity", "segments.membership", severity, int(below.sum()), told))
    return results


def record_checks(engine: Engine, run_id: str, results: Sequence[CheckResult]) -> None:
    """Replace what `quality.check` says of a run."""
    engine.execute("delete from quality.check where run_id = $run_id", {"run_id": run_id})
    import pyarrow as pa

    rows = pa.table(
        {
            "run_id": pa.array([run_id] * len(results), pa.string()),
            "check_name": pa.array([check.name for check in results], pa.string()),
            "relation": pa.array([check.relation for check in results], pa.string()),
            "severity": pa.array([check.severity for check in results], pa.string()),
            "passed": pa.array([check.passed for check in results], pa.bool_()),
            "failing_rows": pa.array([check.failing_rows for check in results], pa.int64()),
        }
    )
    with engine.registered("check_rows", rows):
        engine.execute("insert into quality.check by name select * from check_rows")
