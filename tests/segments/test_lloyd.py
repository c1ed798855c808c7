import numpy as np
import pytest
from sklearn.cluster import KMeans

from sqlseg.segments import lloyd
from sqlseg.segments.lloyd import Points, drawn_apart, means_of, merged, moved
from sqlseg.segments.partitions import kmeans


def cloud(users=2_000, inputs=12, seed=0):
    """A continuum with some structure: hard to divide, with many local optima."""
    random = np.random.default_rng(seed)
    return random.normal(size=(users, inputs)) * np.linspace(0.5, 2.0, inputs) + random.integers(0, 3, (users, 1))


@pytest.mark.parametrize("seed", range(4))
def test_from_the_same_beginning_it_ends_where_scikit_learn_does(seed):
    X = cloud(seed=seed)
    begin = X[np.random.default_rng(seed).choice(len(X), 6, replace=False)]
    expected = KMeans(6, init=begin, n_init=1, max_iter=300, tol=0.0, algorithm="lloyd").fit(X)
    points = Points.of(X)
    found = moved(points, begin - points.mean)
    assert points.figures.dtype == np.float32
    # Rounds end where centroids stand nearly still.
    assert np.mean(found.labels == expected.labels_) > 0.97
    assert found.inertia == pytest.approx(expected.inertia_, rel=2e-3)
    assert np.allclose(means_of(X, expected.labels_, 6), expected.cluster_centers_)


def test_users_are_taken_a_part_at_a_time():
    X = cloud(users=lloyd._ROWS_AT_ONCE + 7)
    points, apart = Points.of(X), X - X.mean(axis=0)
    np.testing.assert_array_equal(points.figures, apart.astype(np.float32))
    np.testing.assert_array_equal(points.squares, np.einsum("ij,ij->i", apart, apart).astype(np.float32))


def test_beginnings_are_as_good_as_scikit_learns():
    for seed in range(3):
        X = cloud(seed=seed)
        best = KMeans(8, n_init=10, random_state=seed).fit(X).inertia_
        assert kmeans(X, 8, seed=seed).inertia <= 1.01 * best, seed


def test_users_far_out_do_not_blur_the_others():
    X = np.repeat([[0.0, 0.0], [1e-3, 0.0], [1e6, 1e6]], [500, 500, 3], axis=0)
    points = Points.of(X)
    assert points.figures.dtype == np.float64
    assert Points.of(np.repeat([[0.0, 1.0], [3.0, 2.0]], 9, axis=0)).figures.dtype == np.float32
    assert np.bincount(kmeans(X, 3, seed=0).labels).tolist() == [500, 500, 3]


def test_a_centroid_that_is_nearest_to_nobody_goes_to_the_user_farthest_out():
    X = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [50.0]])
    points = Points.of(X)
    begin = np.array([[0.1], [9.05], [900.0]]) - points.mean
    found = moved(points, begin)
    assert sorted(np.bincount(found.labels).tolist()) == [1, 2, 3]


def test_users_are_drawn_once_and_no_more_than_there_are_different_ones():
    X = np.repeat(np.arange(5.0), 20)[:, None]
    points = Points.of(X)
    for seed in range(20):
        rows = drawn_apart(points, 12, np.random.RandomState(seed), trials=3)
        assert sorted(points.figures[rows, 0] + points.mean[0]) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_merged_centroids_have_one_in_each_group():
    random = np.random.default_rng(3)
    truth = np.arange(900) % 9
    X = random.normal(size=(900, 20)) + random.normal(size=(9, 20))[truth] * 4
    points = Points.of(X)
    centers = merged(points, 27, 9, np.random.RandomState(0)) + points.mean
    own = np.array([X[truth == group].mean(axis=0) for group in range(9)])
    assert len(set(np.linalg.norm(own[:, None] - centers, axis=2).argmin(axis=1))) == 9


def test_users_of_one_place_count_as_often_as_they_are(monkeypatch):
    X = cloud(1_000, 6)
    drawn = X[np.sort(np.random.default_rng(1).integers(0, len(X), len(X)))]
    points = Points.of(drawn)
    assert points.times is not None
    assert points.times.sum() == len(drawn)
    assert len(points.figures) < 700
    found = [kmeans(drawn, k, seed=k) for k in (2, 5, 11)]
    monkeypatch.setattr(lloyd, "_times", lambda X: None)
    assert Points.of(drawn).times is None
    for k, one in zip((2, 5, 11), found, strict=True):
        each = kmeans(drawn, k, seed=k)
        assert np.array_equal(one.labels, each.labels)
        assert np.array_equal(one.centers, each.centers)
        assert one.iterations == each.iterations


def test_an_empty_cluster_takes_a_place_with_all_its_users():
    X = np.repeat([[0.0], [0.1], [9.0], [50.0]], [7, 5, 4, 3], axis=0)
    points = Points.of(X)
    assert points.times is not None
    found = moved(points, np.array([[0.0], [9.0], [900.0]]) - points.mean)
    assert sorted(np.bincount(found.labels).tolist()) == [3, 4, 12]
    assert found.inertia == pytest.approx(7 * 5 / 12 * 0.01)
