"""Gives every user the nearest centroid, the second nearest, and how clear the choice was.

Coordinates are counted in steps of 1e-6, as `rounded` left them. Squared distances are then whole numbers, which
float64 adds up exactly in any order (below 2^53 square steps, a distance of 94): by one matrix product a chunk
(|x|^2 - 2xc + |c|^2), by a processor that fuses multiplications, or by the SQL of another database. So all come to the
same segment, ties too.
"""

from dataclasses import dataclass

import numpy as np

from sqlseg.segments.blocks import STEPS, FloatArray, IntArray

NOBODY = -1
_VALUES_AT_ONCE = 500_000


@dataclass(frozen=True, eq=False)
class Assignment:
    """One row a user: `labels` and `runner_up` number the centroids, `distance` is Euclidean.

    `runner_up` is -1 (`NOBODY`) for all where there is one centroid only. `probability` is the share of refits on
    resamples that put the user in the same segment, None where it was not asked for or no refits are known.
    """

    labels: IntArray
    distance: FloatArray
    runner_up: IntArray
    confidence: FloatArray
    probability: FloatArray | None = None

    def sizes(self, count: int) -> IntArray:
        """Return the number of users of each of `count` segments."""
        return np.bincount(self.labels, minlength=count).astype(np.int64)


def assign(X: FloatArray, centers: FloatArray) -> Assignment:
    """Return the nearest and second nearest of `centers` (k x inputs) for each row of `X` (users x inputs).

    Both count in steps of 1e-6; ties go to the centroid that comes first. Confidence is d2^2 / (d1^2 + d2^2), between
    0.5 and 1; it is 1 where there is one centroid and 0.5 on two at once.

    >>> found = assign(np.array([[0.0], [4.0]]), np.array([[1.0], [3.0]]))
    >>> found.labels.tolist(), found.runner_up.tolist(), found.confidence.tolist()
    ([0, 1], [1, 0], [0.9, 0.9])
    """
    users, count = X.shape[0], centers.shape[0]
    labels = np.zeros(users, dtype=np.int64)
    runner_up = np.full(users, NOBODY, dtype=np.int64)
    first, second = np.empty(users), np.zeros(users)
    centers = np.rint(centers * STEPS)
    center_norms = (centers**2).sum(axis=1)
    chunk = max(1, _VALUES_AT_ONCE // max(1, X.shape[1] + count))
    for start in range(0, users, chunk):
        part = slice(start, min(start + chunk, users))
        x = X[part] * STEPS
        np.rint(x, out=x)
        if count > 1:
            squared = x @ centers.T
            squared *= -2.0
            squared += center_norms
            squared += np.einsum("ij,ij->i", x, x)[:, None]
            rows = np.arange(x.shape[0])
            labels[part] = squared.argmin(axis=1)
            squared[rows, labels[part]] = np.inf
            runner_up[part] = squared.argmin(axis=1)
            second[part] = _squared_distance(x, centers[runner_up[part]])
        first[part] = _squared_distance(x, centers[labels[part]])
    if count > 1:
        # Farther away than whole numbers reach, the two ways of adding up may disagree.
        second = np.maximum(first, second)
        total = first + second
        confidence = np.divide(second, total, out=np.full(users, 0.5), where=total > 0)
    else:
        confidence = np.ones(users)
    return Assignment(labels, np.sqrt(first) / STEPS, runner_up, confidence)


def _squared_distance(x: FloatArray, own: FloatArray) -> FloatArray:
    own -= x
    result: FloatArray = np.einsum("ij,ij->i", own, own)
    return result
