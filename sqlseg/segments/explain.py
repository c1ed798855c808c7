"""Says why a user is in one segment and not in the next: an exact split of the difference of two squared distances.

With c1 the user's own centroid and c2 the runner-up, d2^2 - d1^2 = sum over inputs of (x - c2)^2 - (x - c1)^2. Each
term is what that input contributes: positive speaks for the own segment, negative for the runner-up, and nothing is
left over. An embedding's axes are summed into one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.assignment import NOBODY, Assignment
from sqlseg.segments.blocks import FloatArray, IntArray


@dataclass(frozen=True)
class Contribution:
    """What one feature adds to the difference; `feature` is the block's name for an embedding."""

    feature: str
    contribution: float


def contributions(
    X: FloatArray, assignment: Assignment, centers: FloatArray, inputs: Sequence[str]
) -> tuple[tuple[str, ...], FloatArray]:
    """Return the features and, users x features, what each contributes; a row sums to d2^2 - d1^2.

    `inputs` names the columns of X, an embedding's axes alike and side by side. Rows are 0 where there is no
    runner-up, as with a single segment.
    """
    features, starts = _groups(inputs)
    if not features:
        return (), np.zeros((X.shape[0], 0))
    own = X - centers[assignment.labels]
    other = X - centers[assignment.runner_up]
    difference = other * other - own * own
    difference[assignment.runner_up == NOBODY] = 0.0
    result: FloatArray = np.add.reduceat(difference, starts, axis=1)
    return features, result


def explain(
    x: FloatArray, assignment: Assignment, centers: FloatArray, inputs: Sequence[str]
) -> tuple[Contribution, ...]:
    """Return what each feature contributes for one user (`x` is one row), the strongest first."""
    features, matrix = contributions(x.reshape(1, -1), assignment, centers, inputs)
    rows = [Contribution(feature, float(value)) for feature, value in zip(features, matrix[0], strict=True)]
    return tuple(sorted(rows, key=lambda row: -abs(row.contribution)))


def strongest(matrix: FloatArray, count: int) -> IntArray:
    """Return for each user the columns of the largest contributions for the own segment, the largest first."""
    count = min(count, matrix.shape[1])
    order: IntArray = np.argsort(-matrix, axis=1, kind="stable")[:, :count].astype(np.int64)
    return order


def _groups(inputs: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    starts = [i for i, name in enumerate(inputs) if i == 0 or name != inputs[i - 1]]
    return tuple(inputs[i] for i in starts), starts
