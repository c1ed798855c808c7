import numpy as np
import pytest

from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import rounded
from sqlseg.segments.explain import contributions, explain, strongest

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


def test_the_strongest_come_first():
    matrix = np.array([[0.1, 3.0, -5.0], [2.0, 2.0, 2.0]])
    assert strongest(matrix, 2).tolist() == [[1, 0], [0, 1]]
    assert strongest(matrix, 9).shape == (2, 3)
