"""The tokens that the behaviour encoder reads, worked out by hand."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.features.binding import bound_sql
from sqlseg.features.registry import Registry
from sqlseg.resources import resource_root, sql_text

AS_OF = datetime(2030, 1, 1)

EVENTS = """
create table sqlseg.events (
    user_id varchar, event_time timestamp, event_type varchar, item_id varchar, category varchar, order_id varchar,
    price double, discount double, quantity double, local_time timestamp
)
"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine.open(None, threads=2) as engine:
        engine.execute("create schema sqlseg; create schema stats")
        engine.execute(EVENTS)
        cuts = ", ".join(f"{cut}.0 as price_p{cut:02d}" for cut in range(5, 100, 10))
        engine.execute(f"create table stats.shop_scale_v1 as select {cuts}, 25.0 as typical_order_spend")
        engine.execute(
            "create table stats.item_standing_v1 as select * from (values ('A', 12.0, 0.9), ('B', null, 0.25)) "
            "as t(item_id, typical_price, popularity)"
        )
        yield engine


def add(engine: Engine, *rows: tuple[Any, ...]) -> None:
    """Add events: user, time, type, item, category, order, price, discount, quantity."""
    for row in rows:
        filled = (*row, *(None,) * (9 - len(row)))
        engine.execute("insert into sqlseg.events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*filled, row[1]))


def tokens(engine: Engine, as_of: datetime = AS_OF) -> list[dict[str, Any]]:
    registry = Registry.load([resource_root("sql")])
    sql = bound_sql(registry.view("sequences", "behavior@1"), as_of, as_of)
    table = engine.table(f"select * from ({sql}) order by user_id, position")
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in table.to_pylist()]


def test_a_view_an_order_and_a_search(engine: Engine) -> None:
    add(
        engine,
        ("u", "2024-01-01 12:00:00", "view", "A", "X"),
        ("u", "2024-01-01 12:10:00", "purchase", "A", "X", "o1", 10, 5, 2),
        ("u", "2024-01-01 12:11:00", "purchase", "B", "Y", "o1", 30),
        ("u", "2024-01-02 12:10:00", "search"),
    )
    view, order, search = tokens(engine)
    flags = ("view", "search", "cart", "favorite", "purchase", "return", "review", "coupon")
    for token, kind in ((view, "view"), (order, "purchase"), (search, "search")):
        assert [flag for flag in flags if token.pop(f"is_{flag}")] == [kind]
    assert view == {
        "user_id": "u", "position": 1, "has_gap": 0, "log_gap": 0, "log_tenure": 0, "log_place": 0,
        "hour_sin": 0, "hour_cos": -1, "weekday_sin": 0.7818, "weekday_cos": 0.6235,
        # Without a price of its own, the item's typical 12.0 counts: above 5 alone of the ten cut points.
        "price_known": 1, "price_quantile": -0.4, "item_known": 1, "popularity": 0.4,
        "same_item": 0, "same_category": 0, "log_lines": 0, "log_quantity": 0.3466,
        "spend_known": 0, "log_spend": 0, "discount_share": 0,
    }  # fmt: skip
    assert order == {
        "user_id": "u", "position": 2, "has_gap": 1, "log_gap": 0.4796, "log_tenure": 0.0014, "log_place": 0.1733,
        "hour_sin": -0.0436, "hour_cos": -0.999, "weekday_sin": 0.7818, "weekday_cos": 0.6235,
        # Prices 10 and 30 top 1 and 3 cut points; items of 0.9 and 0.25; 3 units; 50 is twice the typical 25.
        "price_known": 1, "price_quantile": -0.3, "item_known": 1, "popularity": 0.075,
        "same_item": 1, "same_category": 1, "log_lines": 0.6931, "log_quantity": 0.6931,
        "spend_known": 1, "log_spend": 0.3466, "discount_share": 0.0909,
    }  # fmt: skip
    assert search == {
        "user_id": "u", "position": 3, "has_gap": 1, "log_gap": 1.4546, "log_tenure": 0.1393, "log_place": 0.2747,
        "hour_sin": -0.0436, "hour_cos": -0.999, "weekday_sin": 0.9749, "weekday_cos": -0.2225,
        "price_known": 0, "price_quantile": 0, "item_known": 0, "popularity": 0,
        "same_item": 0, "same_category": 0, "log_lines": 0, "log_quantity": 0.3466,
        "spend_known": 0, "log_spend": 0, "discount_share": 0,
    }  # fmt: skip


def test_orders_without_an_id_are_instants(engine: Engine) -> None:
    add(
        engine,
        ("u", "2024-01-01 12:00:00", "purchase", "A", None, None, 5),
        ("u", "2024-01-01 12:00:00", "purchase", "B", None, None, 6),
        ("u", "2024-01-01 12:00:01", "purchase", "B", None, None, 7),
    )
    assert [round(2.718281828 ** token["log_lines"]) for token in tokens(engine)] == [2, 1]


def test_the_last_64_tokens_are_kept_and_keep_their_values(engine: Engine) -> None:
    add(engine, *(("u", f"2024-01-01 12:{minute:02d}:00", "view", "A") for minute in range(60)))
    add(engine, *(("u", f"2024-01-01 13:{minute:02d}:00", "view", "B") for minute in range(4)))
    before = tokens(engine)
    add(engine, ("u", "2024-02-01 12:00:00", "cart", "B"), ("u", "2024-02-01 12:00:00", "view", "B"))
    after = tokens(engine)
    assert [token["position"] for token in before] == [token["position"] for token in after] == list(range(1, 65))
    assert [token | {"position": 0} for token in before[2:]] == [token | {"position": 0} for token in after[:62]]
    assert [token["is_cart"] for token in after[-2:]] == [0, 1]  # at one instant, looking comes first


def test_tokens_do_not_depend_on_as_of_or_on_other_users(engine: Engine) -> None:
    add(engine, ("u", "2024-01-01 12:00:00", "view", "A"), ("u", "2024-01-03 12:00:00", "view", "B"))
    alone = tokens(engine, datetime(2024, 1, 4))
    add(engine, ("v", "2024-01-01 12:00:00", "purchase", "A", "X", "o", 5))
    assert [token for token in tokens(engine) if token["user_id"] == "u"] == alone
    assert len(tokens(engine, datetime(2024, 1, 2))) == 2  # what happens later is not seen


def test_what_is_unknown_or_worthless_is_no_number_out_of_range(engine: Engine) -> None:
    add(
        engine,
        ("u", "2024-01-01 12:00:00", "purchase", "new", None, "free", 0, 0, 1),
        ("u", "2024-01-02 12:00:00", "purchase", None, None, "nothing", None, None, 0),
        ("u", "2024-01-03 12:00:00", "purchase", "A", None, "huge", 1e12, None, 1e6),
        ("u", "2024-01-04 12:00:00", "newsletter"),
    )
    free, nothing, huge = tokens(engine)
    assert (free["spend_known"], free["price_known"], free["item_known"]) == (0, 0, 0)
    assert (nothing["spend_known"], nothing["log_quantity"]) == (0, 0)
    assert huge["log_spend"] == 2.5


def test_a_shop_without_orders_or_prices_has_tokens(engine: Engine) -> None:
    add(engine, ("u", "2024-01-01 12:00:00", "view", "A"))
    for name in ("shop_scale", "item_standing"):
        engine.execute("create or replace view events as select * from sqlseg.events")
        engine.execute(f"create or replace table stats.{name}_v1 as {sql_text(f'statistics/{name}__v1.sql')}")
    (token,) = tokens(engine)
    assert (token["is_view"], token["price_known"], token["item_known"]) == (1, 0, 1)


def test_statistics_of_a_small_shop(engine: Engine) -> None:
    add(
        engine,
        ("u", "2024-01-01 12:00:00", "view", "A", None, None, 99),
        ("u", "2024-01-01 12:00:00", "purchase", "A", None, "o1", 10, None, 2),
        ("u", "2024-01-01 12:00:00", "purchase", "B", None, "o1", 20),
        ("v", "2024-01-02 12:00:00", "purchase", "A", None, None, 10),
    )
    engine.execute("create view events as select * from sqlseg.events")
    scale = engine.table(sql_text("statistics/shop_scale__v1.sql")).to_pylist()[0]
    assert scale["typical_order_spend"] == 25  # of 40 and 10
    assert (scale["price_p05"], scale["price_p45"], scale["price_p95"]) == (10, 10, pytest.approx(19))
    items = engine.rows(f"select * from ({sql_text('statistics/item_standing__v1.sql')}) order by item_id")
    # Of 4 events, 3 are about A: the less popular 1 and half of its own 3.
    assert items == [("A", 10.0, 0.625), ("B", 20.0, 0.125)]


def test_the_order_of_rows_does_not_matter(engine: Engine) -> None:
    for number in range(40):
        price, discount = 0.1 + number / 7, 0.05 * (number % 3)
        add(engine, ("u", "2024-01-01 12:00:00", "purchase", "AB"[number % 2], None, "o", price, discount, 1.5))
    before = engine.rows(sql_text_bound())
    engine.execute("create or replace table sqlseg.events as select * from sqlseg.events order by price desc")
    assert engine.rows(sql_text_bound()) == before


def sql_text_bound() -> str:
    registry = Registry.load([resource_root("sql")])
    return bound_sql(registry.view("sequences", "behavior@1"), AS_OF, AS_OF)
