"""Turns an embedding onto its principal axes: as many as keep 90% of the variance, 16 at most."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.blocks import FloatArray, Vectors
from sqlseg.segments.clustering import one_thread

VARIANCE_KEPT = 0.90
MAXIMUM_COMPONENTS = 16
_TINY = 1e-9
_ROWS_AT_ONCE = 2_048


@dataclass(frozen=True)
class EmbeddingProjection:
    """The frozen parameters of an embedding: `components` is axes x dimensions, `variance_kept` their share."""

    name: str
    center: tuple[float, ...]
    components: tuple[tuple[float, ...], ...]
    variance_kept: float
    scale: float

    def along(self, vectors: Vectors) -> FloatArray:
        """Return users x axes, before scaling and with 0 at the centre; NaN for a user without an embedding.

        An axis lies together in memory, since its values are looked at one after the other.
        """
        center, components = np.array(self.center), np.array(self.components)
        found = np.empty((len(components), len(vectors)))
        with one_thread():  # in products this small, threads spend more time on waiting for one another
            for start in range(0, len(vectors), _ROWS_AT_ONCE):
                rows = slice(start, start + _ROWS_AT_ONCE)
                found[:, rows] = components @ (vectors[rows] - center).T
        return found.T


def fit_embedding(name: str, vectors: Vectors, weight: float) -> EmbeddingProjection | str:
    """Return the projection that these users give (users x dimensions, NaN for one without), or why it is of no use."""
    known, center = _mean(vectors)
    if known == 0 or vectors.shape[1] == 0:
        return "missing for every user"
    scatter = np.zeros((len(center), len(center)))
    for part in _known_parts(vectors):
        part -= center
        scatter += part.T @ part
    # Divided by all users: those without an embedding sit at the centre and count.
    variances, axes = np.linalg.eigh(scatter / len(vectors))
    variances, axes = variances[::-1].clip(min=0.0), axes[:, ::-1].T
    total = float(variances.sum())
    if total <= _TINY**2:
        return "the same for every user"
    enough = int(np.searchsorted(np.cumsum(variances) / total, VARIANCE_KEPT - _TINY)) + 1
    count = min(enough, MAXIMUM_COMPONENTS)
    # An axis has no direction of its own: its largest loading is made positive, so that refits agree.
    axes = axes[:count]
    axes *= np.sign(axes[np.arange(count), np.abs(axes).argmax(axis=1)])[:, None]
    kept = float(variances[:count].sum())
    return EmbeddingProjection(
        name=name,
        center=tuple(center.tolist()),
        components=tuple(tuple(axis) for axis in axes.tolist()),
        variance_kept=kept / total,
        scale=float(np.sqrt(weight / kept)),
    )


def _known_parts(vectors: Vectors) -> Iterator[FloatArray]:
    """Give copies of the vectors there are in double precision, a part of the users at a time."""
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        part = vectors[start : start + _ROWS_AT_ONCE]
        yield part[~np.isnan(part).all(axis=1)].astype(np.float64)


def _mean(vectors: Vectors) -> tuple[int, FloatArray]:
    """Return how many users have a vector, and the mean of theirs."""
    known, total = 0, np.zeros(vectors.shape[1])
    for part in _known_parts(vectors):
        known += len(part)
        total += part.sum(axis=0)
    return known, total / max(known, 1)
