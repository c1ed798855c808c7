"""Draws the users of a simulated shop and when they come."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.synth.groups import Group
from sqlseg.synth.shop import Catalogue, Shop

DAY = 86_400.0
VISITS_PER_USER = 1_000_000
"""Visits are numbered user * this + visit, so that ids need no counter that runs through all users."""

STAPLES = 5
_SLOWED_VISITS = 30
"""Gaps change over so many visits; then they stay as they are."""


@dataclass(frozen=True)
class Users:
    """Every user's own habits: the group's middle figures with a personal spread."""

    number: np.ndarray
    group: np.ndarray
    born: np.ndarray
    active: np.ndarray
    gap: np.ndarray
    buy: np.ndarray
    hour: np.ndarray
    favorites: np.ndarray
    staples: np.ndarray


def group_of(number: np.ndarray, groups: Sequence[Group]) -> np.ndarray:
    """Return the group of each user by its number: even shares over any stretch of numbers, the first one included."""
    edges = np.cumsum([group.share for group in groups])
    place = np.mod(0.05 + number * 0.6180339887498949, 1.0) * edges[-1]
    found: np.ndarray = np.minimum(np.searchsorted(edges, place, side="right"), len(groups) - 1)
    return found


def per_user(groups: Sequence[Group], name: str, which: np.ndarray) -> np.ndarray:
    """Return a habit of the group of each user."""
    values: np.ndarray = np.array([getattr(group, name) for group in groups], dtype=np.float64)[which]
    return values


def draw_users(
    shop: Shop, items: Catalogue, groups: Sequence[Group], number: np.ndarray, pace: float, rng: np.random.Generator
) -> Users:
    """Return the habits of the users with the given numbers."""
    count = len(number)
    group = group_of(number, groups)
    spread = per_user(groups, "spread", group)
    horizon = float(shop.days)
    early = (-1.0, 0.0)  # stands for "as the shop's users arrive"
    window = np.array([early if g.joined is None else g.joined for g in groups])[group]
    arrival = np.where(rng.random(count) < shop.arrivals, 0.03 * rng.random(count), rng.random(count))
    within = window[:, 0] + (window[:, 1] - window[:, 0]) * rng.random(count)
    if shop.growth:
        arrival = np.where(arrival <= 0.03, arrival, arrival ** (1.0 / (1.0 + shop.growth)))
    born = np.where(window[:, 0] < 0, arrival, within) * (horizon - 1.0)
    if shop.older_days:
        born = np.where((window[:, 0] < 0) & (arrival <= 0.03), -shop.older_days * rng.random(count), born)
    season_days = np.array([np.nan if g.season_days is None else g.season_days for g in groups])[group]
    seasonal = np.isfinite(season_days)
    if seasonal.any():
        born = np.where(seasonal, _into_season(shop, born, np.nan_to_num(season_days), rng), born)
    timed = (per_user(groups, "timed", group) > 0) & (pace < 1.0)
    born = np.where(timed, horizon - (horizon - born) * pace, born)
    stay = per_user(groups, "active_days", group)
    active = np.where(np.isfinite(stay), rng.exponential(1.0, count) * np.nan_to_num(stay, posinf=0.0), np.inf)
    odds = per_user(groups, "buy", group).clip(1e-4, 1 - 1e-4)
    logit = np.log(odds / (1 - odds)) + spread * rng.normal(0, 1, count)
    hours = np.array([shop.peak_hour if g.peak_hour is None else g.peak_hour for g in groups])
    favorites = rng.integers(0, shop.categories, (count, 2))
    focus = per_user(groups, "focus", group)
    picks = rng.integers(0, 2, (count, STAPLES))
    wanted = np.where(rng.random((count, STAPLES)) < focus[:, None], np.take_along_axis(favorites, picks, 1), -1)
    return Users(
        number=number,
        group=group,
        born=born,
        active=np.minimum(active, horizon - born),
        gap=per_user(groups, "gap_days", group) * np.exp(spread * rng.normal(0, 1, count)) / np.where(timed, 1.0, pace),
        buy=1.0 / (1.0 + np.exp(-logit)),
        hour=hours[group] + rng.normal(0, 1.5, count),
        favorites=favorites,
        staples=items.choose(wanted.ravel(), rng).reshape(count, STAPLES),
    )


def _day_of_year(shop: Shop, day: np.ndarray) -> np.ndarray:
    place: np.ndarray = np.mod(day + shop.first_day.timetuple().tm_yday - 1, 365.25)
    return place


def _season_distance(shop: Shop, day: np.ndarray) -> np.ndarray:
    distance = np.abs(_day_of_year(shop, day) - shop.season_peak)
    shorter: np.ndarray = np.minimum(distance, 365.25 - distance)
    return shorter


def _into_season(shop: Shop, born: np.ndarray, width: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move arrivals into the season around the peak that lies nearest to them, where the dates hold one."""
    ahead = np.mod(shop.season_peak - _day_of_year(shop, born), 365.25)
    peak = np.where(born + ahead < shop.days, born + ahead, born + ahead - 365.25)
    moved = peak + width * rng.uniform(-1, 0.3, len(born))
    return np.where((moved >= 0) & (moved < shop.days - 1), moved, born)


@dataclass(frozen=True)
class Visits:
    """Who comes when: the user's place, the visit's number among the user's, seconds since the shop's first day."""

    user: np.ndarray
    number: np.ndarray
    seconds: np.ndarray


def draw_visits(shop: Shop, groups: Sequence[Group], users: Users, rng: np.random.Generator) -> Visits:
    """Return all visits of the users, before anything happens in them."""
    shape = per_user(groups, "regularity", users.group)
    expected = users.active / users.gap
    most = np.ceil(expected + 3.5 * np.sqrt(expected / shape + expected) + 3)
    slowing = per_user(groups, "slowing", users.group)
    most = np.ceil(most * np.exp(_SLOWED_VISITS / 10 * np.maximum(-slowing, 0.0)))
    cap = np.minimum(per_user(groups, "visits", users.group), VISITS_PER_USER)
    leave = per_user(groups, "leave", users.group)
    if leave.any():
        cap = np.minimum(cap, np.where(leave > 0, rng.geometric(np.where(leave > 0, leave, 1.0)), cap))
    count = np.minimum(most, cap).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    user = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(user)) - first[user]
    gap = rng.standard_gamma(shape[user]) / shape[user] * users.gap[user]
    gap *= np.exp(slowing[user] * np.minimum(number, _SLOWED_VISITS) / 10)
    binge = per_user(groups, "binge", users.group)
    if binge.any():
        gap = np.where(rng.random(len(user)) < binge[user], rng.exponential(0.7, len(user)), gap)
    gap[first] = 0.0
    run = np.cumsum(gap)
    age = run - run[first][user]
    day = users.born[user] + age
    wave = (1 + shop.season * np.cos(2 * np.pi * _season_distance(shop, day) / 365.25)) / (1 + shop.season)
    wave[per_user(groups, "timed", users.group)[user] > 0] = 1.0
    width = np.array([np.inf if g.season_days is None else g.season_days for g in groups])[users.group][user]
    keep = (age <= users.active[user]) & (rng.random(len(user)) < wave) & (_season_distance(shop, day) <= width)
    keep |= number == 0
    keep &= (day >= 0) & (day < shop.days)
    if shop.campaigns:
        keep &= rng.random(len(user)) < np.where(in_campaign(shop, day), 1.0, 1.0 / shop.campaign_lift)
    user, number, day = user[keep], number[keep], np.floor(day[keep])
    to_weekend = rng.random(len(user)) < per_user(groups, "weekend", users.group)[user]
    weekday = np.mod(day + shop.first_day.weekday(), 7)
    moved = day + 5 + (rng.random(len(user)) < 0.5) - weekday
    moved = np.where(moved >= shop.days, moved - 7, moved)
    day = np.where(to_weekend & (moved >= 0), moved, day)
    if shop.week:
        day = _to_open_days(shop, day, rng)
    hour = np.mod(users.hour[user] + rng.normal(0, shop.hour_spread, len(user)), 24.0)
    return Visits(user, number, day * DAY + hour * 3600.0)


def in_campaign(shop: Shop, day: np.ndarray) -> np.ndarray:
    """Return whether each day lies in one of the shop's campaigns."""
    running = np.zeros(shop.days, dtype=bool)
    for first, days in shop.campaigns:
        running[first : first + days] = True
    found: np.ndarray = running[np.clip(day, 0, shop.days - 1).astype(np.int64)]
    return found


def _to_open_days(shop: Shop, day: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move visits from quiet or closed weekdays to others of the same seven days around them."""
    week = np.array(shop.week)
    weekday = np.mod(day + shop.first_day.weekday(), 7).astype(np.int64)
    wanted = np.searchsorted(np.cumsum(week) / week.sum(), rng.random(len(day)), side="right")
    shift = np.mod(wanted - weekday + 3, 7) - 3
    moved = day + np.where(rng.random(len(day)) < week[weekday], 0, shift)
    # At either end of the dates a week further in, so that a closed day stays closed.
    moved = np.where(moved < 0, moved + 7, np.where(moved >= shop.days, moved - 7, moved))
    found: np.ndarray = moved
    return found
