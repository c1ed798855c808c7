"""Simulated shops: what they record, and whether their groups behave as they are called."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sqlseg.names import EVENT_COLUMNS, KNOWN_EVENT_TYPES
from sqlseg.synth import (
    KNOWN_GROUPS,
    Group,
    Shop,
    changing_groups,
    eventful_shop,
    random_groups,
    random_shop,
    simulate_shop,
)


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


CALENDAR = Shop(
    first_day=date(2024, 1, 1),
    days=364,
    week=(1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0),
    campaigns=((100, 10), (200, 10)),
    campaign_lift=4.0,
    season=0.0,
)
STEADY = Group("steady", 1.0, gap_days=7, buy=0.5, joined=(0.0, 0.01))


def days_of(events: pa.Table) -> np.ndarray:
    return events["event_time"].to_numpy().astype("datetime64[D]").astype(int) - np.datetime64("2024-01-01").astype(int)


def test_a_shop_is_closed_on_sundays_and_quiet_on_saturdays() -> None:
    days = days_of(purchases(simulate_shop(CALENDAR, [STEADY], 300, seed=1)))
    count = np.bincount(days % 7, minlength=7)  # the first day is a Monday
    assert count[6] < 0.02 * count[:5].mean()  # visits just before midnight
    assert count[5] == pytest.approx(0.5 * count[:5].mean(), rel=0.25)


def test_campaigns_bring_visits_coupons_and_discounts() -> None:
    events = simulate_shop(CALENDAR, [STEADY], 400, seed=1)
    days = days_of(events)
    within = ((days >= 100) & (days < 110)) | ((days >= 200) & (days < 210))
    kinds = np.array(events["event_type"].to_pylist())
    per_day = np.array([(kinds[within] == "view").sum() / 20, (kinds[~within] == "view").sum() / 344])
    assert per_day[0] / per_day[1] == pytest.approx(4, rel=0.2)
    coupons = [(kinds[side] == "coupon").sum() / (kinds[side] == "purchase").sum() for side in (within, ~within)]
    assert coupons[0] > 2.5 * coupons[1]
    bought = kinds == "purchase"
    reduced = events["discount"].to_numpy(zero_copy_only=False) > 0
    assert reduced[bought & within].mean() > 0.4 > 0.2 > reduced[bought & ~within].mean()


def first_days(events: pa.Table) -> np.ndarray:
    firsts = events.group_by("user_id").aggregate([("event_time", "min")])
    return days_of(pa.table({"event_time": firsts["event_time_min"]}))


def test_a_growing_shop_gets_most_of_its_users_late() -> None:
    growing, shrinking = (
        first_days(simulate_shop(Shop(days=400, arrivals=0.0, growth=growth), [replace(STEADY, joined=None)], 500, 1))
        for growth in (1.5, -0.4)
    )
    assert np.median(growing) > 250 > 150 > np.median(shrinking)


def test_customers_older_than_the_records_are_seen_from_their_next_visit() -> None:
    shop = Shop(days=300, arrivals=1.0, older_days=400, season=0.0)
    staying = replace(STEADY, joined=None, gap_days=30)
    firsts = first_days(simulate_shop(shop, [staying], 500, 1))
    assert len(firsts) == pytest.approx(500, abs=5)
    assert 10 < np.mean(firsts) < 60
    gone = simulate_shop(shop, [replace(staying, active_days=30)], 500, 1)
    assert len(gone["user_id"].unique()) < 150  # most had left before


def test_users_leave_after_any_visit() -> None:
    events = simulate_shop(Shop(days=700, season=0.0), [replace(STEADY, buy=1.0, leave=0.25)], 2_000, 1)
    orders = purchases(events).group_by("user_id").aggregate([("order_id", "count_distinct")])
    assert pc.mean(orders["order_id_count_distinct"]).as_py() == pytest.approx(4, rel=0.1)  # geometric: 1 / 0.25


def gaps_by_user(group: Group) -> list[np.ndarray]:
    events = simulate_shop(Shop(days=700, season=0.0), [group], 200, 1)
    orders = purchases(events).group_by(["user_id", "order_id"]).aggregate([("event_time", "min")])
    orders = orders.sort_by([("user_id", "ascending"), ("event_time_min", "ascending")])
    users, times = orders["user_id"].to_numpy(), orders["event_time_min"].to_numpy().astype(float) / 86_400e6
    return [np.diff(times[users == user]) for user in np.unique(users)]


def test_users_slow_down() -> None:
    slowing = [gaps for gaps in gaps_by_user(replace(STEADY, buy=1.0, regularity=9, slowing=1.0)) if len(gaps) >= 20]
    ratio = np.median([gaps[10:20].mean() / gaps[:10].mean() for gaps in slowing])
    assert ratio == pytest.approx(np.e, rel=0.15)


def test_bursts_clump_visits() -> None:
    even, bursts = (
        np.concatenate(gaps_by_user(replace(STEADY, buy=1.0, regularity=9, spread=0.01, binge=binge)))
        for binge in (0.0, 0.5)
    )
    assert (even < 2.5).mean() < 0.02
    assert (bursts < 2.5).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("week", [(1.0,), (0.5,) * 7, (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -0.1)])
def test_an_impossible_week_is_refused(week: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="seven figures"):
        Shop(week=week)


@pytest.mark.parametrize("seed", range(8))
def test_random_shops_with_calendars_have_events(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shop, groups = eventful_shop(random_shop(rng), rng), changing_groups(random_groups(rng), rng)
    events = simulate_shop(shop, groups, 100, seed, pace=3.0)
    assert 0 < len(events["user_id"].unique()) <= 100
    days = (events["event_time"].to_numpy().astype("datetime64[D]") - np.datetime64(shop.first_day)).astype(int)
    assert days.min() >= 0 and days.max() < shop.days
