"""What a simulated shop is like: its dates, its catalogue, its prices and what it records."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np


@dataclass(frozen=True)
class Shop:
    """The character of one simulated shop; groups of users come on top.

    `season` is the relative height of the seasonal wave (0 none, 1 from nothing to double) with its crest at
    day `season_peak` of the year. `arrivals` is the share of users who are there from the first days on; the
    others arrive evenly over the dates, or later and later with `growth` above 0 (earlier below, to -0.5). The first
    ones' first visits are spread over `older_days` before the first day, of which nothing is recorded. `week` is the
    number of visits by weekday, from Monday, against the busiest; 0 is a day on which the shop is closed. In each of
    the `campaigns`, (first day, days), visits come `campaign_lift` times as often as else, and buy and save more.
    """

    first_day: date = date(2024, 1, 1)
    days: int = 730
    items: int = 2_000
    categories: int = 24
    popularity: float = 1.0
    price_level: float = 20.0
    price_spread: float = 0.8
    season: float = 0.25
    season_peak: int = 340
    arrivals: float = 0.35
    peak_hour: float = 15.0
    hour_spread: float = 3.5
    views_per_visit: float = 3.0
    lines_per_order: float = 2.0
    growth: float = 0.0
    older_days: int = 0
    week: tuple[float, ...] = ()
    campaigns: tuple[tuple[int, int], ...] = ()
    campaign_lift: float = 2.0
    records_views: bool = True
    records_prices: bool = True
    records_item: bool = True
    records_orders: bool = True
    records_hours: bool = True

    def __post_init__(self) -> None:
        if self.days < 14 or self.items < 1 or not 1 <= self.categories <= self.items:
            raise ValueError("A shop has at least 14 days, one item, and no more categories than items.")
        if self.week and (len(self.week) != 7 or max(self.week) != 1 or min(self.week) < 0):
            raise ValueError("A week has seven figures from 0 to 1, of which the largest is 1.")


@dataclass(frozen=True)
class Catalogue:
    """Items sorted by category, so that a category is one stretch of the arrays.

    `price` is the list price per unit. `cumulative` is the running sum of the items' popularity, scaled to end
    at 1; category c holds the items `start[c]` to `start[c + 1] - 1`.
    """

    category: np.ndarray
    price: np.ndarray
    cumulative: np.ndarray
    start: np.ndarray

    def choose(self, category: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one item for each given category, the popular ones more often; category -1 means any."""
        edge = np.concatenate([[0.0], self.cumulative])
        anywhere = category < 0
        safe = np.where(anywhere, 0, category)
        low = np.where(anywhere, 0.0, edge[self.start[safe]])
        high = np.where(anywhere, 1.0, edge[self.start[safe + 1]])
        draw = low + (high - low) * rng.random(len(category))
        found = np.searchsorted(self.cumulative, draw, side="right")
        last = np.where(anywhere, len(self.price), self.start[safe + 1]) - 1
        first = np.where(anywhere, 0, self.start[safe])
        return np.clip(found, first, last)


def catalogue(shop: Shop, rng: np.random.Generator) -> Catalogue:
    """Return the items of a shop: Zipf popularity, log-normal prices that differ by category."""
    sizes = np.ones(shop.categories, dtype=np.int64)
    sizes += rng.multinomial(shop.items - shop.categories, rng.dirichlet(np.full(shop.categories, 2.0)))
    category = np.repeat(np.arange(shop.categories), sizes)
    level = np.log(shop.price_level) + rng.normal(0.0, 0.7 * shop.price_spread, shop.categories)
    price = np.exp(level[category] + rng.normal(0.0, 0.7 * shop.price_spread, shop.items))
    price = np.maximum(np.round(price, 2), 0.05)
    weight = 1.0 / np.power(rng.permutation(shop.items) + 1.0, shop.popularity)
    cumulative = np.cumsum(weight)
    cumulative /= cumulative[-1]
    return Catalogue(category, price, cumulative, np.concatenate([[0], np.cumsum(sizes)]))


def random_shop(rng: np.random.Generator) -> Shop:
    """Return a shop of random character: small or large, cheap or dear, with or without views, prices, hours."""
    items = int(np.exp(rng.uniform(np.log(60), np.log(6_000))))
    days = int(rng.integers(150, 1_100))
    return Shop(
        first_day=date(int(rng.integers(2015, 2025)), int(rng.integers(1, 13)), 1),
        days=days,
        items=items,
        categories=int(np.clip(rng.integers(3, 60), 1, items)),
        popularity=float(rng.uniform(0.5, 1.4)),
        price_level=float(np.exp(rng.uniform(np.log(2), np.log(150)))),
        price_spread=float(rng.uniform(0.3, 1.3)),
        season=float(rng.uniform(0.0, 0.8)),
        season_peak=int(rng.integers(0, 365)),
        arrivals=float(rng.uniform(0.0, 0.9)),
        peak_hour=float(rng.uniform(9, 21)),
        hour_spread=float(rng.uniform(2, 6)),
        views_per_visit=float(np.exp(rng.uniform(np.log(0.5), np.log(8)))),
        lines_per_order=float(np.exp(rng.uniform(np.log(1.0), np.log(12)))),
        records_views=bool(rng.random() < 0.6),
        records_prices=bool(rng.random() < 0.85),
        records_item=bool(rng.random() < 0.92),
        records_orders=bool(rng.random() < 0.8),
        records_hours=bool(rng.random() < 0.85),
    )


def eventful_shop(shop: Shop, rng: np.random.Generator) -> Shop:
    """Return the shop with a calendar: closed weekdays, campaigns, growth, customers older than its records."""
    week = np.exp(rng.normal(0, 0.3, 7))
    if rng.random() < 0.3:
        week[rng.integers(5, 7)] = 0.0
    count = int(rng.integers(0, 9) * shop.days / 365)
    first = np.sort(rng.integers(0, shop.days, count))
    length = rng.integers(2, 15, count)
    return replace(
        shop,
        growth=float(rng.uniform(-0.4, 1.5)),
        older_days=int(rng.integers(0, 500)),
        week=tuple((week / week.max()).tolist()) if rng.random() < 0.8 else (),
        campaigns=tuple(zip(first.tolist(), length.tolist(), strict=True)),
        campaign_lift=float(rng.uniform(1.2, 4.0)),
    )
