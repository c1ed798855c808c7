import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from sqlseg.insight.splitting import Sorted, best_question


def asked(X, classes, smallest=5, count=None):
    return best_question(Sorted.of(X.T), classes, count or int(classes.max()) + 1, smallest)


def in_scikit(X, classes, smallest=5):
    """Feature, threshold, whether unknown values go below, and the gain in Gini impurity times the users."""
    tree = DecisionTreeClassifier(max_depth=1, min_samples_leaf=smallest, random_state=0).fit(X, classes).tree_
    if tree.node_count == 1:
        return None
    weights = tree.weighted_n_node_samples
    children = (tree.impurity[1] * weights[1] + tree.impurity[2] * weights[2]) / weights[0]
    gain = len(X) * float(tree.impurity[0] - children)
    return int(tree.feature[0]), float(tree.threshold[0]), bool(tree.missing_go_to_left[0]), gain


def users(seed, unknown):
    random = np.random.default_rng(seed)
    rows = int(random.integers(30, 400))
    X = np.column_stack(
        [
            random.normal(size=rows),
            random.integers(0, 6, rows),
            random.gamma(2.0, 1e6, rows),
            np.round(random.normal(size=rows), 1),
        ]
    )
    score = X[:, seed % 4] / X[:, seed % 4].std() + random.normal(size=rows) * 0.7
    X[random.random(X.shape) < unknown] = np.nan
    if unknown and seed % 3 == 0:  # being unknown tells
        X[score > np.quantile(score, 0.6), (seed + 1) % 4] = np.nan
    return X, np.digitize(score, np.quantile(score, [0.3, 0.6, 0.8]))


@pytest.mark.parametrize("unknown", [0.0, 0.1])
def test_it_is_what_scikit_learn_finds(unknown):
    for seed in range(60):
        X, classes = users(seed, unknown)
        feature, threshold, below, gain = in_scikit(X, classes)
        found = asked(X, classes)
        assert found.gain == pytest.approx(gain, rel=1e-9), seed
        assert (found.feature, found.threshold) == (feature, threshold), seed
        if np.isnan(X[:, feature]).any():
            assert found.unknown_below == below, seed


def test_users_of_a_leaf_below_are_asked_among_themselves():
    X, classes = users(8, 0.1)
    mine = X[:, 1] > 2
    found = best_question(Sorted.of(X.T).among(mine), classes, 4, 5)
    feature, threshold, _, gain = in_scikit(X[mine], classes[mine])
    assert (found.feature, found.threshold) == (feature, threshold)
    assert found.gain == pytest.approx(gain, rel=1e-9)
    some = best_question(Sorted.of(X.T).among(mine).of_features([1, 3]), classes, 4, 5)
    assert some == best_question(Sorted.of(X[:, [1, 3]].T).among(mine), classes, 4, 5)


def test_of_equal_questions_the_first_feature_and_the_lowest_threshold_are_taken():
    one = np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    classes = np.array([0, 0, 1, 1, 0, 0])
    found = asked(np.column_stack([np.zeros(6), one, one]), classes, smallest=2)
    assert (found.feature, found.threshold) == (1, 1.5)


def test_where_no_question_leaves_enough_on_either_side_there_is_none():
    X = np.arange(6.0)[:, None]
    classes = np.array([0, 0, 0, 1, 1, 1])
    assert asked(X, classes, smallest=4) is None
    assert asked(np.ones((6, 2)), classes, smallest=1) is None
    assert asked(np.full((6, 1), np.nan), classes, smallest=1) is None
    assert asked(X, classes, smallest=3).threshold == 2.5


def test_known_and_unknown_are_parted():
    X = np.array([1.0, 2.0, 3.0, np.nan, np.nan, np.nan])[:, None]
    found = asked(X, np.array([0, 0, 0, 1, 1, 1]), smallest=3)
    assert found.threshold == np.inf and not found.unknown_below and found.gain == pytest.approx(3.0)
