"""Segments by sqlseg and by the plain ways, and how firmly they stand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from evaluation.learning import signed_log
from evaluation.measures import Floats
from sqlseg.segments.blocks import Block
from sqlseg.segments.model import FitSettings, fit_cluster_model

Labels = NDArray[np.int64]
Division = Callable[[NDArray[np.int64]], Labels]
"""Fits segments on these rows of the users, and returns the segment of every user."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments of all users (rows), their number, and the way to fit them again with the same number."""

    labels: Labels
    k: int
    refit: Division


def product_segments(
    blocks: Sequence[Block], seed: int, k: int | None = None, weights: dict[str, float] | None = None
) -> Segments:
    """Fit segments as a refresh does; without `k`, with the number it chooses."""
    found = fit_cluster_model(blocks, FitSettings(k=k or "auto", seed=seed, weights=weights or {}))
    count = len(found.model.centers)

    def refit(rows: NDArray[np.int64]) -> Labels:
        again = fit_cluster_model(
            [block.take(rows) for block in blocks], FitSettings(k=count, seed=seed, weights=weights or {})
        )
        return again.model.score(blocks).labels

    return Segments(found.assignment.labels, count, refit)


def plain_kmeans(values: Floats, k: int, seed: int) -> Segments:
    """Fit scikit-learn's k-means on standardised logs, as most notebooks do."""

    def fit(rows: NDArray[np.int64]) -> Labels:
        scale = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            FunctionTransformer(signed_log),
            StandardScaler(),
        ).fit(values[rows])
        model = KMeans(k, n_init=5, random_state=seed).fit(scale.transform(values[rows]))
        labels: Labels = model.predict(scale.transform(values)).astype(np.int64)
        return labels

    return Segments(fit(np.arange(len(values))), k, fit)


def stability(segments: Segments, resamples: int, seed: int) -> float:
    """Return the mean adjusted Rand index with segments fitted on bootstrap samples of the users."""
    users = len(segments.labels)
    rng = np.random.default_rng(seed)
    again = [segments.refit(np.sort(rng.integers(0, users, users))) for _ in range(resamples)]
    return float(np.mean([adjusted_rand_score(segments.labels, labels) for labels in again]))
