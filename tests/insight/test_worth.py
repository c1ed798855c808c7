import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f_oneway, rankdata
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from sqlseg.insight.worth import (
    area_under_curve,
    epsilon_squared,
    middle_ranks,
    quintiles,
    record,
    rfm_groups,
)
from sqlseg.segments.measures import eta_squared

random = np.random.default_rng(0)
few_values = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40)


@given(few_values)
def test_the_area_is_that_of_scikit_learn(pairs):
    scores = np.array([score for score, _ in pairs], dtype=float)
    positive = np.array([hit for _, hit in pairs])
    found = area_under_curve(scores, positive)
    if positive.all() or not positive.any():
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(positive, scores))


@given(st.lists(st.integers(0, 5).map(float), max_size=30).map(np.array))
def test_middle_ranks_are_those_of_scipy(values):
    assert middle_ranks(values).tolist() == rankdata(values).tolist()


def test_eta_and_epsilon_by_the_analysis_of_variance():
    values, labels = random.lognormal(size=200), random.integers(0, 7, 200)
    values = values + labels
    eta = eta_squared(values, labels)
    f = f_oneway(*(values[labels == label] for label in range(7))).statistic
    assert f == pytest.approx((eta / 6) / ((1 - eta) / 193))
    # Kelley's epsilon squared is the adjusted R squared of a regression on the groups.
    groups = np.eye(7)[labels][:, 1:]
    r2 = LinearRegression().fit(groups, values).score(groups, values)
    assert epsilon_squared(eta, 200, 7) == pytest.approx(1 - (1 - r2) * 199 / (200 - 6 - 1))


def test_many_groups_that_mean_nothing_explain_nothing():
    found = [
        (eta_squared(values, labels), 50)
        for values, labels in ((random.normal(size=500), random.integers(0, 50, 500)) for _ in range(200))
    ]
    assert np.mean([eta for eta, _ in found]) == pytest.approx(49 / 499, abs=0.01)
    assert np.mean([epsilon_squared(eta, 500, k) for eta, k in found]) == pytest.approx(0, abs=0.01)
    assert epsilon_squared(1.0, 5, 5) is None


def test_quintiles_hold_a_fifth_each_and_keep_equal_values_together():
    values = random.permutation(1_000).astype(float)
    assert np.bincount(quintiles(values)).tolist() == [0, 200, 200, 200, 200, 200]
    assert np.all(np.diff(quintiles(values)[np.argsort(values)]) >= 0)
    # Six in ten ordered once: their middle rank lies in the second fifth.
    assert quintiles(np.array([1.0] * 6 + [2, 3, 4, 5])).tolist() == [2] * 6 + [4, 4, 5, 5]
    assert quintiles(np.array([np.nan, 3.0])).tolist() == [0, 3]
    assert quintiles(np.empty(0)).tolist() == []


def test_rfm_by_hand():
    recency = np.array([50.0, 40, 30, 20, 10, np.nan])
    orders, revenue = np.array([1, 2, 3, 4, 5, 0]), np.array([5.0, 4, 3, 2, 1, 0])
    found = rfm_groups(recency, orders, revenue)
    assert found["rfm_cells"].tolist() == [115, 224, 333, 442, 551, 0]
    # Sums 7, 8, 9, 10, 11.
    assert found["rfm_score"].tolist() == [1, 2, 3, 4, 5, 0]


def test_rates_of_groups_over_windows():
    first = record(np.array(["a", "a", "b"], dtype=object), np.array([True, False, False]))
    second = record(np.array(["a", "c"], dtype=object), np.array([True, True]))
    both = first.plus(second)
    assert [both.rate_of(group) for group in "abc"] == [2 / 3, 0.0, 1.0]
    assert both.rate_of("never seen") == 3 / 5
