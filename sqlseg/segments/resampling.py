"""How probable it is that a user is in their segment: the share of refits on resamples that would put them there.

At a fit, a sample of users is drawn again with replacement, and divided anew, ten times over (Efron 1979). The clusters
of each refit are matched with the segments, one to one, so that as many users of the sample as possible stay where they
are (Kuhn 1955). The model keeps the matched centroids, so users who come later get a probability too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import STEPS, FloatArray, IntArray
from sqlseg.segments.clustering import Algorithm, Clustering, sampled_rows
from sqlseg.segments.measures import contingency
from sqlseg.segments.pairing import best_pairs
from sqlseg.segments.shapes import Centroids

REFITS = 10
SAMPLE = 3_000
REFIT_STARTS = 2
_VALUES_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class Refits:
    """The centroids of every refit, refits x segments x inputs; NaN where a refit found nothing like a segment."""

    centers: FloatArray

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refits) and np.array_equal(self.centers, other.centers, equal_nan=True)

    def probability(self, X: FloatArray, labels: IntArray) -> FloatArray:
        """Return the share of refits that put each user (row of X) in the segment of `labels`, 0 to 1.

        A user halfway between two centroids counts as put in the segment. Distances count in steps, as in `assign`,
        so that the shares are the same on every machine.

        >>> Refits(np.array([[[0.0], [4.0]], [[0.0], [9.0]]])).probability(np.array([[1.0], [4.0]]), np.array([0, 1]))
        array([1. , 0.5])
        """
        refits, segments, inputs = self.centers.shape
        by_segment = np.rint(self.centers * STEPS).transpose(1, 0, 2).reshape(segments * refits, inputs)
        missing = np.isnan(by_segment).any(axis=1)
        by_segment[missing] = 0.0
        norms = (by_segment**2).sum(axis=1)
        norms[missing] = np.inf
        result = np.empty(len(X))
        chunk = max(1, _VALUES_AT_ONCE // max(1, len(by_segment)))
        for start in range(0, len(X), chunk):
            part = slice(start, min(start + chunk, len(X)))
            x = np.rint(X[part] * STEPS)
            # |x|^2 is the same for all centroids of a user.
            far = by_segment @ x.T
            far *= -2.0
            far += norms[:, None]
            far = far.reshape(segments, refits, len(x))
            own = far[labels[part], :, np.arange(len(x))]
            result[part] = ((own <= far.min(axis=0).T) & np.isfinite(own)).mean(axis=1)
        return result

    def to_list(self) -> list[list[list[float] | None]]:
        """Return plain lists, ready for JSON: refits, segments, inputs; None for a segment that was not found."""
        return [
            [None if np.isnan(center).any() else center.tolist() for center in segments] for segments in self.centers
        ]

    @classmethod
    def from_list(cls, data: Sequence[Sequence[Any]], inputs: int) -> "Refits":
        """Return what `to_list` wrote."""
        unknown = [np.nan] * inputs
        filled = [[unknown if center is None else center for center in segments] for segments in data]
        return cls(np.array(filled, dtype=np.float64).reshape(len(data), len(data[0]), inputs))


def bootstrap_refits(
    X: FloatArray,
    found: Clustering,
    fit: Algorithm,
    seed: int,
    *,
    rows: IntArray | None = None,
    known: Sequence[FloatArray] = (),
) -> Refits | None:
    """Return refits of a division of users (rows of X), matched with its segments; None without centroids.

    `known` are the centroids of refits on resamples of the users `rows`, as the choice of k leaves them; without any,
    a sample is drawn and refitted with as many segments.
    """
    if not isinstance(found.shape, Centroids):
        return None
    count = found.centers.shape[0]
    if rows is None or not known:
        rows = sampled_rows(len(X), SAMPLE, seed)
        random = np.random.default_rng(seed)
        known = [
            fit(X[rows[drawn]], count, seed=seed + number, starts=REFIT_STARTS).centers
            for number, drawn in enumerate(random.integers(0, len(rows), (REFITS, len(rows))), start=1)
        ]
    sample, labels = X[rows], found.labels[rows]
    return Refits(np.stack([_matched(sample, labels, centers, count) for centers in known]))


def _matched(sample: FloatArray, labels: IntArray, centers: FloatArray, count: int) -> FloatArray:
    """Return the centroids in the order of the segments that hold their users, count x inputs."""
    shared = contingency(labels, assign(sample, centers).labels, count, len(centers))
    segments, clusters = best_pairs(shared)
    matched = np.full((count, sample.shape[1]), np.nan)
    matched[segments] = centers[clusters]
    return matched
