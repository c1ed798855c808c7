"""How far groups lie apart, in standard deviations, and how sure that is: figures from counts, means and squares.

Arrays have one entry a group; groups are the last axis where there are several features. `squares` are sums of squared
deviations from the group's own mean. What is not defined is NaN: a group of fewer than two users, or users who are all
alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray

_LEVEL = 0.975
_ALIKE = 1e-12


@dataclass(frozen=True, eq=False)
class Interval:
    """An estimate with the borders of its 95% interval."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def mean_interval(count: FloatArray, mean: FloatArray, squares: FloatArray) -> Interval:
    """Return the 95% interval of each group's mean, by Student's t with count - 1 degrees of freedom (Student 1908).

    >>> found = mean_interval(np.array([3.0]), np.array([2.0]), np.array([2.0]))
    >>> found.low.round(3), found.high.round(3)
    (array([-0.484]), array([4.484]))
    """
    from scipy.special import stdtrit

    defined = (count >= 2) & _varied(squares, count, mean)
    freedom = np.where(defined, count - 1, 1)
    half = stdtrit(freedom, _LEVEL) * np.sqrt(squares / freedom / np.maximum(count, 1))
    half = np.where(defined, half, np.nan)
    return Interval(mean, mean - half, mean + half)


def effect_against_rest(count: FloatArray, mean: FloatArray, squares: FloatArray) -> Interval:
    """Return Hedges' g of each group against all the others together, with its 95% interval.

    g is the difference of the two means over their pooled standard deviation, made smaller by the exact factor that
    takes out its bias in small samples. The interval is g +- 1.96 standard errors, of variance
    (n + m) / (n m) + g^2 / (2 (n + m)), which is good from about ten users on a side (Hedges & Olkin 1985,
    "Statistical Methods for Meta-Analysis", ch. 5).

    >>> found = effect_against_rest(np.array([3.0, 3.0]), np.array([1.0, 2.0]), np.array([2.0, 2.0]))
    >>> found.estimate.round(3), found.low.round(3)
    (array([-0.798,  0.798]), array([-2.461, -0.865]))
    """
    from scipy.special import gammaln, ndtri

    others, other_mean, other_squares = _all_but_each(count, mean, squares)
    total = count + others
    defined = (count >= 2) & (others >= 2)
    freedom = np.where(defined, total - 2, 2)
    pooled = squares + other_squares
    size = np.maximum(np.abs(mean), np.abs(other_mean))
    defined &= _varied(pooled, total, size)
    pooled = np.where(defined, pooled, 1.0)
    unbiased = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    g = unbiased * (mean - other_mean) / np.sqrt(pooled / freedom)
    n, m = np.where(defined, count, 2), np.where(defined, others, 2)
    half = float(ndtri(_LEVEL)) * np.sqrt((n + m) / (n * m) + g**2 / (2 * (n + m)))
    g, half = np.where(defined, g, np.nan), np.where(defined, half, np.nan)
    return Interval(g, g - half, g + half)


def _all_but_each(
    count: FloatArray, mean: FloatArray, squares: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return count, mean and squares of the users of all other groups; sums of what is positive, so none is lost."""
    apart = 1.0 - np.eye(count.shape[-1])
    others = count @ apart
    other_mean = (count * mean) @ apart / np.maximum(others, 1)
    between = apart * count[..., None, :] * (mean[..., None, :] - other_mean[..., :, None]) ** 2
    return others, other_mean, squares @ apart + between.sum(axis=-1)


def _varied(squares: FloatArray, count: FloatArray, size: FloatArray) -> NDArray[np.bool_]:
    # Equal values may get a deviation of their last digit.
    deviation = np.sqrt(squares / np.maximum(count, 1))
    result: NDArray[np.bool_] = np.isfinite(squares) & (deviation > _ALIKE * np.maximum(1.0, np.abs(size)))
    return result
