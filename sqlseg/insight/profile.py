"""Describes each segment feature by feature: typical values, and how they stand to those of all and of other users."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from sqlseg.insight.effect import effect_against_rest, mean_interval
from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.clustering import one_thread
from sqlseg.segments.scaling import ColumnScaling, fit_column, scaled_column

_SCALED_ON = 200_000

Result = TypeVar("Result")


@dataclass(frozen=True)
class FeatureProfile:
    """One feature in one segment; `user_count` users have a value there, and all figures are of these.

    `lift` is mean / overall_mean (None where that is 0), `z` is (mean - overall_mean) / the standard deviation of
    all users (None where that is 0). `rank` orders a segment's features by the size of z, 1 the most telling.
    `mean_low` to `mean_high` is the 95% interval of the mean. `effect_size` is Hedges' g against everybody who is not
    in the segment, with its 95% interval. They are None where there are fewer than two users on a side, or no variance.
    """

    segment: int
    feature: str
    user_count: int
    mean: float | None
    median: float | None
    p10: float | None
    p90: float | None
    overall_mean: float | None
    lift: float | None
    z: float | None
    rank: int
    mean_low: float | None = None
    mean_high: float | None = None
    effect_size: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None


@dataclass(frozen=True, eq=False)
class Standing:
    """How segments stand out, in units that a few extreme users cannot move.

    `z` is segments x features: the segment's mean of the feature after imputing, winsorising, taking the logarithm
    where it is skewed, and standardising, so 0 is the mean of all users. `correlation` is features x features of
    the same values.
    """

    features: tuple[str, ...]
    z: FloatArray
    correlation: FloatArray


def segment_profile(
    columns: Mapping[str, FloatArray], labels: IntArray, segment_count: int
) -> tuple[FeatureProfile, ...]:
    """Return a row for each segment and feature, by segment and then in the order of `columns`.

    `columns` maps a feature to its values (1-D, one a user, NaN for missing); `labels` numbers the users' segments
    from 0, and a user with -1 counts in the overall figures, and among the others of every segment.

    >>> row = segment_profile({"rfm__orders": np.array([1.0, 3.0, 8.0])}, np.array([0, 0, 1]), 2)[0]
    >>> row.mean, row.overall_mean, row.lift, row.rank
    (2.0, 4.0, 0.5, 1)
    """
    order = np.argsort(labels, kind="stable")
    borders = np.searchsorted(labels[order], np.arange(segment_count + 1))

    def of_feature(feature: str, values: FloatArray) -> list[FeatureProfile]:
        known = values[~np.isnan(values)]
        overall = float(known.mean()) if known.size else None
        std = float(known.std()) if known.size else 0.0
        together = values[order]
        nobodys = together[: borders[0]]
        parts = [together[borders[segment] : borders[segment + 1]] for segment in range(segment_count)]
        parts = [part[~np.isnan(part)] for part in (*parts, nobodys)]
        rows = [_profile(segment, feature, own, overall, std) for segment, own in enumerate(parts[:-1])]
        return _with_intervals(rows, parts)

    by_feature = _side_by_side(of_feature, columns)
    return tuple(row for segment in range(segment_count) for row in _ranked([rows[segment] for rows in by_feature]))


def segment_standing(columns: Mapping[str, FloatArray], labels: IntArray, segment_count: int) -> Standing:
    """Return how each segment stands on each feature, in robust units; a feature that never varies stands at 0.

    More than 200,000 users are scaled by the figures of that many, evenly drawn; the means are of all.
    """
    return segment_standings(columns, [(labels, segment_count)])[0]


def segment_standings(
    columns: Mapping[str, FloatArray], segmentations: Sequence[tuple[IntArray, int]]
) -> tuple[Standing, ...]:
    """Return `segment_standing` of several segmentations of the same users: labels, and how many segments each has."""
    users = segmentations[0][0].size
    step = max(1, -(-users // _SCALED_ON))
    sample = np.zeros((len(range(0, users, step)), len(columns)))
    placed = []
    for labels, count in segmentations:
        mine = labels >= 0
        sizes = np.maximum(np.bincount(labels[mine], minlength=count), 1)
        placed.append((labels[mine], mine, sizes, np.zeros((count, len(columns)))))
    positions = {feature: position for position, feature in enumerate(columns)}

    def stand(feature: str, values: FloatArray) -> None:
        scaling = fit_column(feature, values[::step])
        if not isinstance(scaling, ColumnScaling):
            return
        scaled, position = scaled_column(values, scaling), positions[feature]
        sample[:, position] = scaled[::step]
        for labels, mine, sizes, z in placed:
            z[:, position] = np.bincount(labels, weights=scaled[mine], minlength=len(sizes)) / sizes

    _side_by_side(stand, columns)
    correlation = _correlation(sample)
    return tuple(Standing(tuple(columns), np.round(z, 6), correlation) for *_, z in placed)


def _side_by_side(work: Callable[[str, FloatArray], Result], columns: Mapping[str, FloatArray]) -> list[Result]:
    """Return what comes of each column, in order; most of it is sorting, which several columns can do side by side."""
    with ThreadPoolExecutor(max(1, min(len(columns), os.cpu_count() or 1)), "profile") as pool:
        return list(pool.map(work, columns.keys(), columns.values()))


def _profile(segment: int, feature: str, own: FloatArray, overall: float | None, std: float) -> FeatureProfile:
    if own.size == 0 or overall is None:
        return FeatureProfile(segment, feature, 0, None, None, None, None, overall, None, None, 0)
    mean = float(own.mean())
    p10, median, p90 = (float(q) for q in np.quantile(own, [0.1, 0.5, 0.9]))
    lift = mean / overall if overall != 0 else None
    # A column of equal values may get a deviation of its last digit.
    z = (mean - overall) / std if std > 1e-12 * max(1.0, abs(overall)) else None
    return FeatureProfile(segment, feature, int(own.size), mean, median, p10, p90, overall, lift, z, 0)


def _with_intervals(rows: Sequence[FeatureProfile], parts: Sequence[FloatArray]) -> list[FeatureProfile]:
    """Add the intervals of one feature; `parts` holds the values of each segment and, last, of users of none."""
    count = np.array([part.size for part in parts], dtype=np.float64)
    mean = np.array([part.mean() if part.size else 0.0 for part in parts])
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.array([((part - center) ** 2).sum() for part, center in zip(parts, mean, strict=True)])
        of_mean, effect = mean_interval(count, mean, squares), effect_against_rest(count, mean, squares)
    return [
        replace(
            row,
            mean_low=_finite(of_mean.low[number]),
            mean_high=_finite(of_mean.high[number]),
            effect_size=_finite(effect.estimate[number]),
            effect_low=_finite(effect.low[number]),
            effect_high=_finite(effect.high[number]),
        )
        for number, row in enumerate(rows)
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _ranked(rows: Sequence[FeatureProfile]) -> list[FeatureProfile]:
    telling = sorted(range(len(rows)), key=lambda i: (-abs(z) if (z := rows[i].z) is not None else 1.0, i))
    rank = {position: number for number, position in enumerate(telling, start=1)}
    return [replace(row, rank=rank[position]) for position, row in enumerate(rows)]


def _correlation(values: FloatArray) -> FloatArray:
    centered = values - values.mean(axis=0) if len(values) else values
    norms = np.sqrt((centered**2).sum(axis=0))
    centered = np.divide(centered, norms, out=np.zeros_like(centered), where=norms > 0)
    with one_thread():  # so small a product that threads spend more time on waiting for one another
        result: FloatArray = np.round(centered.T @ centered, 6)
    return result
