"""`sqlseg check`."""

from pathlib import Path

import typer

from sqlseg.cli.console import (
    JsonOption,
    ProjectOption,
    WaitOption,
    patience,
    print_json,
    print_table,
    printable,
    stdout,
    system_clock,
)
from sqlseg.workflow.rechecking import check_project


def check(project: ProjectOption = Path(), wait: WaitOption = 0.0, json: JsonOption = False) -> None:
    """Check what the last refresh left: tags, counts, freshness, tiers, sizes, drift; 1 where an error is found."""
    run_id, results = check_project(project, system_clock(), patience(wait))
    failed = [result for result in results if not result.passed]
    if json:
        print_json({"run_id": run_id, "checks": [{**vars(result), "passed": result.passed} for result in results]})
    else:
        counted = "all passed" if not failed else f"{len(failed):,} failed"
        stdout().print(f"{len(results):,} checks of what {run_id} left: {counted}.", soft_wrap=True)
        if failed:
            print_table(
                None,
                ["check", "of", "severity", "rows", ""],
                [(one.name, one.relation, one.severity, one.failing_rows, printable(one.detail)) for one in failed],
            )
    if any(result.stops for result in results):
        raise typer.Exit(1)
