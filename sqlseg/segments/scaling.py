"""Scales one readable column: imputed, winsorised, logged where skewed, in standard deviations, capped.

    z = clip((f(clip(coalesce(x, median), low, high)) - mean) / std, -CAP, CAP)

with f = ln(1 + x) where `log`, else the identity. Why so stands in preprocessing.py.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.blocks import FloatArray

WINSORISED_AT = (0.01, 0.99)
SKEWED_ABOVE = 1.0
KNOWN_AT_LEAST = 0.01
CAP = 3.0
_ROWS_AT_ONCE = 16_384
_TINY = 1e-9
_LARGE = 1e90


@dataclass(frozen=True)
class ColumnScaling:
    """The frozen parameters of one readable column."""

    name: str
    median: float
    low: float
    high: float
    log: bool
    mean: float
    std: float


def fit_column(name: str, values: FloatArray) -> ColumnScaling | str:
    """Return the scaling of one column, or the reason why it is of no use."""
    known = values[~np.isnan(values)]
    if known.size == 0:
        return "missing for every user"
    if known.size < KNOWN_AT_LEAST * values.size:
        return f"missing for {1 - known.size / values.size:.1%} of users"
    low, median, high = (float(q) for q in np.quantile(known, [WINSORISED_AT[0], 0.5, WINSORISED_AT[1]]))
    x = np.clip(np.where(np.isnan(values), median, values), low, high)
    if is_constant(x):
        # Imputed users count: a column known for few, all alike, tells nobody apart either.
        return "the same for every user" if known.min() == known.max() else "the same for all but 1% of users"
    log = False
    if known.min() >= 0 and (skew := _skewness(x)) > SKEWED_ABOVE:
        log = abs(_skewness(np.log1p(x))) < skew
    if log:
        x = np.log1p(x)
    near, unit = _within_reach(x)
    return ColumnScaling(name, median, low, high, log, float(near.mean()) * unit, float(near.std()) * unit)


def fit_columns(columns: Mapping[str, FloatArray]) -> list[ColumnScaling | str]:
    """Return what `fit_column` returns for each column, computed side by side: most of it is sorting."""
    with ThreadPoolExecutor(max(1, min(len(columns), os.cpu_count() or 1)), "fit_columns") as pool:
        return list(pool.map(fit_column, columns.keys(), columns.values()))


def fit_level(name: str, values: FloatArray, levels: int) -> ColumnScaling | str:
    """Return the scaling of a column of 0 and 1, such that all levels of a category weigh as one column."""
    if is_constant(values):
        return "the same for every user"
    return ColumnScaling(name, 0.0, 0.0, 1.0, False, float(values.mean()), float(values.std() * np.sqrt(levels)))


def scaled_column(values: FloatArray, scaling: ColumnScaling) -> FloatArray:
    """Return one column in robust standard units: imputed, winsorised, logged where skewed, capped; mean about 0."""
    out = np.empty((values.shape[0], 1))
    scale_columns(values.reshape(-1, 1), [0], [scaling], 1.0, out=out)
    return out[:, 0]


def scale_columns(
    values: FloatArray, where: Sequence[int], columns: Sequence[ColumnScaling], scale: float, *, out: FloatArray
) -> None:
    """Fill `out` (users x columns) with the columns of `values` at `where`, scaled, times `scale`."""
    median, low, high, mean, std = (
        np.array([getattr(column, part) for column in columns], dtype=np.float64)
        for part in ("median", "low", "high", "mean", "std")
    )
    logged = [position for position, column in enumerate(columns) if column.log]
    for start in range(0, values.shape[0], _ROWS_AT_ONCE):
        x = values[start : start + _ROWS_AT_ONCE][:, list(where)]
        np.copyto(x, median, where=np.isnan(x))
        np.clip(x, low, high, out=x)
        if logged:
            x[:, logged] = np.log1p(x[:, logged])
        with np.errstate(over="ignore"):  # a distance that no double holds is capped like any other
            x -= mean
            x /= std
        np.clip(x, -CAP, CAP, out=x)
        x *= scale
        out[start : start + _ROWS_AT_ONCE] = x


def is_constant(x: FloatArray) -> bool:
    """Return whether all these values are the same, but for what doubles cannot tell apart."""
    near, unit = _within_reach(x)
    return bool(near.max() - near.min() <= _TINY * max(1.0 / unit, abs(float(near.mean()))))


def _within_reach(x: FloatArray) -> tuple[FloatArray, float]:
    """Return values whose cubes doubles can add up, and what they must be multiplied by: a power of two, mostly 1."""
    largest = float(np.abs(x).max())
    if largest <= _LARGE:
        return x, 1.0
    unit = float(2.0 ** np.floor(np.log2(largest)))
    return x / unit, unit


def _skewness(x: FloatArray) -> float:
    x, _ = _within_reach(x)
    centered = x - x.mean()
    std = float(np.sqrt(np.mean(centered**2)))
    return 0.0 if std == 0 else float(np.mean(centered * centered * centered)) / std**3
