"""Under one model a warm refresh ends with what a cold one over the same sources gives, row by row in every table."""

from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from shops import TIERS, Shop, event

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.publish import patching
from sqlseg.resources import sql_text
from sqlseg.workflow import daily, publishing
from sqlseg.workflow.as_of import local
from sqlseg.workflow.inputs import READ_ANEW
from sqlseg.workflow.kept import Kept
from sqlseg.workflow.project import open_project

SETTINGS = """
[project]
name = "shop"
timezone = "Europe/London"
country = "GB"

[warehouse]
published = "published/shop.duckdb"
threads = 1

[features]
publish = ["rfm@1"]

[segmentations.groups]
kind = "cluster"
inputs = ["rfm@1", "rhythm@1", "perks@1", "encoder:behavior@3", "content:category@1"]
k = 3
refit = "never"

[segmentations.mixed]
kind = "cluster"
algorithm = "gaussian_mixture"
inputs = ["cadence@1", "basket@1"]
k = 2
refit = "never"

[segmentations.held]
kind = "cluster"
inputs = ["basket@1", "returns@1"]
k = 3
pins = "sql/segments/pins.sql"
refit = "never"

[segmentations.learned]
kind = "supervised"
algorithm = "logistic_regression"
inputs = ["basket@1", "returns@1"]
labels = "sql/segments/labels.sql"
refit = "never"

[segmentations.tier]
kind = "rules"
sql = "sql/segments/tier.sql"

[segmentations.value]
kind = "rules"
sql = "sql/segments/value.sql"
"""

PERKS = """
-- What the shop grants a user, and how dear it is next to what they buy.
-- grain: user_id
select
    u.user_id,                          -- #unique #not_null the user
    any_value(u.points)::double as points, -- #default(0) points
    coalesce(sum(i.weight), 0) as grams, -- #default(0) weight of what was looked at
    max(r.spend) as best                -- spend
from users as u
left join events as e on e.user_id = u.user_id
left join items as i on i.item_id = e.item_id
left join features.rfm_v1 as r on r.user_id = u.user_id
group by u.user_id
"""

FIRST_DAY = datetime(2025, 3, 1)
USERS = [f"u{number:02d}" for number in range(24)]
BYSTANDERS = [f"v{number:02d}" for number in range(42)]
ITEMS = [f"i{number}" for number in range(6)]
CATEGORIES = ["tea", "cups", "books"]
KINDS = ["view", "search", "cart", "purchase", "purchase", "return", "review"]

# What was read of the sources, when and how, is another matter.
OF_READING = {"source_memory", "source_partition", "attribute_memory"}

NOT_COMPARED = {
    ("segments", "run"): {"seconds"},
    ("embeddings", "*"): {"embedding", "embedded_at"},
    ("sqlseg", "published_content"): {"row_hash"},  # that of segments.run differs as its rows do
    ("sqlseg", "published_file"): {"path", "whole_bytes", "bytes", "modified_ns"},
}


def made_event(number: int, user: str, hours: float, kind: str, item: int, price: float) -> dict:
    moment = FIRST_DAY + timedelta(hours=hours)
    return event(
        user,
        moment,
        kind,
        event_id=f"e{number}",
        item_id=ITEMS[item],
        category=CATEGORIES[item % 3],
        order_id=f"o{number // 2}" if kind == "purchase" else None,
        text="lovely tea" if kind in ("search", "review") else None,
        price=price if kind in ("view", "cart", "purchase", "return") else None,
        quantity=1.0 if kind == "purchase" else None,
    )


def first_events() -> list[dict]:
    numbers = count()
    events = []
    for place, user in enumerate(USERS[:18]):
        for turn in range(3 + place % 5):
            hours = 24 * ((7 * place + 5 * turn) % 60) + place
            for kind in ("view", "purchase") if (place + turn) % 3 else ("search", "view"):
                events.append(made_event(next(numbers), user, hours, kind, (place + turn) % 6, 3.0 + place * turn))
                hours += 0.2
    for place, user in enumerate(BYSTANDERS):
        kind = "purchase" if place % 2 else "view"
        events.append(made_event(next(numbers), user, 24 * place + 10, kind, place % 6, 2.0 + place))
    return events


def shop_with(directory: Path, events: list[dict]) -> Shop:
    shop = Shop(directory, now=datetime(2026, 1, 1))
    shop.write("sqlseg.toml", SETTINGS)
    shop.write("sql/features/perks__v1.sql", PERKS)
    shop.write("sql/segments/tier.sql", TIERS)
    # The rule of a new project looks across users: all have to be placed by it every time.
    shop.write("sql/segments/value.sql", sql_text("steps/init/value.sql"))
    shop.write(
        "sql/segments/pins.sql", "select * from (values ('u01', 'Kept'), ('u04', 'Kept')) as p (user_id, segment_name)"
    )
    labels = ", ".join(f"('{user}', '{'even' if place % 2 else 'odd'}')" for place, user in enumerate(BYSTANDERS))
    shop.write("sql/segments/labels.sql", f"select * from (values {labels}) as l (user_id, segment_name)")
    shop.write("sql/events.sql", "select * from read_parquet('data/events.parquet')")
    shop.write("sql/users.sql", "select * from read_parquet('data/users.parquet')")
    shop.write("sql/items.sql", "select * from read_parquet('data/items.parquet')")
    shop.events(*events)
    attributes(shop, dict.fromkeys(USERS, 1), dict.fromkeys(ITEMS, 2.0))
    return shop


def attributes(shop: Shop, points: dict[str, int], weights: dict[str, float]) -> None:
    for name, key, column, values in (("users", "user_id", "points", points), ("items", "item_id", "weight", weights)):
        table = pa.table({key: list(values), column: list(values.values())})
        pq.write_table(table, shop.directory / "data" / f"{name}.parquet")


# Parts of views lag behind while as_of stays; they are compared by themselves.
BEHIND = "behind_part"


def tables_of(path: Path, *, history: bool = True) -> dict[tuple[str, str], tuple[list[str], list[tuple]]]:
    """Every table of a database but for times of day, its rows in an order of their own."""
    found = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        names = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = current_database() order by all"
        ).fetchall()
        for schema, name in names:
            if name in OF_READING or name == BEHIND or name.startswith("part_"):
                continue
            left_out = NOT_COMPARED.get((schema, name), NOT_COMPARED.get((schema, "*"), set()))
            described = connection.execute(f'describe {schema}."{name}"').fetchall()
            columns = [f'"{column}"' for column, *_ in described if column not in left_out]
            rows = connection.execute(f'select {", ".join(columns)} from {schema}."{name}" order by all').fetchall()
            found[schema, name] = ([(column, kind) for column, kind, *_ in described], rows)
    return found


def parts_of(path: Path, behind: list[str]) -> dict[str, list[tuple]]:
    """The parts that are kept of views, without the rows of users who are behind."""
    with duckdb.connect(str(path), read_only=True) as connection:
        names = connection.execute("select name from sqlseg.kept_part order by 1").fetchall()
        return {
            name: connection.execute(
                f"select * from sqlseg.{name} where not list_contains(?, user_id) order by all", [behind]
            ).fetchall()
            for (name,) in names
        }


def behind_of(path: Path) -> list[str]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return [row[0] for row in connection.execute(f"select user_id from sqlseg.{BEHIND}").fetchall()]


def embeddings_of(path: Path) -> dict[str, list[tuple]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'embeddings'"
        ).fetchall()
        return {
            name: connection.execute(f'select user_id, embedding from embeddings."{name}" order by user_id').fetchall()
            for (name,) in tables
        }


def close(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-9, nan_ok=True)
    return one == other


def assert_same_tables(warm: dict, cold: dict, only: set[tuple[str, str]] | None = None) -> None:
    assert list(warm) == list(cold)
    for table in cold:
        if only is not None and table not in only:
            continue
        (columns, rows), (expected_columns, expected) = warm[table], cold[table]
        assert columns == expected_columns, table
        assert len(rows) == len(expected), (table, rows, expected)
        for row, other in zip(rows, expected, strict=True):
            assert all(close(a, b) for a, b in zip(row, other, strict=True)), (table, columns, row, other)


def assert_same_state(warm: Shop, cold: Shop, *, history: bool = True) -> None:
    """Compare warehouses and published files; without `history` only what does not depend on the way there."""
    files = [(warm.warehouse_file, cold.warehouse_file), (warm.published_file, cold.published_file)]
    for one, other in files:
        found, expected = tables_of(one), tables_of(other)
        only = None
        if not history:
            ours = ("feature_", "content_", "population", "events")
            only = {(schema, name) for schema, name in expected if schema in ("features", "stats")}
            only |= {(schema, name) for schema, name in expected if schema == "sqlseg" and name.startswith(ours)}
            only |= {("segments", name) for name in ("profile", "reason", "content_profile")}
            only &= set(expected)
        assert_same_tables(found, expected, only)
    behind = behind_of(warm.warehouse_file) + behind_of(cold.warehouse_file)
    found, expected = parts_of(warm.warehouse_file, behind), parts_of(cold.warehouse_file, behind)
    assert list(found) == list(expected)
    for name, rows in expected.items():
        assert len(rows) == len(found[name]) > 0, name
        for row, other in zip(found[name], rows, strict=True):
            assert all(close(a, b) for a, b in zip(row, other, strict=True)), (name, row, other)
    for name, rows in embeddings_of(cold.warehouse_file).items():
        ours = embeddings_of(warm.warehouse_file)[name]
        assert [user for user, _ in ours] == [user for user, _ in rows], name
        for (user, found), (_, expected) in zip(ours, rows, strict=True):
            assert found == pytest.approx(expected, abs=1e-6), (name, user)
    placed = "select user_id, segmentation, segment_id, runner_up_segment_id from segments.membership order by all"
    assert warm.rows(placed) == cold.rows(placed)


@st.composite
def histories(draw, *, watched=False):
    """Steps of a shop's life; each is a list of changes to its events and attributes.

    Where it is watched, rounds fail as well, and other processes come between.
    """
    user, item = st.sampled_from(USERS), st.integers(0, len(ITEMS) - 1)
    kind, price = st.sampled_from(KINDS), st.sampled_from([1.0, 9.5, 40.0, 300.0])
    change = st.one_of(
        st.tuples(st.just("today"), user, st.integers(0, 23), kind, item, price),
        st.tuples(st.just("late"), user, st.integers(1, 59 * 24), kind, item, price),
        st.tuples(st.just("correct"), st.integers(0, 10**6), price, kind),
        st.tuples(st.just("delete"), st.integers(0, 10**6)),
        st.tuples(st.just("forget"), user),
        st.tuples(st.just("clock"), st.sampled_from([1, 1, 3, 40])),
        st.tuples(st.just("hold")),
        st.tuples(st.just("points"), user, st.integers(0, 9)),
        st.tuples(st.just("weights"), item, st.sampled_from([0.5, 2.0])),
        *([st.tuples(st.just("fail")), st.tuples(st.just("elsewhere"))] if watched else []),
    )
    return draw(st.lists(st.lists(change, min_size=0, max_size=6), min_size=1, max_size=4))


class Life:
    """What a shop knows, and how a step of a history changes it."""

    def __init__(self) -> None:
        self.events = first_events()
        self.points, self.weights = dict.fromkeys(USERS, 1), dict.fromkeys(ITEMS, 2.0)
        self.day, self.held = 60, False
        self.fails = self.elsewhere = False
        self.numbers = count(len(self.events) + 1)

    def change(self, what: str, *how) -> None:
        if what in ("today", "late"):
            user, hours, kind, item, price = how
            hours += 24 * self.day if what == "today" else 0
            self.events.append(made_event(next(self.numbers), user, hours, kind, item, price))
        elif what == "correct":
            number, price, kind = how
            place = number % len(self.events)
            self.events[place] = {**self.events[place], "price": price, "event_type": kind}
        elif what == "delete" and len(self.events) > 60:
            del self.events[how[0] % len(self.events)]
        elif what == "forget":
            kept = [row for row in self.events if row["user_id"] != how[0]]
            self.events = kept if len(kept) > 60 else self.events
        elif what == "clock":
            self.day += how[0]
            self.change("today", USERS[0], 1, "view", 0, 1.0)
        elif what == "hold":
            self.held = True
        elif what in ("fail", "elsewhere"):
            self.fails, self.elsewhere = self.fails or what == "fail", self.elsewhere or what == "elsewhere"
            self.change("today", USERS[1], 2, "view", 1, 1.0)  # so that there is something to do
        elif what == "points":
            self.points[how[0]] = how[1]
        elif what == "weights":
            self.weights[ITEMS[how[0]]] = how[1]


@pytest.fixture(scope="module")
def fitted_shop(tmp_path_factory):
    """A shop whose models are fitted; every history starts with a copy of it."""
    shop = shop_with(tmp_path_factory.mktemp("fitted") / "shop", first_events())
    shop.refresh()
    return shop


def fails(shop: Shop, as_of: str | None, kept: Kept | None = None) -> None:
    """Let a refresh fail at its last step, where everything has been computed and placed."""
    with (
        patch("sqlseg.workflow.carrying_out.run_checks", side_effect=SqlsegError("The checks cannot be run.")),
        pytest.raises(SqlsegError, match="cannot be run"),
    ):
        shop.refresh(as_of=as_of, kept=kept, full=kept is None)


def lived(fitted: Shop, history: list, folder: Path, *, watched: bool = False) -> int:
    """Let a shop live through a history by warm and by full refreshes, and compare where they end.

    A shop that is `watched` is refreshed by one process again and again, which keeps what it has read, but where
    another one comes between. Returns how often a warm refresh has patched the published file.
    """
    life, kept, patched = Life(), Kept(), 0
    warm, cold, late = (fitted.copy(folder / name) for name in ("warm", "cold", "late"))
    last = None
    for step in history:
        weights, life.held = dict(life.weights), False
        life.fails = life.elsewhere = False
        for change in step:
            life.change(*change)
        today = (FIRST_DAY + timedelta(days=life.day)).isoformat()
        as_of = today if life.held and last is not None and today >= last else None
        for shop in (warm, cold, late):
            shop.events(*life.events)
            attributes(shop, life.points, life.weights)
        memory = kept if watched and not life.elsewhere else Kept()
        if life.fails:
            fails(warm, as_of, memory)
            fails(cold, as_of)
        with (
            patch.multiple(patching, SMALLEST_BYTES=0, GROWS_AT_MOST=10),
            patch.object(publishing, "patch_copy", wraps=patching.patch_copy) as patch_copy,
            patch.object(daily, "COUNTED_ANEW_FROM", 100),
        ):
            outcome = warm.refresh(as_of=as_of, kept=memory)
        if patch_copy.call_count and not any("built whole" in note for note in warm.notes):
            patched += 1
        if outcome.plan.kind == "noop":
            cold.refresh(as_of=as_of)
        else:
            assert (outcome.plan.everyone_because is None) == (weights == life.weights)
            assert cold.refresh(as_of=as_of, full=True).plan.everyone_because == "--full asks for it"
        assert_same_state(warm, cold)
        last = local(outcome.plan.as_of, "Europe/London").isoformat()
    late.refresh(as_of=last, full=True)  # its newest event may be gone, but as_of goes back in no refresh
    assert_same_state(warm, late, history=False)
    return patched


EVERY_CHANGE = [
    [("today", "u03", 5, "purchase", 1, 40.0), ("today", "u20", 6, "view", 2, 1.0)],
    [("late", "u05", 500, "purchase", 4, 9.5), ("correct", 11, 300.0, "return"), ("points", "u07", 5)],
    [("clock", 1), ("today", "u09", 9, "purchase", 3, 9.5), ("hold",)],
    [("clock", 1), ("delete", 30), ("late", "u21", 700, "search", 0, 1.0)],
    [],
    [("forget", "u02"), ("forget", "u20"), ("clock", 40)],
    [("weights", 2, 0.5)],
]


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(history=EVERY_CHANGE)
@given(history=histories())
def test_a_warm_refresh_ends_where_a_full_one_does(fitted_shop, history):
    with TemporaryDirectory() as folder:
        patched = lived(fitted_shop, history, Path(folder))
    assert patched >= 2 or history != EVERY_CHANGE


ROUNDS = [
    [("today", "u03", 5, "purchase", 1, 40.0), ("today", "u20", 6, "view", 2, 1.0)],
    [("late", "u05", 500, "purchase", 4, 9.5), ("forget", "u02"), ("points", "u07", 5), ("fail",)],
    [("today", "u19", 8, "view", 2, 1.0), ("elsewhere",)],
    [("today", "u21", 7, "purchase", 3, 9.5), ("forget", "u20"), ("today", "u02", 9, "purchase", 2, 40.0)],
    [("clock", 1), ("late", "u22", 700, "search", 0, 1.0), ("delete", 30)],
]


def assert_held_as_in_the_warehouse(kept, shop):
    """Compare every array that is held with what is read anew, and expect that most are held."""
    project = open_project(shop.directory)
    encoder = project.encoders[0]
    with Engine.open(shop.warehouse_file, read_only=True) as engine:
        assert {encoder.table, "feature_rfm_v1", "feature_basket_v1", "feature_perks_v1"} <= kept.tables
        for table in kept.tables - {encoder.table}:
            columns, values = READ_ANEW.features(engine, table)
            assert kept.features(engine, table)[0] == columns
            np.testing.assert_array_equal(kept.features(engine, table)[1], values)
        np.testing.assert_array_equal(kept.embeddings(engine, encoder), READ_ANEW.embeddings(engine, encoder))


def test_a_watched_shop_ends_where_a_full_refresh_does(fitted_shop, tmp_path):
    life, kept = Life(), Kept()
    shop, full = fitted_shop.copy(tmp_path / "watched"), fitted_shop.copy(tmp_path / "full")
    for step in ROUNDS:
        life.fails = life.elsewhere = False
        for change in step:
            life.change(*change)
        shop.events(*life.events)
        attributes(shop, life.points, dict(life.weights))
        memory = Kept() if life.elsewhere else kept
        if life.fails:
            fails(shop, None, memory)
        assert shop.refresh(kept=memory).plan.everyone_because is None
        assert_held_as_in_the_warehouse(memory, shop)
    full.events(*life.events)
    attributes(full, life.points, dict(life.weights))
    full.now = shop.now - timedelta(minutes=1)
    full.refresh(full=True)
    assert_same_state(shop, full, history=False)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories())
def test_many_warm_refreshes_end_where_full_ones_do(fitted_shop, history):
    with TemporaryDirectory() as folder:
        lived(fitted_shop, history, Path(folder))
