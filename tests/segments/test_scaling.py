"""Columns of any size that doubles hold are scaled alike, without a warning."""

import warnings

import numpy as np
import pytest

from sqlseg.segments.blocks import feature_block
from sqlseg.segments.preprocessing import fit_preprocessing
from sqlseg.segments.scaling import CAP, fit_column, scaled_column


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


def test_giants_that_are_all_the_same_are_constant():
    assert fit_column("a__x", np.full(50, 1e200)) == "the same for every user"
