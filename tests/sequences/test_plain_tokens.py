"""The tokens of behavior@2, worked out by hand, and beside those of behavior@1, of which the model makes the same."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import onnxruntime
import pytest

from sqlseg.encoders.batching import encode_ragged
from sqlseg.encoders.manifest import load_encoder
from sqlseg.encoders.onnxfile import with_output
from sqlseg.encoders.session import open_session
from sqlseg.engine.duckdb import Engine
from sqlseg.features.binding import bound_sql
from sqlseg.features.registry import Registry
from sqlseg.resources import resource_root, sql_text
from sqlseg.synth import random_groups, random_shop, simulate_shop

AS_OF = datetime(2030, 1, 1)
NOTHING = {
    "gap": -1, "tenure": 0, "place": 1, "relative_spend": -1, "price_quantile": -1, "popularity": -1, "same_item": 0,
    "same_category": 0, "lines": 1, "quantity": 1, "discount_share": 0,
}  # fmt: skip
"""The figures of a first token about which nothing is known."""

FIGURES = (
    "is_search", "is_view", "is_favorite", "is_cart", "is_coupon", "is_purchase", "is_review", "is_return",
    "has_gap", "spend_known", "price_known", "item_known", "log_tenure", "log_place", "log_lines", "log_quantity",
    "log_gap", "log_spend", "price_quantile", "popularity", "hour_sin", "weekday_sin", "hour_cos", "weekday_cos",
    "same_item", "same_category", "discount_share",
)  # fmt: skip
"""What `onnx_models/behavior_v3/export.py` makes, in its order."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine.open(None, threads=2) as engine:
        engine.execute("create schema sqlseg; create schema stats")
        engine.execute(
            "create table sqlseg.events (user_id varchar, event_time timestamp, event_type varchar, item_id varchar, "
            "category varchar, order_id varchar, price double, discount double, quantity double, local_time timestamp)"
        )
        cuts = ", ".join(f"{cut}.0 as price_p{cut:02d}" for cut in range(5, 100, 10))
        engine.execute(f"create table stats.shop_scale_v1 as select {cuts}, 25.0 as typical_order_spend")
        engine.execute(
            "create table stats.item_standing_v1 as select * from (values ('A', 12.0, 0.9), ('B', null, 0.25)) "
            "as t(item_id, typical_price, popularity)"
        )
        yield engine


def add(engine: Engine, *rows: tuple[Any, ...]) -> None:
    """Add events: user, time, type, item, category, order, price, discount, quantity, local time."""
    for row in rows:
        filled = (*row, *(None,) * (9 - len(row)))[:9]
        local = row[9] if len(row) > 9 else row[1]
        engine.execute("insert into sqlseg.events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*filled, local))


def bound(version: int, as_of: datetime = AS_OF) -> str:
    registry = Registry.load([resource_root("sql")])
    sql = bound_sql(registry.view("sequences", f"behavior@{version}"), as_of, as_of)
    return f"select * from ({sql}) order by user_id, position"


def tokens(engine: Engine, as_of: datetime = AS_OF) -> list[dict[str, Any]]:
    return [
        {name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()}
        for row in engine.table(bound(2, as_of)).to_pylist()
    ]


def test_a_view_an_order_and_a_search(engine: Engine) -> None:
    add(
        engine,
        ("u", "2024-01-01 12:00:00", "view", "A", "X"),
        ("u", "2024-01-01 12:10:00", "purchase", "A", "X", "o1", 10, 5, 2),
        ("u", "2024-01-01 12:11:00", "purchase", "B", "Y", "o1", 30),
        ("u", "2024-01-02 12:10:00", "search"),
    )
    view, order, search = tokens(engine)
    # A Monday, a day after the Sunday with which weeks begin: 1,440 minutes and the twelve hours. Without a price of
    # its own the view counts by the item's typical 12.0, above 5 alone of the ten cut points.
    assert view == NOTHING | {
        "user_id": "u", "position": 1, "kind": 2, "minute": 2160, "price_quantile": 0.1, "popularity": 0.9,
    }  # fmt: skip
    # Prices 10 and 30 top 1 and 3 cut points; items of 0.9 and 0.25; 50 is twice the typical 25; 5 of 55 taken off.
    assert order == {
        "user_id": "u", "position": 2, "kind": 6, "minute": 2170, "gap": 600, "tenure": 600, "place": 2, "lines": 2,
        "quantity": 3, "relative_spend": 2, "price_quantile": 0.2, "popularity": 0.575, "same_item": 1,
        "same_category": 1, "discount_share": 0.09091,
    }  # fmt: skip
    assert search == NOTHING | {
        "user_id": "u", "position": 3, "kind": 1, "minute": 3610, "gap": 86_400, "tenure": 87_000, "place": 3,
    }  # fmt: skip


def test_a_token_is_about_its_first_item_by_name_or_about_none(engine: Engine) -> None:
    add(
        engine,
        ("u", "2024-01-01 12:00:00", "view", "B", "Y"),
        ("u", "2024-01-02 12:00:00", "purchase", "C", "Z", "o", 5),
        ("u", "2024-01-02 12:00:00", "purchase", "B", "X", "o", 5),
        ("u", "2024-01-03 12:00:00", "search"),
        ("u", "2024-01-04 12:00:00", "search"),
        ("u", "2024-01-05 12:00:00", "cart", "C", "X"),
        ("u", "2024-01-06 12:00:00", "cart", "D", "X"),
    )
    found = [(token["same_item"], token["same_category"]) for token in tokens(engine)]
    assert found == [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 1)]


def test_the_week_is_that_of_the_shops_clock(engine: Engine) -> None:
    add(
        engine,
        ("u", "2024-01-06 23:59:59", "view", *(None,) * 6, "2024-01-06 23:59:59"),
        ("u", "2024-01-07 05:00:00", "view", *(None,) * 6, "2024-01-07 00:00:00"),
        ("u", "2024-01-07 06:00:00", "view", *(None,) * 6, "2024-01-07 00:00:00"),  # an hour that comes twice
    )
    assert [(token["minute"], token["gap"]) for token in tokens(engine)] == [(10_079, -1), (0, 18_001), (0, 3_600)]


def test_the_last_64_tokens_are_kept_in_the_order_of_kinds_at_one_instant(engine: Engine) -> None:
    add(engine, *(("u", f"2024-01-01 {12 + n // 60}:{n % 60:02d}:00", "view", "A") for n in range(64)))
    before = tokens(engine)
    add(engine, ("u", "2024-02-01 12:00:00", "cart", "B"), ("u", "2024-02-01 12:00:00", "view", "B"))
    after = tokens(engine)
    assert [token["position"] for token in before] == [token["position"] for token in after] == list(range(1, 65))
    assert [token | {"position": 0} for token in before[2:]] == [token | {"position": 0} for token in after[:62]]
    assert [(token["kind"], token["place"], token["gap"] == 0) for token in after[-2:]] == [
        (2, 65, False),
        (4, 66, True),
    ]


def test_tokens_do_not_depend_on_as_of_or_on_the_order_of_rows(engine: Engine) -> None:
    for number in range(40):
        price, discount = 0.1 + number / 7, 0.05 * (number % 3)
        add(engine, ("u", "2024-01-01 12:00:00", "purchase", "AB"[number % 2], None, "o", price, discount, 1.5))
    add(engine, ("u", "2024-01-03 12:00:00", "view", "B"))
    before = engine.rows(bound(2))
    engine.execute("create or replace table sqlseg.events as select * from sqlseg.events order by price desc")
    assert engine.rows(bound(2)) == engine.rows(bound(2, datetime(2024, 2, 1))) == before
    assert len(engine.rows(bound(2, datetime(2024, 1, 2)))) == 1  # what happens later is not seen


def test_what_is_unknown_worthless_or_huge_is_a_number_in_range(engine: Engine) -> None:
    add(
        engine,
        ("u", "2024-01-01 12:00:00", "purchase", "new", None, "free", 0, 0, 1),
        ("u", "2024-01-02 12:00:00", "purchase", None, None, "nothing", None, None, 0),
        ("u", "2024-01-03 12:00:00", "purchase", "A", None, "huge", 1e300, None, 1e300),
        ("u", "2024-01-04 12:00:00", "newsletter"),
    )
    free, nothing, huge = tokens(engine)
    assert [free[name] for name in ("relative_spend", "price_quantile", "popularity", "discount_share")] == [
        -1,
        -1,
        -1,
        0,
    ]
    assert (nothing["relative_spend"], nothing["quantity"]) == (-1, 0)
    assert (huge["relative_spend"], huge["quantity"]) == (1000, pytest.approx(1e15))
    engine.execute("update stats.shop_scale_v1 set typical_order_spend = null")
    assert {token["relative_spend"] for token in tokens(engine)} == {-1}  # a shop without prices


def test_the_model_makes_the_figures_and_embeddings_of_behavior_1(engine: Engine) -> None:
    rng = np.random.default_rng(7)
    shop = random_shop(rng)
    events = simulate_shop(shop, random_groups(rng), 300, 5)
    with engine.registered("incoming", events):
        local = "event_time - interval 5 hour as local_time"
        engine.execute(f"create or replace table sqlseg.events as select *, {local} from incoming")
    engine.execute("create view events as select * from sqlseg.events")
    for name in ("shop_scale", "item_standing"):
        engine.execute(f"create or replace table stats.{name}_v1 as {sql_text(f'statistics/{name}__v1.sql')}")
    older, plain = engine.table(bound(1)), engine.table(bound(2))
    assert plain.select(["user_id", "position"]).equals(older.select(["user_id", "position"])) and len(plain) > 1_000
    lengths = np.diff([*np.flatnonzero(plain["position"].to_numpy() == 1), len(plain)])
    assert lengths.max() == 64 and lengths.min() == 1

    found = {}
    for ref, table in (("behavior@1", older), ("behavior@3", plain)):
        encoder = load_encoder(ref, [resource_root("onnx_models")])
        values = np.stack([table[name].to_numpy() for name in encoder.manifest.columns], axis=1).astype(np.float32)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        found[ref] = values, encode_ragged(values, offsets, open_session(encoder, "cpu").run, 64)
    np.testing.assert_allclose(found["behavior@3"][1], found["behavior@1"][1], atol=1e-4)

    model = load_encoder("behavior@3", [resource_root("onnx_models")]).model_path.read_bytes()
    session = onnxruntime.InferenceSession(with_output(model, "figures"), providers=["CPUExecutionProvider"])
    one_each = {"tokens": found["behavior@3"][0][:, None], "lengths": np.ones(len(plain), dtype=np.int64)}
    figures = dict(zip(FIGURES, session.run(["figures"], one_each)[0], strict=True))
    assert set(figures) == set(older.column_names[2:])
    for name, figure in figures.items():
        # Those of behavior@1 are rounded to 4 digits.
        np.testing.assert_allclose(figure, older[name].to_numpy(), atol=6e-5, err_msg=name)
        assert name in ("is_favorite", "is_review", "is_coupon") or len(np.unique(figure)) > 1, name
