"""The shipped feature views: cases worked out by hand, and what must hold for all of them on any events.

A case is a folder `tests/cases/features/<view>__v<k>[.<variant>]/`:

- `events.csv` and, where needed, `users.csv`, `items.csv`, `holidays.csv`: columns that are left out are NULL;
- `<statistic>.csv`: the rows of a shop-wide statistic; without one it is computed from the events;
- `case.toml`: as_of, in the project's time zone, and that time zone;
- `expected.csv`: the rows; a cell holds a SQL expression that shows the arithmetic, an empty one is NULL;
- `notes.md`: why.
"""

import csv
import math
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.features.binding import Source, bound_sql
from sqlseg.features.registry import Registry, View
from sqlseg.names import EVENT_COLUMNS
from sqlseg.resources import resource_root

REGISTRY = Registry.load([resource_root("sql")])
VIEWS = REGISTRY.all("features")
CASES = sorted(path.parent for path in (Path(__file__).parents[1] / "cases" / "features").glob("*/case.toml"))

Row = dict[str, object]


# -- an engine with the relations that a view may read ------------------------------------------------------------


def make_relations(engine: Engine) -> None:
    columns = ", ".join(f"{column.name} {column.type}" for column in EVENT_COLUMNS)
    engine.execute(
        f"create schema sqlseg; create schema stats; create table sqlseg.events ({columns}, local_time timestamp);"
        "create table sqlseg.users (user_id varchar); create table sqlseg.items (item_id varchar);"
        "create table sqlseg.holidays (date date, name varchar)"
    )


def set_local_time(engine: Engine, timezone: str) -> None:
    sql = "update sqlseg.events set local_time = timezone($timezone, timezone('UTC', event_time))"
    engine.execute(sql, {"timezone": timezone})


def insert_rows(engine: Engine, relation: str, rows: pa.Table) -> None:
    with engine.registered("new_rows", rows):
        engine.execute(f"insert into {relation} by name select * from new_rows")


def csv_rows(path: Path) -> pa.Table:
    with path.open(newline="") as file:
        rows = [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in rows[0]]))


def compute_statistics(engine: Engine, view: View, as_of: datetime, local_as_of: datetime, given: Path | None) -> None:
    for statistic in REGISTRY.closure([view])[:-1]:
        engine.execute(f"create table {statistic.relation} as {bound_sql(statistic, as_of, local_as_of)}")
        rows = given / f"{statistic.name}.csv" if given else None
        if rows and rows.exists():
            engine.execute(f"delete from {statistic.relation}")
            insert_rows(engine, statistic.relation, csv_rows(rows))


def rows_by_user(engine: Engine, sql: str) -> dict[str, Row]:
    table = engine.table(sql)
    rows = {str(row["user_id"]): row for row in table.to_pylist()}
    assert len(rows) == table.num_rows, "more than one row for a user"
    return rows


def assert_same_rows(actual: dict[str, Row], expected: dict[str, Row]) -> None:
    """Compare users, columns and values; floats to 1e-9, relative to 1 where they are smaller."""
    assert sorted(actual) == sorted(expected)
    for user, row in expected.items():
        assert list(actual[user]) == list(row)
        for column, value in row.items():
            found = actual[user][column]
            if isinstance(value, int | float) and isinstance(found, int | float):
                assert math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-9), f"{user}, {column}: {found} != {value}"
            else:
                assert found == value, f"{user}, {column}: {found} != {value}"


# -- cases --------------------------------------------------------------------------------------------------------


def expected_rows(engine: Engine, path: Path) -> dict[str, Row]:
    with path.open(newline="") as file:
        cells = list(csv.DictReader(file))

    def value(column: str, cell: str) -> object:
        if cell == "" or column in ("user_id", "top_category"):
            return cell or None
        return float(engine.value(f"select ({cell})::double"))

    return {row["user_id"]: {column: value(column, cell) for column, cell in row.items()} for row in cells}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_view_computes_what_the_case_expects(case: Path) -> None:
    settings = tomllib.loads((case / "case.toml").read_text())
    local_as_of = settings["as_of"]
    as_of = local_as_of.replace(tzinfo=ZoneInfo(settings["timezone"])).astimezone(UTC).replace(tzinfo=None)
    view = REGISTRY.view("features", case.name.split(".")[0].replace("__v", "@"))
    with Engine.open(None) as engine:
        make_relations(engine)
        for relation in ("events", "users", "items", "holidays"):
            if (case / f"{relation}.csv").exists():
                insert_rows(engine, f"sqlseg.{relation}", csv_rows(case / f"{relation}.csv"))
        set_local_time(engine, settings["timezone"])
        compute_statistics(engine, view, as_of, local_as_of, given=case)
        actual = rows_by_user(engine, bound_sql(view, as_of, local_as_of))
        assert_same_rows(actual, expected_rows(engine, case / "expected.csv"))


def test_every_shipped_view_has_a_case() -> None:
    assert {view.path.stem for view in VIEWS} <= {case.name for case in CASES}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.ref)
def test_every_column_is_described(view: View) -> None:
    assert view.summary
    assert [column.name for column in view.columns if not column.description] == []


def test_category_price_cuts_at_the_tenths() -> None:
    view = REGISTRY.view("statistics", "category_price@1")
    with Engine.open(None) as engine:
        make_relations(engine)
        engine.execute("""
            insert into sqlseg.events (user_id, event_time, event_type, category, price)
            select 'u', timestamp '2024-01-01', 'purchase', 'toys', price from range(1, 51) as t(price)
            union all select 'u', timestamp '2024-01-01', 'purchase', 'rare', 100 from range(49)
            union all select 'u', timestamp '2024-01-01', 'purchase', null, 100
            union all select 'u', timestamp '2024-01-01', 'purchase', 'toys', 0
            union all select 'u', timestamp '2024-01-01', 'view', 'toys', 999
            union all select 'u', timestamp '2024-07-01', 'purchase', 'toys', 999
        """)
        as_of = datetime(2024, 7, 1)
        rows = engine.rows(f"select * from ({bound_sql(view, as_of, as_of)}) order by category nulls last")
    # 50 toys cost 1 to 50; with the 50 lines of 100 that are too few for a category of their own, the shop has 100.
    assert rows == [
        ("toys", 50, 5, 10, 15, 20, 25, 30, 35, 40, 45),
        (None, 100, 10, 20, 30, 40, 50, 100, 100, 100, 100),
    ]


# -- what must hold on any events ---------------------------------------------------------------------------------

AS_OF = datetime(2024, 7, 1)
USER_COUNT = 300


def messy_events(seed: int, users: list[str]) -> pa.Table:
    """Return events in which everything that may be missing, zero, equal or unheard of sometimes is."""
    random = np.random.default_rng(seed)
    rows = []
    for user in users:
        kinds = ["view", "search", "cart", "favorite", "purchase", "return", "review", "coupon", "quiz"]
        kinds = list(random.permutation(kinds))[: random.integers(1, 10)]
        span = int(random.choice([2, 60, 400]))
        count = 1 if random.random() < 0.1 else int(random.integers(1, 60))
        for _ in range(count):
            # Ten minutes apart, so that many coincide; some are midnights, some lie after as_of.
            moment = AS_OF + timedelta(days=1) - timedelta(minutes=10 * int(random.integers(1, span * 24 * 6)))
            if random.random() < 0.1:
                moment = datetime(moment.year, moment.month, moment.day)

            def maybe(value: object, known: float = 0.7) -> object:
                return value if random.random() < known else None

            rows.append(
                {
                    "user_id": user,
                    "event_time": moment,
                    "event_type": str(random.choice(kinds)),
                    "item_id": maybe(f"item-{random.integers(0, 12)}"),
                    "category": maybe(f"category-{random.integers(0, 4)}"),
                    "order_id": maybe(f"order-{random.integers(0, 9)}", 0.4),
                    "session_id": maybe(f"session-{random.integers(0, 5)}", 0.3),
                    "price": maybe(float(random.choice([0.0, 1.1, 2.5, 7.9, 19.9, 1e6]))),
                    "quantity": maybe(float(random.choice([0, 1, 2, 0.5, 1000]))),
                    "discount": maybe(float(random.choice([0.0, 0.1, 3.3])), 0.5),
                    "duration": maybe(float(random.choice([0, 5, 77.7])), 0.5),
                }
            )
    types = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "TIMESTAMP": pa.timestamp("us")}
    schema = pa.schema([(column.name, types[column.type]) for column in EVENT_COLUMNS if column.name in rows[0]])
    return pa.Table.from_pylist(rows, schema=schema)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.open(None) as engine:
        make_relations(engine)
        users = [f"user-{number}" for number in range(USER_COUNT)]
        insert_rows(engine, "sqlseg.events", messy_events(1, users))
        set_local_time(engine, "Europe/London")
        engine.execute("insert into sqlseg.holidays values ('2024-05-06', 'May Day'), ('2024-01-01', 'New Year')")
        engine.execute("insert into sqlseg.users select distinct user_id from sqlseg.events")
        statistics = {part.relation: part for view in VIEWS for part in REGISTRY.closure([view])[:-1]}
        for statistic in statistics.values():
            engine.execute(f"create table {statistic.relation} as {bound_sql(statistic, AS_OF, AS_OF)}")
        yield engine


def bound_to(view: View, events: str) -> str:
    return bound_sql(view, AS_OF, AS_OF, Source(events=events))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.ref)
def test_values_are_finite_and_within_their_range(engine: Engine, view: View) -> None:
    sql = bound_sql(view, AS_OF, AS_OF)
    types = engine.describe(sql)
    assert list(types) == [column.name for column in view.columns]
    assert set(types.values()) <= {"VARCHAR", "BIGINT", "DOUBLE"}
    rows = rows_by_user(engine, sql)
    assert len(rows) > USER_COUNT / 3
    for column in view.columns:
        values = [row[column.name] for row in rows.values() if row[column.name] is not None]
        assert values, f"{column.name} is NULL for everybody"
        numbers = [value for value in values if not isinstance(value, str)]
        assert all(math.isfinite(value) for value in numbers), column.name  # type: ignore[arg-type]
        for check in column.checks:
            if check.kind == "range":
                low, high = check.arguments
                assert low is None or min(numbers) >= float(low), column.name  # type: ignore[type-var]
                assert high is None or max(numbers) <= float(high), column.name  # type: ignore[type-var]
            if check.kind == "not_null":
                assert len(values) == len(rows), column.name


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.ref)
def test_slices_of_users_give_the_rows_of_all_users(engine: Engine, view: View) -> None:
    sliced: dict[str, Row] = {}
    for part in range(3):
        events = f"(select * from sqlseg.events where hash(user_id) % 3 = {part})"
        sliced |= rows_by_user(engine, bound_to(view, events))
    assert_same_rows(sliced, rows_by_user(engine, bound_sql(view, AS_OF, AS_OF)))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.ref)
def test_row_order_does_not_matter(engine: Engine, view: View) -> None:
    engine.execute("create or replace table shuffled as select * from sqlseg.events order by hash(rowid * 7919 + 1)")
    assert_same_rows(
        rows_by_user(engine, bound_to(view, "shuffled")), rows_by_user(engine, bound_sql(view, AS_OF, AS_OF))
    )


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.ref)
def test_another_user_changes_nobody(engine: Engine, view: View) -> None:
    before = rows_by_user(engine, bound_sql(view, AS_OF, AS_OF))
    with engine.registered("strangers", messy_events(2, ["stranger-1", "stranger-2"])):
        engine.execute("""
            create or replace table joined as
            from sqlseg.events union all by name select *, event_time as local_time from strangers
        """)
    after = rows_by_user(engine, bound_to(view, "joined"))
    assert_same_rows({user: row for user, row in after.items() if not user.startswith("stranger")}, before)


@pytest.mark.parametrize("kind", ["view", "search", "purchase", "return", "quiz"])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.ref)
def test_a_shop_with_one_kind_of_event_has_finite_values(engine: Engine, view: View, kind: str) -> None:
    rows = rows_by_user(engine, bound_to(view, f"(select * from sqlseg.events where event_type = '{kind}')"))
    numbers = [value for row in rows.values() for value in row.values() if isinstance(value, int | float)]
    assert all(math.isfinite(number) for number in numbers)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.ref)
def test_no_events_give_no_rows(engine: Engine, view: View) -> None:
    assert rows_by_user(engine, bound_to(view, "(select * from sqlseg.events where false)")) == {}


# -- the same, computed another way -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bought(engine: Engine) -> pd.DataFrame:
    """Purchase and return lines before as_of, with their order and value."""
    lines = engine.table("select * from sqlseg.events").to_pandas()
    lines = lines[(lines.event_time < AS_OF) & lines.event_type.isin(["purchase", "return"])].copy()
    lines["order"] = lines.order_id.where(lines.order_id.notna(), lines.event_time.astype(str))
    lines["value"] = lines.price * lines.quantity.fillna(1)
    lines["day"] = lines.local_time.dt.normalize()
    return lines


def none_for_nan(frame: pd.DataFrame) -> dict[str, Row]:
    return {
        str(user): {"user_id": user} | {name: None if pd.isna(value) else value for name, value in row.items()}
        for user, row in frame.to_dict("index").items()
    }


def test_rfm_agrees_with_pandas(engine: Engine, bought: pd.DataFrame) -> None:
    purchases = bought[bought.event_type == "purchase"]
    returns = bought[bought.event_type == "return"]
    frame = pd.DataFrame(index=pd.Index(bought.user_id.unique(), name="user_id"))
    last, first = purchases.groupby("user_id").day.max(), purchases.groupby("user_id").day.min()
    frame["recency_days"] = (pd.Timestamp(AS_OF) - last).dt.days
    frame["orders"] = purchases.groupby("user_id").order.nunique()
    frame["orders"] = frame.orders.fillna(0)
    spend = purchases.groupby("user_id").value.sum(min_count=1)
    frame["spend"] = spend.sub(returns.groupby("user_id").value.sum(min_count=1), fill_value=0)
    orders = purchases.groupby(["user_id", "order"]).value.sum(min_count=1)
    frame["average_order_value"] = orders.groupby("user_id").mean()
    frame["tenure_days"] = (pd.Timestamp(AS_OF) - first).dt.days
    assert len(frame) > 100
    actual = rows_by_user(engine, bound_sql(REGISTRY.view("features", "rfm@1"), AS_OF, AS_OF))
    assert_same_rows(actual, none_for_nan(frame))


def test_cadence_agrees_with_pandas(engine: Engine, bought: pd.DataFrame) -> None:
    purchases = bought[bought.event_type == "purchase"]
    rows = {}
    for user, days in purchases.groupby("user_id").day:
        gaps = days.drop_duplicates().sort_values().diff().dropna().dt.days
        since = (pd.Timestamp(AS_OF) - days.max()).days
        rows[user] = {
            "gap_median_days": gaps.median(),
            "gap_variation": gaps.std(ddof=1) / gaps.mean(),
            "overdue_ratio": since / gaps.median(),
            "next_purchase_in_days": gaps.median() - since,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    assert frame.gap_variation.notna().sum() > 50
    actual = rows_by_user(engine, bound_sql(REGISTRY.view("features", "cadence@1"), AS_OF, AS_OF))
    assert_same_rows(actual, none_for_nan(frame))
