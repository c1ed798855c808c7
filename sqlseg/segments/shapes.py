"""How a fitted clustering places a user, new ones too: by centroids, by a mixture, or by representatives.

All three say the same four things of a user (`Assignment`), number their segments 0 .. count - 1, have a centre for
each, and survive JSON exactly. Ties go to the segment that comes first: between distances as `assign` has them, between
log densities within 1e-9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlseg.segments.assignment import NOBODY, Assignment, assign
from sqlseg.segments.blocks import STEPS, FloatArray, IntArray

_VALUES_AT_ONCE = 4_000_000
_TIED_WITHIN = 9


@dataclass(frozen=True, eq=False)
class Centroids:
    """The nearest centroid (k x inputs) is the segment."""

    centers: FloatArray

    def place(self, X: FloatArray) -> Assignment:
        """Return the nearest and second nearest centroid of each user."""
        return assign(X, self.centers)

    def taking(self, order: IntArray) -> "Centroids":
        """Return the shape of these segments only, in this order."""
        return Centroids(self.centers[order])


@dataclass(frozen=True, eq=False)
class Mixture:
    """The likeliest of several normal distributions is the segment, its posterior the confidence.

    `weights` has k entries and sums to 1, `centers` is k x inputs; `covariances` is k x inputs for distributions
    whose inputs are independent within a segment, else k x inputs x inputs.
    """

    weights: FloatArray
    centers: FloatArray
    covariances: FloatArray

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mixture) and self.to_dict() == other.to_dict()

    def log_densities(self, X: FloatArray) -> FloatArray:
        """Return ln(weight * density), users x segments."""
        result = np.empty((X.shape[0], self.weights.size))
        for segment, (center, covariance) in enumerate(zip(self.centers, self.covariances, strict=True)):
            if covariance.ndim == 1:
                squared = ((X - center) ** 2) @ (1.0 / covariance)
                log_determinant = float(np.log(covariance).sum())
            else:
                lower = np.linalg.cholesky(covariance)
                whitened = (X - center) @ np.linalg.inv(lower).T
                squared = np.einsum("ij,ij->i", whitened, whitened)
                log_determinant = 2.0 * float(np.log(np.diag(lower)).sum())
            constant = X.shape[1] * np.log(2.0 * np.pi) + log_determinant
            result[:, segment] = np.log(self.weights[segment]) - 0.5 * (constant + squared)
        return result

    def place(self, X: FloatArray) -> Assignment:
        """Return the likeliest and second likeliest segment; `distance` is that to the centre of the likeliest."""
        users, count = X.shape[0], self.weights.size
        labels = np.zeros(users, dtype=np.int64)
        runner_up = np.full(users, NOBODY, dtype=np.int64)
        distance, confidence = np.empty(users), np.ones(users)
        chunk = max(1, _VALUES_AT_ONCE // max(1, X.shape[1] + count))
        for start in range(0, users, chunk):
            part = slice(start, min(start + chunk, users))
            x = X[part]
            if count > 1:
                densities = self.log_densities(x)
                rows = np.arange(x.shape[0])
                top = densities.max(axis=1)
                total = top + np.log(np.exp(densities - top[:, None]).sum(axis=1))
                ranked = np.round(densities, _TIED_WITHIN)
                labels[part] = ranked.argmax(axis=1)
                confidence[part] = np.exp(densities[rows, labels[part]] - total)
                ranked[rows, labels[part]] = -np.inf
                runner_up[part] = ranked.argmax(axis=1)
            distance[part] = np.sqrt(((x - self.centers[labels[part]]) ** 2).sum(axis=1))
        return Assignment(labels, distance, runner_up, confidence)

    def taking(self, order: IntArray) -> "Mixture":
        """Return the shape of these segments only, in this order; their weights sum to 1 again."""
        weights = self.weights[order]
        return Mixture(weights / weights.sum(), self.centers[order], self.covariances[order])

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and texts, ready for JSON; the means are the model's centers."""
        return {
            "covariance": "diagonal" if self.covariances.ndim == 2 else "full",
            "weights": self.weights.tolist(),
            "means": self.centers.tolist(),
            "covariances": self.covariances.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Mixture":
        """Return what `to_dict` wrote."""
        return cls(*(np.array(data[part], dtype=np.float64) for part in ("weights", "means", "covariances")))


@dataclass(frozen=True, eq=False)
class Representatives:
    """The segment of the nearest representative, unless that is too far: then the user is unlike all of them.

    `points` is representatives x inputs, `owner` the segment of each. A user further from the nearest than the
    `reach` of its segment is in segment `noise`, which has no representatives; without noise, reach is infinite.
    `centers` (k x inputs) is the mean user of each segment, the noise too.
    """

    points: FloatArray
    owner: IntArray
    centers: FloatArray
    reach: FloatArray
    noise: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Representatives) and self.to_dict() == other.to_dict()

    def place(self, X: FloatArray) -> Assignment:
        """Return where each user belongs.

        `distance` is to the nearest representative of any segment. Confidence is d2^2 / (d1^2 + d2^2), with the
        nearest representative of the segment and of any other; the noise stands at its border, so at `reach`.
        """
        users, count = X.shape[0], self.centers.shape[0]
        labels = np.zeros(users, dtype=np.int64)
        runner_up = np.full(users, NOBODY, dtype=np.int64)
        distance, first, second = np.empty(users), np.empty(users), np.full(users, np.inf)
        order = np.argsort(self.owner, kind="stable")
        points, owners = np.rint(self.points[order] * STEPS), self.owner[order]
        segments, starts = np.unique(owners, return_index=True)
        norms = (points**2).sum(axis=1)
        chunk = max(1, _VALUES_AT_ONCE // max(1, X.shape[1] + points.shape[0]))
        for start in range(0, users, chunk):
            part = slice(start, min(start + chunk, users))
            x = np.rint(X[part] * STEPS)
            squared = x @ points.T
            squared *= -2.0
            squared += norms
            squared += np.einsum("ij,ij->i", x, x)[:, None]
            nearest = np.maximum(np.minimum.reduceat(squared, starts, axis=1), 0.0)
            rows = np.arange(x.shape[0])
            best = nearest.argmin(axis=1)
            labels[part] = segments[best]
            first[part] = nearest[rows, best]
            if segments.size > 1:
                nearest[rows, best] = np.inf
                other = nearest.argmin(axis=1)
                runner_up[part] = segments[other]
                second[part] = nearest[rows, other]
        distance[:] = np.sqrt(first) / STEPS
        if self.noise is not None:
            border = np.rint(self.reach[labels] * STEPS) ** 2
            outside, to_outside = first > border, (first <= border) & (border < second)
            runner_up[to_outside], second[to_outside] = self.noise, border[to_outside]
            runner_up[outside], labels[outside] = labels[outside], self.noise
            second[outside], first[outside] = first[outside], border[outside]
        confidence = np.ones(users)
        if count > 1:
            total = first + second
            confidence = np.divide(second, total, out=np.full(users, 0.5), where=total > 0)
        return Assignment(labels, distance, runner_up, confidence)

    def taking(self, order: IntArray) -> "Representatives":
        """Return the shape of these segments only, in this order."""
        number = np.full(self.centers.shape[0], NOBODY, dtype=np.int64)
        number[order] = np.arange(order.size)
        kept = number[self.owner] != NOBODY
        noise = None if self.noise is None or number[self.noise] == NOBODY else int(number[self.noise])
        return Representatives(
            self.points[kept], number[self.owner[kept]], self.centers[order], self.reach[order], noise
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON, which knows no infinity: without noise, reach is None."""
        return {
            "points": self.points.tolist(),
            "owner": self.owner.tolist(),
            "centers": self.centers.tolist(),
            "reach": None if self.noise is None else self.reach.tolist(),
            "noise": self.noise,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Representatives":
        """Return what `to_dict` wrote."""
        centers = np.array(data["centers"], dtype=np.float64)
        reach = np.full(len(centers), np.inf) if data["reach"] is None else np.array(data["reach"], dtype=np.float64)
        points = np.array(data["points"], dtype=np.float64)
        return cls(points, np.array(data["owner"], dtype=np.int64), centers, reach, data["noise"])


Shape = Centroids | Mixture | Representatives


def concatenated(parts: Sequence[Assignment]) -> Assignment:
    """Return the assignment of users who were placed a part at a time."""
    if len(parts) == 1:
        return parts[0]
    probabilities = [part.probability for part in parts if part.probability is not None]
    return Assignment(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.distance for part in parts]),
        np.concatenate([part.runner_up for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate(probabilities) if len(probabilities) == len(parts) else None,
    )
