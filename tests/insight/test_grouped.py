"""Figures of segments from sorted values, against their plain definitions user by user."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sqlseg.insight.profile import segment_figures, segment_profile, segment_standing
from sqlseg.segments.scaling import ColumnScaling, fit_column, scaled_column

NAN = float("nan")

seeds = st.integers(0, 2**32 - 1)


def a_shop(seed: int, users: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of every kind, and labels from -1 to 4 of which nobody has 3."""
    random = np.random.default_rng(seed)
    spend = np.exp(random.normal(2, 1.5, users))
    columns = {
        "a__spend": spend,
        "a__orders": random.poisson(2, users).astype(float),
        "a__flag": (random.random(users) < 0.3).astype(float),
        "a__gap": np.where(random.random(users) < 0.4, NAN, random.normal(size=users)),
        "a__rare": np.where(random.random(users) < 0.95, NAN, spend),
        "b__never": np.full(users, NAN),
        "b__same": np.full(users, 0.1),
        "b__debt": random.normal(1e6, 1e-3, users),
        "b__zeros": np.where(random.random(users) < 0.9, 0.0, spend),
    }
    labels = random.choice([-1, 0, 1, 2, 4], users, p=[0.1, 0.5, 0.2, 0.1, 0.1])
    return columns, labels


def varied(values: np.ndarray) -> bool:
    return bool(values.std() > 1e-12 * max(1.0, abs(values.mean())))


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([1, 2, 3, 10, 200]))
def test_a_profile_is_what_its_words_say(seed, users):
    columns, labels = a_shop(seed, users)
    rows = segment_profile(columns, labels, 5)
    assert [(row.segment, row.feature) for row in rows] == [(s, feature) for s in range(5) for feature in columns]
    for row in rows:
        values = columns[row.feature]
        known = values[~np.isnan(values)]
        own = values[(labels == row.segment) & ~np.isnan(values)]
        assert row.user_count == own.size
        if known.size:
            assert row.overall_mean == pytest.approx(known.mean(), rel=1e-14)
        else:
            assert row.overall_mean is None
        if not own.size:
            assert (row.mean, row.median, row.p10, row.p90, row.lift, row.z) == (None,) * 6
            continue
        assert (row.p10, row.median, row.p90) == tuple(np.quantile(own, [0.1, 0.5, 0.9]))
        assert row.mean == pytest.approx(own.mean(), rel=1e-14)
        assert row.lift == (None if row.overall_mean == 0 else pytest.approx(own.mean() / known.mean(), rel=1e-13))
        if varied(known):
            spread = float(known.std())
            # Either mean is known to its last digit, which is much of a small spread about a large mean.
            last_digits = 4 * np.spacing(abs(known.mean())) / spread
            assert row.z == pytest.approx((own.mean() - known.mean()) / spread, rel=1e-9, abs=1e-9 + last_digits)
        else:
            assert row.z is None
        if own.size > 1 and varied(own):
            interval = stats.t.interval(0.95, own.size - 1, own.mean(), stats.sem(own))
            assert (row.mean_low, row.mean_high) == pytest.approx(interval, rel=1e-9)
        else:
            assert (row.mean_low, row.mean_high) == (None, None)


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([1, 2, 50, 300]))
def test_a_standing_is_the_mean_of_scaled_users(seed, users):
    columns, labels = a_shop(seed, users)
    standing = segment_standing(columns, labels, 5)
    scaled = {}
    for feature, values in columns.items():
        scaling = fit_column(feature, values)
        usable = isinstance(scaling, ColumnScaling)
        scaled[feature] = scaled_column(values, scaling) if usable else np.zeros(users)
    for segment in range(5):
        mine = labels == segment
        expected = [z[mine].mean() if mine.any() else 0.0 for z in scaled.values()]
        assert standing.z[segment] == pytest.approx(expected, abs=2e-6)
    for one, x in enumerate(scaled.values()):
        for other, y in enumerate(scaled.values()):
            expected = stats.pearsonr(x, y).statistic if x.any() and y.any() else 0.0
            assert standing.correlation[one, other] == pytest.approx(expected, abs=2e-6)


@settings(max_examples=20, deadline=None)
@given(seeds, seeds)
def test_the_order_of_users_changes_no_profile_at_all(seed, shuffle):
    columns, labels = a_shop(seed, 120)
    order = np.random.default_rng(shuffle).permutation(120)
    shuffled = {feature: values[order] for feature, values in columns.items()}
    assert segment_profile(shuffled, labels[order], 5) == segment_profile(columns, labels, 5)


def test_several_segmentations_at_once_are_as_one_by_one():
    columns, labels = a_shop(0, 400)
    others = np.arange(400) % 3
    both = segment_figures(columns, [(labels, 5), (others, 3)])
    for found, one in zip(both, [(labels, 5), (others, 3)], strict=True):
        alone = segment_figures(columns, [one])[0]
        assert found.profile == alone.profile
        assert np.array_equal(found.standing.z, alone.standing.z)
        assert np.array_equal(found.standing.correlation, alone.standing.correlation)


def test_columns_of_many_users_are_worked_on_side_by_side_with_the_same_result(monkeypatch):
    from sqlseg.segments import parts

    columns, labels = a_shop(0, 400)
    alone = segment_figures(columns, [(labels, 5)])[0]
    monkeypatch.setattr(parts, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(parts.os, "cpu_count", lambda: 4)
    together = segment_figures(columns, [(labels, 5)])[0]
    assert together.profile == alone.profile
    assert np.array_equal(together.standing.z, alone.standing.z)


@pytest.mark.parametrize(("apart", "told"), [(1e-6, False), (4e-6, True)])
def test_users_alike_to_twelve_digits_have_no_variance(apart, told):
    values = 1e6 + np.array([0.0, apart, 0.0, apart])
    row = segment_profile({"a__x": values}, np.array([0, 0, 1, 1]), 2)[0]
    assert [row.z is not None, row.mean_low is not None, row.effect_size is not None] == [told] * 3


def test_a_shop_without_readable_columns():
    found = segment_figures({}, [(np.array([0, 1]), 2)])[0]
    assert found.profile == () and found.standing.z.shape == (2, 0) and found.standing.correlation.shape == (0, 0)


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_giants_have_means_and_quantiles_but_no_interval(size):
    values = np.array([1.0, 2.0, 3.0, 4.0]) * size
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = segment_profile({"a__x": values}, np.array([0, 0, 1, 1]), 2)
    assert (low.mean, low.median, high.p90) == (pytest.approx(1.5 * size), 1.5 * size, pytest.approx(3.9 * size))
    assert (low.z, low.mean_low, low.effect_size) == (0.0, None, None)


def test_an_infinite_value_spoils_means_and_not_medians():
    values = np.array([1.0, 2.0, 3.0, np.inf, -1.0])
    rows = segment_profile({"a__x": values}, np.array([0, 0, 0, 0, 1]), 2)
    assert (rows[0].mean, rows[0].median, rows[0].overall_mean) == (np.inf, 2.5, np.inf)
    assert (rows[0].z, rows[0].mean_low, rows[1].mean, rows[1].z) == (None, None, -1.0, None)
