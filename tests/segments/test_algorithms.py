"""Every algorithm keeps the same promises; a new row of ALGORITHMS is tested here without being named."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from sqlseg.errors import SqlsegError
from sqlseg.segments.algorithms import ALGORITHMS, UnknownAlgorithm, algorithm
from sqlseg.segments.assignment import assign


def groups(count, users=600, inputs=5, seed=0, apart=6.0):
    """Well separated round groups."""
    random = np.random.default_rng(seed)
    truth = np.arange(users) % count
    centers = np.zeros((count, inputs))
    centers[np.arange(count), np.arange(count) % inputs] = apart * (1 + np.arange(count) // inputs)
    return centers[truth] + random.normal(size=(users, inputs)), truth


@pytest.fixture(params=sorted(ALGORITHMS))
def fit(request):
    return ALGORITHMS[request.param]


def check(X, found, at_most):
    count = found.centers.shape[0]
    assert 1 <= count <= at_most
    assert found.labels.shape == (len(X),)
    sizes = np.bincount(found.labels, minlength=count)
    assert len(sizes) == count and sizes.min() >= 1
    assert list(sizes) == sorted(sizes, reverse=True)
    assert len(np.unique(found.centers, axis=0)) == count
    assert found.centers.shape[1] == X.shape[1]
    assert found.inertia >= 0


def test_a_seed_has_one_result_whatever_the_number_of_threads(fit):
    X, _ = groups(5, users=20_000, inputs=20, apart=2.0)
    results = []
    for threads in (1, 2, 2):
        with threadpool_limits(limits=threads):
            results.append(fit(X, 5, seed=3))
    for other in results[1:]:
        assert np.array_equal(other.labels, results[0].labels)
        assert np.array_equal(other.centers, results[0].centers)
        assert other.inertia == results[0].inertia
    check(X, results[0], 5)


def test_well_separated_groups_are_found(fit):
    X, truth = groups(6)
    found = fit(X, 6, seed=0)
    assert len({(a, b) for a, b in zip(truth, found.labels, strict=True)}) == 6


def test_clusters_are_those_of_the_nearest_centroid(fit):
    X, _ = groups(4, apart=2.0)
    found = fit(X, 4, seed=0)
    again = assign(X, found.centers)
    assert np.array_equal(again.labels, found.labels)
    assert found.inertia == pytest.approx(np.square(again.distance).sum())


def test_one_user(fit):
    X = np.array([[1.0, 2.0]])
    found = fit(X, 5, seed=0)
    check(X, found, 1)
    assert found.inertia == 0


def test_users_all_alike(fit):
    X = np.ones((50, 3))
    check(X, fit(X, 4, seed=0), 1)


def test_fewer_different_users_than_clusters(fit):
    X = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]], [30, 20, 10], axis=0)
    found = fit(X, 8, seed=0)
    check(X, found, 3)
    assert found.centers.tolist() == [[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]]


def test_duplicate_users_stay_together(fit):
    X, _ = groups(4)
    twice = np.repeat(X, 2, axis=0)
    found = fit(twice, 4, seed=0)
    assert np.array_equal(found.labels[::2], found.labels[1::2])


def test_constant_columns_change_nothing(fit):
    X, _ = groups(4)
    padded = np.hstack([X, np.full((len(X), 2), 7.0)])
    assert np.array_equal(fit(padded, 4, seed=0).labels, fit(X, 4, seed=0).labels)


def test_no_column_at_all_is_one_cluster(fit):
    X = np.empty((9, 0))
    check(X, fit(X, 3, seed=0), 1)


def test_it_can_begin_from_given_centroids(fit):
    X, truth = groups(4)
    begin = np.stack([X[truth == group].mean(axis=0) for group in range(4)])
    found = fit(X, 4, seed=0, initial_centers=begin)
    assert np.sort(found.centers.sum(axis=1)) == pytest.approx(np.sort(begin.sum(axis=1)), abs=1e-5)


def test_impossible_requests_are_refused(fit):
    with pytest.raises(SqlsegError, match="no user"):
        fit(np.empty((0, 2)), 2, seed=0)
    with pytest.raises(SqlsegError, match="must be 1 or more"):
        fit(np.ones((3, 2)), 0, seed=0)
    with pytest.raises(UnknownAlgorithm, match="'dbscan'"):
        algorithm("dbscan")
