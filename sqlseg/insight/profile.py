"""Describes each segment feature by feature: typical values, and how they stand to those of all and of other users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.insight.effect import effect_against_rest, mean_interval
from sqlseg.insight.grouped import Division, GroupFigures, mean_in_units
from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.clustering import one_thread
from sqlseg.segments.parts import by_column
from sqlseg.segments.scaling import fit_and_scale

_SCALED_ON = 200_000


@dataclass(frozen=True)
class FeatureProfile:
    """One feature in one segment; `user_count` users have a value there, and all figures are of these.

    `lift` is mean / overall_mean (None where that is 0), `z` is (mean - overall_mean) / the standard deviation of
    all users (None where that is 0). `rank` orders a segment's features by the size of z, 1 the most telling.
    `mean_low` to `mean_high` is the 95% interval of the mean. `effect_size` is Hedges' g against everybody who is not
    in the segment, with its 95% interval. They are None where there are fewer than two users on a side, or no variance.
    A standard deviation below 1e-12, or below 1e-12 of the mean, counts as 0: values that agree in twelve digits are
    alike.
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


@dataclass(frozen=True, eq=False)
class SegmentFigures:
    """What is said of the segments of one segmentation, feature by feature: typical values, and how they stand out."""

    profile: tuple[FeatureProfile, ...]
    standing: Standing


def segment_figures(
    columns: Mapping[str, FloatArray], segmentations: Sequence[tuple[IntArray, int]]
) -> tuple[SegmentFigures, ...]:
    """Return profile and standing of several segmentations of the same users: labels, and how many segments each has.

    `columns` maps a feature to its values (1-D, one a user, NaN for missing). Labels number the users' segments
    from 0; a user with -1 counts in the overall figures, and among the others of every segment. Profiles have a row for
    each segment and feature, by segment and then in the order of `columns`. For standings, a feature that never varies
    stands at 0, and more than 200,000 users are scaled by the figures of that many, evenly drawn; means are of all.

    >>> [found] = segment_figures({"rfm__orders": np.array([1.0, 3.0, 8.0])}, [(np.array([0, 0, 1]), 2)])
    >>> row = found.profile[0]
    >>> row.mean, row.overall_mean, row.lift, row.rank
    (2.0, 4.0, 0.5, 1)
    >>> found.standing.z.round(3)
    array([[-0.679],
           [ 1.359]])
    """
    users = segmentations[0][0].size
    step = max(1, -(-users // _SCALED_ON))
    divisions = [Division.of(labels, count) for labels, count in segmentations]
    sample = np.zeros((len(columns), len(range(0, users, step))))
    positions = {feature: position for position, feature in enumerate(columns)}

    def of_column(named: tuple[str, FloatArray]) -> list[tuple[GroupFigures, FloatArray]]:
        feature, values = named
        scaled = fit_and_scale(feature, values[::step])
        if not isinstance(scaled, str):
            sample[positions[feature]] = _of_length_one(scaled[1])
        found = []
        for division in divisions:
            parts = division.parts(values)
            z = np.zeros(len(parts) - 1) if isinstance(scaled, str) else mean_in_units(parts[:-1], scaled[0])
            found.append((GroupFigures.of(parts), z))
        return found

    of_columns, features = by_column(users, of_column, columns.items()), tuple(columns)
    with one_thread():  # so small a product that threads spend more time on waiting for one another
        correlation: FloatArray = np.round(sample @ sample.T, 6)
    result = []
    for number, (_, count) in enumerate(segmentations):
        figures = [column[number][0] for column in of_columns]
        z = np.array([column[number][1] for column in of_columns]).reshape(len(features), count).T
        profile = _profile(features, GroupFigures.stacked(figures)) if features else ()
        result.append(SegmentFigures(profile, Standing(features, np.round(z, 6), correlation)))
    return tuple(result)


def segment_profile(
    columns: Mapping[str, FloatArray], labels: IntArray, segment_count: int
) -> tuple[FeatureProfile, ...]:
    """Return the profile of one segmentation, as `segment_figures` does."""
    return segment_figures(columns, [(labels, segment_count)])[0].profile


def segment_standing(columns: Mapping[str, FloatArray], labels: IntArray, segment_count: int) -> Standing:
    """Return how the segments of one segmentation stand, as `segment_figures` does."""
    return segment_figures(columns, [(labels, segment_count)])[0].standing


def _profile(features: Sequence[str], figures: GroupFigures) -> tuple[FeatureProfile, ...]:
    """Return the rows of all segments; figures are features x groups, the last of which is no segment."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        count, mean = figures.count, figures.mean
        users = count.sum(axis=1, keepdims=True)
        overall = figures.total.sum(axis=1, keepdims=True) / users
        between = count * np.where(count > 0, mean - overall, 0.0) ** 2
        std = np.sqrt((figures.squares + between).sum(axis=1, keepdims=True) / users)
        # A column of equal values may get a deviation of its last digit.
        varied = (count > 0) & (std > 1e-12 * np.maximum(1.0, np.abs(overall)))
        z = np.where(varied, (mean - overall) / std, np.nan)
        lift = np.where((count > 0) & (overall != 0), mean / overall, np.nan)
        of_mean = mean_interval(count, mean, figures.squares)
        effect = effect_against_rest(count, mean, figures.squares)
    # The most telling come first, then those without z, as `columns` has them.
    telling = np.argsort(np.where(np.isnan(z), 1.0, -np.abs(z)), axis=0, kind="stable")
    rank = np.argsort(telling, axis=0) + 1
    return tuple(
        FeatureProfile(
            segment=segment,
            feature=feature,
            user_count=int(count[position, segment]),
            mean=_known(mean[position, segment]) if count[position, segment] else None,
            median=_known(figures.quantiles[position, segment, 1]),
            p10=_known(figures.quantiles[position, segment, 0]),
            p90=_known(figures.quantiles[position, segment, 2]),
            overall_mean=_known(overall[position, 0]),
            lift=_known(lift[position, segment]),
            z=_known(z[position, segment]),
            rank=int(rank[position, segment]),
            mean_low=_finite(of_mean.low[position, segment]),
            mean_high=_finite(of_mean.high[position, segment]),
            effect_size=_finite(effect.estimate[position, segment]),
            effect_low=_finite(effect.low[position, segment]),
            effect_high=_finite(effect.high[position, segment]),
        )
        for segment in range(count.shape[1] - 1)
        for position, feature in enumerate(features)
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _of_length_one(values: FloatArray) -> FloatArray:
    """Center a column and make its squares add up to 1, in place."""
    values -= values.mean()
    norm = np.sqrt((values * values).sum())
    return np.divide(values, norm, out=values) if norm > 0 else values
