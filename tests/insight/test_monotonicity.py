"""Tiers of value against the comparison of every pair of users."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.insight.monotonicity import ranked_below_worse

USER = st.tuples(st.integers(0, 6), st.integers(1, 5), st.integers(-2, 6), st.integers(0, 3))


def by_pairs(users):
    """Every user against every other one, as the definition reads."""
    return [
        any(
            tier < other_tier and recency < other_recency and orders > other_orders and spend > other_spend
            for other_recency, other_orders, other_spend, other_tier in users
        )
        for recency, orders, spend, tier in users
    ]


@given(st.lists(USER, max_size=40))
def test_it_is_the_comparison_of_every_pair(users):
    columns = np.array(users, dtype=float).reshape(-1, 4).T
    found = ranked_below_worse(columns[0], columns[1], columns[2], columns[3].astype(np.int64))
    assert found.tolist() == by_pairs(users)


def test_equal_is_not_better():
    recency, orders, spend = np.array([5.0, 9.0]), np.array([3.0, 3.0]), np.array([90.0, 20.0])
    assert not ranked_below_worse(recency, orders, spend, np.array([0, 1])).any()


def test_tiers_by_spend_alone_follow_value():
    random = np.random.default_rng(1)
    spend = random.gamma(1.0, 100.0, 5000)
    tiers = np.digitize(spend, np.quantile(spend, [0.2, 0.4, 0.6, 0.8]))
    recency, orders = random.integers(0, 300, 5000).astype(float), random.integers(1, 60, 5000).astype(float)
    assert not ranked_below_worse(recency, orders, spend, tiers).any()
    assert ranked_below_worse(recency, orders, spend, 4 - tiers).mean() > 0.5
