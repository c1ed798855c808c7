"""`sqlseg init`, `sqlseg demo` and `sqlseg synth`."""

import sys
from pathlib import Path
from shutil import which
from typing import Annotated

import typer

from sqlseg.cli.console import JsonOption, Terminal, print_json, print_table, stderr, stdout, system_clock, usable_path
from sqlseg.cli.overview import print_overview
from sqlseg.cli.refresh import print_outcome
from sqlseg.settings import load_settings
from sqlseg.workflow.outcome import Options
from sqlseg.workflow.refresh import refresh as run_refresh

NewFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the new project.", callback=usable_path)]


def init(
    directory: NewFolder,
    events: Annotated[
        str | None,
        typer.Option(
            "--events", metavar="FILE_OR_TABLE", help="Parquet, CSV, a folder of them, or FILE.duckdb::TABLE."
        ),
    ] = None,
    project: Annotated[Path, typer.Option("--project", hidden=True)] = Path(),
    json: JsonOption = False,
) -> None:
    """Make a project; look at the source and propose how to read it as events."""
    from sqlseg.workflow.creating import create_project

    made = create_project(project / directory, events, Path.cwd())
    if json:
        print_json(
            {
                "directory": made.directory,
                "files": made.files,
                "guesses": [vars(guess) for guess in made.proposal.guesses] if made.proposal else [],
                "unused_columns": made.proposal.unused if made.proposal else [],
                "events_sql": made.proposal.sql if made.proposal else None,
            }
        )
        return
    console = stdout()
    if made.proposal is not None:
        console.print(made.proposal.sql, markup=False, soft_wrap=True)
        print_table(
            "How the source was read",
            ["column", "taken for", "because", ""],
            [(g.column, g.target, g.reason, "" if g.certain else "please check") for g in made.proposal.guesses],
        )
        if made.proposal.unused:
            stderr.print(f"- Not used: {', '.join(made.proposal.unused)}.", markup=False, soft_wrap=True)
    files = ", ".join(str(file) for file in made.files)
    console.print(f"\nA project is in {made.directory}: {files}.", markup=False, soft_wrap=True)
    where = f" --project {directory}"
    if made.proposal is None:
        console.print(f"Fill in sql/events.sql, then run: sqlseg refresh{where}", markup=False, soft_wrap=True)
    else:
        console.print(f"Check sql/events.sql, then run: sqlseg refresh{where}", markup=False, soft_wrap=True)


def demo(
    directory: NewFolder,
    project: Annotated[Path, typer.Option("--project", hidden=True)] = Path(),
    json: JsonOption = False,
) -> None:
    """Make a project on a year of grocery shopping by 2,469 households, refresh it, and show its segments."""
    from sqlseg.workflow.creating import create_demo

    place = project / directory
    create_demo(place)
    outcome = run_refresh(place, Options(), system_clock(), Terminal())
    published = load_settings(place).warehouse.published
    if json:
        print_json({"project": place, "published": published, "users": outcome.users_total, "run_id": outcome.run_id})
        return
    print_outcome(outcome)
    print_overview(published)
    command = _this_command()
    stdout().print(
        f"\nThe published file, for SQL and BI tools: {published}\n\n"
        "Next, try:\n"
        f"  {command} segments show behavior --project {directory}\n"
        f"  {command} segments explain 1228 --project {directory}\n"
        f'  {command} query "select segment_name, count(*) as users, avg(rfm__spend) as spend '
        f'from segments.behavior_users group by all order by spend desc" --project {directory}',
        markup=False,
        soft_wrap=True,
    )


def _this_command() -> str:
    """Return how the reader can call sqlseg from here: by its name, or by its path where the name is not found."""
    called = Path(sys.argv[0])
    return called.name if called.name != "sqlseg" or which("sqlseg") == str(called.absolute()) else str(called)


def synth(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.parquet", help="The Parquet file to write.", callback=usable_path)
    ],
    users: Annotated[int, typer.Option("--users", min=1, max=10**10, help="How many users the shop has.")],
    events: Annotated[int, typer.Option("--events", min=1, max=10**11, help="How many events they cause in all.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same shop.")] = 0,
    project: Annotated[Path, typer.Option("--project", hidden=True)] = Path(),
    json: JsonOption = False,
) -> None:
    """Write the events of a simulated shop whose behaviour groups are known, for trying scale."""
    from sqlseg.synth.writer import write_synthetic_events

    narrator = Terminal()
    with narrator.step("Simulating"):
        written = write_synthetic_events(project / file, users, events, seed)
    if json:
        print_json(vars(written))
        return
    stdout().print(
        f"{written.path}: {written.events:,} events of {written.users:,} users in {len(written.groups)} groups "
        f"({', '.join(written.groups)}).\nNext: sqlseg init DIR --events {written.path}",
        markup=False,
        soft_wrap=True,
    )
