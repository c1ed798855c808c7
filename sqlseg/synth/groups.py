"""How the users of a simulated shop behave: groups with a name, and random ones for pretraining."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Group:
    """One kind of user; every figure is the middle of a spread over its users.

    `gap_days` is the time between visits and `regularity` the gamma shape of those gaps (1 random, 10 like
    clockwork, 0.4 in clumps). `active_days` is how long a user stays (inf: to the end); `visits` caps how often
    one comes at all. `joined` is the part of the shop's dates in which the users arrive. `buy` is the chance
    that a visit ends in an order; `weekend` that it moves to a weekend; `peak_hour` replaces the shop's own.
    `price_taste` is -1 for the cheapest, 1 for the dearest of several candidates. `season_days` keeps visits
    within that many days of the shop's seasonal peak. `leave` is the chance that a visit is the last, `slowing` by
    how much the log of the gaps grows over ten visits (negative: shrinks), `binge` the chance that the next visit
    follows within hours or days instead of after a gap. A `timed` group keeps its spacing whatever the season, and
    in a slow shop, where its users joined later instead of coming less often.
    """

    name: str
    share: float
    gap_days: float
    regularity: float = 1.0
    active_days: float = float("inf")
    visits: int = 1_000_000
    joined: tuple[float, float] | None = None
    buy: float = 0.35
    views: float = 1.0
    lines: float = 1.0
    quantity: float = 1.0
    price_taste: float = 0.0
    discount: float = 0.08
    coupon: float = 0.03
    search: float = 0.15
    abandon: float = 0.08
    favorite: float = 0.04
    returns: float = 0.04
    review: float = 0.06
    repeat: float = 0.25
    focus: float = 0.6
    weekend: float = 0.0
    peak_hour: float | None = None
    season_days: int | None = None
    leave: float = 0.0
    slowing: float = 0.0
    binge: float = 0.0
    timed: bool = False
    spread: float = 0.35


KNOWN_GROUPS: tuple[Group, ...] = (
    Group("loyal weekly", 0.07, 7, 8.0, buy=0.95, views=0.5, lines=1.8, repeat=0.7, timed=True, spread=0.1),
    Group("loyal monthly", 0.08, 30, 6.0, buy=0.95, views=1.0, lines=1.4, repeat=0.5, timed=True, spread=0.1),
    Group("bargain hunter", 0.11, 14, 0.8, buy=0.5, views=1.6, price_taste=-0.9, discount=0.85, coupon=0.5),
    Group("big spender", 0.04, 18, 1.2, buy=0.75, lines=2.0, price_taste=0.95, discount=0.02, review=0.15),
    Group(
        "lapsed big spender",
        0.05,
        gap_days=10,
        active_days=40,
        joined=(0.0, 0.35),
        buy=0.85,
        lines=2.0,
        price_taste=0.95,
        discount=0.02,
    ),
    Group("one-time", 0.24, 30, visits=1, buy=1.0, views=1.2, lines=0.7),
    Group("browser", 0.14, 8, 0.6, buy=0.03, views=2.5, search=0.5, favorite=0.12, abandon=0.02),
    Group("cart abandoner", 0.06, 12, 0.8, buy=0.08, views=1.5, abandon=0.5, coupon=0.05),
    Group("weekend", 0.07, 12, 2.0, buy=0.55, weekend=0.97),
    Group("night owl", 0.05, 12, 1.0, buy=0.5, peak_hour=1.0, search=0.3),
    Group("gift season", 0.05, 6, 0.6, buy=0.7, lines=2.5, season_days=35, repeat=0.0, focus=0.2),
    Group("serial returner", 0.02, 14, 1.0, buy=0.75, lines=2.0, returns=0.55, price_taste=0.3),
    Group("bulk buyer", 0.02, 40, 3.0, buy=0.95, views=0.4, lines=4.0, quantity=15.0, repeat=0.8),
)


def random_groups(rng: np.random.Generator, count: int | None = None) -> tuple[Group, ...]:
    """Return `count` groups (default 4 to 10) whose every habit is drawn at random."""
    count = int(rng.integers(4, 11)) if count is None else count
    shares = rng.dirichlet(np.full(count, 1.5))

    def draw(index: int) -> Group:
        return Group(
            name=f"group {index + 1}",
            share=float(shares[index]),
            gap_days=float(np.exp(rng.uniform(np.log(1.5), np.log(90)))),
            regularity=float(np.exp(rng.uniform(np.log(0.3), np.log(9)))),
            active_days=float("inf") if rng.random() < 0.35 else float(np.exp(rng.uniform(np.log(5), np.log(500)))),
            visits=int(rng.integers(1, 4)) if rng.random() < 0.15 else 1_000_000,
            joined=None if rng.random() < 0.7 else (0.0, float(rng.uniform(0.2, 1.0))),
            buy=float(rng.beta(1.2, 1.6)),
            views=float(np.exp(rng.normal(0, 0.5))),
            lines=float(np.exp(rng.normal(0, 0.5))),
            quantity=float(np.exp(abs(rng.normal(0, 1.0)))),
            price_taste=float(rng.uniform(-1, 1)),
            discount=float(rng.beta(0.7, 2)),
            coupon=float(rng.beta(0.5, 6)),
            search=float(rng.beta(1, 4)),
            abandon=float(rng.beta(1, 6)),
            favorite=float(rng.beta(0.6, 10)),
            returns=float(rng.beta(0.6, 9)),
            review=float(rng.beta(0.6, 10)),
            repeat=float(rng.beta(1, 2)),
            focus=float(rng.beta(2, 2)),
            weekend=float(rng.uniform(0.6, 1.0)) if rng.random() < 0.15 else 0.0,
            peak_hour=float(rng.uniform(0, 24)) if rng.random() < 0.3 else None,
            season_days=int(rng.integers(20, 60)) if rng.random() < 0.1 else None,
            spread=float(rng.uniform(0.1, 0.9)),
        )

    return tuple(draw(index) for index in range(count))


def changing_groups(groups: Sequence[Group], rng: np.random.Generator) -> tuple[Group, ...]:
    """Return the groups with habits that change: users who leave after any visit, slow down or come in bursts.

    Their gaps are longer, too, in some: a user of such a shop may order twice a year.
    """

    def changed(group: Group) -> Group:
        return replace(
            group,
            gap_days=group.gap_days * float(np.exp(rng.uniform(0, 1.2))),
            leave=float(rng.beta(1, 5)) if rng.random() < 0.5 else 0.0,
            slowing=float(rng.normal(0, 0.5)) if rng.random() < 0.4 else 0.0,
            binge=float(rng.beta(1, 2)) if rng.random() < 0.4 else 0.0,
        )

    return tuple(changed(group) for group in groups)
