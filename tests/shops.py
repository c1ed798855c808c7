"""Small shops on disk: events written down in a test, refreshed by the product, read back as rows."""

import contextlib
import functools
import io
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sqlseg.cli.main import main
from sqlseg.features.registry import Registry, view_files
from sqlseg.features.view import parse_view
from sqlseg.names import EVENT_COLUMNS
from sqlseg.resources import shop_text
from sqlseg.synth.writer import write_synthetic_events
from sqlseg.workflow.kept import Kept
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.outcome import Options, Outcome
from sqlseg.workflow.refresh import refresh as run_refresh

TIERS = """
select user_id, case when spend >= 100 then 'High' when spend > 0 then 'Low' else 'Browsers' end as segment_name
from features.rfm
"""

SETTINGS = """
[project]
name = "shop"
timezone = "{timezone}"

[warehouse]
published = "published/shop.duckdb"
threads = 1

[features]
publish = ["rfm@1"]
{more}
"""

RULES = '[segmentations.tier]\nkind = "rules"\nsql = "sql/segments/tier.sql"\n'

CLUSTERS = '[segmentations.groups]\nkind = "cluster"\ninputs = ["rfm@1"]\nk = 2\nrefit = "never"\n'

_ARROW = {"VARCHAR": pa.string(), "TIMESTAMP": pa.timestamp("us"), "DOUBLE": pa.float64()}
_SCHEMA = pa.schema([(column.name, _ARROW[column.type]) for column in EVENT_COLUMNS])

Event = dict[str, Any]


def event(user: str | None, time: str | datetime | None, kind: str | None = "purchase", **more: Any) -> Event:
    """One canonical event; a time as text is ISO 8601, UTC."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return {"user_id": user, "event_time": moment, "event_type": kind, **more}


def bought(user: str, time: str, price: float, **more: Any) -> Event:
    return event(user, time, "purchase", price=price, **more)


def viewed(user: str, time: str, **more: Any) -> Event:
    return event(user, time, "view", **more)


def returned(user: str, time: str, price: float, **more: Any) -> Event:
    return event(user, time, "return", price=price, **more)


_parsed_once = functools.lru_cache(maxsize=512)(parse_view)


@functools.lru_cache(maxsize=64)
def _registry_of(texts: tuple[tuple[str, Path, str], ...]) -> Registry:
    return Registry.of(_parsed_once(kind, path, text) for kind, path, text in texts)


def _load_once(roots: Sequence[Path]) -> Registry:
    return _registry_of(tuple((kind, path, shop_text(path)) for kind, path in view_files(roots)))


def views_read_once():
    """Keep what the texts of a set of views were found to say: half of the time of a small refresh goes into that."""
    return patch.object(Registry, "load", _load_once)


@dataclass(frozen=True)
class Ran:
    """What one call of the command line came to."""

    code: int
    out: str
    err: str


@dataclass
class Notes:
    """A narrator that remembers what it was told."""

    texts: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, title, outlook=None):
        yield

    def progress(self, done, total):
        return

    def note(self, text):
        self.texts.append(text)


@dataclass
class Shop:
    """A project on disk and what can be done with it. `now` is the clock of refreshes; each one takes a minute."""

    directory: Path
    now: datetime = datetime(2025, 1, 1)
    notes: list[str] = field(default_factory=list)

    @property
    def warehouse_file(self) -> Path:
        return self.directory / "warehouse.duckdb"

    @property
    def published_file(self) -> Path:
        return self.directory / "published" / "shop.duckdb"

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def settings(self, more: str = RULES, timezone: str = "UTC") -> None:
        self.write("sqlseg.toml", SETTINGS.format(more=more, timezone=timezone))

    def events(self, *events: Event) -> None:
        """Replace the source by these events."""
        path = self.directory / "data" / "events.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(events), schema=_SCHEMA), path)

    def refresh(self, *, dry: bool = False, kept: Kept | None = None, **options: Any) -> Outcome:
        self.now += timedelta(minutes=1)
        ticks = iter(range(10**9))
        clock = Clock(now=lambda: self.now, seconds=lambda: float(next(ticks)))
        narrator = Notes()
        try:
            with views_read_once():
                return run_refresh(self.directory, Options(**options), clock, narrator, dry=dry, kept=kept)
        finally:
            self.notes = narrator.texts

    def plan(self, **options: Any) -> Outcome:
        return self.refresh(dry=True, **options)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on the warehouse."""
        with duckdb.connect(str(self.warehouse_file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def change(self, sql: str) -> None:
        """Change the warehouse behind sqlseg's back."""
        with duckdb.connect(str(self.warehouse_file)) as connection:
            connection.execute(sql)

    def published(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.published_file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def sqlseg(self, *arguments: str) -> Ran:
        """Call the command line on this project."""
        return call_sqlseg(*arguments, "--project", str(self.directory))

    def copy(self, directory: Path) -> "Shop":
        shutil.copytree(self.directory, directory)
        return Shop(directory, self.now)

    def segments_of(self, segmentation: str = "tier") -> dict[str, str]:
        """The segment of each user by name."""
        return dict(
            self.rows(
                "select user_id, segment_name from segments.membership "
                f"where segmentation = '{segmentation}' order by user_id"
            )
        )


def call_sqlseg(*arguments: str) -> Ran:
    """Run the command line as the installed `sqlseg` does; what is no explained problem comes out as an exception."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["sqlseg", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        views_read_once(),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        else:
            code = 0
    return Ran(code, out.getvalue(), err.getvalue())


def new_shop(directory: Path, events: Sequence[Event], more: str = RULES, timezone: str = "UTC") -> Shop:
    shop = Shop(directory)
    shop.settings(more, timezone)
    shop.write("sql/events.sql", "select * from read_parquet('data/events.parquet')")
    shop.write("sql/segments/tier.sql", TIERS)
    shop.events(*events)
    return shop


BUSY = """
[project]
name = "busy"
timezone = "Europe/London"
country = "GB"

[warehouse]
published = "published/shop.duckdb"
threads = 1

[segmentations.groups]
kind = "cluster"
inputs = ["rfm@1", "cadence@1", "encoder:behavior@1", "content:category@1"]
k = 3

[segmentations.tier]
kind = "rules"
sql = "sql/segments/tier.sql"
"""


def new_busy_shop(directory: Path) -> Shop:
    """A simulated shop of 120 users with every kind of table filled, refreshed in November and in January."""
    shop = Shop(directory, now=datetime(2026, 6, 1))
    shop.write("sqlseg.toml", BUSY)
    shop.write("sql/segments/tier.sql", TIERS)
    (directory / "data").mkdir()
    write_synthetic_events(directory / "data" / "events.parquet", users=120, events=3000, seed=1)
    source = "select * exclude (true_group) from read_parquet('data/events.parquet')"
    shop.write("sql/users.sql", "select distinct user_id, left(user_id, 2) as prefix from read_parquet('data/*')")
    shop.write("sql/items.sql", "select distinct item_id from read_parquet('data/*')")
    shop.write("sql/events.sql", f"{source} where event_time < timestamp '2025-11-01'")
    shop.refresh()
    without_user = f"select null as user_id, * exclude (user_id) from ({source}) limit 7"
    shop.write("sql/events.sql", f"({source}) union all by name ({without_user})")
    shop.refresh()
    return shop
