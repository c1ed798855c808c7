"""Simulated shops: what they record, and whether their groups behave as they are called."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sqlseg.names import EVENT_COLUMNS, KNOWN_EVENT_TYPES
from sqlseg.synth import KNOWN_GROUPS, Shop, random_groups, random_shop, simulate_shop


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return simulate_shop(Shop(days=300), KNOWN_GROUPS, users=1_500, seed=3, pace=0.6)


def group(events: pa.Table, name: str) -> pa.Table:
    return events.filter(pc.equal(events["true_group"], name))


def purchases(events: pa.Table) -> pa.Table:
    return events.filter(pc.equal(events["event_type"], "purchase"))


def test_columns_are_those_of_canonical_events(events: pa.Table) -> None:
    assert set(events.column_names) == {*(column.name for column in EVENT_COLUMNS), "true_group"}
    assert set(events["event_type"].unique().to_pylist()) == set(KNOWN_EVENT_TYPES)
    for name in ("user_id", "event_time", "event_type", "event_id", "true_group"):
        assert events[name].null_count == 0
    assert len(events["event_id"].unique()) == len(events)


def test_every_user_has_an_event_and_one_group(events: pa.Table) -> None:
    pairs = events.group_by(["user_id", "true_group"]).aggregate([])
    assert len(pairs) == 1_500
    assert set(events["true_group"].unique().to_pylist()) == {group.name for group in KNOWN_GROUPS}


def test_weekly_customers_order_weekly(events: pa.Table) -> None:
    orders = (
        purchases(group(events, "loyal weekly"))
        .group_by(["user_id", "order_id"])
        .aggregate([("event_time", "min")])
        .sort_by([("user_id", "ascending"), ("event_time_min", "ascending")])
    )
    user = orders["user_id"].to_numpy()
    days = orders["event_time_min"].to_numpy().astype("datetime64[D]").astype(int)
    gaps = np.diff(days)[user[1:] == user[:-1]]
    assert np.median(gaps) == 7


def test_weekend_users_come_on_weekends(events: pa.Table) -> None:
    orders = purchases(group(events, "weekend"))
    weekday = pc.day_of_week(orders["event_time"]).to_numpy()
    assert (weekday >= 5).mean() > 0.9


def test_lapsed_users_stop_and_one_time_users_order_once(events: pa.Table) -> None:
    end = pc.max(events["event_time"]).as_py()
    lapsed = purchases(group(events, "lapsed big spender"))["event_time"].to_numpy()
    assert (
        np.datetime64(end) - np.quantile(lapsed.astype("datetime64[s]").astype(float), 0.95).astype("datetime64[s]")
    ) / np.timedelta64(1, "D") > 30
    once = group(events, "one-time")
    orders = purchases(once).group_by("user_id").aggregate([("order_id", "count_distinct")])
    assert pc.max(orders["order_id_count_distinct"]).as_py() == 1


def test_price_tastes_differ(events: pa.Table) -> None:
    def middle(name: str) -> float:
        return float(np.median(purchases(group(events, name))["price"].to_numpy()))

    assert middle("bargain hunter") < 0.8 * middle("weekend") < middle("big spender")


def test_orders_hold_their_lines_and_returns_follow_them(events: pa.Table) -> None:
    orders = purchases(events).group_by("order_id").aggregate([("event_time", "count_distinct"), ("user_id", "count")])
    assert pc.max(orders["event_time_count_distinct"]).as_py() == 1
    assert pc.max(orders["user_id_count"]).as_py() > 3
    returned = events.filter(pc.equal(events["event_type"], "return"))["order_id"]
    assert pc.all(pc.is_in(returned, purchases(events)["order_id"].unique())).as_py()


def test_same_seed_same_events() -> None:
    first, again, other = (simulate_shop(Shop(), KNOWN_GROUPS, 40, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_shops_may_record_neither_views_nor_prices() -> None:
    shop = Shop(records_views=False, records_prices=False, records_hours=False, records_orders=False)
    events = simulate_shop(shop, KNOWN_GROUPS, 200, seed=1)
    assert set(events["event_type"].unique().to_pylist()) <= {"purchase", "return", "review", "coupon"}
    assert events["price"].null_count == len(events) == events["order_id"].null_count
    assert set(pc.hour(events["event_time"]).unique().to_pylist()) == {0}


@pytest.mark.parametrize("seed", range(8))
def test_random_shops_of_any_character_have_events(seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = simulate_shop(random_shop(rng), random_groups(rng), 60, seed)
    assert 0 < len(events["user_id"].unique()) <= 60
    for name in ("price", "quantity", "discount", "duration"):
        values = events[name].drop_null().to_numpy()
        assert np.isfinite(values).all() and (values >= 0).all()
