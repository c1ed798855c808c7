"""What else than recurrence can decide the number of segments: likelihood, and the gap to users without groups."""

from collections.abc import Sequence

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.clustering import Algorithm
from sqlseg.segments.measures import within_variation
from sqlseg.segments.shapes import Mixture, Shape

_GAP_USERS = 1_000
_GAP_CLOUDS = 10
_AS_GOOD_WITHIN = 0.02


def bayesian_information(X: FloatArray, labels: IntArray, shape: Shape) -> float | None:
    """Return the Bayesian information criterion, lower is better (Schwarz 1978); None where it is not defined.

    Of a mixture it is that of its likelihood. Other divisions are taken as round normal distributions of one width,
    each user in one of them (Pelleg & Moore 2000), which suits k-means and little else.
    """
    users, inputs = X.shape
    count = shape.centers.shape[0]
    if isinstance(shape, Mixture):
        densities = shape.log_densities(X)
        top = densities.max(axis=1)
        log_likelihood = float((top + np.log(np.exp(densities - top[:, None]).sum(axis=1))).sum())
        spread = inputs if shape.covariances.ndim == 2 else inputs * (inputs + 1) // 2
        return float(-2.0 * log_likelihood + (count - 1 + count * (inputs + spread)) * np.log(users))
    within = within_variation(X, labels)
    if users <= count or within <= 0:
        return None
    variance = within / (inputs * (users - count))
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 0]
    log_likelihood = float((sizes * np.log(sizes / users)).sum())
    log_likelihood -= 0.5 * users * inputs * float(np.log(2.0 * np.pi * variance)) + 0.5 * inputs * (users - count)
    return float(-2.0 * log_likelihood + (count - 1 + count * inputs + 1) * np.log(users))


def gaps(X: FloatArray, algorithm: Algorithm, numbers: Sequence[int], seed: int) -> dict[int, tuple[float, float]]:
    """Return by number of segments the gap statistic and its standard error (Tibshirani, Walther & Hastie 2001).

    It is how much smaller ln(sum of squares within segments) is than for as many users spread evenly over the box
    around these along their main axes; on at most 1,000 users, against ten such clouds. A number whose segments have
    no width has none.
    """
    random = np.random.default_rng(seed)
    if len(X) > _GAP_USERS:
        X = X[np.sort(random.choice(len(X), _GAP_USERS, replace=False))]
    centered = X - X.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    turned = centered @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    clouds = [random.uniform(low, high, turned.shape) for _ in range(_GAP_CLOUDS)]
    found: dict[int, tuple[float, float]] = {}
    for k in numbers:
        own = within_variation(X, algorithm(X, k, seed=seed, starts=2).labels)
        divided = [algorithm(cloud, k, seed=seed, starts=1).labels for cloud in clouds]
        others = np.array([within_variation(cloud, labels) for cloud, labels in zip(clouds, divided, strict=True)])
        if own <= 0 or others.min() <= 0:
            continue
        logs = np.log(others)
        error = float(logs.std() * np.sqrt(1.0 + 1.0 / _GAP_CLOUDS))
        found[k] = round(float(logs.mean() - np.log(own)), 6), round(error, 6)
    return found


def first_sufficient_gap(numbers: Sequence[int], gap: Sequence[float], error: Sequence[float]) -> int:
    """Return the smallest number whose gap is within one standard error of the next one's; else that of the largest.

    >>> first_sufficient_gap([4, 5, 6], [0.5, 0.9, 0.91], [0.02, 0.02, 0.02])
    5
    """
    for position in range(len(numbers) - 1):
        if gap[position] >= gap[position + 1] - error[position + 1]:
            return numbers[position]
    return numbers[int(np.argmax(gap))]


def best_number(numbers: Sequence[int], values: Sequence[float], previous: int | None) -> int:
    """Return the number with the highest value, or the previous one where it is within 2% of the range of values."""
    top = int(np.argmax(values))
    close = max(values) - _AS_GOOD_WITHIN * (max(values) - min(values))
    if previous is not None and previous in numbers and values[list(numbers).index(previous)] >= close:
        return previous
    return numbers[top]
