"""`sqlseg features`: the versions of feature views, what they compute, and whether they hold."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sqlseg.cli.console import (
    JsonOption,
    ProjectOption,
    WaitOption,
    patience,
    print_json,
    print_table,
    stderr,
    stdout,
)
from sqlseg.features.comparison import compare_views
from sqlseg.features.lineage import view_lineage
from sqlseg.features.view import View
from sqlseg.workflow.locking import lock_new_versions, published_lock
from sqlseg.workflow.project import Project, open_registry
from sqlseg.workflow.viewing import check_views, pasteable_sql

app = typer.Typer(help="Versioned feature views.", no_args_is_help=True, rich_markup_mode=None)

ViewArgument = Annotated[str, typer.Argument(metavar="NAME@K", help="A version of a feature view, such as rfm@1.")]


@app.command("list")
def list_features(project: ProjectOption = Path(), json: JsonOption = False) -> None:
    """List the feature views there are: those that ship with sqlseg and the shop's own."""
    opened = open_registry(project)
    rows = [_row(opened, view) for view in opened.registry.all("features")]
    if json:
        print_json(rows)
        return
    columns = ["view", "columns", "from", "status", "summary"]
    print_table(None, columns, [tuple(row[column] for column in columns) for row in rows])


def _row(project: Project, view: View) -> dict[str, Any]:
    shipped = view.path.is_relative_to(project.sql_roots[0])
    locked = f"features/{view.path.name}" in published_lock(project, view).texts
    used = view in project.computed_views()
    return {
        "view": view.ref,
        "columns": len(view.values),
        "from": "sqlseg" if shipped else "this project",
        "status": ", ".join([*(["published"] if locked else ["new"]), *(["in use"] if used else [])]),
        "summary": view.summary,
        "path": view.path,
    }


@app.command()
def show(
    name: ViewArgument,
    sql: Annotated[bool, typer.Option("--sql", help="Print SQL for any DuckDB shell on the warehouse.")] = False,
    project: ProjectOption = Path(),
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Show what a feature view computes, column by column, and from what."""
    opened = open_registry(project)
    view = opened.registry.view("features", name)
    if sql:
        text = pasteable_sql(opened, view, patience(wait))
        if json:
            print_json({"view": view.ref, "sql": text})
        else:
            stdout().print(f"{text};", markup=False, soft_wrap=True)
        return
    lineage = view_lineage(opened.registry, view)
    columns: list[dict[str, Any]] = [
        {
            "column": column.name,
            "description": column.description,
            "default": column.default,
            "checks": [str(check) for check in column.checks],
            "from": list((lineage.columns or {}).get(column.name, ())),
        }
        for column in view.columns
    ]
    if json:
        print_json(
            {**_row(opened, view), "description": view.description, "reads": lineage.upstream, "columns": columns}
        )
        return
    console = stdout()
    console.print(f"{view.ref}  {view.summary} {view.description}", markup=False, soft_wrap=True)
    console.print(f"reads {', '.join(lineage.reads)}; {view.path}\n", markup=False, soft_wrap=True)
    print_table(
        None,
        ["column", "description", "without events", "computed from"],
        [(c["column"], c["description"], c["default"] or "NULL", ", ".join(c["from"])) for c in columns],
    )


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="NAME@A", help="The older version.")],
    new: Annotated[str, typer.Argument(metavar="NAME@B", help="The newer version.")],
    project: ProjectOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show what differs between two versions of a feature view."""
    registry = open_registry(project).registry
    found = compare_views(registry.view("features", old), registry.view("features", new))
    if json:
        print_json(vars(found))
        return
    console = stdout()
    for line in found.text:
        console.print(line, markup=False, soft_wrap=True)
    console.print("\nBoth compute the same." if found.same_result else "\n" + "\n".join(found.summary()), markup=False)


@app.command()
def check(project: ProjectOption = Path(), wait: WaitOption = 0.0, json: JsonOption = False) -> None:
    """Check every view on the warehouse's events: one row a user, its column tags, the same rows on slices of users."""
    results = check_views(project, patience(wait))
    if json:
        print_json([vars(result) for result in results])
    else:
        failed = [result for result in results if result.failing_rows]
        stdout().print(f"{len(results)} checks, {len(failed)} with rows that fail.")
        if failed:
            rows = [(r.name, r.severity, r.failing_rows, r.example) for r in failed]
            print_table(None, ["check", "severity", "rows", "for example"], rows)
    if any(result.failing_rows and result.severity == "error" for result in results):
        raise typer.Exit(1)


@app.command()
def lock(project: ProjectOption = Path(), json: JsonOption = False) -> None:
    """Put every version of the shop's own views on record, so that none can change its meaning unseen."""
    added = lock_new_versions(open_registry(project), every=True)
    if json:
        print_json({"added": added})
    elif added:
        stdout().print(f"features.lock now holds {', '.join(added)}.", markup=False)
    else:
        stderr.print("Nothing to add: every version is on record already.")
