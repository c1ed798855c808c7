import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.segments.algorithms import algorithm, kmeans
from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import feature_block, rounded
from sqlseg.segments.choice_of_k import choose_k
from sqlseg.segments.model import ClusterModel, FitSettings, fit_cluster_model
from sqlseg.segments.resampling import Refits, bootstrap_refits


def groups(apart, users=600, seed=0):
    """Users around five places that lie `apart` deviations from each other."""
    random = np.random.default_rng(seed)
    return rounded(random.normal(size=(users, 5)) + apart / np.sqrt(2) * np.eye(5)[random.integers(0, 5, users)])


def shop(apart, users=600, seed=0):
    return [feature_block("a@1", [f"a__{i}" for i in range(5)], groups(apart, users, seed))]


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_it_is_the_share_of_refits_that_place_the_user_there(seed, refits, segments, inputs):
    """Refit by refit with the function that places users; some refits lack a segment."""
    random = np.random.default_rng(seed)
    centers = rounded(random.normal(size=(refits, segments, inputs)))
    centers[1:][random.random((refits - 1, segments)) < 0.3] = np.nan
    X, labels = rounded(random.normal(size=(30, inputs))), random.integers(0, segments, 30)
    expected = np.zeros(30)
    for one in centers:
        there = np.flatnonzero(~np.isnan(one).any(axis=1))
        if there.size:
            expected += there[assign(X, one[there]).labels] == labels
    found = Refits(centers).probability(X, labels)
    assert found == pytest.approx(expected / refits)
    kept = Refits.from_list(json.loads(json.dumps(Refits(centers).to_list(), allow_nan=False)), inputs)
    assert kept == Refits(centers)


def test_many_users_get_what_each_gets_alone(monkeypatch):
    X = groups(2.0)
    found = kmeans(X, 5, seed=0)
    refits = bootstrap_refits(X, found, kmeans, 0)
    together = refits.probability(X, found.labels)
    monkeypatch.setattr("sqlseg.segments.resampling._VALUES_AT_ONCE", 100)
    assert np.array_equal(refits.probability(X, found.labels), together)
    assert np.array_equal(refits.probability(X[::-1], found.labels[::-1]), together[::-1])


@pytest.mark.parametrize("seed", range(3))
def test_users_of_groups_far_apart_are_sure_of_their_segment(seed):
    fitted = fit_cluster_model(shop(12.0, seed=seed), FitSettings(k=5, seed=seed))
    assert fitted.assignment.probability.min() == 1.0


def test_users_between_two_groups_are_less_sure():
    fitted = fit_cluster_model(shop(3.0), FitSettings(k=5))
    sure = fitted.assignment.confidence > np.median(fitted.assignment.confidence)
    assert fitted.assignment.probability[sure].mean() > fitted.assignment.probability[~sure].mean() + 0.02
    assert set(np.round(fitted.assignment.probability * 10, 9)) <= set(range(11))


def test_clusters_are_matched_with_the_segments_that_hold_their_users():
    """A refit numbers its clusters by size, which differs from one resample to the next."""
    X = groups(12.0)
    found = kmeans(X, 5, seed=0)
    refits = bootstrap_refits(X, found, kmeans, 0)
    distance = np.linalg.norm(refits.centers - found.centers, axis=2)
    assert distance.max() < 1.0


def test_the_choice_of_a_number_leaves_its_refits_to_be_used_again(monkeypatch):
    X = groups(6.0)
    choice = choose_k(X, kmeans, k_min=4, k_max=6, seed=0)
    assert choice.k == 5 and len(choice.refits) == 10
    found = kmeans(X, 5, seed=0, initial_centers=choice.centers)

    def never(*_, **__):
        raise AssertionError

    refits = bootstrap_refits(X, found, never, 0, rows=choice.rows, known=choice.refits)
    for one, centers in zip(refits.centers, choice.refits, strict=True):
        assert sorted(map(tuple, one)) == sorted(map(tuple, centers))


@pytest.mark.parametrize("k", ["auto", 5])
def test_users_who_come_later_get_one_too(k):
    model = fit_cluster_model(shop(4.0), FitSettings(k=k)).model
    later = ClusterModel.from_json(model.to_json()).score(shop(4.0, users=50, seed=9), with_probability=True)
    assert later.probability.size == 50 and later.probability.min() >= 0 and later.probability.mean() > 0.8
    assert model.score(shop(4.0)).probability is None


def test_a_model_of_before_has_none():
    model = fit_cluster_model(shop(4.0), FitSettings(k=3)).model
    data = json.loads(model.to_json())
    del data["refits"]
    old = ClusterModel.from_json(json.dumps(data))
    assert old.refits is None and old.score(shop(4.0), with_probability=True).probability is None
    assert json.loads(old.to_json()) == data


@pytest.mark.parametrize("name", ["gaussian_mixture", "hdbscan", "agglomerative"])
def test_algorithms_without_centroids_have_none(name):
    X = groups(6.0)
    assert bootstrap_refits(X, algorithm(name)(X, 5, seed=0), algorithm(name), 0) is None
    assert fit_cluster_model(shop(6.0), FitSettings(algorithm=name)).assignment.probability is None


def test_one_segment_holds_everybody():
    fitted = fit_cluster_model(shop(0.0, users=8), FitSettings())
    assert fitted.assignment.probability.tolist() == [1.0] * 8
