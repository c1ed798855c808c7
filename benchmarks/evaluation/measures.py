"""Figures with their spread over seeds and their user bootstrap, computed for all resamples at once.

A resample of users is a row of counts, how often each user was drawn. Every figure of a shop sees the same resamples,
so that the difference of two figures is paired by user.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.float64]

LEVEL = 0.90
CALIBRATION_BINS = 10


@dataclass(frozen=True, eq=False)
class Figure:
    """One measured figure: its `values` by seed, and its mean over seeds in every resample of the users."""

    values: Floats
    resampled: Floats

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(self.values.mean())

    @property
    def spread(self) -> float:
        """The standard deviation over seeds; 0 for one seed."""
        return float(self.values.std(ddof=1)) if self.values.size > 1 else 0.0

    def interval(self) -> tuple[float, float]:
        """Return the 90% user-bootstrap interval (percentiles), without resamples where it is not defined."""
        low, high = np.nanquantile(self.resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    def __sub__(self, other: "Figure | float") -> "Figure":
        if isinstance(other, Figure):
            return Figure(self.values - other.values, self.resampled - other.resampled)
        return Figure(self.values - other, self.resampled - other)

    def __mul__(self, factor: float) -> "Figure":
        return Figure(self.values * factor, self.resampled * factor)


def mean_figure(figures: Sequence[Figure]) -> Figure:
    """Return the mean of several figures over the same users and seeds.

    >>> one, two = Figure(np.array([1.0]), np.array([1.0, 2.0])), Figure(np.array([3.0]), np.array([3.0, 4.0]))
    >>> mean_figure([one, two]).resampled.tolist()
    [2.0, 3.0]
    """
    return Figure(
        np.mean([figure.values for figure in figures], axis=0),
        np.mean([figure.resampled for figure in figures], axis=0),
    )


def recentred(figure: Figure) -> Figure:
    """Return a figure whose resamples have the mean of its values.

    An absolute error is larger in a resample than in the sample it is drawn from, by the error of drawing; without that
    the interval would not hold the figure itself.
    """
    return Figure(figure.values, figure.resampled - figure.resampled.mean() + figure.values.mean())


def resamples(users: int, count: int, seed: int) -> Counts:
    """Return bootstrap counts (count, users): each row draws as many users as there are, with replacement.

    >>> resamples(5, 2, seed=0).sum(axis=1).tolist()
    [5.0, 5.0]
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(users, np.full(users, 1 / users), size=count).astype(np.float64)


def figure(by_seed: Sequence[Callable[[Counts], Floats]], counts: Counts) -> Figure:
    """Measure once on the users as they are and once in every resample; one callable a seed."""
    everyone = np.ones((1, counts.shape[1]))
    values = np.array([float(measure(everyone)[0]) for measure in by_seed])
    return Figure(values, np.mean([measure(counts) for measure in by_seed], axis=0))


def areas(truth: NDArray[np.bool_], score: Floats, counts: Counts) -> Floats:
    """Return the area under the ROC curve in every resample (rows of `counts`); ties count a half.

    NaN where a resample has one class only.

    >>> areas(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]), np.ones((1, 3))).tolist()
    [0.75]
    """
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    drawn = counts[:, order]
    positive = np.add.reduceat(drawn * truth[order], starts, axis=1)
    negative = np.add.reduceat(drawn * ~truth[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = (positive * below).sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)


def separations(values: Floats, labels: NDArray[np.int64], counts: Counts) -> Floats:
    """Return eta squared, the share of the variance of `values` between segments, in every resample.

    >>> separations(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]), np.ones((1, 4))).tolist()
    [1.0]
    """
    member = (labels[:, None] == np.unique(labels)[None, :]).astype(np.float64)
    centered = values - values.mean()
    sizes, sums = counts @ member, counts @ (member * centered[:, None])
    users, total = counts.sum(axis=1), counts @ centered
    of_mean = total**2 / users
    between = np.divide(sums**2, sizes, out=np.zeros_like(sums), where=sizes > 0).sum(axis=1) - of_mean
    variance = counts @ centered**2 - of_mean
    return np.divide(between, variance, out=np.full(len(counts), np.nan), where=variance > 0)


def calibration_errors(truth: NDArray[np.bool_], probability: Floats, counts: Counts) -> Floats:
    """Return the expected calibration error in every resample: ten bins of equally many users by probability.

    Each bin counts by its users; its error is |mean probability - share that came true| (Naeini et al. 2015). Users
    of one probability stay in one bin.

    >>> calibration_errors(np.array([True, False]), np.array([0.75, 0.75]), np.ones((1, 2))).tolist()
    [0.25]
    """
    edges = np.quantile(probability, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, probability, side="left")
    member = (bins[:, None] == np.unique(bins)[None, :]).astype(np.float64)
    gap = counts @ (member * (probability - truth)[:, None])
    return np.abs(gap).sum(axis=1) / counts.sum(axis=1)


def calibration_by_chance(probability: Floats, draws: int, seed: int) -> float:
    """Return the calibration error that probabilities would show by chance if every one were true."""
    rng = np.random.default_rng(seed)
    everyone = np.ones((1, probability.size))
    drawn = [rng.random(probability.size) < probability for _ in range(draws)]
    return float(np.mean([calibration_errors(truth, probability, everyone)[0] for truth in drawn]))


def rank_sum(*scores: Floats) -> Floats:
    """Return the sum of average ranks, each scaled to 0..1: the plain RFM score.

    >>> rank_sum(np.array([1.0, 2.0]), np.array([5.0, 6.0])).tolist()
    [1.0, 2.0]
    """
    from scipy.stats import rankdata

    return np.sum([rankdata(score) / len(score) for score in scores], axis=0)


def quantile_groups(score: Floats, groups: int) -> NDArray[np.int64]:
    """Return users cut into equally many by a score; users of one score stay together.

    >>> quantile_groups(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist()
    [0, 0, 1, 1]
    """
    from scipy.stats import rankdata

    return np.floor((rankdata(score, method="min") - 1) * groups / len(score)).astype(np.int64)
