"""Every algorithm that learns from labels keeps the same promises; a new row of LEARNERS is tested here unnamed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from sqlseg.segments import boosting, supervised
from sqlseg.segments.blocks import embedding_block, feature_block
from sqlseg.segments.learned_changes import single_changes_learned
from sqlseg.segments.learned_reasons import explain_learned, learned_reasons
from sqlseg.segments.learners import LEARNERS
from sqlseg.segments.linear import fit_logistic_regression
from sqlseg.segments.self_training import self_trained
from sqlseg.segments.spreading import (
    MICRO_CLUSTERS,
    SPREAD,
    Spread,
    bridge_agreement,
    fit_spread,
    graph,
    representatives,
)
from sqlseg.segments.supervised import Labels, SupervisedModel, fit_supervised_model


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(boosting, "ROUNDS", 10)


def two_kinds(count, seed=0, islands=6, apart=2.5, inputs=6):
    """Islands of users, of one kind and the other by turns."""
    centers = np.random.default_rng(99).normal(size=(islands, inputs)) * apart
    random = np.random.default_rng(seed)
    island = random.integers(0, islands, count)
    return centers[island] + random.normal(size=(count, inputs)), island % 2


def blocks_of(X, unknown=True):
    values = X[:, :4].copy()
    if unknown:
        values[::7, 1] = np.nan
    vectors = X[:, 4:] + 0.0
    return [feature_block("f@1", ["f__a", "f__b", "f__c", "f__d"], values), embedding_block("encoder:e@1", vectors)]


def labels_for(y, count=80):
    return Labels(("even", "odd"), np.where(np.arange(y.size) < count, y, -1), None, "abc")


@pytest.fixture(params=sorted(LEARNERS))
def algorithm(request):
    return request.param


def test_the_same_users_give_the_same_model_and_json_the_same_places(algorithm):
    X, y = two_kinds(400)
    one, other = (fit_supervised_model(blocks_of(X), labels_for(y), 3, algorithm) for _ in range(2))
    text = one.model.with_segment_ids(["t-1", "t-2"]).to_json()
    assert text == other.model.with_segment_ids(["t-1", "t-2"]).to_json()
    again = SupervisedModel.from_json(text)
    assert again.to_json() == text and again.algorithm == algorithm
    new = blocks_of(two_kinds(300, seed=5)[0])
    assert np.array_equal(again.probabilities(new), one.model.probabilities(new))


def test_users_are_placed_with_probabilities_whoever_they_are_placed_with(algorithm):
    X, y = two_kinds(400)
    model = fit_supervised_model(blocks_of(X), labels_for(y), 0, algorithm).model
    new, truth = two_kinds(200, seed=8)
    blocks = blocks_of(new)
    together = model.probabilities(blocks)
    assert together.sum(axis=1) == pytest.approx(np.ones(200)) and together.min() >= 0
    alone = np.vstack([model.probabilities([block.take(np.array([row])) for block in blocks]) for row in range(200)])
    assert np.array_equal(alone.argmax(axis=1), together.argmax(axis=1))
    assert alone == pytest.approx(together, abs=1e-12)
    assert model.score([block.take(slice(0, 0)) for block in blocks]).labels.size == 0
    assert np.mean(together.argmax(axis=1) == truth) > 0.8
    far = model.score(blocks_of(np.full((1, 6), 1e6), unknown=False))
    assert far.labels[0] in (0, 1) and 0.5 <= far.confidence[0] <= 1


def test_users_who_are_alike_are_placed_alike(algorithm):
    X, y = two_kinds(300)
    model = fit_supervised_model(blocks_of(X), labels_for(y), 0, algorithm).model
    twice = [block.take(np.repeat(np.arange(300), 2)) for block in blocks_of(X)]
    found = model.probabilities(twice)
    assert np.array_equal(found[::2], found[1::2])


def test_it_learns_where_nobody_is_without_a_label(algorithm):
    X, y = two_kinds(120)
    fit = fit_supervised_model(blocks_of(X), labels_for(y, 120), 0, algorithm)
    assert np.mean(fit.assignment.labels == y) > 0.8
    told = [note for note in fit.notes if "Every user has a label" in note]
    assert bool(told) == (LEARNERS[algorithm].others is not None)


def test_it_learns_from_users_who_are_all_alike_but_for_their_label(algorithm):
    X, y = two_kinds(100)
    X[:, :2] = 0.0
    X[:80, 2:] = X[0, 2:]
    fit = fit_supervised_model(blocks_of(X), labels_for(y), 0, algorithm)
    assert fit.metrics["auc"] == pytest.approx(0.5)


def test_no_label_that_is_held_out_is_learned_from(algorithm, monkeypatch):
    X, y = two_kinds(400)
    when = np.where(np.arange(400) < 80, np.arange(400.0), np.nan)
    learner, seen = LEARNERS[algorithm], []

    def watched(known, classes, others, seed):
        seen.append((known, classes, others))
        return learner.fit(known, classes, others, seed)

    monkeypatch.setattr(supervised, "LEARNERS", {**LEARNERS, algorithm: replace(learner, fit=watched)})
    labels = Labels(("even", "odd"), np.where(np.arange(400) < 80, y, -1), np.where(np.isnan(when), -1.0, when))
    fit = fit_supervised_model(blocks_of(X, unknown=False), labels, 0, algorithm)
    matrix = supervised._matrix(algorithm, fit.model.preprocessing, blocks_of(X, unknown=False))
    held_out, labelled = {tuple(row) for row in matrix[60:80]}, {tuple(row) for row in matrix[:80]}
    assert fit.metrics["held_out_users"] == 20
    measured, everything = seen[:4], seen[4:]
    sizes = [len(known) for known, _, _ in measured]
    assert sum(sizes[:3]) == 2 * 60 and sizes[3] == 60
    for known, _, others in measured:
        assert not held_out & {tuple(row) for row in known}
        assert not labelled & {tuple(row) for row in others}
    # For the calibration each third is told by what the other two teach; nor is it among users without a label.
    assert sum(len(known) for known, _, _ in everything) == 2 * 80 + 80
    for _, _, others in everything:
        assert not labelled & {tuple(row) for row in others}
    # Other labels for those held out change the measures, and nothing that is learned before.
    first = [(known, classes) for known, classes, _ in measured]
    seen.clear()
    turned = replace(labels, of_users=np.where((np.arange(400) >= 60) & (np.arange(400) < 80), 1 - y, labels.of_users))
    again = fit_supervised_model(blocks_of(X, unknown=False), turned, 0, algorithm)
    for (known, classes), (known_again, classes_again, _) in zip(first, seen[:4], strict=True):
        assert np.array_equal(known, known_again) and np.array_equal(classes, classes_again)
    assert again.metrics["accuracy"] == pytest.approx(1 - fit.metrics["accuracy"])


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_every_algorithm_is_on_its_page(name):
    page = Path(__file__).parents[2] / "docs" / "algorithms.md"
    assert f"| `{name}` |" in page.read_text(encoding="utf-8")


def test_more_labelled_users_than_a_graph_can_hold_are_drawn_class_by_class():
    y = np.r_[np.zeros(6_000, dtype=np.int64), np.ones(60, dtype=np.int64)]
    rows = supervised._learned_from(np.r_[y, -np.ones(10, dtype=np.int64)], 2_000, np.random.default_rng(0))
    assert np.bincount(y[rows]).tolist() == [1980, 60]


def test_spreading_ends_where_that_of_scikit_learn_ends():
    X, y = two_kinds(300)
    known = np.arange(300) < 30
    weights = graph(X)
    assert np.array_equal(weights, weights.T) and np.all(np.diag(weights) == 0)
    theirs = LabelSpreading(kernel=lambda *_: weights, alpha=SPREAD, max_iter=100_000, tol=1e-13)
    theirs.fit(X, np.where(known, y, -1))
    found = fit_spread(X[known], y[known], X[~known])
    assert found.beliefs == pytest.approx(theirs.label_distributions_, abs=1e-6)


def test_a_node_is_joined_with_its_ten_nearest_by_hand():
    points = np.arange(13.0)[:, None] ** 2
    weights = graph(points)
    # The tenth nearest of the first (at 0) is at 100, of the second (at 1) 99 away: the first is the surer of both.
    assert weights[0, 1] == pytest.approx(np.exp(-1 / 100**2), abs=1e-12)
    assert weights[0, 10] == pytest.approx(np.exp(-1.0))
    # The eleventh (at 100) has ten that are nearer than the first: it is joined by the first alone.
    assert weights[10, 1] == pytest.approx(np.exp(-((99 / 99) ** 2)))
    assert weights[0, 11] == weights[0, 12] == 0.0


def test_new_users_get_the_beliefs_of_the_nearest_nodes():
    model = Spread(np.array([[0.0], [1.0], [100.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    near, far = np.exp(-((0.0 / 100) ** 2)), np.exp(-1.0)
    first = np.exp(-((1.0 / 100) ** 2))
    expected = (near * np.array([1, 0]) + first * np.array([0, 1]) + far * np.array([0.5, 0.5])) / (near + first + far)
    assert model.probabilities(np.array([[0.0]]))[0] == pytest.approx(expected)


def test_nodes_that_no_label_reaches_believe_what_is_usual():
    islands = np.vstack([np.zeros((11, 2)) + np.arange(11)[:, None] * 1e-3, 1e3 + np.arange(22)[:, None] * np.ones(2)])
    found = fit_spread(islands[:6], np.array([0, 0, 0, 0, 1, 1]), islands[6:])
    assert found.beliefs[-1] == pytest.approx([4 / 6, 2 / 6])


def test_representatives_are_the_users_themselves_or_micro_clusters():
    X, _ = two_kinds(MICRO_CLUSTERS)
    assert np.array_equal(representatives(X, 0), X)
    assert representatives(np.repeat(X[:50], 40, axis=0), 0).shape == (50, 6)
    many, _ = two_kinds(3_000)
    found = representatives(many, 0)
    assert found.shape == (MICRO_CLUSTERS, 6) and np.array_equal(found, representatives(many, 0))


def test_what_the_bridge_loses_is_measured_and_little_on_islands():
    X, y = two_kinds(3_080, apart=4.0)
    model = fit_spread(X[:80], y[:80], representatives(X[80:], 0))
    agreement = bridge_agreement(model, X[:80], y[:80], X[80:], 0)
    direct = LabelSpreading(kernel=lambda *_: graph(X[:1_580]), alpha=SPREAD, max_iter=100_000, tol=1e-10)
    direct.fit(X[:1_580], np.where(np.arange(1_580) < 80, y[:1_580], -1))
    ours = bridge_agreement(model, X[:80], y[:80], X[80:1_580], 0)
    told = model.probabilities(X[80:1_580]).argmax(axis=1)
    assert ours == pytest.approx(adjusted_rand_score(direct.transduction_[80:], told))
    assert agreement > 0.95 and ours > 0.95
    fit = fit_supervised_model(blocks_of(X), labels_for(y), 0, "label_spreading")
    assert fit.metrics["bridge_agreement"] > 0.9
    assert any("adjusted Rand index" in note for note in fit.notes)


@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_self_training_is_that_of_scikit_learn(threshold):
    X, y = two_kinds(500, apart=1.0)
    known = np.arange(500) < 60
    given = np.where(known, y, -1)
    base = make_pipeline(StandardScaler(), LogisticRegression(C=1 / 6, max_iter=1_000))
    theirs = SelfTrainingClassifier(base, threshold=threshold, max_iter=10).fit(X, given)
    ours = self_trained(fit_logistic_regression, X[known], y[known], X[~known], threshold=threshold, rounds=10)
    assert theirs.n_iter_ > 1
    assert ours.probabilities(X) == pytest.approx(theirs.predict_proba(X), abs=1e-3)
    assert np.mean(ours.probabilities(X).argmax(axis=1) == theirs.predict(X)) > 0.995


def test_self_training_of_trees_is_that_of_scikit_learn():
    X, y = two_kinds(400, apart=1.0)
    known = np.arange(400) < 80
    trees = HistGradientBoostingClassifier(
        max_iter=10, max_leaf_nodes=15, min_samples_leaf=3, l2_regularization=1.0, early_stopping=False, random_state=0
    )
    theirs = SelfTrainingClassifier(trees, threshold=0.75, max_iter=1).fit(X, np.where(known, y, -1))

    def fit(some, classes):
        grown = HistGradientBoostingClassifier(**trees.get_params()).fit(some, classes)
        return _Said(grown)

    ours = self_trained(fit, X[known], y[known], X[~known], threshold=0.75, rounds=1)
    assert ours.probabilities(X) == pytest.approx(theirs.predict_proba(X), abs=1e-9)


class _Said:
    def __init__(self, estimator):
        self.estimator = estimator

    def probabilities(self, X):
        return self.estimator.predict_proba(X)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_that_of_scikit_learn(classes):
    random = np.random.default_rng(0)
    y = random.integers(0, classes, 300)
    X = random.normal(size=(300, 5)) * 3 + 2 + y[:, None] * np.array([1.0, 2.0, 0.0, 0.0, 0.0])
    X[:, 4] = 7.0
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.2, max_iter=1_000)).fit(X, y)
    assert fit_logistic_regression(X, y).probabilities(X) == pytest.approx(theirs.predict_proba(X), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_reasons_of_a_regression_add_up_to_the_log_odds(classes):
    random = np.random.default_rng(0)
    y = random.integers(0, classes, 200)
    X = random.normal(size=(200, 6)) + y[:, None] * np.array([1.0, 0.5, 0.0, 0.0, 0.8, 0.0])
    labels = Labels(("a", "b", "c")[:classes], y)
    model = fit_supervised_model(blocks_of(X), labels, 0, "logistic_regression").model
    for row in range(5):
        one = [block.take(np.array([row])) for block in blocks_of(X)]
        placed, odds = model.score(one), model.classifier.probabilities(model.matrix(one))[0]
        found = explain_learned(model, one, placed)
        log_odds = np.log(odds[placed.labels[0]] / odds[placed.runner_up[0]])
        total = found.expected + sum(part.contribution for part in found.contributions)
        assert total == pytest.approx(log_odds, abs=1e-9)
        assert {part.feature for part in found.contributions} == {"f__a", "f__b", "f__c", "f__d", "encoder:e@1"}


def test_a_graph_of_users_gives_no_reasons_and_what_moves_them_is_told_of_trees():
    X, y = two_kinds(200)
    model = fit_supervised_model(blocks_of(X), labels_for(y), 0, "label_spreading").model
    one = [block.take(np.array([0])) for block in blocks_of(X)]
    assert explain_learned(model, one, model.score(one)) is None
    assert learned_reasons(model, blocks_of(X), model.score(blocks_of(X))) is None
    assert single_changes_learned(model, one) == ()


def accuracy(algorithm, gen, labelled, seeds=4):
    """How many of 2,000 new users are told right, learned from a few labelled ones beside 1,500 others."""
    right = []
    for seed in range(seeds):
        X, y = gen(1_500 + labelled, seed)
        learner = LEARNERS[algorithm]
        others = learner.others(X[labelled:], seed) if learner.others else X[:0]
        model = learner.fit(X[:labelled], y[:labelled], others, seed)
        new, truth = gen(2_000, seed + 100)
        right.append(np.mean(model.probabilities(new).argmax(axis=1) == truth))
    return float(np.mean(right))


def test_with_few_labels_users_without_one_help_where_kinds_are_islands():
    told = {name: accuracy(name, two_kinds, 40) for name in LEARNERS}
    assert told["label_spreading"] > max(told["gradient_boosting"], told["logistic_regression"]) + 0.02


def overlapping(count, seed):
    centers = np.random.default_rng(1).normal(size=(3, 8))
    centers *= 2.2 / np.linalg.norm(centers, axis=1, keepdims=True)
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, count)
    return centers[y] + random.normal(size=(count, 8)), y


def test_with_few_labels_self_training_helps_where_kinds_are_clouds_and_spreading_does_not_hurt():
    told = {name: accuracy(name, overlapping, 40) for name in LEARNERS}
    assert told["self_training"] > told["logistic_regression"] > told["gradient_boosting"]
    assert told["label_spreading"] > told["gradient_boosting"]


def test_labels_that_say_nothing_are_not_made_to_say_something():
    X, _ = two_kinds(600)
    y = np.random.default_rng(3).integers(0, 2, 600)
    for algorithm in LEARNERS:
        fit = fit_supervised_model(blocks_of(X), labels_for(y, 300), 0, algorithm)
        assert fit.metrics["auc"] < 0.65 and fit.assignment.confidence.mean() < 0.65
