"""The command line: `sqlseg --help`."""

import sys
from typing import Annotated

import typer

from sqlseg import __version__
from sqlseg.cli import backtest, check, encoders, features, forget, inspect, privacy, project, refresh, segments
from sqlseg.cli.console import print_error
from sqlseg.cli.interrupts import interrupted
from sqlseg.cli.streams import standard_streams
from sqlseg.errors import SqlsegError

app = typer.Typer(
    name="sqlseg",
    help="User segmentation inside DuckDB: from event tables to segment tables that SQL and BI tools read.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("init")(project.init)
app.command("demo")(project.demo)
app.command("synth")(project.synth)
app.command("plan")(refresh.plan)
app.command("refresh")(refresh.refresh)
app.command("backtest")(backtest.backtest)
app.command("check")(check.check)
app.command("query")(inspect.query)
app.command("forget")(forget.forget)
app.command("doctor")(inspect.doctor)
app.add_typer(features.app, name="features")
app.add_typer(segments.app, name="segments")
app.add_typer(encoders.app, name="encoders")
app.add_typer(privacy.app, name="privacy")


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"sqlseg {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """User segmentation inside DuckDB: from event tables to segment tables that SQL and BI tools read."""


def main() -> None:
    """Run a command; exit with 1 and a message where it cannot be done, with 2 where it is called wrongly."""
    with standard_streams():
        try:
            _check_arguments(sys.argv[1:])
            try:
                app()
            finally:
                sys.stdout.flush()
        except SqlsegError as error:
            if interrupted() and not error.message.startswith("Interrupted"):
                error = SqlsegError(f"Interrupted. {error.message}", hint=error.hint)  # what a library made of it
            print_error(error)
            sys.exit(1)
        except SystemExit as end:
            if end.code != 130:
                raise
            # What typer makes of a Ctrl-C, without a word.
            print_error(SqlsegError("Interrupted."))
            sys.exit(1)


def _check_arguments(arguments: list[str]) -> None:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            told = argument.encode(errors="surrogateescape")
            print_error(SqlsegError(f"An argument is not UTF-8 text: {told!r}.", hint="Use a terminal in UTF-8."))
            sys.exit(2)


if __name__ == "__main__":
    main()
