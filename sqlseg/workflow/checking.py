"""Checks what a refresh has computed before it is published, and again whenever somebody asks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.features.checks import CheckQuery, Severity, check_queries
from sqlseg.features.view import View
from sqlseg.insight.monotonicity import ranked_below_worse
from sqlseg.resources import sql_text
from sqlseg.settings import RulesSegmentation, Settings, setting_problem
from sqlseg.workflow.touched import TOUCHED
from sqlseg.workflow.work import Work

_TABLE_CHECKS = (
    ("one_segment_a_user", "segments.membership"),
    ("every_user_has_a_segment", "segments.membership"),
    ("segment_counts_add_up", "segments.segment"),
    ("one_open_stay_a_user", "segments.membership_history"),
    ("stays_follow_one_another", "segments.membership_history"),
    ("names_are_distinct", "segments.segment"),
    ("one_model_a_version", "segments.model"),
    ("daily_revenue_adds_up", "segments.daily"),
    ("events_are_accounted_for", "quality.rejection"),
)

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


def run_checks(work: Work) -> None:
    """Run every check and record it. Raises CheckFailed where one of severity error fails, unless told to publish."""
    if work.checked is None:
        check_features(work)
    results = [
        *(work.checked or ()),
        *_table_results(work.engine, work.project.settings, run_id=work.run.run_id, now=work.run.started_at),
    ]
    record_checks(work.engine, work.run.run_id, results)
    if any(check.stops for check in results) and not work.publish_anyway:
        raise CheckFailed(results)
    for check in results:
        if not check.passed:
            told = check.detail or "out of what was declared"
            work.narrator.note(f"Check {check.name}: {check.failing_rows:,} rows of {check.relation} ({told}).")


def check_features(work: Work) -> None:
    """Check the features as they are now, for `run_checks` to record: nothing of it depends on segments."""
    views, checks = (*work.plan.features(), *work.learned_views), work.project.settings
    stand = frozenset(view for view in work.plan.features() if not work.concerns_everyone(view))
    if not work.views_stand or work.last is None:
        work.checked = _feature_results(work.engine, checks, views)
        return
    passed = frozenset(
        row[0]
        for row in work.engine.rows(
            "select check_name from quality.check where run_id = $run_id and passed", {"run_id": work.last.run_id}
        )
    )
    work.checked = _feature_results(work.engine, checks, views, stand, passed)


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
    that `passed` then looks at these alone. There is one row a user, as whoever computed them has counted.
    """
    results = []
    for view in views:
        table = f"sqlseg.{view.table}"
        theirs = f"(select * from {table} where user_id in (select user_id from {TOUCHED}))"
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
    """Return how many rows fail each check; those that look at single rows are counted in one pass."""
    single = [query for query in queries if query.condition is not None]
    failing = {
        query.name: int(engine.value(f"select count(*) from (\n{query.sql}\n)"))
        for query in queries
        if query.condition is None
    }
    if single:
        counts = ", ".join(f"count(*) filter (where {query.condition})" for query in single)
        found = engine.row(f"select {counts} from {rows} as r")
        assert found is not None
        failing |= {query.name: int(count) for query, count in zip(single, found, strict=True)}
    return failing


def _table_results(engine: Engine, settings: Settings, *, run_id: str, now: datetime) -> list[CheckResult]:
    errors, results = settings.checks.errors, []
    for name, relation in _TABLE_CHECKS:
        results.append(CheckResult(name, relation, "error", len(_failing(engine, name, {}))))
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
