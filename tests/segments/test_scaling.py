"""Columns of any size that doubles hold are scaled alike, without a warning."""

import warnings

import numpy as np
import pytest
from scipy.stats import skew

from sqlseg.segments.blocks import feature_block
from sqlseg.segments.preprocessing import fit_preprocessing
from sqlseg.segments.scaling import CAP, fit_and_scale, fit_column, scaled_column


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("size", [1e100, 1e200, 1e300])
def test_the_unit_of_a_column_does_not_matter(size):
    values = np.random.default_rng(0).normal(size=500)
    small, large = fit_column("a__x", values), fit_column("a__x", values * size)
    np.testing.assert_allclose([large.mean / size, large.std / size], [small.mean, small.std], rtol=1e-12)
    np.testing.assert_allclose(scaled_column(values * size, large), scaled_column(values, small), atol=1e-9)


@pytest.mark.parametrize("size", [1e150, 1e200, 1e300])
def test_a_few_giants_are_pulled_in_and_a_skewed_column_of_giants_is_logged(size):
    values = np.random.default_rng(0).normal(size=1_000)
    few = np.append(values, [size, -size, size])
    assert np.abs(scaled_column(few, fit_column("a__x", few))).max() <= CAP
    lognormal = np.exp(2 * values) * size
    scaling = fit_column("a__x", lognormal)
    assert scaling.log and np.isfinite(scaled_column(lognormal, scaling)).all()


def test_opposite_giants_are_told_apart():
    values = np.where(np.arange(400) % 2, 1e307, -1e307)
    block = feature_block("a@1", ["a__x"], values[:, None])
    placed = fit_preprocessing([block]).transform([block])[:, 0]
    np.testing.assert_allclose(placed, np.where(np.arange(400) % 2, 1.0, -1.0), atol=1e-6)


@pytest.mark.parametrize("shape", ["normal", "lognormal", "counts", "half missing"])
def test_the_figures_are_those_of_numpy_and_scipy(shape):
    random = np.random.default_rng(3)
    values = {
        "normal": random.normal(5, 2, 4_001),
        "lognormal": random.lognormal(1, 1, 4_001),
        "counts": random.poisson(2, 4_001).astype(float),
        "half missing": np.where(random.random(4_001) < 0.5, np.nan, random.normal(size=4_001)),
    }[shape]
    found, scaled = fit_and_scale("a__x", values)
    assert found == fit_column("a__x", values)
    assert (found.low, found.median, found.high) == tuple(np.nanquantile(values, [0.01, 0.5, 0.99]))
    x = np.clip(np.nan_to_num(values, nan=found.median), found.low, found.high)
    assert found.log == (x.min() >= 0 and skew(x) > 1 and abs(skew(np.log1p(x))) < skew(x))
    assert found.log == (shape == "lognormal")
    x = np.log1p(x) if found.log else x
    assert (found.mean, found.std) == (x.mean(), x.std())
    np.testing.assert_array_equal(scaled, scaled_column(values, found))
    np.testing.assert_allclose(scaled, np.clip((x - x.mean()) / x.std(), -CAP, CAP))


def test_giants_that_are_all_the_same_are_constant():
    assert fit_column("a__x", np.full(50, 1e200)) == "the same for every user"
