"""Says why a user is in one segment and not in the next: an exact split of the difference of two squared distances.

With c1 the user's own centroid and c2 the runner-up, d2^2 - d1^2 = sum over inputs of (x - c2)^2 - (x - c1)^2. Each
term is what that input contributes: positive speaks for the own segment, negative for the runner-up, and nothing is
left over. An embedding's axes are summed into one. Algorithms that place users otherwise than by the nearest centroid
are explained by the means of their segments: what is usual there, not how they decided.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.assignment import NOBODY, Assignment
from sqlseg.segments.blocks import Block, FloatArray, IntArray, user_count
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.parts import by_parts


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
    return features, _split(X, assignment.labels, assignment.runner_up, centers, starts)


def explain(
    x: FloatArray, assignment: Assignment, centers: FloatArray, inputs: Sequence[str]
) -> tuple[Contribution, ...]:
    """Return what each feature contributes for one user (`x` is one row), the strongest first."""
    features, matrix = contributions(x.reshape(1, -1), assignment, centers, inputs)
    rows = [Contribution(feature, float(value)) for feature, value in zip(features, matrix[0], strict=True)]
    return tuple(sorted(rows, key=lambda row: -abs(row.contribution)))


@dataclass(frozen=True, eq=False)
class UserReasons:
    """What holds users in their segments: one row a user and rank, the strongest first.

    `user` numbers the users, `rank` counts from 1, `feature` numbers `features`; `value` is what the user has there,
    NaN for an embedding. All four arrays and `contribution` are of one length.
    """

    features: tuple[str, ...]
    user: IntArray
    rank: IntArray
    feature: IntArray
    value: FloatArray
    contribution: FloatArray


def user_reasons(model: ClusterModel, blocks: Sequence[Block], assignment: Assignment, count: int = 3) -> UserReasons:
    """Return for each user the `count` inputs that speak most for the own segment against the runner-up.

    Inputs that speak for the runner-up are no reasons, so a user may have fewer, and has none in a single segment.
    """
    _, starts = _groups(model.preprocessing.inputs)
    centers = model.center_matrix

    def split(some: Sequence[Block], own: IntArray, other: IntArray) -> FloatArray:
        return _split(model.preprocessing.transform(some), own, other, centers, starts)

    return strongest(model.preprocessing.inputs, blocks, assignment, split, count)


PINNED = "pinned"
"""What stands first among the reasons of a user who is pinned to the segment."""


def pinned_first(reasons: UserReasons, pinned: IntArray) -> UserReasons:
    """Return the reasons with the pin before all others, for users who have one (`pinned` is -1 for the others).

    It decides, and adds nothing to what the inputs say: its contribution is 0.
    """
    rows = np.flatnonzero(pinned != NOBODY)
    later = pinned[reasons.user] != NOBODY
    order = np.argsort(np.concatenate([reasons.user, rows]), kind="stable")

    def joined(given: FloatArray, own: FloatArray) -> FloatArray:
        result: FloatArray = np.concatenate([given, own])[order]
        return result

    feature = np.concatenate([reasons.feature, np.full(rows.size, len(reasons.features))])
    return UserReasons(
        (*reasons.features, PINNED),
        np.concatenate([reasons.user, rows])[order],
        np.concatenate([reasons.rank + later, np.ones(rows.size, dtype=np.int64)])[order],
        feature[order],
        joined(reasons.value, np.full(rows.size, np.nan)),
        joined(reasons.contribution, np.zeros(rows.size)),
    )


def strongest(
    inputs: Sequence[str],
    blocks: Sequence[Block],
    assignment: Assignment,
    split: Callable[[Sequence[Block], IntArray, IntArray], FloatArray],
    count: int,
) -> UserReasons:
    """Return the `count` features of each user that contribute most, and more than nothing.

    `inputs` names the columns of the model's matrix; `split` gives users x features of some users, from their blocks,
    segments and runners-up.
    """
    features, _ = _groups(inputs)
    raw = {column: block.values[:, i] for block in blocks for i, column in enumerate(block.columns)}
    count = min(count, len(features))

    def reasons(rows: slice) -> tuple[tuple[IntArray, ...], FloatArray]:
        found = split([block.take(rows) for block in blocks], assignment.labels[rows], assignment.runner_up[rows])
        everyone = np.arange(len(found))
        order, strength = np.empty((len(found), count), dtype=np.int64), np.empty((len(found), count))
        for place in range(count):  # which are few: sorting all features of all users takes several times as long
            order[:, place] = best = found.argmax(axis=1)
            strength[:, place] = found[everyone, best]
            found[everyone, best] = -np.inf
        user, rank = np.nonzero(strength > 0)
        return (user + rows.start, rank + 1, order[user, rank]), strength[user, rank]

    parts = by_parts(user_count(blocks) if features else 0, reasons)
    user, rank, feature = (np.concatenate([np.empty(0, np.int64), *(told[i] for told, _ in parts)]) for i in range(3))
    value = np.full(user.size, np.nan)
    for number, name in enumerate(features):
        if name in raw:
            mine = feature == number
            value[mine] = raw[name][user[mine]]
    return UserReasons(
        features, user, rank, feature, value, np.concatenate([np.empty(0), *(strength for _, strength in parts)])
    )


def summed_by_feature(parts: FloatArray, inputs: Sequence[str]) -> tuple[tuple[str, ...], FloatArray]:
    """Return the features behind the columns of users x inputs, and users x features: axes of one input summed.

    >>> summed_by_feature(np.array([[1.0, 2.0, 3.0]]), ("rfm__orders", "encoder:e@1", "encoder:e@1"))[1].tolist()
    [[1.0, 5.0]]
    """
    features, starts = _groups(inputs)
    if not features:
        return (), np.zeros((parts.shape[0], 0))
    return features, np.add.reduceat(parts, starts, axis=1)


def _split(X: FloatArray, own: IntArray, other: IntArray, centers: FloatArray, starts: Sequence[int]) -> FloatArray:
    """Return what each feature (columns of X from one start to the next) adds to d2^2 - d1^2; 0 without a runner-up."""
    near, far = centers[own], centers[other]
    # (x - c2)^2 - (x - c1)^2, without squaring x
    difference = (near - far) * (2.0 * X - near - far)
    difference[other == NOBODY] = 0.0
    result: FloatArray = np.add.reduceat(difference, starts, axis=1)
    return result


def _groups(inputs: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    starts = [i for i, name in enumerate(inputs) if i == 0 or name != inputs[i - 1]]
    return tuple(inputs[i] for i in starts), starts
