"""Chooses the number of segments: the largest of which every single one would be found again, and stands apart.

On a sample, each number in the range is clustered and then clustered again on bootstrap resamples of it. A segment
recurs by the Jaccard index between it and the most similar segment of a refit, averaged over the refits; a valid,
stable one has 0.75 or more (Hennig 2007, "Cluster-wise assessment of cluster stability"). A number of segments is
as good as its worst segment: one more segment than the users have groups halves a group at random, and the halves
do not recur, whatever the other segments do. That is sharper than agreement over all users (the adjusted Rand index
of Ben-Hur et al. 2002 and Lange et al. 2004, recorded beside it), which falls the less the more segments there are.

1. Numbers are left out that make a segment of under 1% of users, and those that put over 80% into the two largest,
   while others remain.
2. Of those whose worst segment recurs at 0.75 or more, one standard error taken off since the luckiest of many would
   win, the largest is taken: it says the most and can be relied on.
   Its silhouette must be four fifths of the best among them: a group that is longer one way than others is halved
   across, again and again in the same place (Ben-David, von Luxburg & Pal 2006), but its halves do not stand apart.
3. Where none does, users form a continuum rather than groups. Then the largest is taken that is within one standard
   error of the most recurrent (the one-standard-error rule of Breiman et al. 1984), and the notes say so.
4. At a refit, the number there was stays where it is as good by rule 2 or 3: on a continuum the numbers differ by
   less than chance, and people know their segments.

That is the default. Another criterion can be asked for instead of rules 2 and 3: the adjusted Rand index of the refits,
silhouette, Davies-Bouldin, the Bayesian information criterion, or the gap statistic.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.clustering import Algorithm, Clustering, different_users, one_thread
from sqlseg.segments.criteria import bayesian_information, best_number, first_sufficient_gap, gaps
from sqlseg.segments.lloyd import Points
from sqlseg.segments.measures import (
    Spread,
    adjusted_rand_index,
    contingency,
    jaccard,
    pairwise_distances,
    silhouette,
)
from sqlseg.segments.partitions import kmeans
from sqlseg.segments.resampling import REFIT_STARTS, REFITS, SAMPLE

Criterion = Literal["recurrence", "stability", "silhouette", "davies_bouldin", "bic", "gap"]

SMALLEST_SHARE = 0.01
TWO_LARGEST_SHARE = 0.80
RECURS_AT = 0.75
APART_AS_BEST = 0.8
USERS_PER_SEGMENT = 10
_SILHOUETTE_SAMPLE = 1_500
_STARTS = 4


@dataclass(frozen=True)
class Trial:
    """What was measured for one number of segments, on a sample of users.

    `recurrence` is that of the worst segment and `recurrence_error` its standard error over the refits;
    `stability` is the mean adjusted Rand index between the division and its refits. The gap, which takes ten more
    divisions for each number, is measured only where it decides.
    """

    k: int
    found: int
    recurrence: float
    recurrence_error: float
    stability: float
    silhouette: float | None
    calinski_harabasz: float | None
    davies_bouldin: float | None
    inertia: float
    smallest_share: float
    largest_share: float
    two_largest_share: float
    bic: float | None = None
    gap: float | None = None
    gap_error: float | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """The number of segments, the centroids it has on the sample, all that were tried, and why, in sentences.

    `refits` are the centroids of that number on each resample, and `rows` the users who were drawn from.
    """

    k: int
    centers: FloatArray | None
    trials: tuple[Trial, ...]
    notes: tuple[str, ...]
    rows: IntArray | None = None
    refits: tuple[FloatArray, ...] = ()


def choose_k(
    X: FloatArray,
    algorithm: Algorithm,
    *,
    k_min: int,
    k_max: int,
    seed: int,
    previous_k: int | None = None,
    criterion: Criterion = "recurrence",
) -> Choice:
    """Return the number of segments for these users (rows of X) between `k_min` and `k_max`.

    Fewer than ten users a segment are not divided further, whatever `k_min` says; the notes say so.
    """
    users = X.shape[0]
    different = different_users(X, at_most=k_max)
    most = max(1, min(users // USERS_PER_SEGMENT, different))
    if most < k_min:
        few = (
            _counted(users, "user") if users // USERS_PER_SEGMENT < different else _counted(different, "different user")
        )
        return Choice(most, None, (), (f"{few}: too few for {k_min} segments, so there {_are(most)}.",))
    random = np.random.default_rng(seed)
    rows = np.arange(users) if users <= SAMPLE else np.sort(random.choice(users, SAMPLE, replace=False))
    sample = X[rows]
    some = sample if len(sample) <= _SILHOUETTE_SAMPLE else sample[:: -(-len(sample) // _SILHOUETTE_SAMPLE)]
    step = -(-len(sample) // len(some)) if len(some) < len(sample) else 1
    resamples = [np.sort(random.integers(0, len(sample), len(sample))) for _ in range(REFITS)]
    trials: list[Trial] = []
    centers: dict[int, FloatArray] = {}
    refits: dict[int, tuple[FloatArray, ...]] = {}
    with one_thread():
        distances = pairwise_distances(some)
        whole = _division(algorithm, sample, seed, _STARTS)
        again = [_division(algorithm, sample[r], seed + n, REFIT_STARTS) for n, r in enumerate(resamples, start=1)]

        def tried(k: int) -> tuple[Trial, FloatArray, tuple[FloatArray, ...]]:
            return _trial(sample, step, distances, k, whole, again)

        # The largest takes longest, so it begins; each has its own seed, so that their order changes nothing.
        numbers = range(min(k_max, most), k_min - 1, -1)
        with ThreadPoolExecutor(min(len(numbers), os.cpu_count() or 1), "choose_k") as pool:
            for trial, centers[trial.k], refits[trial.k] in pool.map(tried, numbers):
                trials.insert(0, trial)
        if criterion == "gap":
            found = gaps(sample, algorithm, [t.k for t in trials], seed)
            trials = [replace(t, gap=found[t.k][0], gap_error=found[t.k][1]) if t.k in found else t for t in trials]
    chosen, note = choose(trials, previous_k, criterion)
    return Choice(chosen, centers[chosen], tuple(trials), (note,), rows, refits[chosen])


def choose(
    trials: Sequence[Trial], previous_k: int | None = None, criterion: Criterion = "recurrence"
) -> tuple[int, str]:
    """Return the number of segments that the rule above, or another criterion, takes, and the sentence that says why.

    Where the criterion is not defined for any number, the rule above decides.
    """
    balanced = [t for t in trials if t.smallest_share >= SMALLEST_SHARE and t.two_largest_share <= TWO_LARGEST_SHARE]
    usable = balanced or [t for t in trials if t.smallest_share >= SMALLEST_SHARE] or list(trials)
    if criterion != "recurrence" and (measured := [t for t in usable if getattr(t, criterion) is not None]):
        return _by_criterion(measured, previous_k, criterion)
    top = max(usable, key=lambda t: (t.recurrence, -t.k))
    stable = _apart([t for t in usable if t.recurrence - t.recurrence_error >= RECURS_AT])
    as_good = stable or [t for t in usable if t.recurrence >= top.recurrence - top.recurrence_error]
    best = next((t for t in as_good if t.k == previous_k), max(as_good, key=lambda t: t.k))
    segments = f"{best.k} segments" + (", as before" if best.k == previous_k else "")
    if stable:
        return best.k, (
            f"{segments}: each is found again in resamples of the users "
            f"(recurrence of the worst {best.recurrence:.2f}, wanted {RECURS_AT})."
        )
    return best.k, (
        f"{segments}: users form a continuum rather than separate groups (recurrence of the worst "
        f"segment {best.recurrence:.2f}, not surely {RECURS_AT} for any number tried), so the borders are a convention."
    )


_KEPT = (
    *("recurrence", "stability", "silhouette", "calinski_harabasz", "davies_bouldin", "inertia"),
    *("bic", "gap", "gap_error", "smallest_share"),
)


def measures_by_number(trials: Sequence[Trial]) -> dict[str, float]:
    """Return what was measured of each number that was tried, by names such as `silhouette[k=5]`."""
    return {
        f"{measure}[k={trial.k}]": value
        for trial in trials
        for measure in _KEPT
        if (value := getattr(trial, measure)) is not None
    }


def _apart(trials: Sequence[Trial]) -> list[Trial]:
    """Return those whose segments stand apart nearly as well as in the best of them."""
    best = max((t.silhouette for t in trials if t.silhouette is not None), default=0.0)
    least = best - (1.0 - APART_AS_BEST) * abs(best)
    return [t for t in trials if t.silhouette is None or t.silhouette >= least]


def _by_criterion(trials: Sequence[Trial], previous_k: int | None, criterion: Criterion) -> tuple[int, str]:
    numbers = [t.k for t in trials]
    values = [float(getattr(t, criterion)) for t in trials]
    lower_is_better = criterion in ("davies_bouldin", "bic")
    if criterion == "gap":
        number = first_sufficient_gap(numbers, values, [t.gap_error or 0.0 for t in trials])
        why = "the smallest whose gap is within one standard error of the next"
    else:
        goodness = [-value for value in values] if lower_is_better else values
        number = best_number(numbers, goodness, previous_k)
        why = f"the {'lowest' if lower_is_better else 'highest'} {criterion}"
        if number != best_number(numbers, goodness, None):
            why = f"as before, nearly {why}"
    value = values[numbers.index(number)]
    return number, f"{number} segments: {why} of {numbers[0]} to {numbers[-1]} ({criterion} {value:,.3f})."


_Division = Callable[[int], Clustering]
"""Divides certain users into so many segments."""


def _division(algorithm: Algorithm, X: FloatArray, seed: int, starts: int) -> _Division:
    if algorithm is kmeans:
        return partial(kmeans, X, seed=seed, starts=starts, points=Points.of(X))
    return partial(algorithm, X, seed=seed, starts=starts)


def _trial(
    sample: FloatArray, step: int, distances: FloatArray, k: int, whole: _Division, again: Sequence[_Division]
) -> tuple[Trial, FloatArray, tuple[FloatArray, ...]]:
    reference = whole(k)
    found = reference.centers.shape[0]
    recurrences, agreements, refits = [], [], []
    for divided in again:
        refit = divided(k)
        refits.append(refit.centers)
        labels = refit.shape.place(sample).labels
        shared = contingency(reference.labels, labels, found, refit.centers.shape[0])
        recurrences.append(jaccard(shared).max(axis=1))
        agreements.append(adjusted_rand_index(shared))
    recurrence = np.array(recurrences)
    worst = int(recurrence.mean(axis=0).argmin())
    shares = np.sort(np.bincount(reference.labels) / len(sample))
    spread = Spread.of(sample, reference.labels)
    trial = Trial(
        k=k,
        found=found,
        recurrence=round(float(recurrence[:, worst].mean()), 6),
        recurrence_error=round(float(recurrence[:, worst].std(ddof=1) / np.sqrt(len(again))), 6),
        stability=round(float(np.mean(agreements)), 6),
        silhouette=_six_digits(silhouette(distances, reference.labels[::step])),
        calinski_harabasz=_six_digits(spread.calinski_harabasz),
        davies_bouldin=_six_digits(spread.davies_bouldin),
        inertia=round(reference.inertia, 6),
        smallest_share=float(shares[0]),
        largest_share=float(shares[-1]),
        two_largest_share=float(shares[-2:].sum()),
        bic=_six_digits(bayesian_information(sample, reference.labels, reference.shape)),
    )
    return trial, reference.centers, tuple(refits)


def _six_digits(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"
