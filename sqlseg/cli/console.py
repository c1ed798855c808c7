"""What commands print: data on stdout, narration on stderr."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from sqlseg.errors import SqlsegError
from sqlseg.workflow.narration import Clock

ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="The project's folder.", show_default="here", file_okay=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

stderr = Console(stderr=True, highlight=False)


def stdout() -> Console:
    """Return the console for data; as wide as the terminal, and wide enough not to break rows in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def system_clock() -> Clock:
    """Return the clock of this machine."""
    return Clock(now=lambda: datetime.now(UTC).replace(tzinfo=None), seconds=perf_counter)


def print_error(error: SqlsegError) -> None:
    """Tell what is wrong and what to do."""
    stderr.print(f"[bold red]Error:[/] {escape(printable(error.message))}", soft_wrap=True)
    if error.hint:
        stderr.print(escape(printable(error.hint)), soft_wrap=True)


def printable(text: str) -> str:
    r"""Return text without the control characters that a terminal would act upon.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_json(value: Any) -> None:
    """Print a value as JSON; times as ISO 8601, what is not a number as null."""
    sys.stdout.write(json.dumps(_plain(value), ensure_ascii=False, indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """Print a value as JSON on one line, at once, for those who read along."""
    sys.stdout.write(json.dumps(_plain(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def print_table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows; numbers stand to the right."""
    table = Table(title=title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = any(isinstance(row[number], int | float) for row in rows)
        table.add_column(escape(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell_text(value))) for value in row))
    stdout().print(table)


def cell_text(value: Any) -> str:
    """Return a value as people read it.

    >>> [cell_text(v) for v in (None, 1234567, 0.123456, True, "x")]
    ['', '1,234,567', '0.1235', 'yes', 'x']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


@dataclass
class Terminal:
    """A narrator that shows on stderr what is under way: with a bar on a terminal, with lines elsewhere."""

    _progress: Progress | None = None
    _task: TaskID | None = None

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        if not stderr.is_terminal:
            yield
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=stderr, transient=True) as progress:
            self._progress, self._task = progress, progress.add_task(title, total=None)
            try:
                yield
            finally:
                self._progress = self._task = None

    def progress(self, done: int, total: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        stderr.print(f"[dim]-[/] {escape(printable(text))}", soft_wrap=True)
