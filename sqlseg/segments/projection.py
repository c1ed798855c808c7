"""Turns scaled inputs onto a few axes before anything is learned from them: principal ones, or those of Fisher.

Principal axes (PCA) are those along which users differ most, as many as hold 90% of the variance. Linear discriminants
(LDA, Fisher 1936, Rao 1948) are those along which the labels differ most, against what users of one label differ among
themselves: one fewer than labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sqlseg.segments.axes import VARIANCE_KEPT
from sqlseg.segments.blocks import FloatArray, IntArray

ProjectedBy = Literal["none", "pca", "lda"]

_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Projection:
    """Where users stand along `axes` (axes x inputs), from `center`; `shares` is what each axis holds, all in all 1.

    `shares` counts those that were dropped too: of the variance for PCA, of the differences between labels for LDA.
    """

    kind: str
    center: FloatArray
    axes: FloatArray
    shares: FloatArray

    def along(self, X: FloatArray) -> FloatArray:
        """Return users x axes for users x inputs; a user's own place does not depend on who else is asked about."""
        centered = X - self.center
        return np.stack([(centered * axis).sum(axis=1) for axis in self.axes], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, ready for JSON."""
        parts = {name: getattr(self, name).tolist() for name in ("center", "axes", "shares")}
        return {"kind": self.kind, **parts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Projection":
        """Return what `to_dict` wrote."""
        center, axes, shares = (np.array(data[name], dtype=np.float64) for name in ("center", "axes", "shares"))
        return cls(data["kind"], center, axes, shares)


def principal_axes(X: FloatArray) -> Projection:
    """Return the axes of most variance that together hold 90% of it; X (users x inputs) must not be constant."""
    center = X.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(X.T, bias=True).reshape(X.shape[1], X.shape[1]))
    shares = variances[::-1].clip(min=0.0) / variances.clip(min=0.0).sum()
    count = int(np.searchsorted(np.cumsum(shares), VARIANCE_KEPT - _TINY)) + 1
    return Projection("pca", center, _turned(axes[:, ::-1].T[:count]), shares)


def discriminant_axes(X: FloatArray, y: IntArray) -> Projection:
    """Return the axes along which the classes `y` (0 and up, each with users) differ most, in units of their spread.

    Along each, users of one class have a variance of 1, and along two of them they do not correlate. Directions in
    which nobody differs from the own class are left out.
    """
    counts = np.bincount(y).astype(np.float64)
    means = np.stack([X[y == one].mean(axis=0) for one in range(counts.size)])
    within = X - means[y]
    spread, directions = np.linalg.eigh(within.T @ within / (len(X) - counts.size))
    some = spread > _TINY * max(float(spread.max()), _TINY)
    whitening = directions[:, some] / np.sqrt(spread[some])
    center = counts @ means / len(X)
    between = (means - center) @ whitening * np.sqrt(counts / (counts.size - 1))[:, None]
    _, strengths, rows = np.linalg.svd(between, full_matrices=False)
    apart = strengths[: counts.size - 1] > _TINY * max(float(strengths[0]), _TINY)
    rows = rows[: counts.size - 1][apart]
    shares = strengths**2 / np.square(strengths).sum()
    return Projection("lda", center, _turned(rows @ whitening.T), shares[: len(rows)])


def _turned(axes: FloatArray) -> FloatArray:
    """Return axes with their largest loading positive: they have no direction of their own, and refits should agree."""
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).round(6).argmax(axis=1)])
    return axes * np.where(signs == 0, 1.0, signs)[:, None]
