"""Other criteria for the number of segments, against independent computations."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.cluster import KMeans
from sklearn.metrics import davies_bouldin_score
from sklearn.mixture import GaussianMixture

from sqlseg.segments.algorithms import kmeans
from sqlseg.segments.choice_of_k import Trial, choose, choose_k
from sqlseg.segments.criteria import bayesian_information, best_number, first_sufficient_gap, gaps
from sqlseg.segments.mixtures import gaussian_mixture, gaussian_mixture_diagonal

CRITERIA = ("stability", "silhouette", "davies_bouldin", "bic", "gap")


def planted(count, users=900, inputs=6, seed=0):
    """Groups that are all equally far from each other."""
    centers = np.eye(count, inputs) * 8
    return centers[np.arange(users) % count] + np.random.default_rng(seed).normal(size=(users, inputs))


def trial(k, **values):
    usual = {
        "recurrence": 0.9,
        "recurrence_error": 0.02,
        "stability": 0.9,
        "silhouette": 0.3,
        "calinski_harabasz": 100.0,
        "davies_bouldin": 1.0,
        "inertia": 10.0,
        "smallest_share": 0.1,
        "largest_share": 0.3,
        "two_largest_share": 0.5,
    }
    return Trial(k=k, found=k, **{**usual, **values})


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_finds_well_separated_groups(criterion):
    choice = choose_k(planted(5), kmeans, k_min=3, k_max=8, seed=0, criterion=criterion)
    assert choice.k == 5
    assert criterion in choice.notes[0]
    assert all((t.gap is not None) == (criterion == "gap") for t in choice.trials)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_bic_of_a_mixture_is_that_of_scikit_learn(covariance):
    X = planted(3)
    fit = gaussian_mixture if covariance == "full" else gaussian_mixture_diagonal
    found = fit(X, 3, seed=0)
    theirs = GaussianMixture(3, covariance_type=covariance)
    theirs.weights_, theirs.means_, theirs.covariances_ = found.shape.weights, found.centers, found.shape.covariances
    inverse = np.linalg.inv(found.shape.covariances) if covariance == "full" else 1 / found.shape.covariances
    theirs.precisions_cholesky_ = np.linalg.cholesky(inverse) if covariance == "full" else np.sqrt(inverse)
    assert bayesian_information(X, found.labels, found.shape) == pytest.approx(theirs.bic(X))


def test_bic_of_centroids_is_that_of_round_distributions_of_one_width():
    X = planted(3, users=300)
    found = kmeans(X, 3, seed=0)
    means = np.stack([X[found.labels == label].mean(axis=0) for label in range(3)])
    variance = ((X - means[found.labels]) ** 2).sum() / (X.shape[1] * (300 - 3))
    likelihood = sum(
        np.log(np.mean(found.labels == label))
        + multivariate_normal(means[label], variance * np.eye(X.shape[1])).logpdf(user)
        for user, label in zip(X, found.labels, strict=True)
    )
    expected = -2 * likelihood + (2 + 3 * X.shape[1] + 1) * np.log(300)
    assert bayesian_information(X, found.labels, found.shape) == pytest.approx(expected)
    one = np.array([[0.0], [1.0], [5.0]])
    alone = kmeans(one, 1, seed=0)
    by_hand = -2 * norm(2, np.sqrt(14 / 2)).logpdf(one).sum() + 2 * np.log(3)
    assert bayesian_information(one, alone.labels, alone.shape) == pytest.approx(by_hand)
    assert (
        bayesian_information(np.ones((4, 2)), np.zeros(4, dtype=int), kmeans(np.ones((4, 2)), 1, seed=0).shape) is None
    )


@pytest.mark.slow
def test_gaps_are_those_worked_out_with_scikit_learn():
    X = planted(4, users=400, inputs=4)
    found = gaps(X, kmeans, [2, 4], seed=7)
    random = np.random.default_rng(7)
    centered = X - X.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    turned = centered @ axes.T
    clouds = [random.uniform(turned.min(axis=0), turned.max(axis=0), turned.shape) for _ in range(10)]

    def within(values, k):
        return np.log(KMeans(k, n_init=10, random_state=0).fit(values).inertia_)

    for k in (2, 4):
        expected = np.mean([within(cloud, k) for cloud in clouds]) - within(X, k)
        assert found[k][0] == pytest.approx(expected, abs=0.05)
        assert 0 < found[k][1] < 0.1
    assert found[4][0] > found[2][0]
    assert gaps(np.repeat(np.eye(3), 20, axis=0), kmeans, [3], seed=0) == {}


def test_davies_bouldin_of_a_trial_is_that_of_scikit_learn():
    X = planted(4, users=500)
    choice = choose_k(X, kmeans, k_min=4, k_max=5, seed=0, criterion="davies_bouldin")
    found = kmeans(X, 4, seed=0, starts=4)
    assert choice.trials[0].davies_bouldin == pytest.approx(davies_bouldin_score(X, found.labels), abs=1e-5)


def test_the_best_value_decides_among_the_balanced():
    trials = [
        trial(4, silhouette=0.2, bic=90.0),
        trial(5, silhouette=0.4, bic=80.0),
        trial(6, silhouette=0.3, bic=70.0),
    ]
    assert choose(trials, criterion="silhouette")[0] == 5
    assert choose(trials, criterion="bic")[0] == 6
    assert choose([*trials, trial(7, silhouette=0.9, smallest_share=0.001)], criterion="silhouette")[0] == 5
    number, note = choose([trial(4), trial(5)], criterion="gap")
    assert number == 5 and "found again" in note  # nothing was measured: the usual rule


def test_the_number_there_was_stays_where_it_is_nearly_as_good():
    assert best_number([4, 5, 6], [0.2, 0.4, 0.398], previous=6) == 6
    assert best_number([4, 5, 6], [0.2, 0.4, 0.39], previous=6) == 5
    assert best_number([4, 5, 6], [0.2, 0.4, 0.39], previous=9) == 5
    assert (
        "as before"
        in choose([trial(4, silhouette=0.2), trial(5, silhouette=0.4), trial(6, silhouette=0.398)], 6, "silhouette")[1]
    )
    assert first_sufficient_gap([4, 5], [0.1, 0.5], [0.01, 0.01]) == 5
