"""`sqlseg segments`: what the segments are, why a user is in one, and what people call them."""

from pathlib import Path
from typing import Annotated

import typer

from sqlseg.cli.console import (
    JsonOption,
    ProjectOption,
    Terminal,
    WaitOption,
    patience,
    print_json,
    print_table,
    printable,
    stdout,
    write_text,
)
from sqlseg.cli.explanation import minute, named_segment, plain_place, print_place
from sqlseg.cli.overview import print_overview
from sqlseg.segments.sql_parts import Dialect
from sqlseg.settings import load_settings
from sqlseg.workflow.comparing import Descent, Difference, difference
from sqlseg.workflow.project import open_project
from sqlseg.workflow.reading import SegmentRow, segment_overview, segmentation_sheet, segmentation_sql
from sqlseg.workflow.renaming import rename_segment
from sqlseg.workflow.warehouse import open_warehouse

app = typer.Typer(help="What the segments are, and why a user is in one.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_segments(project: ProjectOption = Path(), json: JsonOption = False) -> None:
    """List the published segments of every segmentation."""
    published = load_settings(project).warehouse.published
    if json:
        print_json({name: [vars(row) for row in rows] for name, rows in segment_overview(published).items()})
        return
    print_overview(published)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A segmentation of sqlseg.toml.")],
    sql: Annotated[
        bool, typer.Option("--sql", help="Print its scoring as SQL over features.*: the membership of every user.")
    ] = False,
    dialect: Annotated[
        Dialect | None, typer.Option("--dialect", help="With --sql: the database to write it for. Default: duckdb.")
    ] = None,
    project: ProjectOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show one segmentation: its segments, what tells each apart, and how good the division is."""
    published = load_settings(project).warehouse.published
    if dialect is not None and not sql:
        raise typer.BadParameter("says for which database to write SQL; add --sql.", param_hint="--dialect")
    if sql:
        text = segmentation_sql(published, name, dialect or "duckdb")
        if json:
            print_json({"segmentation": name, "dialect": dialect or "duckdb", "sql": text})
        else:
            write_text(f"{text};\n")
        return
    sheet = segmentation_sheet(published, name)
    if json:
        print_json(
            {
                **sheet.facts,
                "segments": [
                    {
                        **vars(segment),
                        "telling": [
                            dict(zip(("feature", "mean", "overall_mean", "lift"), row, strict=True))
                            for row in sheet.telling.get(segment.segment_id, ())
                        ],
                        "content": [
                            dict(zip(("input", "term", "lift"), row, strict=True))
                            for row in sheet.content.get(segment.segment_id, ())
                        ],
                        "rule": dict(zip(("condition", "precision", "recall"), rule, strict=True)) if rule else None,
                    }
                    for segment in sheet.segments
                    for rule in [sheet.rules.get(segment.segment_id)]
                ],
                "inputs_used": list(sheet.inputs),
                "metrics": sheet.metrics,
            }
        )
        return
    console = stdout()
    facts = sheet.facts
    console.print(
        f"{name}: {facts['kind']}, {facts['segment_count']} segments of {facts['user_count']:,} users, "
        f"as of {facts['as_of']} UTC, model {facts['model_version']} fitted {minute(facts['fitted_at'])}",
        markup=False,
        soft_wrap=True,
    )
    if facts["kind"] != "rules":
        console.print(f"inputs: {facts['inputs']}", markup=False, soft_wrap=True)
    for segment in sheet.segments:
        console.print(f"\n[bold]{segment.segment_id}[/]  ", end="")
        console.print(printable(segment.name), markup=False)
        console.print(printable(f"  {segment.description or _withheld(segment)}"), markup=False, soft_wrap=True)
        rows = [
            (feature, mean, overall, f"{lift:.2f}x" if lift is not None and overall > 0 else None)
            for feature, mean, overall, lift in sheet.telling.get(segment.segment_id, ())
        ]
        if rows:
            print_table(None, ["feature", "mean", "all users", "lift"], rows)
        bought: dict[str, list[str]] = {}
        for one, term, lift in sheet.content.get(segment.segment_id, ()):
            bought.setdefault(one, []).append(f"{term} ({lift:.1f}x)")
        for one, terms in bought.items():
            console.print(printable(f"  {one}, more than others: {', '.join(terms)}"), markup=False, soft_wrap=True)
        if segment.segment_id in sheet.rules:
            condition, precision, recall = sheet.rules[segment.segment_id]
            console.print(printable(f"  about: {condition}"), markup=False, soft_wrap=True)
            console.print(f"  (of whom {_percent(precision)} are in it; it finds {_percent(recall)})", markup=False)
    ranked = [(one["feature"], one["score"], one["status"]) for one in sheet.inputs if one["rank"] is not None]
    if ranked:
        print_table(f"\nInputs by {sheet.inputs[0]['measure']}", ["feature", "score", "status"], ranked)
    out = [(one["feature"], one["reason"]) for one in sheet.inputs if one["rank"] is None]
    if out:
        print_table("\nNot used", ["feature", "because it"], out)
    plain = {metric: value for metric, value in sheet.metrics.items() if "[" not in metric}
    if plain:
        print_table("\nMeasures", ["measure", "value"], list(plain.items()))


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="A user_id.")],
    project: ProjectOption = Path(),
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Say where a user stands in every segmentation, and why."""
    from sqlseg.workflow.one_user import explain_user

    opened = open_project(project)
    with open_warehouse(opened, "sqlseg segments explain", patience(wait)) as warehouse:
        places = explain_user(opened, warehouse, user)
    if json:
        print_json([plain_place(place) for place in places])
        return
    for place in places:
        print_place(place)


@app.command()
def rename(
    segment_id: Annotated[str, typer.Argument(help="A segment id, such as behavior-3.")],
    text: Annotated[str, typer.Argument(help='The new name; "" goes back to the made one.')],
    project: ProjectOption = Path(),
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Give a segment a name of your own; it stays through every refresh."""
    before, after = rename_segment(open_project(project), segment_id, text, Terminal(), patience(wait))
    if json:
        print_json({"segment_id": segment_id, "before": before, "after": after})
        return
    stdout().print(f"{segment_id}: {before!r} is now {after!r}.", markup=False, soft_wrap=True)


@app.command()
def diff(
    before: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="The earlier run: its id, the beginning of it, or a date. Without it, the run before --to.",
        ),
    ] = None,
    after: Annotated[
        str | None, typer.Option("--to", metavar="RUN", help="The later run. Without it, the last one.")
    ] = None,
    segmentation: Annotated[
        str | None, typer.Option("--segmentation", metavar="NAME", help="This segmentation only.")
    ] = None,
    project: ProjectOption = Path(),
    json: JsonOption = False,
) -> None:
    """Tell who moved between two runs and why, and what became of segments."""
    settings = load_settings(project)
    found = difference(
        settings.warehouse.published,
        settings.project.timezone,
        before=before,
        after=after,
        segmentation=segmentation,
    )
    if json:
        print_json(
            {
                "from": vars(found.before),
                "to": vars(found.after),
                "runs": found.run_ids,
                "segmentations": [vars(one) for one in found.standings],
                "moves": [vars(one) for one in found.moves],
                "lineage": [vars(one) for one in found.descents],
            }
        )
        return
    _print_difference(found)


def _print_difference(found: Difference) -> None:
    console = stdout()
    runs = "1 run" if len(found.run_ids) == 1 else f"{len(found.run_ids)} runs"
    console.print(
        f"From {found.before.run_id} (as of {found.before.as_of} UTC) to {found.after.run_id} "
        f"(as of {found.after.as_of} UTC): {runs}.",
        markup=False,
        soft_wrap=True,
    )
    for one in found.standings:
        console.print(
            f"{one.segmentation}: {one.users_before:,} users then, {one.users_after:,} now; {one.users_elsewhere:,} "
            "who were there at both ends are in another segment.",
            markup=False,
            soft_wrap=True,
        )
    rows = [
        (
            move.segmentation,
            named_segment(move.from_segment, move.from_segment_id) or "(new)",
            named_segment(move.to_segment, move.to_segment_id) or "(gone)",
            move.cause,
            move.user_count,
            move.revenue,
        )
        for move in found.moves
    ]
    if rows:
        print_table("Who moved", ["segmentation", "from", "to", "cause", "users", "revenue"], rows)
    else:
        console.print("Nobody moved.")
    for descent in found.descents:
        console.print(printable(_told(descent)), markup=False, soft_wrap=True)


def _told(descent: Descent) -> str:
    old = named_segment(descent.from_segment, descent.from_segment_id)
    new = named_segment(descent.to_segment, descent.to_segment_id)
    share = "" if descent.overlap is None else f"{descent.overlap:.0%}"
    told = {
        "split": f"{new} split off from {old}, where {share} of its users come from.",
        "merged": f"{old} went into {new}, with {share} of its users.",
        "born": f"{new} is new.",
        "retired": f"{old} is retired.",
    }
    return f"{descent.segmentation}: {told[descent.relation]}"


def _withheld(segment: SegmentRow) -> str:
    return "" if segment.user_count is None else f"{segment.user_count:,} users"


def _percent(share: float | None) -> str:
    return "an unknown part" if share is None else f"{share:.0%}"
