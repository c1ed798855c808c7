"""Draws the events of a simulated shop: visits, what happens in them, and what follows from an order."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlseg.synth.groups import Group
from sqlseg.synth.shop import Catalogue, Shop, catalogue
from sqlseg.synth.visits import (
    DAY,
    STAPLES,
    VISITS_PER_USER,
    Users,
    draw_users,
    draw_visits,
    group_of,
    in_campaign,
    per_user,
)

EVENT_TYPES = ("view", "search", "cart", "favorite", "purchase", "return", "review", "coupon")
VIEW, SEARCH, CART, FAVORITE, PURCHASE, RETURN, REVIEW, COUPON = range(8)
BROWSING = (VIEW, SEARCH, CART, FAVORITE)

_REVIEWS = ("Just as described, would buy again.", "Fine for the price.", "Not what I hoped for.", "Arrived late.")

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("event_time", pa.timestamp("us")),
        ("event_type", pa.string()),
        ("item_id", pa.string()),
        ("category", pa.string()),
        ("order_id", pa.string()),
        ("session_id", pa.string()),
        ("text", pa.string()),
        ("price", pa.float64()),
        ("discount", pa.float64()),
        ("quantity", pa.float64()),
        ("duration", pa.float64()),
        ("ingested_at", pa.timestamp("us")),
        ("true_group", pa.string()),
    ]
)


@dataclass(frozen=True)
class DrawnEvents:
    """Events as parallel arrays, by user and time; `seconds` counts from the shop's first day, -1 is no item."""

    user: np.ndarray
    seconds: np.ndarray
    kind: np.ndarray
    item: np.ndarray
    visit: np.ndarray
    price: np.ndarray
    discount: np.ndarray
    quantity: np.ndarray
    duration: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, which: np.ndarray) -> "DrawnEvents":
        """Return the events at the given places, or where a mask is true."""
        return DrawnEvents(**{field.name: getattr(self, field.name)[which] for field in fields(self)})


def draw_events(
    shop: Shop,
    items: Catalogue,
    groups: Sequence[Group],
    number: np.ndarray,
    pace: float,
    rng: np.random.Generator,
) -> DrawnEvents:
    """Return the events of the users with the given numbers; `pace` divides every user's time between visits."""
    users = draw_users(shop, items, groups, number, pace, rng)
    visits = draw_visits(shop, groups, users, rng)
    group = users.group[visits.user]

    def habit(name: str) -> np.ndarray:
        return per_user(groups, name, group)

    discount, coupons, buy = habit("discount"), habit("coupon"), users.buy[visits.user]
    if shop.campaigns:
        campaign = in_campaign(shop, np.floor(visits.seconds / DAY))
        buy = np.where(campaign, 1 - (1 - buy) ** 1.5, buy)
        discount = np.where(campaign, 1 - 0.6 * (1 - discount), discount)
        coupons = np.where(campaign, 1 - 0.9 * (1 - coupons), coupons)
    buys = rng.random(len(group)) < buy
    views = rng.poisson(shop.views_per_visit * habit("views"))
    lines = np.where(buys, 1 + rng.poisson(np.maximum(shop.lines_per_order * habit("lines") - 1, 0.0)), 0)
    views = np.where((views == 0) & (lines == 0), 1, views)
    slots = np.maximum(views, lines)
    first = np.concatenate([[0], np.cumsum(slots)[:-1]]) if len(slots) else slots
    visit = np.repeat(np.arange(len(slots)), slots)
    place = np.arange(len(visit)) - first[visit]
    item = _choose_items(items, users, visits.user[visit], {n: habit(n)[visit] for n in _ITEM_HABITS}, rng)
    pause = rng.exponential(45.0, len(visit)) + 3.0
    run = np.cumsum(pause)
    moment = visits.seconds[visit] + (run - run[first][visit])
    end = visits.seconds.copy()
    if len(slots):
        end += run[first + slots - 1] - run[first] + 60.0

    coupon = buys & (rng.random(len(slots)) < coupons)
    search = rng.random(len(slots)) < habit("search")
    viewed = place < views[visit]
    bought = place < lines[visit]
    carted = (bought & (rng.random(len(visit)) < 0.8)) | (viewed & (rng.random(len(visit)) < habit("abandon")[visit]))
    liked = viewed & (rng.random(len(visit)) < habit("favorite")[visit])
    reduced = (rng.random(len(visit)) < discount[visit]) | coupon[visit]
    share = np.where(reduced, rng.uniform(0.05, 0.45, len(visit)), 0.0)
    list_price = items.price[item]
    price = np.round(list_price * (1 - share), 2)
    quantity = 1.0 + np.floor(rng.exponential(1.0, len(visit)) * (habit("quantity")[visit] - 0.7))
    returned = bought & (rng.random(len(visit)) < habit("returns")[visit])
    reviewed = bought & (rng.random(len(visit)) < habit("review")[visit])
    nan = np.full(len(visit), np.nan)

    def of_slots(kind: int, mask: np.ndarray, seconds: np.ndarray, **values: np.ndarray) -> dict[str, Any]:
        columns = {"price": list_price, "discount": nan, "quantity": nan, "duration": nan} | values
        return {
            "kind": np.full(int(mask.sum()), kind, dtype=np.int8),
            "seconds": seconds[mask],
            "visit": visit[mask],
            "item": item[mask],
        } | {name: column[mask] for name, column in columns.items()}

    def of_visits(kind: int, mask: np.ndarray, seconds: np.ndarray) -> dict[str, Any]:
        count = int(mask.sum())
        empty = np.full(count, np.nan)
        return {
            "kind": np.full(count, kind, dtype=np.int8),
            "seconds": seconds[mask],
            "visit": np.flatnonzero(mask),
            "item": np.full(count, -1, dtype=np.int64),
        } | dict.fromkeys(("price", "discount", "quantity", "duration"), empty)

    paid = {"price": price, "quantity": quantity, "discount": np.round(list_price * share * quantity, 2)}
    later = end[visit] + rng.uniform(2, 25, len(visit)) * DAY
    opinion = end[visit] + rng.uniform(4, 30, len(visit)) * DAY
    parts = [
        of_slots(VIEW, viewed, moment, duration=np.round(pause, 1)),
        of_visits(SEARCH, search, visits.seconds - 8.0),
        of_slots(CART, carted, moment + 2.0, quantity=quantity),
        of_slots(FAVORITE, liked, moment + 1.0),
        of_slots(PURCHASE, bought, end[visit], **paid),
        of_slots(RETURN, returned, later, price=price, quantity=np.ceil(quantity * rng.uniform(0.3, 1, len(visit)))),
        of_slots(REVIEW, reviewed, opinion),
        of_visits(COUPON, coupon, end - 20.0),
    ]
    if not shop.records_views:
        parts = [part for kind, part in enumerate(parts) if kind not in BROWSING]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    by_visit = joined.pop("visit")
    user = visits.user[by_visit]
    seconds = np.floor(np.clip(joined["seconds"], 0.0, None))
    if not shop.records_hours:
        seconds = np.floor(seconds / DAY) * DAY
    events = DrawnEvents(
        user=users.number[user],
        visit=users.number[user] * VISITS_PER_USER + visits.number[by_visit],
        **{**joined, "seconds": seconds},
    )
    within = np.flatnonzero(seconds < shop.days * DAY)
    order = within[np.argsort((user * (shop.days * DAY + 1.0) + seconds)[within], kind="stable")]
    return events.take(order)


_ITEM_HABITS = ("repeat", "focus", "price_taste")


def _choose_items(
    items: Catalogue, users: Users, user: np.ndarray, habit: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    count = len(user)
    liked = users.favorites[user, rng.integers(0, 2, count)]
    wanted = np.where(rng.random(count) < habit["focus"], liked, -1)
    chosen = items.choose(wanted, rng)
    picky = np.flatnonzero(rng.random(count) < np.abs(habit["price_taste"]))
    sign = np.where(habit["price_taste"][picky] < 0, -1.0, 1.0)
    for _ in range(2):
        other = items.choose(wanted[picky], rng)
        better = sign * items.price[other] > sign * items.price[chosen[picky]]
        chosen[picky[better]] = other[better]
    again = np.flatnonzero(rng.random(count) < habit["repeat"])
    chosen[again] = users.staples[user[again], rng.integers(0, STAPLES, len(again))]
    return chosen


def _numbered(prefix: str, number: np.ndarray, width: int = 0) -> pa.Array:
    """Return strings like u0000042, made once for each different number."""
    different, inverse = np.unique(number, return_inverse=True)
    return pa.array([f"{prefix}{value:0{width}d}" for value in different.tolist()], pa.string()).take(pa.array(inverse))


def events_table(
    events: DrawnEvents, shop: Shop, items: Catalogue, groups: Sequence[Group], first_event: int
) -> pa.Table:
    """Return drawn events as a table with the columns of canonical events and `true_group`."""
    missing = events.item < 0
    item = np.where(missing, 0, events.item)
    names = pa.array([f"item-{number:05d}" for number in range(len(items.price))], pa.string())
    shelves = pa.array([f"category-{number:02d}" for number in range(len(items.start) - 1)], pa.string())
    without_item = missing | (not shop.records_item)
    where = pa.array(np.where(without_item, 0, item), mask=without_item)
    category = pa.array(items.category[item], mask=without_item)
    micros = np.datetime64(shop.first_day, "us").astype(np.int64) + (events.seconds * 1e6).astype(np.int64)
    ordered = np.isin(events.kind, (PURCHASE, RETURN)) & shop.records_orders
    in_session = np.isin(events.kind, (*BROWSING, PURCHASE, COUPON)) & shop.records_views
    order_id = _numbered("o", np.where(ordered, events.visit, -1))
    session_id = _numbered("s", np.where(in_session, events.visit, -1))
    null = pa.scalar(None, pa.string())
    text = np.full(len(events), -1)
    text[events.kind == SEARCH] = 0
    opinions = events.kind == REVIEW
    text[opinions] = 1 + events.item[opinions] % len(_REVIEWS)
    texts = pa.array([shelves[0].as_py().replace("-", " ") if len(shelves) else "", *_REVIEWS], pa.string())

    def amount(values: np.ndarray, recorded: bool = True) -> pa.Array:
        return pa.array(values, mask=np.isnan(values) | (not recorded))

    number = pa.array(np.arange(first_event + 1, first_event + 1 + len(events))).cast(pa.string())
    columns = [
        number,
        _numbered("u", events.user, 7),
        pa.array(micros).cast(pa.timestamp("us")),
        pa.array(EVENT_TYPES, pa.string()).take(pa.array(events.kind)),
        names.take(where),
        shelves.take(category),
        pc.if_else(pa.array(ordered), order_id, null),
        pc.if_else(pa.array(in_session), session_id, null),
        texts.take(pa.array(text, mask=text < 0)),
        amount(events.price, shop.records_prices),
        amount(events.discount, shop.records_prices),
        amount(events.quantity),
        amount(events.duration),
        pa.array(micros + 300_000_000).cast(pa.timestamp("us")),
        pa.array([group.name for group in groups], pa.string()).take(pa.array(group_of(events.user, groups))),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def simulate_shop(shop: Shop, groups: Sequence[Group], users: int, seed: int, pace: float = 1.0) -> pa.Table:
    """Return the events of a simulated shop, by user and time; repeatable by `seed`.

    In a shop that records no views, users who never bought have no events and are missing.

    >>> from sqlseg.synth import KNOWN_GROUPS
    >>> events = simulate_shop(Shop(items=50, categories=5), KNOWN_GROUPS, users=10, seed=1)
    >>> len(set(events["user_id"].to_pylist()))
    10
    """
    items = catalogue(shop, np.random.default_rng([seed, 0]))
    events = draw_events(shop, items, groups, np.arange(users), pace, np.random.default_rng([seed, 1]))
    return events_table(events, shop, items, groups, first_event=0)
