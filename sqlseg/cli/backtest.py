"""`sqlseg backtest`."""

import csv
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqlseg.cli.console import (
    JsonOption,
    ProjectOption,
    Terminal,
    cell_text,
    print_json,
    print_table,
    stdout,
    system_clock,
)

if TYPE_CHECKING:
    from sqlseg.workflow.backtest import Backtest

_TITLES = {
    "revenue_eta2": "revenue η²",
    "revenue_epsilon2": "revenue ε²",
    "log_revenue_epsilon2": "log revenue ε²",
    "repurchase_auc": "buys again AUC",
    "churn_auc": "churn AUC",
    "moved": "moved",
    "ari": "ARI",
    "refit_ari": "refit ARI",
}


def backtest(
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="T", help="The first day. Without it, half of the history comes before."),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", metavar="T", help="The last day. Without it, the last with a full horizon after it."),
    ] = None,
    every: Annotated[str, typer.Option("--every", metavar="DAYS", help="From one day to the next.")] = "30d",
    horizon: Annotated[str, typer.Option("--horizon", metavar="DAYS", help="How far to look ahead.")] = "90d",
    segmentation: Annotated[
        str | None, typer.Option("--segmentation", metavar="NAME", help="This segmentation only.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: a row for each day and division.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    project: ProjectOption = Path(),
    json: JsonOption = False,
) -> None:
    """Replay history at past days and tell what segments were worth, beside RFM quintiles; changes nothing."""
    if json + as_csv + markdown > 1:
        raise typer.BadParameter("choose one of --json, --csv and --markdown")
    days = _days("--every", every), _days("--horizon", horizon)
    from sqlseg.workflow import backtest as workflow

    options = workflow.BacktestOptions(first, last, *days, segmentation)
    found = workflow.backtest(project, options, system_clock(), Terminal())
    if json:
        print_json({**asdict(found), "means": found.means()})
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, list(asdict(found.rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in found.rows)
    else:
        _print_result(found, markdown=markdown)


def _days(option: str, text: str) -> int:
    found = re.fullmatch(r"([1-9]\d{0,3})\s*(d|w)?", text.strip())
    if found is None:
        raise typer.BadParameter(f"{option} must be a number of days such as 30d, or of weeks such as 4w, got {text!r}")
    return int(found[1]) * (7 if found[2] == "w" else 1)


def _print_result(found: "Backtest", *, markdown: bool) -> None:
    dates = "1 day" if len(found.dates) == 1 else f"{len(found.dates)} days, {found.every_days} days apart"
    _print(
        markdown,
        f"What divisions of users were worth in the {found.horizon_days} days after (means over {dates})",
        ["division", "groups", *_TITLES.values()],
        [
            (mean["division"], cell_text(round(mean["groups"], 1)), *(_number(m, mean[m]) for m in _TITLES))
            for mean in found.means()
        ],
    )
    _print(
        markdown,
        "Day by day",
        ["as of (UTC)", "division", "done", "users", "groups", *_TITLES.values()],
        [
            (
                f"{row.as_of:%Y-%m-%d}",
                row.division,
                row.action,
                row.users,
                row.groups,
                *(_number(m, getattr(row, m)) for m in _TITLES),
            )
            for row in found.rows
        ],
    )
    if found.causes:
        _print(
            markdown,
            "Why users moved from day to day",
            ["segmentation", "cause", "moves"],
            [(one.segmentation, one.cause, one.user_count) for one in found.causes],
        )
    for note in found.notes:
        stdout().print(f"\n{note}", markup=False, soft_wrap=True)


def _number(measure: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1%}" if measure == "moved" else f"{value:.3f}"


def _print(markdown: bool, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    if not markdown:
        print_table(f"\n{title}", columns, rows)
        return
    lines = [f"\n{title}:\n", f"| {' | '.join(columns)} |", f"|{'|'.join(['---'] + ['--:'] * (len(columns) - 1))}|"]
    lines += [f"| {' | '.join(cell_text(value) for value in row)} |" for row in rows]
    stdout().print("\n".join(lines), markup=False, soft_wrap=True)
