"""Says which single change of a feature would take a user into another segment (Wachter, Mittelstadt & Russell 2018).

Along one input, everything else standing still, the difference of the squared distances to two centroids is a straight
line, so the place where they are equally far is exact: z = (|c - x|^2 - |o - x|^2) / (2 (c - o)) beyond where the user
is, with o and c the two centroids. The way back from z to what people read undoes scaling, logarithm and bounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sqlseg.segments.blocks import STEPS, Block, FloatArray
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.preprocessing import FeatureScaling
from sqlseg.segments.scaling import CAP, ColumnScaling

_A_STEP = 2.0 / STEPS


@dataclass(frozen=True)
class Change:
    """One feature that would have to be at `value`, or beyond it, for the user to be in another segment.

    `segment` numbers the model's segments. `effort` is how far that is from what the user has, in standard deviations.
    """

    feature: str
    given: float | None
    value: float
    segment: int
    effort: float


def single_changes(model: ClusterModel, blocks: Sequence[Block]) -> tuple[Change, ...]:
    """Return the smallest change of each readable feature that moves one user (blocks of one row), the easiest first.

    A feature that cannot do it alone within what was usual at the fit is left out. Each change was tried on the model.
    """
    x = model.preprocessing.transform(blocks)[0]
    centers = model.center_matrix
    own = int(model.score(blocks).labels[0])
    found: list[Change] = []
    axis = 0
    for fitted in model.preprocessing.blocks:
        if not isinstance(fitted, FeatureScaling):
            axis += len(fitted.components)
            continue
        block = next(block for block in blocks if block.name == fitted.name)
        for column in fitted.columns:
            if column.name not in block.columns:  # a level of a text column: no number to change
                axis += 1
                continue
            position = block.columns.index(column.name)
            tries = [
                (abs(z - x[axis]), value)
                for z in _borders(x, centers, own, axis)
                if (value := _raw(z, column, fitted.scale)) is not None
            ]
            for far, value in sorted(tries):
                segment = _segment_with(model, blocks, block, position, value)
                if segment != own:
                    given = float(block.values[0, position])
                    found.append(
                        Change(column.name, None if np.isnan(given) else given, value, segment, far / fitted.scale)
                    )
                    break
            axis += 1
    return tuple(sorted(found, key=lambda change: (change.effort, change.feature)))


def _borders(x: FloatArray, centers: FloatArray, own: int, axis: int) -> list[float]:
    """Return where along one axis the user would become as near to another centroid as to the own, and just beyond."""
    squared = ((x - centers) ** 2).sum(axis=1)
    borders = []
    for other, center in enumerate(centers):
        slope = 2.0 * (center[axis] - centers[own][axis])
        if other != own and slope != 0.0:
            border = x[axis] + (squared[other] - squared[own]) / slope
            borders.append(float(border + np.sign(slope) * _A_STEP))
    return borders


def _raw(z: float, column: ColumnScaling, scale: float) -> float | None:
    """Return the value that is scaled to z, or None where none is: beyond the bounds, every value counts alike."""
    standard = z / scale
    if abs(standard) > CAP:
        return None
    value = standard * column.std + column.mean
    if column.log:
        value = float(np.expm1(value))
    return value if column.low <= value <= column.high else None


def _segment_with(model: ClusterModel, blocks: Sequence[Block], changed: Block, position: int, value: float) -> int:
    values = changed.values.copy()
    values[0, position] = value
    tried = [replace(block, values=values) if block is changed else block for block in blocks]
    return int(model.score(tried).labels[0])
