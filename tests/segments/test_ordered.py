"""Quantiles and counts read off sorted values are those of NumPy, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.segments.ordered import Ordered

doubles = st.floats(allow_nan=True, allow_infinity=False, width=64)
columns = st.lists(st.one_of(doubles, st.integers(-3, 3).map(float)), max_size=60).map(np.array)
shares = st.lists(st.floats(0, 1), min_size=1, max_size=5)


@pytest.mark.filterwarnings("ignore:overflow")
@given(columns, shares)
def test_quantiles_are_those_of_numpy(values, shares):
    known = values[~np.isnan(values)]
    if known.size:
        assert np.array_equal(Ordered.of(values).quantiles(shares), np.quantile(known, shares), equal_nan=True)


@given(columns, columns)
def test_counts_are_those_of_every_value(values, borders):
    ordered, borders = Ordered.of(values), borders[~np.isnan(borders)]
    assert ordered.at_most(borders).tolist() == [int((values <= border).sum()) for border in borders]
    assert ordered.below(borders).tolist() == [int((values < border).sum()) for border in borders]
    assert ordered.missing == np.isnan(values).sum()
    assert np.array_equal(ordered.different, np.unique(values[~np.isnan(values)]))


def test_values_are_left_as_they_are_unless_asked_for():
    values = np.array([2.0, np.nan, 1.0])
    Ordered.of(values)
    assert np.isnan(values[1])
    assert Ordered.in_place(values).known.tolist() == [1.0, 2.0] and values[:2].tolist() == [1.0, 2.0]
