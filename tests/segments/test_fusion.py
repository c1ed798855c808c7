"""What each input counts in a segmentation: by its weight, whatever its width and its units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlseg.segments.blocks import embedding_block, feature_block
from sqlseg.segments.measures import Spread
from sqlseg.segments.model import FitSettings, fit_cluster_model
from sqlseg.segments.preprocessing import fit_preprocessing

WEIGHTS = st.floats(0.05, 20)
UNITS = st.floats(1e-3, 1e3)
WIDTHS = st.integers(1, 12)


def readable(name, users, width, seed, unit=1.0, shift=0.0):
    """Columns without a skew, so that none is logged: what a log does with a unit is not linear."""
    values = np.random.default_rng(seed).normal(size=(users, width))
    return feature_block(name, [f"{name[0]}__{i}" for i in range(width)], unit * values + shift)


def embedded(name, users, width, seed, unit=1.0, shift=0.0):
    random = np.random.default_rng(seed)
    values = random.normal(size=(users, width)) * (1 + np.arange(width))
    values[random.random(users) < 0.1] = np.nan
    return embedding_block(name, unit * values + shift)


@settings(max_examples=30, deadline=None)
@given(WIDTHS, WIDTHS, WEIGHTS, WEIGHTS)
def test_a_weight_is_the_share_of_the_differences_between_users(wide, narrow, heavy, light):
    blocks = [readable("a@1", 300, wide, 1), embedded("encoder:e@1", 300, narrow, 2)]
    weights = {"a@1": heavy, "encoder:e@1": light}
    fitted = fit_preprocessing(blocks, weights)
    X = fitted.transform(blocks)
    shares = Spread.of(X, np.zeros(len(X), dtype=int)).block_shares(fitted.places)
    assert shares["a@1"] == pytest.approx(heavy / (heavy + light), abs=1e-3)
    assert sum(shares.values()) == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(UNITS, UNITS, st.floats(-100, 100))
def test_units_of_a_block_change_nothing(pence, scale, shift):
    before = [readable("a@1", 200, 4, 1), embedded("encoder:e@1", 200, 5, 2)]
    after = [readable("a@1", 200, 4, 1, pence, shift), embedded("encoder:e@1", 200, 5, 2, scale, shift)]
    expected = fit_preprocessing(before).transform(before)
    found = fit_preprocessing(after).transform(after)
    assert found == pytest.approx(expected, abs=5e-6)


def test_a_weight_decides_which_of_two_inputs_the_segments_follow():
    """Two inputs divide the same users crosswise; two segments can follow one of them only."""
    random = np.random.default_rng(0)
    one, other = np.repeat([0.0, 6.0], 200), np.tile([0.0, 6.0], 200)
    blocks = [
        feature_block("a@1", ["a__x"], (one + random.normal(size=400))[:, None]),
        embedding_block("encoder:e@1", np.outer(other, [3.0, 1.0]) + random.normal(size=(400, 2))),
    ]
    for heavy, truth in (("a@1", one), ("encoder:e@1", other)):
        labels = fit_cluster_model(blocks, FitSettings(k=2, weights={heavy: 3.0})).assignment.labels
        agreement = np.mean(labels == (truth > 3))
        assert max(agreement, 1 - agreement) > 0.98
