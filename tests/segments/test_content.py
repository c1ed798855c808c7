import json

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from sqlseg.segments.blocks import UnusableInput, content_block, feature_block
from sqlseg.segments.content import VOCABULARY, ContentProjection, fit_content
from sqlseg.segments.model import ClusterModel, FitSettings, fit_cluster_model
from sqlseg.segments.preprocessing import Preprocessing, fit_preprocessing

NAME = "content:category@1"


def terms(count):
    return [f"term{number:03}" for number in range(count)]


def counts(users=300, width=60, seed=0):
    """Orders by user and term: few of many terms each; every tenth user has none."""
    random = np.random.default_rng(seed)
    dense = random.poisson(random.gamma(0.3, 1.0, (users, width)))
    dense[::10] = 0
    return csr_array(dense.astype(float))


def block(weights, names=None):
    return content_block(NAME, names or terms(weights.shape[1]), weights)


@pytest.mark.parametrize("width", [20, 60])
def test_coordinates_are_those_of_scikit_learn(width):
    weights = counts(width=width)
    have = np.flatnonzero(np.diff(weights.indptr))
    logged = csr_array((np.log1p(weights.data), weights.indices, weights.indptr), shape=weights.shape)[have]
    rows = TfidfTransformer(smooth_idf=True, norm="l2").fit_transform(logged)
    axes = min(32, width)
    if axes == width:
        left, singular, _ = np.linalg.svd(rows.toarray(), full_matrices=False)
        expected = left * singular
    else:
        expected = TruncatedSVD(axes, algorithm="arpack", random_state=0).fit_transform(rows)
    fitted = fit_content(NAME, terms(width), weights, 1.0)
    order = [fitted.terms.index(term) for term in sorted(fitted.terms)]
    assert order and len(fitted.components) == axes
    found = fitted.along(terms(width), weights)[have] + np.array(fitted.center)
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-6)
    part = TruncatedSVD(axes, algorithm="arpack").fit(rows) if axes < width else None
    kept = 1.0 if part is None else (expected**2).sum() / (rows.toarray() ** 2).sum()
    assert fitted.variance_kept == pytest.approx(kept, abs=1e-6)


def test_two_tastes_worked_out_by_hand():
    # Three users of tea, one of coffee: every user has one term, so a row of length 1 whatever the weights.
    weights = csr_array(np.array([[1.0, 0, 0], [7.0, 0, 0], [2.0, 0, 0], [0, 3.0, 0], [0, 1.0, 0], [0, 0, 0]]))
    fitted = fit_content(NAME, ["tea", "coffee", "milk"], weights, 1.0)
    assert fitted.terms == ("tea", "coffee")
    assert fitted.idf == pytest.approx((np.log(6 / 4) + 1, np.log(6 / 3) + 1))
    assert np.array(fitted.components) == pytest.approx(np.eye(2))
    assert fitted.center == pytest.approx((0.6, 0.4))
    # Variances 3/5 * 2/5 each over five of six users.
    assert fitted.scale == pytest.approx((0.24 * 2 * 5 / 6) ** -0.5)
    X = fit_preprocessing([block(weights, ["tea", "coffee", "milk"])]).transform(
        [block(weights, ["tea", "coffee", "milk"])]
    )
    assert X[0] == pytest.approx(np.array([0.4, -0.4]) * fitted.scale, abs=1e-6)
    assert X[5].tolist() == [0, 0], "a user without any term sits at the centre"


def test_the_block_weighs_as_much_as_any_other():
    weights = counts()
    features = feature_block("a@1", ["a__x"], np.random.default_rng(1).normal(size=(300, 1)))
    X = fit_preprocessing([features, block(weights)], {NAME: 2.0}).transform([features, block(weights)])
    assert X[:, 0].var() == pytest.approx(1, rel=1e-4)
    assert X[:, 1:].var(axis=0).sum() == pytest.approx(2, rel=1e-4)


def test_everything_is_frozen():
    weights, names = counts(), terms(60)
    fitted = fit_preprocessing([block(weights)])
    assert fitted.inputs == (NAME,) * 32
    again = Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted and isinstance(again.blocks[0], ContentProjection)
    X = fitted.transform([block(weights)])
    assert np.array_equal(again.transform([block(weights[:7])]), X[:7]), "a user does not depend on the others"
    # Terms come in another order, one is gone from the data, one is new.
    order = np.random.default_rng(3).permutation(60)
    shuffled = content_block(NAME, [names[i] for i in order] + ["new"], _with_column(weights[:, order], 5.0))
    np.testing.assert_allclose(fitted.transform([shuffled]), X, atol=1e-6)
    only = block(weights[:, :0], [])
    assert not fitted.transform([only]).any()


def _with_column(weights, value):
    dense = weights.toarray()
    return csr_array(np.column_stack([dense, np.where(dense.sum(axis=1) > 0, value, 0)]))


def test_the_same_users_in_another_order_give_the_same_axes():
    weights = counts()
    order = np.random.default_rng(5).permutation(300)
    one, other = (fit_content(NAME, terms(60), some, 1.0) for some in (weights, weights[order]))
    assert one.terms == other.terms and one.idf == other.idf
    np.testing.assert_allclose(one.components, other.components, atol=1e-6)
    assert fit_content(NAME, terms(60), weights, 1.0) == one


def test_only_the_terms_of_most_users_are_used():
    width = VOCABULARY + 50
    # Term i is had by the first users, the more the lower its number; ties in the order of the names.
    dense = np.zeros((6, width))
    dense[:3, : VOCABULARY - 10] = 1
    dense[3:5, VOCABULARY - 10 :] = 1
    dense[5, 0] = 1
    names = [f"t{number:05}" for number in range(width)]
    fitted = fit_content(NAME, names, csr_array(dense), 1.0)
    assert sorted(fitted.terms) == names[:VOCABULARY]
    assert len(fitted.components) == 3, "as many axes as there are kinds of users"


@pytest.mark.parametrize(
    ("dense", "reason"),
    [
        ([[0.0], [0.0]], "missing for every user"),
        ([[1.0, 0.0], [0.0, 1.0]], "nothing that two users have in common"),
        ([[1.0], [5.0], [2.0]], "the same for every user"),
    ],
)
def test_blocks_of_no_use_say_why(dense, reason):
    weights = csr_array(np.array(dense))
    fitted = fit_preprocessing([block(weights)])
    assert [(one.column, one.reason) for one in fitted.dropped] == [(NAME, reason)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_weights_that_mean_nothing_are_refused(value):
    with pytest.raises(UnusableInput, match="content:category@1 holds weights"):
        block(csr_array(np.array([[value, 1.0]])))
    with pytest.raises(UnusableInput, match="2 columns and 1 different"):
        content_block(NAME, ["a", "a"], csr_array(np.ones((1, 2))))


def test_clusters_are_found_by_taste_and_drift_is_seen():
    random = np.random.default_rng(2)
    taste = np.repeat([0, 1, 2], 100)
    dense = random.poisson(np.where(np.arange(30) // 10 == taste[:, None], 2.0, 0.1)).astype(float)
    users = block(csr_array(dense))
    result = fit_cluster_model([users], FitSettings(k=3))
    pairs = {(int(a), int(b)) for a, b in zip(taste, result.assignment.labels, strict=True)}
    assert len(pairs) == 3
    model = ClusterModel.from_json(result.model.to_json())
    assert model == result.model
    [same] = model.drift([users])
    assert (same.feature, same.psi) == (NAME, 0.0)
    [moved] = model.drift([users.take(np.arange(100))])
    assert moved.status == "shift"
