"""Segments learned from labels: trees as arrays, probabilities that come true, measures on users held out."""

import json

import numpy as np
import pytest
from sklearn.calibration import _SigmoidCalibration
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import f1_score, roc_auc_score

from sqlseg.segments import boosting, supervised
from sqlseg.segments.blocks import embedding_block, feature_block
from sqlseg.segments.boosting import BoostedTrees, fit_boosted_trees
from sqlseg.segments.calibration import calibration_error, fit_sigmoid
from sqlseg.segments.supervised import Labels, SupervisedModel, UnusableLabels, fit_supervised_model

NAMES = ("gold", "new", "silver")


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(boosting, "ROUNDS", 12)


def users(count, classes, seed=0, apart=1.5):
    """Classes that overlap, a fifth of the values unknown, and the last column never known."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, count)
    X = random.normal(size=(count, 4)) + apart * y[:, None] * np.array([1.0, 0.5, 0.0, 0.0])
    X[random.random(X.shape) < 0.2] = np.nan
    X[:, 3] = np.nan
    return X, y


def blocks_of(X):
    vectors = np.where(np.isnan(X[:, :1]), np.nan, np.nan_to_num(X[:, :2]))
    return [feature_block("f@1", ["f__a", "f__b", "f__c"], X[:, :3]), embedding_block("encoder:e@1", vectors)]


def some_labels(y, classes, seed=1, when=None):
    known = np.random.default_rng(seed).random(y.size) < 0.6
    return Labels(NAMES[:classes], np.where(known, y, -1), when, "abc")


@pytest.mark.parametrize("classes", [2, 3])
def test_the_arrays_say_what_scikit_learn_says_of_unknown_values_too(classes):
    X, y = users(600, classes)
    trees = BoostedTrees.from_dict(json.loads(json.dumps(fit_boosted_trees(X, y, 0).to_dict(), allow_nan=False)))
    known = np.where(np.isnan(X).all(axis=0), 0.0, X)
    other = HistGradientBoostingClassifier(
        max_iter=12,
        learning_rate=boosting.LEARNING_RATE,
        max_leaf_nodes=boosting.MOST_LEAVES,
        min_samples_leaf=15,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    ).fit(known, y)
    asked, _ = users(2000, classes, seed=7)
    asked[::3, 0] = np.nan
    there = asked.copy()
    there[:, 3] = 0.0
    assert np.abs(trees.probabilities(asked) - other.predict_proba(there)).max() < 1e-9


def test_a_split_between_known_and_unknown_survives_json():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 400)
    X = np.where(y[:, None] == 1, np.nan, random.normal(size=(400, 1)))
    trees = fit_boosted_trees(X, y, 0)
    assert any(np.isinf(tree.threshold).any() for (tree,) in trees.rounds)
    again = BoostedTrees.from_dict(json.loads(json.dumps(trees.to_dict(), allow_nan=False)))
    assert np.array_equal(again.probabilities(X), trees.probabilities(X))
    assert (again.probabilities(np.array([[np.nan], [0.0]])).argmax(axis=1) == [1, 0]).all()


def test_the_sigmoid_is_platts():
    random = np.random.default_rng(3)
    eta = random.normal(size=500)
    is_class = (random.random(500) < 1 / (1 + np.exp(-(0.6 * eta - 0.4)))).astype(float)
    found = fit_sigmoid(1 / (1 + np.exp(-eta)), is_class)
    other = _SigmoidCalibration().fit(eta, is_class)
    assert (found.slope, found.intercept) == pytest.approx((-other.a_, -other.b_), abs=1e-3)


def test_a_belief_that_is_worth_nothing_gives_the_share_of_the_class():
    believed = np.array([0.9, 0.9, 0.1, 0.1] * 10)
    found = fit_sigmoid(believed, np.array([0.0, 0.0, 1.0, 0.0] * 10))
    assert found.slope == 0.0
    assert 1 / (1 + np.exp(-found.intercept)) == pytest.approx(11 / 42)


def test_calibration_error_by_hand():
    # Bin 0.5-0.6: two users, 1.1 expected, 1 right; bin 1.0: one user, 1 expected, 0 right.
    assert calibration_error(np.array([0.55, 0.55, 1.0]), np.array([1.0, 0.0, 0.0])) == pytest.approx((0.1 + 1.0) / 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_everybody_is_placed_with_a_probability_and_a_second(classes):
    X, y = users(500, classes)
    labels = some_labels(y, classes)
    fit = fit_supervised_model(blocks_of(X), labels, seed=0)
    found = fit.assignment
    probabilities = fit.model.probabilities(blocks_of(X))
    assert probabilities.shape == (500, classes)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(500))
    assert np.array_equal(found.labels, probabilities.argmax(axis=1))
    assert found.confidence == pytest.approx(probabilities.max(axis=1))
    assert found.confidence.min() >= 1 / classes - 1e-9
    assert (found.runner_up != found.labels).all() and np.isnan(found.distance).all()
    unlabelled = labels.of_users == -1
    assert np.mean(found.labels[unlabelled] == y[unlabelled]) > 1.2 / classes


def test_the_same_users_give_the_same_model_and_json_the_same_places():
    X, y = users(300, 2)
    one, other = (fit_supervised_model(blocks_of(X), some_labels(y, 2), seed=4) for _ in range(2))
    text = one.model.with_segment_ids(["t-1", "t-2"]).to_json()
    assert text == other.model.with_segment_ids(["t-1", "t-2"]).to_json()
    again = SupervisedModel.from_json(text)
    assert again.to_json() == text
    asked = blocks_of(users(200, 2, seed=9)[0])
    assert np.array_equal(again.probabilities(asked), one.model.probabilities(asked))
    assert again.score([block.take(slice(0, 0)) for block in asked]).labels.size == 0


def test_measures_are_of_users_that_were_held_out():
    X, y = users(400, 3)
    labels = some_labels(y, 3)
    fit = fit_supervised_model(blocks_of(X), labels, seed=0)
    assert fit.metrics["labelled_users"] == labels.counts().sum()
    assert fit.metrics["held_out_users"] == pytest.approx(labels.counts().sum() / 4, abs=3)
    assert fit.metrics["accuracy"] < 0.95  # the classes overlap
    assert fit.metrics["f1"] == pytest.approx(np.mean([one["f1"] for one in fit.by_class]))
    assert len(fit.by_class) == 3


def test_measures_by_class_are_those_of_scikit_learn(monkeypatch):
    X, y = users(200, 2)
    held_out = np.arange(200) % 4 == 0
    said = np.column_stack([np.linspace(1, 0, 200), np.linspace(0, 1, 200)])
    monkeypatch.setattr(supervised, "calibrated", lambda believed, _: said[held_out])
    metrics, by_class = supervised._measures(lambda X, y: fit_boosted_trees(X, y, 0), X, y, held_out, 2, 0)
    truth, told = y[held_out], said[held_out].argmax(axis=1)
    assert metrics["auc"] == pytest.approx(roc_auc_score(truth, said[held_out, 1]))
    assert by_class[1]["f1"] == pytest.approx(f1_score(truth, told))
    assert metrics["accuracy"] == np.mean(truth == told)


def test_the_newest_labels_are_held_out_where_they_have_a_time():
    y = np.arange(80) % 2
    when = np.arange(80.0)[::-1]
    held_out, notes = supervised._held_out(y, when, np.random.default_rng(0))
    assert held_out.tolist() == [True] * 20 + [False] * 60 and notes == []
    late = np.where(y == 1, 100.0 + np.arange(80), 0.0)
    held_out, notes = supervised._held_out(np.where(late > 120, 1, 0), late, np.random.default_rng(0))
    assert "by chance" in notes[0] and 20 <= held_out.sum() <= 22


def test_a_column_that_no_labelled_user_has_is_left_out_with_a_note():
    X, y = users(200, 2)
    labels = Labels(NAMES[:2], np.where(np.arange(200) < 120, y, -1))
    X[:120, 2] = np.nan
    fit = fit_supervised_model(blocks_of(X), labels, seed=0)
    assert "f__c is not used: missing for every labelled user." in fit.notes


@pytest.mark.parametrize(
    ("of_users", "classes", "told"),
    [
        ([0] * 50, ("gold",), "at least two different labels are needed to learn from: 'gold' has 50"),
        ([-1] * 50, (), "no user has a label"),
        ([0] * 31 + [1] * 19, ("gold", "new"), "at least 20 users to learn from: 'new' has 19, 'gold' has 31"),
    ],
)
def test_too_little_to_learn_from_is_refused(of_users, classes, told):
    with pytest.raises(UnusableLabels, match=told):
        fit_supervised_model(blocks_of(users(50, 2)[0]), Labels(classes, np.array(of_users)), seed=0)


def test_inputs_that_are_the_same_for_everybody_are_refused():
    labels = Labels(NAMES[:2], np.arange(60) % 2)
    with pytest.raises(UnusableLabels, match="no input tells users apart"):
        fit_supervised_model([feature_block("f@1", ["f__a"], np.ones((60, 1)))], labels, seed=0)
