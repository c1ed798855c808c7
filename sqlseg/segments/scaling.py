"""Scales one readable column: imputed, winsorised, logged where skewed, in standard deviations, capped.

    z = clip((f(clip(coalesce(x, median), low, high)) - mean) / std, -CAP, CAP)

with f = ln(1 + x) where `log`, else the identity. Why so stands in preprocessing.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.blocks import FloatArray
from sqlseg.segments.ordered import Ordered
from sqlseg.segments.parts import by_column

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
    return _fitted(name, values)[0]


def fit_and_scale(name: str, values: FloatArray) -> tuple[ColumnScaling, FloatArray] | str:
    """Return the scaling of one column with what `scaled_column` makes of it, or the reason why it is of no use."""
    scaling, x = _fitted(name, values)
    if isinstance(scaling, str):
        return scaling
    return scaling, _standardised(x, scaling.mean, scaling.std)


def fit_columns(columns: Mapping[str, FloatArray]) -> list[ColumnScaling | str]:
    """Return what `fit_column` returns for each column, computed side by side."""
    users = max((values.size for values in columns.values()), default=0)
    return by_column(users, lambda named: fit_column(*named), columns.items())


def _fitted(name: str, values: FloatArray) -> tuple[ColumnScaling | str, FloatArray]:
    """Return the scaling, or why there is none, and the column just before it is standardised."""
    ordered = Ordered.of(values)
    known = ordered.known
    if known.size == 0:
        return "missing for every user", known
    if known.size < KNOWN_AT_LEAST * values.size:
        return f"missing for {1 - known.size / values.size:.1%} of users", known
    low, median, high = ordered.quantiles([WINSORISED_AT[0], 0.5, WINSORISED_AT[1]]).tolist()
    x = np.clip(np.where(np.isnan(values), median, values) if ordered.missing else values, low, high)
    if is_constant(x):
        # Imputed users count: a column known for few, all alike, tells nobody apart either.
        alike = known[0] == known[-1]
        return "the same for every user" if alike else "the same for all but 1% of users", known
    moments, log = _moments(x), False
    if known[0] >= 0 and moments.skewness > SKEWED_ABOVE:
        logged = np.log1p(x)
        of_logs = _moments(logged)
        log = abs(of_logs.skewness) < moments.skewness
        if log:
            x, moments = logged, of_logs
    return ColumnScaling(name, median, low, high, log, moments.mean, moments.std), x


def fit_level(name: str, values: FloatArray, levels: int) -> ColumnScaling | str:
    """Return the scaling of a column of 0 and 1, such that all levels of a category weigh as one column."""
    if is_constant(values):
        return "the same for every user"
    return ColumnScaling(name, 0.0, 0.0, 1.0, False, float(values.mean()), float(values.std() * np.sqrt(levels)))


def scaled_column(values: FloatArray, scaling: ColumnScaling) -> FloatArray:
    """Return one column in robust standard units: imputed, winsorised, logged where skewed, capped; mean about 0."""
    return scaled_known(np.where(np.isnan(values), scaling.median, values), scaling)


def scaled_known(values: FloatArray, scaling: ColumnScaling) -> FloatArray:
    """Return what `scaled_column` does of values none of which is missing."""
    x = np.clip(values, scaling.low, scaling.high)
    if scaling.log:
        np.log1p(x, out=x)
    return _standardised(x, scaling.mean, scaling.std)


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
        _standardised(x, mean, std)
        x *= scale
        out[start : start + _ROWS_AT_ONCE] = x


def _standardised(x: FloatArray, mean: float | FloatArray, std: float | FloatArray) -> FloatArray:
    """Put x into standard deviations from the mean, capped, in place."""
    with np.errstate(over="ignore"):  # a distance that no double holds is capped like any other
        x -= mean
        x /= std
    return np.clip(x, -CAP, CAP, out=x)


def is_constant(x: FloatArray) -> bool:
    """Return whether all these values are the same, but for what doubles cannot tell apart."""
    near, unit = _within_reach(x)
    return bool(near.max() - near.min() <= _TINY * max(1.0 / unit, abs(float(near.mean()))))


def _within_reach(x: FloatArray) -> tuple[FloatArray, float]:
    """Return values whose cubes doubles can add up, and what they must be multiplied by: a power of two, mostly 1."""
    largest = max(-float(x.min()), float(x.max()))
    if largest <= _LARGE:
        return x, 1.0
    unit = float(2.0 ** np.floor(np.log2(largest)))
    return x / unit, unit


@dataclass(frozen=True)
class _Moments:
    mean: float
    std: float
    skewness: float


def _moments(x: FloatArray) -> _Moments:
    """Return mean, standard deviation and skewness of values that doubles can hold, however large."""
    near, unit = _within_reach(x)
    mean = float(near.mean())
    centered = near - mean
    powers = centered * centered
    std = float(np.sqrt(powers.mean()))
    powers *= centered
    return _Moments(mean * unit, std * unit, 0.0 if std == 0 else float(powers.mean()) / std**3)
