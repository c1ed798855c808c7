"""Says which single change of a feature would take a user into another learned segment.

Along one feature, everything else standing still, trees are a staircase: what they say can change only where one of
them splits. So it is enough to ask once on each step, and the nearest step in another segment is exact. Regressions are
smooth: they are asked at 2,001 values between the bounds of what was usual, and the border is then narrowed down to a
millionth. Of two classes there is one border, which is exact; of more, a visit to another class that is shorter than a
step between these values can be missed.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sqlseg.segments.blocks import STEPS, Block, FloatArray, IntArray, rounded
from sqlseg.segments.boosting import LEAF, BoostedTrees
from sqlseg.segments.counterfactual import Change
from sqlseg.segments.preprocessing import FeatureScaling
from sqlseg.segments.scaling import ColumnScaling, scaled_column
from sqlseg.segments.supervised import SupervisedModel, likeliest

_ASKED_AT = 2_001


def single_changes_learned(model: SupervisedModel, blocks: Sequence[Block]) -> tuple[Change, ...]:
    """Return the smallest change of each readable feature that moves one user (blocks of one row), the easiest first.

    A feature that cannot do it alone is left out, and so are levels of text columns. Where a value is unknown, the way
    is counted from the median. Models that compare users with others are not asked: they give nothing.
    """
    if model.trees is None and model.regression is None:
        return ()
    x = model.matrix(blocks)[0]
    own = int(model.score(blocks).labels[0])
    given = {column: block.values[0, i] for block in blocks for i, column in enumerate(block.columns)}
    scalings = {
        column.name: (column, block.scale)
        for block in model.preprocessing.blocks
        if isinstance(block, FeatureScaling)
        for column in block.columns
    }
    found: list[Change] = []
    for axis, name in enumerate(model.preprocessing.inputs):
        if name not in given or name not in scalings:
            continue
        scaling, scale = scalings[name]
        if model.trees is not None:
            values = _steps(model.trees, axis, x[axis])
            segments = _segments(model, x, axis, values)
        else:

            def segments_at(
                tried: FloatArray, axis: int = axis, scaling: ColumnScaling = scaling, scale: float = scale
            ) -> IntArray:
                return _segments(model, x, axis, rounded(scaled_column(tried, scaling) * scale))

            values = _borders(segments_at, given[name], scaling, own)
            segments = segments_at(values)
        effort = _effort(given[name], values, scaling)
        ways = np.flatnonzero(segments != own)
        if ways.size:
            best = ways[np.argmin(effort[ways])]
            known = None if np.isnan(given[name]) else float(given[name])
            found.append(Change(name, known, float(values[best]), int(segments[best]), float(effort[best])))
    return tuple(sorted(found, key=lambda change: (change.effort, change.feature)))


def _segments(model: SupervisedModel, x: FloatArray, axis: int, values: FloatArray) -> IntArray:
    """Return the segments of a user with these values of one input, as the model's matrix has them."""
    tried = np.tile(x, (values.size, 1))
    tried[:, axis] = values
    return likeliest(model.calibrated(tried)).labels


def _borders(
    segments_at: Callable[[FloatArray], IntArray], given: float, scaling: ColumnScaling, own: int
) -> FloatArray:
    """Return the nearest values below and above what the user has that are in another segment, where there are any."""
    start = scaling.median if np.isnan(given) else given
    ends = np.array([scaling.low, scaling.high, start])
    low, high, here = np.log1p(ends) if scaling.log else ends
    found = []
    for end in (low, high):
        if (end - here) * (high - low) * (1 if end == high else -1) <= 0:
            continue  # beyond the bounds, every value counts alike
        along = here + (end - here) * np.linspace(0.0, 1.0, _ASKED_AT)
        tried = np.expm1(along) if scaling.log else along
        tried[0], tried[-1] = start, scaling.low if end == low else scaling.high
        elsewhere = np.flatnonzero(segments_at(tried) != own)
        if not elsewhere.size:
            continue
        there, near = float(tried[elsewhere[0]]), float(tried[max(elsewhere[0] - 1, 0)])
        while abs(there - near) > 1.0 / STEPS:
            middle = (there + near) / 2.0
            if middle in (there, near):  # so large that no double lies between
                break
            if segments_at(np.array([middle]))[0] == own:
                near = middle
            else:
                there = middle
        found.append(there)
    return np.array(found)


def _steps(trees: BoostedTrees, axis: int, x: float) -> FloatArray:
    """Return the nearest value on each step of the staircase but the user's own, as whole multiples of 1 / STEPS."""
    borders = [tree.threshold[(tree.feature == axis) & (tree.left != LEAF)] for each in trees.rounds for tree in each]
    border = np.unique(np.concatenate([np.empty(0), *borders]))
    border = border[np.isfinite(border)]
    below = np.floor(border * STEPS)
    below -= below / STEPS > border
    below += (below + 1) / STEPS <= border
    # Unknown is on neither side of a border, so all of them can be crossed in both directions.
    downwards, upwards = below[~(border >= x)], below[~(border < x)] + 1
    values: FloatArray = np.concatenate([downwards, upwards]) / STEPS
    return values


def _effort(given: float, values: FloatArray, scaling: ColumnScaling) -> FloatArray:
    """Return how far values are from what the user has, in standard deviations; of the logarithm where that is used."""
    known = scaling.median if np.isnan(given) else given
    far = np.log1p(values) - np.log1p(known) if scaling.log else values - known
    effort: FloatArray = np.abs(far) / scaling.std
    return effort
