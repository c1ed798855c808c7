"""What inputs tell of labels, against scikit-learn and SciPy; and axes, against scikit-learn."""

import json

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import chi2, mutual_info_classif
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder

from sqlseg.segments.projection import Projection, discriminant_axes, principal_axes
from sqlseg.segments.selection import (
    Selection,
    binned,
    chi_squared,
    contingency,
    dropped_reasons,
    feature_scores,
    mutual_information,
)

NAMES = ("f__a", "f__b", "f__c", "f__d")


@pytest.fixture(scope="module", params=[2, 3])
def labelled(request):
    random = np.random.default_rng(request.param)
    y = random.integers(0, request.param, 500)
    X = np.column_stack(
        [
            random.normal(size=500) + y,
            random.poisson(1 + 2 * (y == 1)),
            np.where(random.random(500) < 0.2 + 0.5 * (y == 0), np.nan, random.gamma(1.0, 10.0, 500)),
            random.normal(size=500),
        ]
    )
    return X, y


def test_mutual_information_is_that_of_scikit_learn(labelled):
    X, y = labelled
    bins = np.column_stack([binned(column) for column in X.T])
    theirs = mutual_info_classif(bins, y, discrete_features=True)
    ours = feature_scores(X, y, NAMES, "mutual_information")
    assert list(ours.values()) == pytest.approx(theirs, abs=1e-9)
    assert ours["f__b"] == pytest.approx(mutual_info_score(bins[:, 1], y), abs=1e-9)
    assert min(ours["f__a"], ours["f__b"], ours["f__c"]) > 3 * ours["f__d"]


def test_chi_squared_is_that_of_scipy_and_the_sum_of_scikit_learns_over_bins(labelled):
    X, y = labelled
    ours = feature_scores(X, y, NAMES, "chi_squared")
    for name, column in zip(NAMES, X.T, strict=True):
        bins = binned(column)
        table = contingency(bins, y)
        assert ours[name] == pytest.approx(chi2_contingency(table, correction=False).statistic, abs=1e-9)
        of_bins, _ = chi2(OneHotEncoder(sparse_output=False).fit_transform(bins[:, None]), y)
        assert ours[name] == pytest.approx(of_bins.sum(), abs=1e-9)


def test_bins_hold_as_many_users_each_and_equal_values_stay_together():
    random = np.random.default_rng(0)
    column = random.gamma(1.0, 10.0, 1_000)
    assert np.bincount(binned(column)).tolist() == [100] * 10
    theirs = KBinsDiscretizer(10, encode="ordinal", strategy="quantile", quantile_method="averaged_inverted_cdf")
    assert np.mean(theirs.fit_transform(column[:, None])[:, 0] == binned(column)) > 0.99
    counts = random.poisson(0.3, 1_000).astype(float)
    found = binned(counts)
    for value in np.unique(counts):
        assert np.unique(found[counts == value]).size == 1
    assert np.unique(binned(np.where(random.random(1_000) < 0.03, 1.0, 0.0))).size == 2
    column[::4] = np.nan
    assert np.unique(binned(column)[::4]).size == 1 and not set(binned(column)[::4]) & set(binned(column)[1::4])
    assert binned(np.full(5, np.nan)).tolist() == [0] * 5


def test_by_hand():
    # Two bins, two classes: 30 and 10 against 10 and 30; 20 are expected everywhere.
    table = np.array([[30.0, 10.0], [10.0, 30.0]])
    assert chi_squared(table) == pytest.approx(4 * 10**2 / 20)
    assert mutual_information(table) == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert mutual_information(np.array([[5.0, 5.0], [10.0, 10.0]])) == pytest.approx(0.0)
    assert chi_squared(np.array([[5.0, 5.0], [0.0, 0.0]])) == 0.0


def test_units_and_curves_make_no_difference_but_an_input_without_values_tells_nothing(labelled):
    X, y = labelled
    for by in ("mutual_information", "chi_squared"):
        ours = feature_scores(X, y, NAMES, by)
        again = feature_scores(np.column_stack([X[:, 0] * 1000, np.exp(X[:, 1]), X[:, 2], X[:, 3]]), y, NAMES, by)
        assert again == pytest.approx(ours)
        nothing = np.column_stack([np.full(len(y), np.nan), np.ones(len(y))])
        assert list(feature_scores(nothing, y, ("f__x", "f__y"), by).values()) == pytest.approx([0.0, 0.0])


def test_an_embedding_is_as_good_as_its_best_axis_and_the_first_of_equals_stays(labelled):
    X, y = labelled
    scores = feature_scores(X, y, ("f__a", "encoder:e@1", "encoder:e@1", "f__d"), "chi_squared")
    single = feature_scores(X, y, NAMES, "chi_squared")
    assert scores["encoder:e@1"] == max(single["f__b"], single["f__c"])
    dropped = dropped_reasons({"a": 1.0, "b": 2.0, "c": 1.0, "d": 0.0}, Selection("chi_squared", 2))
    assert dropped == {
        "c": "rank 3 of 4 by chi squared; 2 are kept",
        "d": "rank 4 of 4 by chi squared; 2 are kept",
    }
    assert set(dropped_reasons({"a": 1.0, "b": 2.0, "c": 1.0}, Selection("mutual_information", 0.1))) == {"a", "c"}


@pytest.fixture(scope="module", params=[2, 4])
def scaled(request):
    random = np.random.default_rng(request.param)
    y = random.integers(0, request.param, 700)
    X = random.normal(size=(700, 6)) @ random.normal(size=(6, 6)) + random.normal(size=(request.param, 6))[y]
    return X, y


def alike(ours, theirs):
    """Up to the direction of each axis, which has none."""
    return ours * np.sign((ours * theirs).sum(axis=0))


def test_discriminants_are_those_of_scikit_learn(scaled):
    X, y = scaled
    ours = discriminant_axes(X, y)
    theirs = LinearDiscriminantAnalysis(solver="svd").fit(X, y)
    assert ours.axes.shape == (np.unique(y).size - 1, 6)
    # Releases of scikit-learn differ in the unit of the axes, by n / (n - classes); ours is tested below.
    places, mine = theirs.transform(X) / theirs.transform(X).std(axis=0), ours.along(X) / ours.along(X).std(axis=0)
    assert np.abs(alike(mine, places) - places).max() < 1e-9
    assert ours.shares == pytest.approx(theirs.explained_variance_ratio_, abs=1e-9)
    within = ours.along(X) - np.stack([ours.along(X)[y == one].mean(axis=0) for one in np.unique(y)])[y]
    assert np.cov(within.T).reshape(len(ours.axes), -1) * 699 / (700 - np.unique(y).size) == pytest.approx(
        np.eye(len(ours.axes)), abs=1e-9
    )


def test_principal_axes_are_those_of_scikit_learn_and_hold_90_percent(scaled):
    X, _ = scaled
    ours = principal_axes(X)
    theirs = PCA().fit(X)
    count = len(ours.axes)
    places = theirs.transform(X)[:, :count]
    assert np.abs(alike(ours.along(X), places) - places).max() < 1e-9
    assert ours.shares == pytest.approx(theirs.explained_variance_ratio_, abs=1e-9)
    assert ours.shares[:count].sum() >= 0.9 > ours.shares[: count - 1].sum()


def test_constant_and_repeated_inputs_do_no_harm(scaled):
    X, y = scaled
    ours = discriminant_axes(np.column_stack([X, np.ones(len(y)), X[:, 0]]), y)
    apart = discriminant_axes(X, y)
    assert np.abs(ours.along(np.column_stack([X, np.ones(len(y)), X[:, 0]])) - apart.along(X)).max() < 1e-6


def test_axes_survive_json(scaled):
    X, y = scaled
    for found in (discriminant_axes(X, y), principal_axes(X)):
        again = Projection.from_dict(json.loads(json.dumps(found.to_dict())))
        assert again.kind == found.kind and np.array_equal(again.along(X), found.along(X))
        assert np.array_equal(found.along(X[3:4]), found.along(X)[3:4])
