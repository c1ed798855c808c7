"""`sqlseg privacy`: pseudonyms and what is behind them, and the encryption of the warehouse."""

import csv
import io
from collections.abc import Mapping
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
    stdout,
    system_clock,
    write_text,
)
from sqlseg.cli.forget import ids_of_file
from sqlseg.errors import SqlsegError
from sqlseg.workflow.ledger import spent
from sqlseg.workflow.pseudonymizing import pseudonyms_of, users_behind
from sqlseg.workflow.pseudonymizing import rekey as take_new_key
from sqlseg.workflow.releasing import budget_of
from sqlseg.workflow.releasing import release as release_figures
from sqlseg.workflow.warehouse_key import change_encryption

app = typer.Typer(help="Pseudonyms, figures with noise, and encryption.", no_args_is_help=True, rich_markup_mode=None)

CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV, with the ids exactly as they are.")]


class NobodyNamed(SqlsegError):
    """A command about users or pseudonyms names none."""


@app.command()
def pseudonym(
    users: Annotated[list[str] | None, typer.Argument(metavar="USER...", help="The ids of users.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A text file with one user id a line, UTF-8.")] = None,
    project: ProjectOption = Path(),
    json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Say under which pseudonym the published file has each user; needs the key."""
    found = pseudonyms_of(project, _named(users, file))
    _print(("user_id", "pseudonym"), found, json=json, as_csv=as_csv)


@app.command()
def user(
    pseudonyms: Annotated[
        list[str] | None,
        typer.Argument(metavar="PSEUDONYM...", help="Pseudonyms of the published file."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A text file with one pseudonym a line.")] = None,
    project: ProjectOption = Path(),
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Say which user of the warehouse is behind each pseudonym; needs the key."""
    found = users_behind(project, _named(pseudonyms, file), patience(wait))
    _print(("pseudonym", "user_id"), found, json=json, as_csv=as_csv)
    if None in found.values():
        unknown = [one for one, found_user in found.items() if found_user is None]
        shown = ", ".join(map(repr, unknown[:3])) + ", ..." * (len(unknown) > 3)
        raise SqlsegError(
            f"{len(unknown):,} of {len(found):,} pseudonyms are those of no user in the warehouse: {shown}.",
            hint="They may be of users who were forgotten, of another project, or made with an earlier key.",
        )


@app.command()
def rekey(project: ProjectOption = Path(), json: JsonOption = False) -> None:
    """Take the key that is given now for all pseudonyms, from the next refresh on."""
    fingerprint = take_new_key(project)
    if json:
        print_json({"key_fingerprint": fingerprint})
        return
    stdout().print(
        f"Pseudonyms are made with the key {fingerprint} from now on. Run `sqlseg refresh`: every user then has "
        "another pseudonym.",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def release(
    epsilon: Annotated[float, typer.Option("--epsilon", help="What the release may cost of the privacy budget.")],
    segmentation: Annotated[
        list[str] | None,
        typer.Option("--segmentation", metavar="NAME", help="Of this segmentation, or several. Default: all."),
    ] = None,
    project: ProjectOption = Path(),
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Publish users and revenue of each segment with noise, within the privacy budget."""
    made = release_figures(project, epsilon, segmentation or [], system_clock(), Terminal(), patience(wait))
    if json:
        print_json(vars(made))
        return
    rows = [
        (
            f"{row['segment_name']} ({row['segment_id']})",
            f"{row['user_count']:,}",
            f"{row['user_count_low']:,} to {row['user_count_high']:,}",
            f"{row['revenue']:,.2f}",
            f"{row['revenue_low']:,.2f} to {row['revenue_high']:,.2f}",
        )
        for row in made.rows
    ]
    print_table(f"Release {made.release_id}", ["segment", "users", "95% within", "revenue", "95% within"], rows)
    stdout().print(
        f"It cost epsilon {made.epsilon:g}; {made.spent:g} of the budget of {made.budget:g} is spent.",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def ledger(project: ProjectOption = Path(), json: JsonOption = False) -> None:
    """Show what releases with noise have spent of the privacy budget."""
    budget, entries = budget_of(project)
    if json:
        print_json({"budget": budget, "spent": spent(entries), "releases": [vars(entry) for entry in entries]})
        return
    rows = [(one.release_id, one.epsilon, ", ".join(one.segmentations), one.run_id) for one in entries]
    if rows:
        print_table("Releases", ["release", "epsilon", "segmentations", "run"], rows)
    stdout().print(f"{spent(entries):g} of the budget of {budget:g} is spent.", markup=False)


@app.command()
def encrypt(project: ProjectOption = Path(), wait: WaitOption = 0.0, json: JsonOption = False) -> None:
    """Replace the warehouse by an encrypted copy; [privacy] encrypt_warehouse is true already."""
    _print_rewritten(change_encryption(project, patience(wait), encrypted=True), "encrypted", json=json)


@app.command()
def decrypt(project: ProjectOption = Path(), wait: WaitOption = 0.0, json: JsonOption = False) -> None:
    """Replace an encrypted warehouse by a plain copy; [privacy] encrypt_warehouse is false already."""
    _print_rewritten(change_encryption(project, patience(wait), encrypted=False), "not encrypted", json=json)


def _print_rewritten(path: Path, state: str, *, json: bool) -> None:
    if json:
        print_json({"warehouse": path, "state": state})
        return
    stdout().print(
        f"{path} is {state} now. Its blocks of before may stay on the disk until something is written over them.",
        markup=False,
        soft_wrap=True,
    )


def _named(given: list[str] | None, file: Path | None) -> list[str]:
    named = list(dict.fromkeys([*(given or []), *ids_of_file(file)]))
    if not named:
        raise NobodyNamed("Nobody is named.", hint="Give ids as arguments, or --file with one a line.")
    return named


def _print(columns: tuple[str, str], found: Mapping[str, str | None], *, json: bool, as_csv: bool) -> None:
    if json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in found.items()])
    elif as_csv:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *found.items()])
        write_text(text.getvalue())
    else:
        print_table(None, columns, list(found.items()))
