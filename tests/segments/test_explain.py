import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.segments.assignment import Assignment, assign
from sqlseg.segments.blocks import embedding_block, feature_block, rounded
from sqlseg.segments.explain import contributions, explain, strongest, user_reasons
from sqlseg.segments.model import FitSettings, fit_cluster_model

INPUTS = ("a__x", "a__y", "encoder:e@1", "encoder:e@1", "encoder:e@1")


@pytest.fixture
def placed():
    random = np.random.default_rng(0)
    X, centers = rounded(random.normal(size=(200, 5))), rounded(random.normal(size=(4, 5)))
    return X, centers, assign(X, centers)


def test_contributions_sum_to_the_difference_of_the_squared_distances(placed):
    X, centers, found = placed
    features, matrix = contributions(X, found, centers, INPUTS)
    assert features == ("a__x", "a__y", "encoder:e@1")
    second = ((X - centers[found.runner_up]) ** 2).sum(axis=1)
    assert matrix.sum(axis=1) == pytest.approx(second - found.distance**2, abs=1e-12)
    assert np.all(matrix.sum(axis=1) >= 0)


def test_confidence_follows_from_the_contributions(placed):
    X, centers, found = placed
    _, matrix = contributions(X, found, centers, INPUTS)
    second = matrix.sum(axis=1) + found.distance**2
    assert second / (second + found.distance**2) == pytest.approx(found.confidence)


def test_one_user_by_hand():
    x, centers = np.array([1.0, 2.0]), np.array([[1.0, 0.0], [4.0, 2.0]])
    found = assign(x[None], centers)
    rows = explain(x, found, centers, ("a__x", "a__y"))
    assert [(row.feature, row.contribution) for row in rows] == [("a__x", 9.0), ("a__y", -4.0)]


def test_a_single_segment_needs_no_reason(placed):
    X, centers, _ = placed
    found = assign(X, centers[:1])
    _, matrix = contributions(X, found, centers[:1], INPUTS)
    assert not matrix.any()
    assert contributions(np.empty((3, 0)), assign(np.empty((3, 0)), np.empty((1, 0))), np.empty((1, 0)), ())[0] == ()


def test_reasons_are_the_largest_contributions_by_brute_force():
    random = np.random.default_rng(3)
    values = random.normal(size=(300, 4))
    vectors = random.normal(size=(300, 6))
    vectors[5] = np.nan
    blocks = [feature_block("a@1", ["a__w", "a__x", "a__y", "a__z"], values), embedding_block("encoder:e@1", vectors)]
    fitted = fit_cluster_model(blocks, FitSettings(k=4))
    found = user_reasons(fitted.model, blocks, fitted.assignment)
    told = {
        (u, r): (found.features[f], c)
        for u, r, f, c in zip(found.user, found.rank, found.feature, found.contribution, strict=True)
    }
    X, centers, inputs = (
        fitted.model.preprocessing.transform(blocks),
        fitted.model.center_matrix,
        fitted.model.preprocessing.inputs,
    )
    count = 0
    for user in range(300):
        own, other = centers[fitted.assignment.labels[user]], centers[fitted.assignment.runner_up[user]]
        sums = dict.fromkeys(inputs, 0.0)
        for axis, name in enumerate(inputs):
            sums[name] += (X[user, axis] - other[axis]) ** 2 - (X[user, axis] - own[axis]) ** 2
        ranked = sorted(((name, worth) for name, worth in sums.items() if worth > 0), key=lambda row: -row[1])[:3]
        count += len(ranked)
        for rank, (name, worth) in enumerate(ranked, start=1):
            assert told[user, rank] == (name, pytest.approx(worth))
    assert len(told) == count
    raw = {name: values[:, i] for i, name in enumerate(["a__w", "a__x", "a__y", "a__z"])}
    for user, feature, value in zip(found.user, found.feature, found.value, strict=True):
        name = found.features[feature]
        assert np.isnan(value) if name == "encoder:e@1" else value == raw[name][user]


def test_who_has_one_segment_has_no_reasons():
    blocks = [feature_block("a@1", ["a__x"], [[1.0], [2.0], [3.0]])]
    fitted = fit_cluster_model(blocks, FitSettings(k=1))
    assert user_reasons(fitted.model, blocks, fitted.assignment).user.size == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_strongest_come_first_and_of_equals_the_first(seed, count):
    """Against sorting all features of a user, ties in their order."""
    random = np.random.default_rng(seed)
    parts = random.integers(-2, 4, (30, 4)).astype(float)
    names = [f"a__{i}" for i in range(4)]
    nobody = np.zeros(30, dtype=np.int64)
    block = feature_block("a@1", names, random.normal(size=(30, 4)))
    found = strongest(
        names, [block], Assignment(nobody, parts[:, 0], nobody, parts[:, 0]), lambda *_: parts.copy(), count
    )
    told = list(zip(found.user, found.rank, found.feature, found.contribution, found.value, strict=True))
    expected = [
        (user, rank, feature, parts[user, feature], block.values[user, feature])
        for user in range(30)
        for rank, feature in enumerate(sorted(range(4), key=lambda i: -parts[user, i])[:count], start=1)
        if parts[user, feature] > 0
    ]
    assert told == expected
