"""Every algorithm keeps the same promises; a new row of ALGORITHMS is tested here without being named."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN, AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from sqlseg.errors import SqlsegError
from sqlseg.segments.algorithms import ALGORITHMS, FINDS_THE_NUMBER, UnknownAlgorithm, algorithm, bridge_agreement
from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import feature_block
from sqlseg.segments.density import dbscan, hdbscan
from sqlseg.segments.hierarchy import agglomerative, birch, ward
from sqlseg.segments.mixtures import gaussian_mixture, gaussian_mixture_diagonal
from sqlseg.segments.model import ClusterModel, FitSettings, fit_cluster_model, noise_id
from sqlseg.segments.partitions import bisecting_kmeans, kmeans, minibatch_kmeans
from sqlseg.segments.shapes import Centroids, Mixture, Representatives


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


def members(found):
    """The users who are in a cluster, not among those unlike all others."""
    noise = found.shape.noise if isinstance(found.shape, Representatives) else None
    return found.labels != (-1 if noise is None else noise)


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
    X, _ = groups(5, users=12_000, inputs=8, apart=3.0)
    results = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            results.append(fit(X, 5, seed=3))
    assert np.array_equal(results[1].labels, results[0].labels)
    assert np.array_equal(results[1].centers, results[0].centers)
    assert results[1].inertia == results[0].inertia
    check(X, results[0], 20)


def test_well_separated_groups_are_found(fit):
    X, truth = groups(6)
    found = fit(X, 6, seed=0)
    inside = members(found)
    assert inside.mean() > 0.95
    assert len(set(zip(truth[inside], found.labels[inside], strict=True))) == 6


def test_the_order_of_users_changes_nothing(fit):
    X, _ = groups(5, users=800)
    order = np.random.default_rng(1).permutation(len(X))
    found, mixed = fit(X, 5, seed=0), fit(X[order], 5, seed=0)
    assert adjusted_rand_score(found.labels[order], mixed.labels) > 0.98


def test_users_are_placed_as_they_were_divided_and_new_users_too(fit):
    X, _ = groups(4, apart=3.0)
    found = fit(X, 4, seed=0)
    assert np.array_equal(found.shape.place(X).labels, found.labels)
    count = found.centers.shape[0]
    new = np.vstack([X + 0.01, np.full((1, 5), 100.0), np.zeros((1, 5))])
    for users in (new, new[:1], new[:0]):
        placed = found.shape.place(users)
        assert placed.labels.shape == placed.distance.shape == placed.confidence.shape == (len(users),)
        assert np.all((placed.labels >= 0) & (placed.labels < count))
        assert np.all((placed.runner_up != placed.labels) & (placed.runner_up >= 0))
        assert np.all((placed.confidence >= 0) & (placed.confidence <= 1) & (placed.distance >= 0))
    one_by_one = np.concatenate([found.shape.place(user[None]).labels for user in new])
    assert np.array_equal(one_by_one, found.shape.place(new).labels)


def test_one_user(fit):
    X = np.array([[1.0, 2.0]])
    found = fit(X, 5, seed=0)
    check(X, found, 1)
    assert found.inertia == 0
    assert found.shape.place(X).runner_up.tolist() == [-1]


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
    assert adjusted_rand_score(fit(padded, 4, seed=0).labels, fit(X, 4, seed=0).labels) > 0.95


def test_no_column_at_all_is_one_cluster(fit):
    X = np.empty((9, 0))
    check(X, fit(X, 3, seed=0), 1)


def test_it_can_begin_from_given_centroids(fit):
    X, truth = groups(4)
    begin = np.stack([X[truth == group].mean(axis=0) for group in range(4)])
    found = fit(X, 4, seed=0, initial_centers=begin)
    means = [X[found.labels == label].mean(axis=0).sum() for label in np.unique(found.labels[members(found)])]
    assert np.sort(means) == pytest.approx(np.sort(begin.sum(axis=1)), abs=0.2)


def test_impossible_requests_are_refused(fit):
    with pytest.raises(SqlsegError, match="no user"):
        fit(np.empty((0, 2)), 2, seed=0)
    with pytest.raises(SqlsegError, match="must be 1 or more"):
        fit(np.ones((3, 2)), 0, seed=0)


def test_unknown_algorithms_are_refused_with_the_known_ones():
    with pytest.raises(UnknownAlgorithm, match="'optics'") as refused:
        algorithm("optics")
    assert all(name in str(refused.value.hint) for name in ALGORITHMS)
    for name in FINDS_THE_NUMBER:
        with pytest.raises(SqlsegError, match="finds the number"):
            FitSettings(algorithm=name, k=4)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_fitted_model_survives_json_exactly(name):
    X, _ = groups(4, users=400, apart=4.0)
    X[:8] = np.random.default_rng(5).uniform(-20, 20, (8, 5))
    blocks = [feature_block("a@1", list("vwxyz"), X)]
    k = "auto" if name in FINDS_THE_NUMBER else 4
    result = fit_cluster_model(blocks, FitSettings(algorithm=name, k=k))
    model = result.model.with_segment_ids([f"s-{i}" for i in range(len(result.model.centers))])
    text = model.to_json()
    again = ClusterModel.from_json(text)
    assert again == model and again.to_json() == text
    assert ("mixture" in json.loads(text)) == isinstance(model.placement, Mixture)
    new = [feature_block("a@1", list("vwxyz"), np.random.default_rng(6).normal(size=(300, 5)) * 4)]
    for field in ("labels", "distance", "runner_up", "confidence"):
        assert np.array_equal(getattr(again.score(new), field), getattr(model.score(new), field))
    assert noise_id(text) == model.noise_id
    assert (result.bridge_agreement is not None) == isinstance(model.placement, Representatives)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_algorithm_is_on_its_page(name):
    page = Path(__file__).parents[2] / "docs" / "algorithms.md"
    assert f"| `{name}` |" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("fit", [kmeans, minibatch_kmeans, bisecting_kmeans])
def test_clusters_are_those_of_the_nearest_centroid(fit):
    X, _ = groups(4, apart=2.0)
    found = fit(X, 4, seed=0)
    assert isinstance(found.shape, Centroids)
    again = assign(X, found.centers)
    assert np.array_equal(again.labels, found.labels)
    assert found.inertia == pytest.approx(np.square(again.distance).sum())


@pytest.mark.parametrize(("fit", "covariance"), [(gaussian_mixture, "full"), (gaussian_mixture_diagonal, "diag")])
def test_the_posterior_is_that_of_scikit_learn(fit, covariance):
    X, _ = groups(4, apart=2.0)
    shape = fit(X, 4, seed=0).shape
    theirs = GaussianMixture(len(shape.weights), covariance_type=covariance)
    theirs.weights_, theirs.means_, theirs.covariances_ = shape.weights, shape.centers, shape.covariances
    inverse = np.linalg.inv(shape.covariances) if covariance == "full" else 1 / shape.covariances
    theirs.precisions_cholesky_ = np.linalg.cholesky(inverse) if covariance == "full" else np.sqrt(inverse)
    posterior = theirs.predict_proba(X)
    placed = shape.place(X)
    assert np.array_equal(placed.labels, posterior.argmax(axis=1))
    assert placed.confidence == pytest.approx(posterior.max(axis=1), abs=1e-9)
    assert np.array_equal(placed.runner_up, np.argsort(posterior, axis=1)[:, -2])


def test_a_mixture_tells_a_narrow_group_within_a_wide_one():
    random = np.random.default_rng(0)
    X = np.vstack([random.normal(size=(500, 2)) * 5, random.normal(size=(500, 2)) * 0.4])
    truth = np.repeat([0, 1], 500)
    assert adjusted_rand_score(truth, gaussian_mixture(X, 2, seed=0).labels) > 0.85
    assert adjusted_rand_score(truth, kmeans(X, 2, seed=0).labels) < 0.2


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_ward_is_that_of_scikit_learn(k):
    X = np.random.default_rng(k).normal(size=(200, 4))
    theirs = AgglomerativeClustering(k, linkage="ward").fit(X).labels_
    assert adjusted_rand_score(theirs, ward(X, np.ones(200), k)) == 1.0


def test_a_weight_counts_as_that_many_users():
    random = np.random.default_rng(0)
    points, weights = random.normal(size=(40, 3)), random.integers(1, 6, 40)
    many = AgglomerativeClustering(5, linkage="ward").fit(np.repeat(points, weights, axis=0)).labels_
    assert adjusted_rand_score(many, np.repeat(ward(points, weights.astype(float), 5), weights)) == 1.0


def test_few_users_are_merged_exactly_and_many_over_micro_clusters_nearly():
    X, _ = groups(5, users=450, apart=3.0)
    found = agglomerative(X, 5, seed=0)
    assert adjusted_rand_score(AgglomerativeClustering(5).fit(X).labels_, found.labels) == 1.0
    assert bridge_agreement("agglomerative", X, found, seed=0) == pytest.approx(1.0)
    X, truth = groups(5, users=3_000, apart=6.0)
    for name, fit in (("agglomerative", agglomerative), ("birch", birch)):
        found = fit(X, 5, seed=0)
        assert adjusted_rand_score(truth, found.labels) > 0.99
        direct = AgglomerativeClustering(5).fit(X).labels_
        assert bridge_agreement(name, X, found, 0) == pytest.approx(adjusted_rand_score(direct, found.labels))


def test_hdbscan_of_representatives_is_nearly_that_of_scikit_learn():
    X, _ = groups(4, users=3_000, apart=5.0)
    found = hdbscan(X, 12, seed=0)
    theirs = HDBSCAN(min_cluster_size=30, min_samples=5, copy=True).fit(X).labels_
    assert len(found.shape.points) < 1_100
    agreement = bridge_agreement("hdbscan", X, found, 0)
    assert agreement == pytest.approx(adjusted_rand_score(theirs, found.labels))
    assert agreement > 0.8


@pytest.mark.parametrize("fit", [dbscan, hdbscan])
def test_users_unlike_all_others_are_a_segment_of_their_own(fit):
    X, _ = groups(3, users=900)
    X[:4] = np.random.default_rng(0).uniform(30, 90, (4, 5))
    found = fit(X, 12, seed=0)
    noise = found.shape.noise
    assert np.all(found.labels[:4] == noise) and np.mean(found.labels == noise) < 0.1
    far = found.shape.place(np.array([[500.0, 0, 0, 0, 0], *X[10:11]]))
    assert far.labels[0] == noise and far.confidence[0] > 0.99
    assert far.runner_up[0] != noise and far.distance[0] > 400


def test_too_few_users_for_density_are_one_segment_and_told():
    X = np.random.default_rng(0).uniform(size=(8, 6))
    for fit in (dbscan, hdbscan):
        found = fit(X, 12, seed=0)
        assert found.centers.shape[0] == 1 and "Too few" in found.notes[0]
