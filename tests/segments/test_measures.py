"""The measures against scikit-learn and SciPy, which are slower or do more than is needed here."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import f_oneway
from sklearn import metrics

from sqlseg.segments import measures
from sqlseg.segments.measures import Spread


@pytest.fixture(params=[(200, 2), (300, 5), (41, 40)])
def users(request):
    count, segments = request.param
    random = np.random.default_rng(count)
    return random.normal(size=(count, 4)), np.arange(count) % segments


def test_distances(users):
    X, _ = users
    assert measures.pairwise_distances(X) == pytest.approx(cdist(X, X), abs=1e-7)


def test_silhouette(users):
    X, labels = users
    expected = metrics.silhouette_score(X, labels)
    assert measures.silhouette(measures.pairwise_distances(X), labels) == pytest.approx(expected)


def test_calinski_harabasz_and_davies_bouldin(users):
    X, labels = users
    spread = Spread.of(X, labels)
    assert spread.calinski_harabasz == pytest.approx(metrics.calinski_harabasz_score(X, labels))
    assert spread.davies_bouldin == pytest.approx(metrics.davies_bouldin_score(X, labels))


def test_labels_need_not_be_consecutive(users):
    X, labels = users
    assert Spread.of(X, labels * 3 + 2).calinski_harabasz == pytest.approx(Spread.of(X, labels).calinski_harabasz)


def test_eta_squared_is_that_of_the_analysis_of_variance(users):
    X, labels = users
    groups = [X[labels == label, 0] for label in np.unique(labels)]
    f = f_oneway(*groups).statistic
    between, within = len(groups) - 1, len(X) - len(groups)
    with_gap = np.append(X[:, 0], np.nan)
    expected = f * between / (f * between + within)
    assert measures.eta_squared(with_gap, np.append(labels, 0)) == pytest.approx(expected)


def test_explained_variance_by_hand():
    # Values 0, 2 | 10: means 1 and 10 of all 4; total 16 + 4 + 36 = 56, within 1 + 1.
    spread = Spread.of(np.array([[0.0], [2.0], [10.0]]), np.array([0, 0, 1]))
    assert spread.explained_variance() == pytest.approx(54 / 56)


def test_users_beyond_one_part_count_as_well():
    random = np.random.default_rng(0)
    X, labels = random.normal(size=(10_000, 3)) + 1e3, random.integers(0, 5, 10_000)
    X[:, 0] += labels
    spread = Spread.of(X, labels)
    assert spread.calinski_harabasz == pytest.approx(metrics.calinski_harabasz_score(X, labels))
    assert spread.davies_bouldin == pytest.approx(metrics.davies_bouldin_score(X, labels))
    assert spread.within + spread.between == pytest.approx(len(X) * X.var(axis=0))
    for place in (slice(0, 1), slice(1, 3)):
        part = X[:, place]
        within = sum(((part[labels == one] - part[labels == one].mean(axis=0)) ** 2).sum() for one in range(5))
        expected = 1 - within / ((part - part.mean(axis=0)) ** 2).sum()
        assert spread.explained_variance(place) == pytest.approx(expected, rel=1e-9)
        assert spread.block_shares({"x": place})["x"] == pytest.approx(part.var(axis=0).sum() / X.var(axis=0).sum())


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e9 + 0.1])
def test_equal_values_have_no_variance_to_explain(value):
    labels = np.arange(20_000) % 7
    assert measures.eta_squared(np.full(20_000, value), labels) is None


def test_adjusted_rand_index_and_jaccard():
    random = np.random.default_rng(0)
    before, after = random.integers(0, 4, 500), random.integers(0, 6, 500)
    after[:200] = before[:200]
    shared = measures.contingency(before, after, 4, 6)
    assert measures.adjusted_rand_index(shared) == pytest.approx(metrics.adjusted_rand_score(before, after))
    assert np.array_equal(shared, metrics.cluster.contingency_matrix(before, after))
    expected = metrics.jaccard_score(before == 1, after == 1)
    assert measures.jaccard(shared)[1, 1] == pytest.approx(expected)


def test_what_is_not_defined_is_none():
    X, one, each = np.arange(4.0)[:, None], np.zeros(4, int), np.arange(4)
    distances = measures.pairwise_distances(X)
    assert measures.silhouette(distances, one) is None
    assert measures.silhouette(distances, each) == 0
    assert Spread.of(X, one).calinski_harabasz is None
    assert Spread.of(X, each).calinski_harabasz is None
    assert Spread.of(X, one).davies_bouldin is None
    assert Spread.of(np.ones((3, 2)), np.zeros(3, int)).explained_variance() is None
    assert measures.eta_squared(np.full(3, np.nan), np.zeros(3, int)) is None
    assert measures.adjusted_rand_index(np.array([[5]])) == 1.0
