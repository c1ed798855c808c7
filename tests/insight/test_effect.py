from math import gamma, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from sqlseg.insight.effect import effect_against_rest, mean_interval
from sqlseg.insight.profile import segment_profile

NAN = float("nan")
FIGURES = ("mean_low", "mean_high", "effect_size", "effect_low", "effect_high")


def row_of(values, labels, segment=0):
    return segment_profile({"a__x": np.array(values, dtype=float)}, np.array(labels), max(labels) + 1)[segment]


def test_figures_worked_out_by_hand():
    """1, 2, 3 against 4, 6, 8: means 2 and 6, squares 2 and 8, so the pooled deviation is sqrt(10 / 4)."""
    row = row_of([1, 2, 3, 4, 6, 8], [0, 0, 0, 1, 1, 1])
    d = -4 / sqrt(2.5)
    g = d * gamma(2) / (sqrt(2) * gamma(1.5))
    assert row.effect_size == pytest.approx(g)
    half = 1.959963985 * sqrt(6 / 9 + g**2 / 12)
    assert (row.effect_low, row.effect_high) == (pytest.approx(g - half), pytest.approx(g + half))
    assert (row.mean_low, row.mean_high) == (
        pytest.approx(2 - 4.302653 / sqrt(3)),
        pytest.approx(2 + 4.302653 / sqrt(3)),
    )


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 2, 3], [0, 1, 1]),  # one user in the segment
        ([5, 5, 5, 5], [0, 0, 1, 1]),  # everybody alike
        ([0.1 + 0.2, 0.3, 0.3, 0.3], [0, 0, 1, 1]),  # alike but for the last digit
        ([NAN, 2, 3, 4], [0, 0, 1, 1]),  # known of one user
        ([1e200, -1e200, 3, 4], [0, 0, 1, 1]),  # squares beyond what a number holds
    ],
)
def test_what_is_not_defined_is_left_empty(values, labels):
    row = row_of(values, labels)
    assert {figure: getattr(row, figure) for figure in FIGURES} == dict.fromkeys(FIGURES)


def test_one_other_user_leaves_the_effect_empty_and_the_mean_known():
    row = row_of([1, 2, 9], [0, 0, 1])
    assert row.effect_size is None and row.mean_low is not None


def test_users_alike_in_each_segment_differ_by_no_number_of_deviations():
    row = row_of([1, 1, 2, 2], [0, 0, 1, 1])
    assert (row.effect_size, row.mean_low) == (None, None)


def test_users_of_no_segment_are_among_the_others():
    values, labels = [1.0, 2.0, 3.0, 4.0, 7.0, 11.0], [0, 0, 0, 1, 1, 1]
    without = segment_profile({"a__x": np.array(values)}, np.array([0, 0, 0, -1, -1, -1]), 1)[0]
    assert [getattr(without, f) for f in FIGURES] == [
        pytest.approx(getattr(row_of(values, labels), f)) for f in FIGURES
    ]


@given(st.integers(0, 2**32), st.integers(2, 4), st.floats(-1e6, 1e6))
def test_it_agrees_with_scipy(seed, segments, shift):
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(segments).repeat(2), random.integers(0, segments, 40)])
    values = np.exp(random.normal(size=labels.size)) + shift
    values[random.random(labels.size) < 0.1] = NAN
    values[: 2 * segments] = random.normal(size=2 * segments) + shift
    for row in segment_profile({"a__x": values}, labels, segments):
        own, rest = (values[m & ~np.isnan(values)] for m in (labels == row.segment, labels != row.segment))
        n, m = own.size, rest.size
        interval = stats.ttest_1samp(own, 0.0).confidence_interval()
        assert (row.mean_low, row.mean_high) == (pytest.approx(interval.low), pytest.approx(interval.high))
        t = stats.ttest_ind(own, rest).statistic
        unbiased = 1 / stats.nct(n + m - 2, 1.0).mean()  # the mean of a noncentral t is that many times its shift
        assert row.effect_size == pytest.approx(t * sqrt((n + m) / (n * m)) * unbiased, rel=1e-6)


def test_intervals_are_near_the_exact_ones():
    """The exact borders are the effects under which the t that was seen stands at 2.5% and 97.5%."""
    random = np.random.default_rng(1)
    own, rest = random.normal(0.8, 1.0, 60), random.normal(0.0, 1.0, 300)
    row = row_of([*own, *rest], [0] * 60 + [1] * 300)
    t, scale = stats.ttest_ind(own, rest).statistic, sqrt(360 / (60 * 300))
    for share, found in [(0.975, row.effect_low), (0.025, row.effect_high)]:
        exact = optimize.brentq(lambda d, p=share: stats.nct.cdf(t, 358, d / scale) - p, 0.1, 1.5)
        assert found == pytest.approx(exact, abs=0.02)


def test_intervals_hold_what_is_true_as_often_as_they_say():
    random = np.random.default_rng(2)
    held = np.zeros(2)
    for _ in range(1_000):
        own, rest = random.normal(0.5, 1.0, 25), random.normal(0.0, 1.0, 100)
        row = row_of([*own, *rest], [0] * 25 + [1] * 100)
        held += [row.effect_low <= 0.5 <= row.effect_high, row.mean_low <= 0.5 <= row.mean_high]
    assert held / 1_000 == pytest.approx([0.95, 0.95], abs=0.02)


def test_large_values_far_from_nought_lose_nothing():
    """The squares of the others are added up, not taken off the total, which would cancel here."""
    count, mean = np.array([3.0, 1e6]), np.array([1e9, 0.0])
    found = effect_against_rest(count, mean, np.array([2.0, 1e6]))
    assert found.estimate == pytest.approx([1e9, -1e9], rel=1e-5)
    assert mean_interval(count, mean, np.array([2.0, 1e6])).high[0] == pytest.approx(1e9 + 4.302653 / sqrt(3))
