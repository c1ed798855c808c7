"""Shapley values of trees: against every coalition, and against the shap package where it is installed."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from sqlseg.segments import boosting
from sqlseg.segments.boosting import LEAF, BoostedTrees, Tree, fit_boosted_trees
from sqlseg.segments.shapley import expected_scores, score_parts


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(boosting, "ROUNDS", 10)


def some_users(count, classes, seed=0, inputs=5):
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, count)
    X = random.normal(size=(count, inputs)) + y[:, None] * np.linspace(1.0, 0.0, inputs)
    X[random.random(X.shape) < 0.15] = np.nan
    return X, y


def told(tree, x, known, node=0):
    """What a tree says of a user of whom only some inputs are known: both ways, by the users who went each."""
    if tree.left[node] == LEAF:
        return tree.value[node]
    ways = tree.left[node], tree.right[node]
    if tree.feature[node] in known:
        return told(tree, x, known, ways[0 if tree.goes_left(node, x[:, None])[0] else 1])
    return sum(tree.users[child] / tree.users[node] * told(tree, x, known, child) for child in ways)


def by_coalitions(trees, x):
    """Shapley's definition: the mean over all orders of what an input adds to those before it."""
    inputs = range(x.size)
    result = np.zeros((x.size, trees.baseline.size))
    for number in range(trees.baseline.size):
        worth = {
            known: sum(told(each[number], x, known) for each in trees.rounds)
            for size in range(x.size + 1)
            for known in combinations(inputs, size)
        }
        for one in inputs:
            for known in (known for known in worth if one not in known):
                weight = factorial(len(known)) * factorial(x.size - 1 - len(known)) / factorial(x.size)
                result[one, number] += weight * (worth[tuple(sorted((*known, one)))] - worth[known])
    return result


@pytest.mark.parametrize("classes", [2, 3])
def test_they_are_those_of_all_coalitions_unknown_values_too(classes):
    X, y = some_users(300, classes)
    trees = fit_boosted_trees(X, y, 0)
    asked = some_users(12, classes, seed=5)[0]
    asked[0] = np.nan
    found = score_parts(trees, asked)
    for user, x in enumerate(asked):
        assert found[user] == pytest.approx(by_coalitions(trees, x), abs=1e-12)


def test_a_tree_worked_out_by_hand():
    # 100 users: 60 have a <= 0, of whom 15 have b <= 0. For a = b = 1 the tree says 4, on average 0.15 + 0.9 + 1.6.
    tree = Tree(
        feature=np.array([0, 1, 0, 0, 0]),
        threshold=np.zeros(5),
        unknown_left=np.zeros(5, dtype=np.int64),
        left=np.array([1, 3, LEAF, LEAF, LEAF]),
        right=np.array([2, 4, LEAF, LEAF, LEAF]),
        value=np.array([0.0, 0.0, 4.0, 1.0, 2.0]),
        users=np.array([100, 60, 40, 15, 45]),
    )
    trees = BoostedTrees(np.array([0.5]), ((tree,),))
    assert expected_scores(trees) == pytest.approx([0.5 + 0.15 + 0.9 + 1.6])
    # v() = 2.65, v(a) = 4, v(b) = 0.6 * 2 + 1.6 = 2.8, v(a, b) = 4
    assert score_parts(trees, np.array([[1.0, 1.0]]))[0, :, 0] == pytest.approx(
        [((4 - 2.65) + (4 - 2.8)) / 2, ((2.8 - 2.65) + 0) / 2]
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_they_add_up_to_what_is_said_of_the_user_less_what_is_said_of_all(classes):
    X, y = some_users(2_000, classes, inputs=8)
    trees = fit_boosted_trees(X, y, 0)
    asked = some_users(20_000, classes, seed=3, inputs=8)[0]
    parts = score_parts(trees, asked)
    assert np.abs(parts.sum(axis=1) + expected_scores(trees) - trees.scores(asked)).max() < 1e-9
    assert np.abs(expected_scores(trees) - trees.scores(X).mean(axis=0)).max() < 1e-9


def test_larger_trees_than_ours_are_split_alike(monkeypatch):
    monkeypatch.setattr(boosting, "MOST_LEAVES", 31)
    X, y = some_users(3_000, 2)
    trees = fit_boosted_trees(X, y, 0)
    assert max(int((tree.left != LEAF).sum()) for (tree,) in trees.rounds) > 16
    asked = some_users(4, 2, seed=5)[0]
    for user, parts in enumerate(score_parts(trees, asked)):
        assert parts == pytest.approx(by_coalitions(trees, asked[user]), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_shap_package_says_the_same(classes):
    shap = pytest.importorskip("shap")
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, y = some_users(800, classes, inputs=6)
    trees = fit_boosted_trees(X, y, 0)
    estimator = HistGradientBoostingClassifier(
        max_iter=10,
        learning_rate=boosting.LEARNING_RATE,
        max_leaf_nodes=boosting.MOST_LEAVES,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    ).fit(X, y)
    asked = some_users(100, classes, seed=9, inputs=6)[0]
    explainer = shap.TreeExplainer(estimator, feature_perturbation="tree_path_dependent")
    theirs = np.asarray(explainer.shap_values(asked)).reshape(100, 6, -1)
    assert np.abs(score_parts(trees, asked) - theirs).max() < 1e-6
    assert np.abs(expected_scores(trees) - np.ravel(explainer.expected_value)).max() < 1e-6
