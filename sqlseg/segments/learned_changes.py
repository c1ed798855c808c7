"""Says which single change of a feature would take a user into another learned segment.

Along one feature, everything else standing still, trees are a staircase: what they say can change only where one of
them splits. So it is enough to ask once on each step, and the nearest step in another segment is exact.
"""

from collections.abc import Sequence

import numpy as np

from sqlseg.segments.blocks import STEPS, Block, FloatArray
from sqlseg.segments.boosting import LEAF, BoostedTrees
from sqlseg.segments.counterfactual import Change
from sqlseg.segments.preprocessing import FeatureScaling
from sqlseg.segments.scaling import ColumnScaling
from sqlseg.segments.supervised import SupervisedModel


def single_changes_learned(model: SupervisedModel, blocks: Sequence[Block]) -> tuple[Change, ...]:
    """Return the smallest change of each readable feature that moves one user (blocks of one row), the easiest first.

    A feature that cannot do it alone is left out, and so are levels of text columns. Where a value is unknown, the way
    is counted from the median. Models without trees are not asked: there are none.
    """
    if model.trees is None:
        return ()
    x = model.matrix(blocks)[0]
    own = int(model.score(blocks).labels[0])
    given = {column: block.values[0, i] for block in blocks for i, column in enumerate(block.columns)}
    scalings = {
        column.name: column
        for block in model.preprocessing.blocks
        if isinstance(block, FeatureScaling)
        for column in block.columns
    }
    found: list[Change] = []
    for axis, name in enumerate(model.preprocessing.inputs):
        if name not in given or name not in scalings:
            continue
        values = _steps(model.trees, axis, x[axis])
        tried = np.tile(x, (values.size, 1))
        tried[:, axis] = values
        segments = model.calibrated(tried).argmax(axis=1)
        effort = _effort(x[axis], values, scalings[name])
        ways = np.flatnonzero(segments != own)
        if ways.size:
            best = ways[np.argmin(effort[ways])]
            known = None if np.isnan(given[name]) else float(given[name])
            found.append(Change(name, known, float(values[best]), int(segments[best]), float(effort[best])))
    return tuple(sorted(found, key=lambda change: (change.effort, change.feature)))


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
