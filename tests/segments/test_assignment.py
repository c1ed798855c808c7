import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sqlseg.segments import assignment
from sqlseg.segments.assignment import NOBODY, assign

coordinates = st.integers(-50, 50).map(lambda n: n / 4)


@given(
    arrays(float, st.tuples(st.integers(0, 12), st.just(3)), elements=coordinates),
    arrays(float, st.tuples(st.integers(1, 5), st.just(3)), elements=coordinates),
)
def test_it_agrees_with_every_distance_worked_out(X, centers):
    found = assign(X, centers)
    squared = ((X[:, None, :] - centers[None, :, :]) ** 2).sum(axis=2)
    assert np.array_equal(found.labels, squared.argmin(axis=1))
    for row, (label, runner_up) in enumerate(zip(found.labels, found.runner_up, strict=True)):
        first = squared[row, label]
        assert found.distance[row] == pytest.approx(np.sqrt(first))
        if len(centers) == 1:
            assert (runner_up, found.confidence[row]) == (NOBODY, 1.0)
            continue
        rest = squared[row].copy()
        rest[label] = np.inf
        assert runner_up == rest.argmin()
        total = first + rest.min()
        assert found.confidence[row] == pytest.approx(rest.min() / total if total else 0.5)
        assert 0.5 <= found.confidence[row] <= 1.0


def test_ties_go_to_the_first_and_two_centroids_at_once_are_undecided():
    found = assign(np.array([[1.0], [0.0]]), np.array([[2.0], [0.0], [0.0]]))
    assert found.labels.tolist() == [0, 1]
    assert found.runner_up.tolist() == [1, 2]
    assert found.confidence.tolist() == [0.5, 0.5]


steps = st.integers(-3_000_000, 3_000_000)


@given(arrays(np.int64, (20, 3), elements=steps), arrays(np.int64, (4, 3), elements=steps), st.permutations(range(3)))
def test_every_order_of_adding_up_gives_the_same_to_the_last_digit(x, centers, order):
    found = assign(x / 1e6, centers / 1e6)
    squared = np.array([[sum((int(a) - int(b)) ** 2 for a, b in zip(u, c, strict=True)) for c in centers] for u in x])
    assert np.array_equal(found.labels, squared.argmin(axis=1))
    assert np.array_equal(found.distance, np.sqrt(squared.min(axis=1)) / 1e6)
    again = assign(x[:, order] / 1e6, centers[:, order] / 1e6)
    for field in ("labels", "runner_up", "distance", "confidence"):
        assert np.array_equal(getattr(again, field), getattr(found, field))


def test_a_tie_is_a_tie_however_many_digits_it_has():
    # Rounded to 1e-9, these two equal squares of 1e-12 steps went either way.
    found = assign(np.array([[0.0, 0.0]]), np.array([[0.123457, 0.0], [0.0, -0.123457]]))
    assert (found.labels.tolist(), found.runner_up.tolist(), found.confidence.tolist()) == ([0], [1], [0.5])


def test_a_user_on_a_centroid_is_at_no_distance():
    centers = np.array([[1e3 + 0.1, 1e3], [1e3, 1e3]])
    found = assign(centers, centers)
    assert found.distance.tolist() == [0.0, 0.0]
    assert found.confidence.tolist() == [1.0, 1.0]


def test_parts_give_the_same_as_the_whole(monkeypatch):
    random = np.random.default_rng(0)
    X, centers = random.normal(size=(1_000, 7)), random.normal(size=(5, 7))
    whole = assign(X, centers)
    monkeypatch.setattr(assignment, "_VALUES_AT_ONCE", 100)
    parts = assign(X, centers)
    for field in ("labels", "runner_up"):
        assert np.array_equal(getattr(parts, field), getattr(whole, field))
    assert parts.distance == pytest.approx(whole.distance)
    assert parts.sizes(5).sum() == 1_000


def test_no_inputs_and_no_users():
    assert assign(np.empty((3, 0)), np.empty((1, 0))).confidence.tolist() == [1.0] * 3
    assert assign(np.empty((0, 2)), np.ones((2, 2))).labels.tolist() == []
