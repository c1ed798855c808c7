"""Turns what a classifier believes into probabilities that come true: Platt's sigmoid, one class against the rest.

Fitted on users that the classifier has not seen (Platt 1999, with the targets that he takes for small samples):

    p = 1 / (1 + exp(-(slope * x + intercept))),  x = ln(q / (1 - q)) of the probability q that was believed

then divided by their sum, where there are more than two classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray

SURE = 1e-9
_ROUNDS = 100
_BINS = 10


@dataclass(frozen=True)
class Sigmoid:
    """The calibration of one class; a slope of 0 says that the belief was worth nothing."""

    slope: float
    intercept: float


def fit_sigmoid(believed: FloatArray, is_class: FloatArray) -> Sigmoid:
    """Return the sigmoid that makes these beliefs come true; `is_class` is 1 for users of the class, else 0."""
    yes = float(is_class.sum())
    no = is_class.size - yes
    target = np.where(is_class > 0, (yes + 1) / (yes + 2), 1 / (no + 2))
    prior = float(np.log((yes + 1) / (no + 1)))
    x = log_odds(believed)
    design = np.column_stack([x, np.ones_like(x)])
    found = np.array([0.0, prior])
    loss = _loss(design @ found, target)
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-(design @ found)))
        gradient = design.T @ (p - target)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-10 and _loss(design @ (found - size * step), target) > loss:
            size /= 2
        found = found - size * step
        before, loss = loss, _loss(design @ found, target)
        if before - loss < 1e-12 * max(1.0, before):
            break
    slope, intercept = (float(value) for value in found)
    return Sigmoid(slope, intercept) if slope > 0 else Sigmoid(0.0, prior)


def calibrated(believed: FloatArray, sigmoids: Sequence[Sigmoid]) -> FloatArray:
    """Return users x classes of calibrated probabilities; two classes have one sigmoid, that of the second."""
    if len(sigmoids) == 1:
        second = _applied(believed[:, 1], sigmoids[0])
        return np.column_stack([1 - second, second])
    each = np.column_stack([_applied(believed[:, number], one) for number, one in enumerate(sigmoids)])
    result: FloatArray = each / each.sum(axis=1, keepdims=True)
    return result


def fit_calibration(believed: FloatArray, classes: IntArray) -> tuple[Sigmoid, ...]:
    """Return the sigmoids of users x classes, from the classes (0 and up) that came true."""
    numbers = range(believed.shape[1]) if believed.shape[1] > 2 else [1]
    return tuple(fit_sigmoid(believed[:, n], (classes == n).astype(np.float64)) for n in numbers)


def calibration_error(confidence: FloatArray, right: FloatArray) -> float:
    """Return how far confidence is from the share that was right, on average over ten bins by their users (ECE).

    >>> calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1.0, 1.0, 1.0, 0.0]))
    0.1
    """
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gap = np.bincount(bins, confidence, _BINS) - np.bincount(bins, right, _BINS)
    return round(float(np.abs(gap).sum() / confidence.size), 12)


def log_odds(probability: FloatArray) -> FloatArray:
    """Return ln(p / (1 - p)), with certainty held to 1e-9."""
    p = np.clip(probability, SURE, 1 - SURE)
    result: FloatArray = np.log(p / (1 - p))
    return result


def _applied(believed: FloatArray, sigmoid: Sigmoid) -> FloatArray:
    result: FloatArray = 1 / (1 + np.exp(-(sigmoid.slope * log_odds(believed) + sigmoid.intercept)))
    return result


def _loss(eta: FloatArray, target: FloatArray) -> float:
    return float(np.sum(np.logaddexp(0.0, eta) - target * eta))
