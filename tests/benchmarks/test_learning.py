"""What is learned is learned from other users' past."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from evaluation.demographics import demographic_targets, known_by, membership
from evaluation.findings import Goal, Row, Table, told
from evaluation.history import Outcome, Snapshot
from evaluation.learning import Moment, best_learner, folds, forecast, signed_log
from evaluation.measures import Figure, separations
from evaluation.repurchase import rfm_score
from evaluation.segments import plain_kmeans, product_segments, stability
from sklearn.metrics import roc_auc_score

from sqlseg.segments.blocks import feature_block

LOGISTIC = "logistic, C=0.03"


def moment(seed, users=400):
    """Users of whom those with a large x buy; y is noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(users, 2))
    names = np.array([f"u{number:04}" for number in range(users)], dtype=object)
    bought = rng.random(users) < 1 / (1 + np.exp(-3 * x[:, 0]))
    blocks = {"a@1": feature_block("a@1", ["a__x", "a__y"], x)}
    outcome = Outcome(bought, np.where(bought, 10.0, 0.0), np.ones(users, dtype=bool))
    return Moment(Snapshot(datetime(2025, 1, 1), names, blocks), outcome, np.arange(users))


def test_nobodys_own_past_is_learned_from():
    past, now = moment(1), moment(2)
    before = forecast([past], now, ["a@1"], LOGISTIC, seed=0)
    truth = past.outcome.bought.copy()
    truth[7] = not truth[7]
    after = forecast([replace(past, outcome=replace(past.outcome, bought=truth))], now, ["a@1"], LOGISTIC, seed=0)
    fold = folds([now.users], 0)[0]
    same_fold = fold == fold[7]
    np.testing.assert_array_equal(before[same_fold], after[same_fold])
    assert (before[~same_fold] != after[~same_fold]).all()


def test_nothing_is_learned_from_what_is_asked():
    past, now = moment(1), moment(2)
    unknown = replace(now, outcome=replace(now.outcome, bought=~now.outcome.bought, spend=now.outcome.spend * 7))
    for learner in (LOGISTIC, "gradient boosting"):
        np.testing.assert_array_equal(
            forecast([past], now, ["a@1"], learner, 0), forecast([past], unknown, ["a@1"], learner, 0)
        )


def test_a_rule_that_holds_is_found():
    past, now = [moment(1), moment(3)], moment(2)
    learner = best_learner(past, ["a@1"])
    assert learner.startswith("logistic")
    assert roc_auc_score(now.bought, forecast(past, now, ["a@1"], learner, 0)) == pytest.approx(
        roc_auc_score(now.bought, now.values(["a@1"])[:, 0]), abs=0.02
    )


def test_a_user_has_one_fold_everywhere():
    one, other = np.array(["a", "b", "c", "d"], dtype=object), np.array(["c", "e", "a"], dtype=object)
    first, second = folds([one, other], seed=4)
    assert (first[2], first[0]) == (second[0], second[2])


def test_the_rfm_score_puts_the_recent_frequent_and_big_first():
    columns = ["rfm__recency_days", "rfm__orders", "rfm__spend"]
    block = feature_block("rfm@1", columns, [[3, 5, 50], [90, 1, 10], [np.nan, 0, np.nan]])
    snapshot = Snapshot(datetime(2025, 1, 1), np.array(["a", "b", "c"], dtype=object), {"rfm@1": block})
    score = rfm_score(Moment(snapshot, moment(0, 3).outcome, np.arange(3)), "rfm@1")
    assert score.tolist() == pytest.approx([3.0, 2.0, 1.0])


def test_segments_are_fitted_again_with_as_many():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2, 3], 60)
    values = np.column_stack([20 * (truth // 2), 20 * (truth % 2)]) + rng.normal(size=(240, 2))
    found = product_segments([feature_block("a@1", ["a__x", "a__y"], values)], seed=0)
    plain = plain_kmeans(values, 4, seed=0)
    for segments in (found, plain):
        assert segments.k == 4
        assert separations(truth.astype(float), segments.labels, np.ones((1, 240)))[0] == pytest.approx(1)
        assert stability(segments, 3, seed=0) == pytest.approx(1)
    noise = plain_kmeans(rng.normal(size=(240, 8)), 6, seed=0)
    assert stability(noise, 3, seed=0) < 0.8


def test_who_users_are_is_known_of_some():
    attributes = {
        "user_id": ["a", "b", "c"],
        "age": ["45-54", "19-24", None],
        "income": ["50-74K", "Under 15K", "250K+"],
        "kids_count": ["1", None, "3+"],
    }
    found = demographic_targets(attributes, np.array(["c", "a", "b", "stranger"], dtype=object))
    np.testing.assert_array_equal(found["aged 45 or over"], [np.nan, 1, 0, np.nan])
    np.testing.assert_array_equal(found["income of 50K or more"], [1, 1, 0, np.nan])
    np.testing.assert_array_equal(found["kids at home"], [1, 1, 0, np.nan])
    assert demographic_targets({"user_id": ["a"]}, np.array(["a"], dtype=object)) == {}


def test_what_is_not_known_is_not_found():
    rng = np.random.default_rng(3)
    truth = rng.random(600) < 0.5
    assert roc_auc_score(truth, known_by(rng.normal(size=(600, 5)), truth, 0)) == pytest.approx(0.5, abs=0.08)
    labels = truth + 2 * (rng.random(600) < 0.5)
    assert membership(labels).sum(axis=0).sum() == 600
    assert roc_auc_score(truth, known_by(membership(labels), truth, 0)) == 1


def test_signed_log():
    assert signed_log(np.array([-np.e + 1, 0.0, np.e - 1])).tolist() == pytest.approx([-1, 0, 1])


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [(0.01, 0.03, 0.05, "met"), (-0.01, 0.01, 0.03, "undecided"), (0.0, 0.01, 0.015, "MISSED")],
)
def test_a_goal_is_missed_only_where_the_interval_excludes_it(low, value, high, verdict):
    resampled = np.concatenate([np.full(40, low), np.full(20, value), np.full(40, high)])
    found = Figure(np.array([value, value]), resampled)
    assert Goal("more", found, 0.02).verdict == verdict
    assert Goal("less", found * -1, -0.02, at_most=True).verdict == verdict


def test_a_table_tells_mean_spread_and_interval():
    found = Figure(np.array([0.7, 0.72]), np.array([0.69, 0.69, 0.73, 0.73]))
    assert told(found, 3) == "0.710 ± 0.014 (0.690 to 0.730)"
    table = Table("Who buys", "known", ("AUC", "learner"), (Row("RFM", {"AUC": found}, {"learner": "none"}),))
    assert table.markdown().splitlines()[-1] == "| RFM | 0.710 ± 0.014 (0.690 to 0.730) | none |"
