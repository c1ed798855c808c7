import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from sqlseg.segments.axes import EmbeddingProjection
from sqlseg.segments.blocks import UnusableInput, embedding_block, feature_block, user_count
from sqlseg.segments.preprocessing import FeatureScaling, Preprocessing, fit_preprocessing
from sqlseg.segments.scaling import CAP, fit_column
from sqlseg.segments.used_inputs import used_inputs


def columns(**values):
    """A block `a@1` with columns a__<name>."""
    return feature_block("a@1", [f"a__{name}" for name in values], np.column_stack(list(values.values())).astype(float))


def reasons(fitted):
    return {dropped.column: dropped.reason for dropped in fitted.dropped}


def test_a_column_worked_out_by_hand():
    # 1 .. 99 and one missing, which is given the median 50; no skew, so mean 50 and nothing is logged.
    values = np.append(np.arange(1.0, 100.0), np.nan)
    scaling = fit_column("a__x", values)
    assert (scaling.median, scaling.log, scaling.mean) == (50.0, False, 50.0)
    assert (scaling.low, scaling.high) == pytest.approx((1.98, 98.02))  # 1% and 99% of the 99 known
    clipped = np.clip(np.append(np.arange(1.0, 100.0), 50.0), 1.98, 98.02)
    assert scaling.std == pytest.approx(clipped.std())
    fitted = fit_preprocessing([columns(x=values)])
    block = fitted.blocks[0]
    z = fitted.transform([columns(x=[98.02, 1e9, 50.0, np.nan])])[:, 0] / block.scale
    assert z == pytest.approx([(98.02 - 50) / scaling.std] * 2 + [0, 0], abs=1e-5)


def test_a_skewed_amount_is_logged_and_a_signed_one_is_not():
    skewed = np.exp(np.random.default_rng(0).normal(size=2_000))
    assert fit_column("a__spend", skewed).log
    assert not fit_column("a__balance", skewed - 1.0).log
    assert not fit_column("a__flat", np.arange(1_000.0)).log


def test_nothing_lies_beyond_the_cap():
    rare = np.zeros(1_000)
    rare[:30] = 1.0  # 3% of users: (1 - 0.03) / sqrt(0.03 * 0.97) = 5.7 standard deviations
    fitted = fit_preprocessing([columns(rare=rare)])
    assert fitted.transform([columns(rare=rare)]).max() == pytest.approx(CAP * fitted.blocks[0].scale, abs=1e-6)


def test_useless_columns_are_dropped_and_say_why():
    random = np.random.default_rng(0)
    x = random.normal(size=1_000)
    rare = np.zeros(1_000)
    rare[:3] = 1.0
    sparse = np.full(1_000, np.nan)
    sparse[:5] = random.normal(size=5)
    block = columns(
        x=x, copy=-2 * x + 1, same=np.ones(1_000), never=np.full(1_000, np.nan), rare=rare, sparse=sparse, y=x**2
    )
    fitted = fit_preprocessing([block, embedding_block("encoder:e@1", np.full((1_000, 4), np.nan))])
    assert fitted.inputs == ("a__x", "a__y")
    assert reasons(fitted) == {
        "a__copy": "repeats a__x (correlation -1.000)",
        "a__same": "the same for every user",
        "a__never": "missing for every user",
        "a__rare": "the same for all but 1% of users",
        "a__sparse": "missing for 99.5% of users",
        "encoder:e@1": "missing for every user",
    }


def test_a_column_that_repeats_one_of_an_earlier_view_is_dropped():
    x = np.random.default_rng(0).normal(size=(100, 1))
    fitted = fit_preprocessing([feature_block("a@1", ["a__x"], x), feature_block("b@1", ["b__x"], 3 * x)])
    assert [block.name for block in fitted.blocks] == ["a@1"]
    assert reasons(fitted) == {"b__x": "repeats a__x (correlation 1.000)"}


def three_blocks(users=3_000, seed=0):
    random = np.random.default_rng(seed)
    wide, narrow = random.normal(size=(users, 10)), random.normal(size=(users, 3))
    embedding = random.normal(size=(users, 64)) @ np.diag(np.linspace(1, 0.01, 64) ** 4)
    embedding[::10] = np.nan
    return [
        feature_block("wide@1", [f"wide__{i}" for i in range(10)], wide),
        feature_block("narrow@1", [f"narrow__{i}" for i in range(3)], narrow),
        embedding_block("encoder:behavior@1", embedding),
    ]


def test_every_block_has_the_same_total_variance_or_its_weight():
    blocks = three_blocks()
    for weights, wanted in ((None, [1, 1, 1]), ({"narrow@1": 4.0}, [1, 4, 1])):
        fitted = fit_preprocessing(blocks, weights)
        variance = fitted.transform(blocks).var(axis=0)
        of_block = [variance[[name.startswith(b) for name in fitted.inputs]].sum() for b in ("wide", "narrow", "enc")]
        assert of_block == pytest.approx(wanted, rel=1e-4)


def test_an_embedding_keeps_the_axes_that_hold_nine_tenths():
    embedding = three_blocks()[2]
    projection = fit_preprocessing([embedding]).blocks[0]
    assert isinstance(projection, EmbeddingProjection)
    known = embedding.values[~np.isnan(embedding.values).all(axis=1)]
    variances = np.linalg.svd(known - known.mean(axis=0), compute_uv=False) ** 2
    shares = np.cumsum(variances) / variances.sum()
    count = len(projection.components)
    assert count == np.argmax(shares >= 0.9) + 1 <= 16
    assert projection.variance_kept == pytest.approx(shares[count - 1])
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in np.array(projection.components))
    flat = embedding_block("encoder:flat@1", np.random.default_rng(1).normal(size=(500, 64)))
    assert len(fit_preprocessing([flat]).blocks[0].components) == 16


def test_vectors_in_single_precision_are_worked_on_in_double():
    single = (np.random.default_rng(0).normal(size=(5_000, 8)) * np.arange(1, 9) + 3).astype(np.float32)
    single[[7, 4_999]] = np.nan
    blocks = [embedding_block("encoder:e@1", values) for values in (single, single.astype(np.float64))]
    assert [block.values.dtype for block in blocks] == [np.float32, np.float64]
    fitted = [fit_preprocessing([block]) for block in blocks]
    assert fitted[0] == fitted[1]
    np.testing.assert_array_equal(*(fitted[0].transform([block]) for block in blocks))


def test_users_are_turned_onto_the_axes_of_an_embedding_a_part_at_a_time():
    values = np.random.default_rng(0).normal(size=(5_000, 8)) * np.arange(1, 9) + 3
    values[[7, 4_999]] = np.nan
    [fitted] = fit_preprocessing([embedding_block("encoder:e@1", values)]).blocks
    along = fitted.along(values)
    assert np.isnan(along[[7, 4_999]]).all()
    expected = PCA(len(fitted.components)).fit(values[~np.isnan(values[:, 0])]).transform(values[:7])
    assert np.abs(along[:7]) == pytest.approx(np.abs(expected), abs=1e-9)
    assert along == pytest.approx((values - fitted.center) @ np.array(fitted.components).T, nan_ok=True, abs=1e-12)


def test_a_user_without_an_embedding_sits_at_its_center():
    blocks = three_blocks()
    fitted = fit_preprocessing(blocks)
    X = fitted.transform(blocks)
    assert np.all(X[::10, 13:] == 0)


def test_parameters_survive_json_exactly():
    blocks = three_blocks()
    fitted = fit_preprocessing(blocks)
    again = Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    assert np.array_equal(again.transform(blocks), fitted.transform(blocks))


def test_new_users_are_measured_by_frozen_parameters_one_or_many():
    blocks = three_blocks()
    fitted = fit_preprocessing(blocks)
    rows = np.arange(7)
    X = fitted.transform(blocks)
    assert np.array_equal(fitted.transform([block.take(rows) for block in blocks]), X[:7])
    assert np.array_equal(fitted.transform([block.take(rows[:1]) for block in reversed(blocks)]), X[:1])
    assert fitted.transform([block.take(rows[:0]) for block in blocks]).shape == (0, X.shape[1])


def test_results_do_not_hang_on_the_last_digit():
    blocks = three_blocks()
    fitted = fit_preprocessing(blocks)
    nudged = [type(b)(b.name, b.kind, b.columns, b.values * (1 + 2e-16)) for b in blocks]
    assert np.mean(fitted.transform(nudged) != fitted.transform(blocks)) < 1e-4


def test_the_formula_in_the_docs_is_what_happens():
    blocks = three_blocks(users=200)
    fitted = fit_preprocessing(blocks)
    block = fitted.blocks[0]
    assert isinstance(block, FeatureScaling)
    for position, c in enumerate(block.columns):
        x = np.clip(np.nan_to_num(blocks[0].values[:, position], nan=c.median), c.low, c.high)
        z = np.clip(((np.log1p(x) if c.log else x) - c.mean) / c.std, -CAP, CAP) * block.scale
        assert np.array_equal(np.floor(z * 1e6 + 0.5) / 1e6, fitted.transform(blocks)[:, position])


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[1.0, 2.0]] * 5])
def test_one_user_or_all_alike_leave_no_input(values):
    fitted = fit_preprocessing([feature_block("a@1", ["a__x", "a__y"], values), embedding_block("encoder:e@1", values)])
    assert fitted.inputs == ()
    assert fitted.transform([feature_block("a@1", ["a__x", "a__y"], values)]).shape == (len(values), 0)


def test_unusable_inputs_are_refused_by_name():
    with pytest.raises(UnusableInput, match="a__x is infinite for 1 of 2 users"):
        feature_block("a@1", ["a__x"], [[np.inf], [1.0]])
    with pytest.raises(UnusableInput, match="encoder:e@1"):
        embedding_block("encoder:e@1", [[np.nan, 1.0]])
    with pytest.raises(UnusableInput, match="2 columns of values and 1 names"):
        feature_block("a@1", ["a__x"], [[1.0, 2.0]])
    with pytest.raises(UnusableInput, match="twice"):
        feature_block("a@1", ["a__x", "a__x"], [[1.0, 2.0]])
    with pytest.raises(UnusableInput, match="different numbers of users"):
        user_count([columns(x=[1.0]), embedding_block("encoder:e@1", np.ones((2, 2)))])
    with pytest.raises(UnusableInput, match="at least one input"):
        user_count([])
    block = columns(x=[1.0, 2.0])
    for weights in ({"b@1": 1.0}, {"a@1": 0.0}, {"a@1": float("nan")}):
        with pytest.raises(UnusableInput, match="weight"):
            fit_preprocessing([block], weights)
    fitted = fit_preprocessing([block])
    with pytest.raises(UnusableInput, match="a__x"):
        fitted.transform([columns(y=[1.0])])
    with pytest.raises(UnusableInput, match="a@1"):
        fitted.transform([embedding_block("encoder:e@1", np.ones((2, 2)))])


def test_the_limit_of_correlation_is_the_users_to_set():
    random = np.random.default_rng(0)
    x, noise = random.normal(size=(2, 2_000))
    block = columns(first=x, alike=0.9 * x + np.sqrt(1 - 0.81) * noise, turned=-0.95 * x + 0.1 * noise, other=noise)
    assert reasons(fit_preprocessing([block])) == {"a__turned": reasons(fit_preprocessing([block]))["a__turned"]}
    dropped = reasons(fit_preprocessing([block], repeated_above=0.85))
    given = np.corrcoef(np.clip(block.values, *np.quantile(block.values, [0.01, 0.99], axis=0)).T)
    assert dropped == {
        "a__alike": f"repeats a__first (correlation {given[0, 1]:.3f})",
        "a__turned": f"repeats a__first (correlation {given[0, 2]:.3f})",
    }


def test_features_that_are_taken_out_stay_on_record_and_the_rest_is_as_it_was():
    random = np.random.default_rng(0)
    blocks = [
        columns(one=random.normal(size=200), two=random.normal(size=200)),
        embedding_block("encoder:e@1", random.normal(size=(200, 6))),
    ]
    fitted = fit_preprocessing(blocks)
    left = fitted.without({"a__one": "of no use"}, {"a__one": 0.1, "a__two": 0.5, "encoder:e@1": 0.3})
    assert left.inputs == fitted.inputs[1:]
    assert np.array_equal(left.transform(blocks), fitted.transform(blocks)[:, 1:])
    again = Preprocessing.from_dict(json.loads(json.dumps(left.to_dict())))
    assert again == left
    assert [(row.feature, row.kept, row.reason, row.score, row.rank) for row in used_inputs(left)] == [
        ("a__two", True, None, 0.5, 1),
        ("encoder:e@1", True, used_inputs(fitted)[2].reason, 0.3, 2),
        ("a__one", False, "of no use", 0.1, 3),
    ]
    assert fitted.without({"encoder:e@1": "far off"}).inputs == ("a__one", "a__two")
    projection = fitted.blocks[1]
    variances = np.linalg.eigvalsh(np.cov(blocks[1].values.T))[::-1]
    kept = variances[: len(projection.components)].sum() / variances.sum()
    assert used_inputs(fitted)[2].reason == (
        f"{len(projection.components)} axes of 6 dimensions hold {kept:.1%} of the variance"
    )
