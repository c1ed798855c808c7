"""A small shop whose refreshes run as processes of their own, so that they can be killed, stopped and starved."""

import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from sqlseg.settings import load_settings
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.outcome import Options
from sqlseg.workflow.refresh import refresh
from sqlseg.workflow.time_left import NOTHING_KNOWN, Outlook

COMMAND = [sys.executable, "-m", "sqlseg"]

# The time of day, and what it names or measures: two runs that come to the same differ in these alone.
OF_THE_CLOCK = {
    *("run_id", "started_at", "finished_at", "fitted_at", "refreshed_at", "created_at", "retired_at", "embedded_at"),
    "computed_at",
}

Content = dict[str, list[tuple[Any, ...]]]


class Silence:
    """A narrator that says nothing."""

    @contextmanager
    def step(self, title: str, outlook: Outlook = NOTHING_KNOWN) -> Iterator[None]:
        yield

    def progress(self, done: float, total: float) -> None:
        return

    def note(self, text: str) -> None:
        return


@dataclass(frozen=True)
class Shop:
    """A project folder, and `sqlseg refresh` on it in a process of its own."""

    directory: Path

    @property
    def warehouse(self) -> Path:
        return load_settings(self.directory).warehouse.path

    @property
    def published(self) -> Path:
        return load_settings(self.directory).warehouse.published

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Begin a refresh, and do not wait for it."""
        return subprocess.Popen(
            [*COMMAND, "refresh", "--project", str(self.directory), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts what it puts in the background with Ctrl-C ignored, and tests may run there.
            preexec_fn=options.pop("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.default_int_handler)),
            **options,
        )

    def refresh(self, **options: Any) -> subprocess.CompletedProcess[str]:
        """Refresh to the end."""
        process = self.start(**options)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def refresh_here(self) -> None:
        """Refresh to the end within this process, which spares starting one."""
        ticks = Clock(now=lambda: datetime.now(UTC).replace(tzinfo=None), seconds=time.perf_counter)
        refresh(self.directory, Options(), ticks, Silence())

    def add_events(self) -> None:
        """Bring the later events in, beside the earlier ones."""
        (self.directory / "later.parquet").rename(self.directory / "data" / "later.parquet")

    def slow_down(self, rows: int) -> None:
        """Let the query of the events count `rows` numbers first: a billion takes seconds."""
        path = self.directory / "sql" / "events.sql"
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text}\nwhere (select count(*) from range({rows}) as t(n) where n % 7 = 3) > 0\n", "utf-8")

    def copy(self, directory: Path) -> "Shop":
        """Copy the folder as it is, whatever state it is in."""
        shutil.copytree(self.directory, directory)
        return Shop(directory)


def content(file: Path) -> Content:
    """Every table of a database file, rows sorted, without what the clock says and without the record of runs."""
    found: Content = {}
    with duckdb.connect(str(file), read_only=True) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = current_database() "
            "and schema_name in ('segments', 'features', 'stats', 'embeddings', 'quality') order by 1, 2"
        ).fetchall()
        for schema, table in tables:
            if (schema, table) == ("segments", "run"):
                continue
            columns = [
                row[0]
                for row in connection.execute(f'describe {schema}."{table}"').fetchall()
                if row[0] not in OF_THE_CLOCK
            ]
            names = ", ".join(f'"{column}"' for column in columns)
            rows = connection.execute(f'select {names} from {schema}."{table}"').fetchall()
            found[f"{schema}.{table}"] = sorted(rows, key=repr)
    return found


def assert_same_content(found: Content, expected: Content) -> None:
    """Equal tables and rows; numbers of embeddings within 1e-6, other fractions to twelve digits."""
    assert found.keys() == expected.keys()
    for table in expected:
        within = {"abs_tol": 1e-6} if table.startswith("embeddings.") else {"rel_tol": 1e-12, "abs_tol": 1e-12}
        assert len(found[table]) == len(expected[table]), table
        for row, other in zip(found[table], expected[table], strict=True):
            assert _same(row, other, within), f"{table}: {row} is not {other}"


def _same(one: Any, other: Any, within: Mapping[str, float]) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, **within) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(_same(a, b, within) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def left_behind(shop: Shop) -> list[str]:
    """Files beside the two databases that no finished refresh leaves."""
    folders = {shop.warehouse.parent, shop.published.parent}
    return sorted(
        path.name
        for folder in folders
        for path in folder.iterdir()
        if path.name.endswith((".building", ".wal", ".tmp", ".duckdb.lock")) and path.exists()
    )


def wait_for(condition: Any, process: subprocess.Popen[str]) -> bool:
    """Wait until a condition holds; False where the process ends first."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.001)
    return bool(condition())


@dataclass(frozen=True)
class Stage:
    """A shop about to be refreshed, and what comes of it undisturbed: the content of
    both files, the bytes of the larger one, and the seconds it takes."""

    shop: Shop
    warehouse: Content
    published: Content
    largest_file: int
    seconds: float

    def assert_finished(self, shop: Shop) -> None:
        """Both files of a copy hold what the undisturbed refresh left, and nothing else lies beside them."""
        assert_same_content(content(shop.published), self.published)
        assert_same_content(content(shop.warehouse), self.warehouse)
        assert left_behind(shop) == []


def undisturbed(shop: Shop, place: Path) -> Stage:
    """Refresh a copy of a shop to the end, and keep what comes of it."""
    copy = shop.copy(place)
    started = time.monotonic()
    run = copy.refresh()
    seconds = time.monotonic() - started
    assert run.returncode == 0, run.stderr
    largest = max(copy.warehouse.stat().st_size, copy.published.stat().st_size)
    return Stage(shop, content(copy.warehouse), content(copy.published), largest, seconds)
