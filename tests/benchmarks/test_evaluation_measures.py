"""Each statistic against scikit-learn, scipy, or by hand; in resamples against users who are really repeated."""

import numpy as np
import pytest
from evaluation.measures import (
    Figure,
    areas,
    calibration_by_chance,
    calibration_errors,
    figure,
    mean_figure,
    quantile_groups,
    rank_sum,
    recentred,
    resamples,
    separations,
)
from scipy.stats import f_oneway, rankdata
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score


@pytest.fixture
def users():
    """Truth, score with ties, amount and segment of 200 users, and 20 resamples of them."""
    rng = np.random.default_rng(5)
    truth = rng.random(200) < 0.4
    score = np.round(truth * 0.4 + rng.random(200), 1)
    amount = rng.normal(size=200) + 3 * truth
    labels = rng.integers(0, 4, 200) + truth
    return truth, score, amount, labels, resamples(200, 20, seed=3)


def repeated(counts):
    """The rows of users that a resample stands for."""
    return np.repeat(np.arange(counts.size), counts.astype(int))


def test_areas_are_scikit_learns(users):
    truth, score, _, _, counts = users
    rows = [repeated(count) for count in counts]
    assert areas(truth, score, counts) == pytest.approx([roc_auc_score(truth[r], score[r]) for r in rows], abs=1e-12)


def test_an_area_of_one_class_is_not_defined():
    assert np.isnan(areas(np.array([True, True]), np.array([0.1, 0.2]), np.ones((1, 2)))[0])


def test_separation_is_one_way_anova(users):
    _, _, amount, labels, counts = users
    groups = [amount[labels == label] for label in np.unique(labels)]
    between, within = len(groups) - 1, len(amount) - len(groups)
    f = f_oneway(*groups).statistic
    everyone = np.ones((1, len(amount)))
    assert separations(amount, labels, everyone)[0] == pytest.approx(f * between / (f * between + within))
    for count, found in zip(counts, separations(amount, labels, counts), strict=True):
        rows = repeated(count)
        assert found == pytest.approx(separations(amount[rows], labels[rows], np.ones((1, len(rows))))[0])


def test_calibration_error_against_scikit_learn():
    rng = np.random.default_rng(8)
    probability = rng.random(1000)
    truth = rng.random(1000) < probability**2
    came_true, said = calibration_curve(truth, probability, n_bins=10, strategy="quantile")
    expected = np.abs(came_true - said).mean()  # bins of 100 users each weigh the same
    assert calibration_errors(truth, probability, np.ones((1, 1000)))[0] == pytest.approx(expected, abs=1e-9)


def test_calibration_error_by_hand():
    """Two probabilities: 0.2 came true for half of 4 users, 0.9 for all of 2: (4 x 0.3 + 2 x 0.1) / 6."""
    probability = np.array([0.2, 0.2, 0.2, 0.2, 0.9, 0.9])
    truth = np.array([True, True, False, False, True, True])
    assert calibration_errors(truth, probability, np.ones((1, 6)))[0] == pytest.approx(1.4 / 6)


def test_true_probabilities_err_by_chance_alone():
    probability = np.random.default_rng(1).random(3000)
    assert 0.005 < calibration_by_chance(probability, 10, seed=0) < 0.03
    assert calibration_by_chance(np.ones(50), 3, seed=0) == 0


def test_rank_sum_and_groups_against_scipy(users):
    _, score, amount, _, _ = users
    assert rank_sum(score, amount) == pytest.approx((rankdata(score) + rankdata(amount)) / 200)
    groups = quantile_groups(amount, 5)
    assert np.bincount(groups).tolist() == [40] * 5
    assert amount[groups == 0].max() < amount[groups == 1].min()
    assert np.unique(quantile_groups(np.zeros(10), 5)).tolist() == [0]


def test_a_figure_has_the_spread_of_seeds_and_the_interval_of_users(users):
    truth, score, _, _, counts = users
    worse = np.random.default_rng(0).random(200)
    found = figure([lambda c, s=s: areas(truth, s, c) for s in (score, worse)], counts)
    one, other = roc_auc_score(truth, score), roc_auc_score(truth, worse)
    assert found.values == pytest.approx([one, other])
    assert found.spread == pytest.approx(np.std([one, other], ddof=1))
    expected = (areas(truth, score, counts) + areas(truth, worse, counts)) / 2
    assert found.interval() == pytest.approx(np.quantile(expected, [0.05, 0.95]))


def test_a_difference_is_paired_by_user(users):
    truth, score, _, _, counts = users
    one = figure([lambda c: areas(truth, score, c)], counts)
    same = figure([lambda c: areas(truth, score + 1, c)], counts)
    assert (one - same).interval() == (0, 0)
    assert (one - 0.5).mean == pytest.approx(one.mean - 0.5)
    assert mean_figure([one, same]).mean == pytest.approx(one.mean)


def test_resampling_adds_error_to_a_calibration_error_that_is_taken_off_again():
    found = recentred(Figure(np.array([0.02]), np.array([0.03, 0.05])))
    assert found.resampled.tolist() == pytest.approx([0.01, 0.03])
    assert found.mean == 0.02


def test_resamples_are_repeatable_draws_of_as_many_users():
    first, again, other = resamples(50, 400, 1), resamples(50, 400, 1), resamples(50, 400, 2)
    assert (first == again).all() and (first != other).any()
    assert (first.sum(axis=1) == 50).all()
    assert (first == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
