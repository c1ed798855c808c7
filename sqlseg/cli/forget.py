"""`sqlseg forget`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqlseg.cli.console import (
    JsonOption,
    ProjectOption,
    Terminal,
    WaitOption,
    patience,
    print_json,
    print_table,
    stderr,
    stdout,
    system_clock,
    usable_path,
)
from sqlseg.errors import SqlsegError

if TYPE_CHECKING:
    from sqlseg.workflow.forgetting import Receipt


class UnreadableIds(SqlsegError):
    """A file of user ids cannot be read."""


def forget(
    users: Annotated[list[str] | None, typer.Argument(metavar="USER...", help="The ids of users.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A text file with one user id a line, UTF-8.", callback=usable_path),
    ] = None,
    project: ProjectOption = Path(),
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Erase users from every table and file of sqlseg, rewrite the files, and keep the users from coming back."""
    from sqlseg.workflow.forgetting import forget as forget_users

    receipt = forget_users(project, [*(users or []), *ids_of_file(file)], system_clock(), Terminal(), patience(wait))
    if json:
        print_json(
            {
                **vars(receipt),
                "models": [dict(zip(("model", "users", "remark"), one, strict=True)) for one in receipt.models],
            }
        )
        return
    _print(receipt)


def ids_of_file(file: Path | None) -> list[str]:
    """Return the ids in a file, one a line; nothing without one. Raises UnreadableIds."""
    if file is None:
        return []
    try:
        return [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableIds(f"The file of ids {file} cannot be read: {error}.", hint="One id a line, UTF-8.") from error


def _print(receipt: "Receipt") -> None:
    console = stdout()
    console.print(
        f"Erasure {receipt.erasure_id}: {receipt.users_found:,} of {receipt.users_asked:,} users were found and erased."
        f" Their events are dropped from now on wherever a source still has them ({receipt.list_file}).",
        markup=False,
        soft_wrap=True,
    )
    if receipt.tables:
        print_table("\nRows removed", ["table", "rows"], list(receipt.tables.items()))
    if receipt.models:
        print_table("\nModels fitted on users of that time", ["model", "users", "of a user it holds"], receipt.models)
        console.print("`sqlseg refresh --refit always` fits them anew, without the erased users.", markup=False)
    for user in receipt.unknown[:10]:
        stderr.print(f"- Nothing was found of {user!r}.", markup=False, soft_wrap=True)
    if len(receipt.unknown) > 10:
        stderr.print(f"- ... nor of {len(receipt.unknown) - 10:,} others.", markup=False)
    if receipt.rewritten:
        files = ", ".join(str(path) for path in receipt.rewritten)
        console.print(f"\nRewritten, so that their bytes are gone: {files}.", markup=False, soft_wrap=True)
        console.print("Run `sqlseg refresh`: until then, counts and revenue by day and segment include them.")
    console.print(
        "Yours to erase: the sources, backups, and whatever was exported from the published file.", soft_wrap=True
    )
    if receipt.older:
        kept = ", ".join(map(str, receipt.older))
        told = f"Warehouses of before a rebuild still hold them; delete these files: {kept}."
        console.print(told, markup=False, soft_wrap=True)
    if receipt.own_tables:
        shown = ", ".join(receipt.own_tables[:5]) + ", ..." * (len(receipt.own_tables) > 5)
        told = f"The warehouse file also holds tables of the shop's own, which sqlseg does not touch: {shown}."
        console.print(told, markup=False, soft_wrap=True)
