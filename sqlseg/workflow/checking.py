"""Checks what a refresh has computed before it is published; each check is a query that must return no rows."""

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.features.checks import CheckQuery, check_queries
from sqlseg.resources import sql_text
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


class CheckFailed(SqlsegError):
    """A check of severity error found rows; nothing is published."""

    def __init__(self, failed: list[tuple[CheckQuery, int]]) -> None:
        told = "; ".join(f"{check.name} ({rows:,} rows in {check.relation})" for check, rows in failed)
        super().__init__(
            f"The result does not pass its checks: {told}.",
            hint="Nothing was changed. Correct the view or the source; the tags of its columns say what is checked.",
        )


def run_checks(work: Work) -> None:
    """Run every check and record it. Raises CheckFailed where one of severity error does not pass."""
    checks = [
        check
        for view in (*work.plan.features(), *work.learned_views)
        for check in check_queries(view, f"sqlseg.{view.table}", every_user=True)
    ]
    for name, relation in _TABLE_CHECKS:
        checks.append(CheckQuery(name, relation, "error", sql_text(f"steps/checks/{name}.sql")))
    failed = []
    for check in checks:
        rows = _failing_rows(work.engine, check)
        work.engine.execute(
            "insert into quality.check values ($run_id, $name, $relation, $severity, $passed, $rows)",
            {
                "run_id": work.run.run_id,
                "name": check.name,
                "relation": check.relation,
                "severity": check.severity,
                "passed": rows == 0,
                "rows": rows,
            },
        )
        if rows and check.severity == "error":
            failed.append((check, rows))
        elif rows:
            work.narrator.note(f"Check {check.name}: {rows:,} rows of {check.relation} are out of what was declared.")
    if failed:
        raise CheckFailed(failed)


def _failing_rows(engine: Engine, check: CheckQuery) -> int:
    return int(engine.value(f"select count(*) from (\n{check.sql}\n)"))
