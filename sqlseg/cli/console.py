"""What commands print: data on stdout, narration on stderr."""

import json
import re
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
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from sqlseg.cli.streams import encodable, write_exactly
from sqlseg.errors import SqlsegError
from sqlseg.workflow.holding import Patience
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.time_left import NOTHING_KNOWN, Outlook, TimeLeft, told


def usable_path(path: Path | None) -> Path | None:
    """Return a path that a command was given. Raises BadParameter where the system has none like it."""
    try:
        if path is not None:
            path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return path  # told where it is needed
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"this cannot be a path: {getattr(error, 'strerror', None) or error}") from error
    return path


ProjectOption = Annotated[
    Path,
    typer.Option(
        "--project", "-p", help="The project's folder.", show_default="here", file_okay=True, callback=usable_path
    ),
]
WaitOption = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", min=0, help="Wait for so long where another process holds the project."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


class HarmlessConsole(Console):
    """A console on which no text acts: ids and names come from anybody, and are shown as they are.

    Control characters and marks that turn the direction of reading are spelled out; `:smile:` stays what it is. Markup
    is for texts of our own: what comes from elsewhere is printed with `markup=False` or as a Text.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)


def printable(text: str) -> str:
    r"""Return text without the characters that a terminal would act upon, which are spelled out.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


stderr = HarmlessConsole(stderr=True)


def stdout() -> Console:
    """Return the console for data; as wide as the terminal, and wide enough not to break rows in a pipe."""
    console = HarmlessConsole()
    return console if console.is_terminal else HarmlessConsole(width=140)


def system_clock() -> Clock:
    """Return the clock of this machine."""
    return Clock(now=lambda: datetime.now(UTC).replace(tzinfo=None), seconds=perf_counter)


def patience(wait: float) -> Patience:
    """Return how long a command waits for a project that another process holds."""
    return Patience(wait, system_clock(), Terminal())


def print_error(error: SqlsegError) -> None:
    """Tell what is wrong and what to do."""
    stderr.print("[bold red]Error:[/] ", end="")
    stderr.print(_abbreviated(error.message), markup=False, soft_wrap=True)
    if error.hint:
        stderr.print(_abbreviated(error.hint), markup=False, soft_wrap=True)


def _abbreviated(text: str) -> str:
    """Return a text whose words can be read: of one that is longer than any path, the beginning and the end."""
    return re.sub(r"\S{500,}", lambda found: f"{found[0][:100]}...{found[0][-40:]}", text)


def print_json(value: Any) -> None:
    """Print a value as JSON; times as ISO 8601, what is not a number as null."""
    sys.stdout.write(_in_encoding(json_text(value, indent=2)) + "\n")


def print_json_line(value: Any) -> None:
    """Print a value as JSON on one line, at once, for those who read along."""
    sys.stdout.write(_in_encoding(json_text(value)) + "\n")
    sys.stdout.flush()


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON; what a terminal would act upon is escaped, which means the same.

    >>> json_text({"café": "a\u202eb"})
    '{"café": "a\\u202eb"}'
    """
    written = json.dumps(_plain(value), ensure_ascii=False, indent=indent)
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in written)


def _in_encoding(written: str) -> str:
    """Return JSON with escapes for all beyond ASCII, which mean the same, where stdout lacks one of its characters."""
    if encodable(written):
        return written
    return "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in written)


def write_text(text: str) -> None:
    """Write SQL or CSV to stdout: exactly as it is for a file or another program, harmlessly for a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(printable(text))
    else:
        write_exactly(text)


def spreadsheet_safe(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula: an apostrophe goes before a text that begins like one.

    >>> [spreadsheet_safe(v) for v in ("=1+1", "+44 20", "plain", -5)]
    ["'=1+1", "'+44 20", 'plain', -5]
    """
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(_FORMULA) else value


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula in some spreadsheet, full-width forms included."""


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
        table.add_column(Text(printable(column)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell_text(value))) for value in row))
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


class TimeLeftColumn(ProgressColumn):
    """The time that a step still takes, where something is known of it."""

    def __init__(self, time_left: TimeLeft) -> None:
        super().__init__()
        self._time_left = time_left

    def render(self, task: Task) -> Text:
        """Return what is told of it now; the progress bar asks some ten times a second."""
        return Text(told(self._time_left.left()), "cyan")


@dataclass(frozen=True)
class _Shown:
    bar: Progress
    task: TaskID
    time_left: TimeLeft


@dataclass
class Terminal:
    """A narrator that shows on stderr what is under way: with a bar and the time left on a terminal, else in lines."""

    _shown: "_Shown | None" = None

    @contextmanager
    def step(self, title: str, outlook: Outlook = NOTHING_KNOWN) -> Iterator[None]:
        if not stderr.is_terminal:
            yield
            return
        time_left = TimeLeft(system_clock().seconds, outlook)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
        with Progress(*columns, TimeLeftColumn(time_left), console=stderr, transient=True) as progress:
            self._shown = _Shown(progress, progress.add_task(title, total=None), time_left)
            try:
                yield
            finally:
                self._shown = None

    def progress(self, done: float, total: float) -> None:
        if self._shown is not None:
            self._shown.time_left.progress(done, total)
            self._shown.bar.update(self._shown.task, completed=done, total=total)

    def note(self, text: str) -> None:
        # At one go: a Ctrl-C in between would leave half a line before its own words.
        stderr.print(Text.assemble(("-", "dim"), " ", text), soft_wrap=True)
