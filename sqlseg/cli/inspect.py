"""`sqlseg query` and `sqlseg doctor`."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqlseg.cli.console import (
    JsonOption,
    ProjectOption,
    print_json,
    print_table,
    spreadsheet_safe,
    stdout,
    system_clock,
    write_text,
)
from sqlseg.resources import shop_text
from sqlseg.settings import load_settings
from sqlseg.workflow.reading import run_query

if TYPE_CHECKING:
    from sqlseg.workflow.examining import Finding


def query(
    sql: Annotated[str, typer.Argument(metavar='"SELECT ..." | FILE.sql', help="A SELECT, or a file that holds one.")],
    project: ProjectOption = Path(),
    json: JsonOption = False,
    as_csv: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="Print CSV as in RFC 4180, but with LF at the end of lines; an apostrophe keeps texts from being "
            "formulas in a spreadsheet.",
        ),
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="With --csv: texts as they are, for other programs.")] = False,
) -> None:
    """Run a SELECT on the published file."""
    if json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if exact and not as_csv:
        raise typer.BadParameter("says how to write CSV; add --csv.", param_hint="--exact")
    name = sql if _is_file(sql) else "the query"
    table = run_query(load_settings(project), _text(sql), name=name, base=Path.cwd())
    if json:
        print_json(table.to_pylist())
    elif as_csv:
        rows = [table.column_names, *(tuple(row.values()) for row in table.to_pylist())]
        write_text(_csv(rows if exact else [[spreadsheet_safe(value) for value in row] for row in rows]))
    else:
        print_table(None, table.column_names, [tuple(row.values()) for row in table.to_pylist()])


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as RFC 4180 has them, but for the ends of lines.

    Of its CRLF, cut, sort and join would keep a part in the last column; so psql and most others write LF.
    """
    text = io.StringIO()
    for row in rows:
        # With CRLF as its end, the writer also quotes what holds a CR, as it has to be.
        line = io.StringIO()
        csv.writer(line).writerow(row)
        text.write(line.getvalue().removesuffix("\r\n") + "\n")
    return text.getvalue()


def _is_file(sql: str) -> bool:
    return sql.strip().lower().endswith(".sql")


def _text(sql: str) -> str:
    return shop_text(Path(sql)) if _is_file(sql) else sql


def doctor(
    project: ProjectOption = Path(),
    bi: Annotated[
        bool,
        typer.Option(
            "--bi", help="Say whether BI tools can read the published file, and what to paste to open it in each."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say what is installed, which provider really starts, and whether the published file opens."""
    if bi:
        _doctor_for_bi(project, json=json)
        return
    from sqlseg.workflow.examining import examine

    findings = examine(project, system_clock())
    if json:
        print_json([vars(finding) for finding in findings])
    else:
        _print_findings(findings)
        for finding in findings:
            if finding.fine is False and finding.advice:
                stdout().print(f"{finding.what}: {finding.advice}", markup=False, soft_wrap=True)
    if any(finding.fine is False for finding in findings):
        raise typer.Exit(1)


def _print_findings(findings: Sequence["Finding"]) -> None:
    marks = {True: "ok", False: "problem", None: ""}
    print_table(None, ["what", "found", ""], [(f.what, f.found, marks[f.fine]) for f in findings])


def _doctor_for_bi(project: Path, *, json: bool) -> None:
    from sqlseg.workflow.bi_readiness import examine_for_bi

    report = examine_for_bi(project, system_clock())
    if json:
        print_json(
            {
                "published": report.path,
                "findings": [vars(finding) for finding in report.findings],
                "connections": [vars(one) for one in report.connections],
            }
        )
    else:
        _print_findings(report.findings)
        console = stdout()
        for finding in report.findings:
            if finding.fine is not True and finding.advice:
                console.print(f"\n{finding.what}: {finding.advice}", markup=False, soft_wrap=True)
        for one in report.connections:
            console.print(f"\n[bold]{one.tool}[/]", soft_wrap=True)
            console.print(
                "\n".join(f"  {line}".rstrip() for line in one.text.split("\n")), markup=False, soft_wrap=True
            )
            if one.note:
                console.print(f"  ({one.note})", markup=False, soft_wrap=True)
    if any(finding.fine is False for finding in report.findings):
        raise typer.Exit(1)
