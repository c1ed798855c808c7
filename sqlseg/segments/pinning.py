"""k-means around users whom somebody has pinned to a segment (Basu, Banerjee & Mooney 2002, constrained k-means).

The centroids of pinned groups begin at the mean of their pinned users, the free ones by k-means++ beside them. In every
round pinned users stay where they are, and weigh in its centroid like anybody else; all others go to the nearest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sqlseg.errors import SqlsegError
from sqlseg.segments.assignment import NOBODY, Assignment, assign
from sqlseg.segments.blocks import STEPS, FloatArray, IntArray, rounded
from sqlseg.segments.choice_of_k import SMALLEST_SHARE, Criterion, Trial, choose_k
from sqlseg.segments.clustering import Clustering, cluster_count, finished, one_thread, sampled_rows
from sqlseg.segments.resampling import Refits, bootstrap_refits
from sqlseg.segments.shapes import Centroids

_ROUNDS = 300
_STARTS = 8
_STARTED_ON = 10_000
_AS_GOOD_AS = 1.01


class TooManyPins(SqlsegError):
    """More groups are pinned than there may be segments."""


@dataclass(frozen=True, eq=False)
class Pins:
    """The names of the pinned groups, and the number of the group of each user, -1 for those who are free."""

    names: tuple[str, ...]
    of_users: IntArray

    def taking(self, rows: IntArray) -> "Pins":
        """Return the pins of these users."""
        return replace(self, of_users=self.of_users[rows])


@dataclass(frozen=True, eq=False)
class PinnedKMeans:
    """An `Algorithm` in the company of pinned users (`points`, of `groups`), who are there whoever else is.

    It is what numbers of segments are tried with, on samples; its labels are those of the nearest centroid.
    """

    points: FloatArray
    groups: IntArray

    def __call__(
        self, X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = _STARTS
    ) -> Clustering:
        k = cluster_count(X, k, initial_centers)
        everyone = np.vstack([X, self.points])
        owner = np.concatenate([np.full(len(X), NOBODY), self.groups])
        centers, rounds = _constrained(everyone, owner, k, seed=seed, starts=starts)
        return finished(X, Centroids(centers), iterations=rounds)


@dataclass(frozen=True, eq=False)
class PinnedSegments:
    """A clustering, which of its clusters each pinned group is, and what was tried on the way."""

    found: Clustering
    positions: tuple[int, ...]
    tried: tuple[Trial, ...]
    notes: tuple[str, ...]
    refits: Refits | None


def pinned_kmeans(
    X: FloatArray, owner: IntArray, k: int, *, seed: int, beginning: FloatArray | None = None
) -> tuple[Clustering, tuple[int, ...]]:
    """Divide users (rows of X) into at most k clusters, of which the first are pinned groups; see `Pins` for `owner`.

    Clusters are numbered by size; returned with them is the number of each pinned group. `beginning` are centroids for
    the free clusters, and decide their number. A free cluster that holds nobody is left out, a pinned one never.
    """
    groups = int(owner.max()) + 1
    if beginning is None and len(X) > _STARTED_ON:
        free = np.flatnonzero(owner == NOBODY)
        rows = np.sort(np.concatenate([free[sampled_rows(free.size, _STARTED_ON, seed)], np.flatnonzero(owner >= 0)]))
        beginning = _constrained(X[rows], owner[rows], k, seed=seed, starts=_STARTS)[0][groups:]
    centers, rounds = _constrained(X, owner, k, seed=seed, starts=_STARTS, beginning=beginning)
    centers = rounded(centers)
    while True:
        placed = held(assign(X, centers), X, centers, owner)
        sizes = placed.sizes(len(centers))
        kept = (sizes > 0) | (np.arange(len(centers)) < groups)
        if kept.all():
            break
        centers = centers[kept]
    order = np.lexsort((*centers.T[::-1], -sizes))
    number = np.empty(order.size, dtype=np.int64)
    number[order] = np.arange(order.size)
    inertia = float(np.square(placed.distance).sum())
    found = Clustering(Centroids(centers[order]), number[placed.labels], inertia, rounds)
    return found, tuple(number[:groups].tolist())


def pinned_segments(
    X: FloatArray,
    owner: IntArray,
    *,
    k: int | Literal["auto"],
    k_min: int,
    k_max: int,
    seed: int,
    criterion: Criterion,
    previous: IntArray | None,
) -> PinnedSegments:
    """Find segments around pinned users, in a number that is given or chosen.

    `previous` are the segments so far, as `fit_cluster_model` has them: free ones are begun at their means too, and
    stay near them where that is as good. Raises TooManyPins.
    """
    groups = int(owner.max()) + 1
    check_number(groups, k, k_max)
    pinned = owner != NOBODY
    company = PinnedKMeans(X[pinned], owner[pinned])
    notes: list[str] = []
    tried: tuple[Trial, ...] = ()
    if k == "auto":
        before = None if previous is None else np.unique(previous[previous >= 0]).size
        choice = choose_k(
            X, company, k_min=max(k_min, groups), k_max=k_max, seed=seed, previous_k=before, criterion=criterion
        )
        wanted, tried = max(choice.k, groups), choice.trials
        notes.extend(choice.notes)
    else:
        choice, wanted = None, k
    found, positions = pinned_kmeans(X, owner, wanted, seed=seed)
    beginning = _free_means(X, owner, previous)
    if beginning is not None and groups + len(beginning) == len(found.centers):
        again, places = pinned_kmeans(X, owner, wanted, seed=seed, beginning=beginning)
        if again.inertia <= _AS_GOOD_AS * found.inertia and len(again.centers) == len(found.centers):
            found, positions = again, places
    if k == "auto":
        found, positions, merged = _without_free_crumbs(X, owner, found, positions, seed)
        notes.extend(merged)
    elif len(found.centers) < wanted:
        notes.append(f"{wanted} segments were asked for, but the users form {len(found.centers)} only.")
    if choice is not None and choice.k == len(found.centers):
        refits = bootstrap_refits(X, found, company, seed, rows=choice.rows, known=choice.refits)
    else:
        refits = bootstrap_refits(X, found, company, seed)
    return PinnedSegments(found, positions, tried, tuple(notes), refits)


def check_number(groups: int, k: int | Literal["auto"], k_max: int) -> None:
    """Raise TooManyPins where there are more pinned groups than segments."""
    name, most = ("k_max", k_max) if k == "auto" else ("k", k)
    if groups > most:
        raise TooManyPins(f"pins name {groups} segments, and {name} allows {most}: pinned segments count in {name}")


def held(placed: Assignment, X: FloatArray, centers: FloatArray, pinned: IntArray) -> Assignment:
    """Return an assignment by `centers` in which pinned users are where they are pinned (-1 for those who are free).

    Their runner-up is the nearest other centroid and their confidence d2^2 / (d1^2 + d2^2) as ever, with d1 the
    distance to the own one: under 0.5 where the data would have put them elsewhere. No refit moves them.

    >>> X, centers = np.array([[0.0], [1.0]]), np.array([[0.0], [4.0]])
    >>> there = held(assign(X, centers), X, centers, np.array([-1, 1]))
    >>> there.labels.tolist(), there.runner_up.tolist(), there.distance.tolist(), there.confidence.tolist()
    ([0, 1], [1, 0], [0.0, 3.0], [1.0, 0.1])
    """
    rows = np.flatnonzero(pinned != NOBODY)
    own = pinned[rows]
    x, steps = np.rint(X[rows] * STEPS), np.rint(centers * STEPS)
    squared = np.stack([((x - center) ** 2).sum(axis=1) for center in steps], axis=1)
    first = squared[np.arange(rows.size), own]
    labels, distance = placed.labels.copy(), placed.distance.copy()
    runner_up, confidence = placed.runner_up.copy(), placed.confidence.copy()
    labels[rows], distance[rows] = own, np.sqrt(first) / STEPS
    if len(centers) > 1:
        squared[np.arange(rows.size), own] = np.inf
        runner_up[rows] = squared.argmin(axis=1)
        total = first + squared.min(axis=1)
        confidence[rows] = np.divide(squared.min(axis=1), total, out=np.full(rows.size, 0.5), where=total > 0)
    probability = None if placed.probability is None else placed.probability.copy()
    if probability is not None:
        probability[rows] = 1.0
    return Assignment(labels, distance, runner_up, confidence, probability)


def _constrained(
    X: FloatArray, owner: IntArray, k: int, *, seed: int, starts: int, beginning: FloatArray | None = None
) -> tuple[FloatArray, int]:
    """Return the best of several beginnings after its rounds: centroids, those of pinned groups first."""
    groups = int(owner.max()) + 1
    seeds = np.stack([X[owner == group].mean(axis=0) for group in range(groups)])
    free = len(beginning) if beginning is not None else max(0, k - groups)
    if beginning is not None or free == 0:
        starts = 1
    random = np.random.default_rng(seed)
    best: tuple[float, FloatArray, int] | None = None
    with one_thread():
        for _ in range(starts):
            others = _spread_out(X, seeds, free, random) if beginning is None else beginning
            found = _rounds(X, owner, np.vstack([seeds, others]))
            if best is None or found[0] < best[0]:
                best = found
    assert best is not None
    return best[1], best[2]


def _rounds(X: FloatArray, owner: IntArray, centers: FloatArray) -> tuple[float, FloatArray, int]:
    pinned = owner != NOBODY
    norms = np.einsum("ij,ij->i", X, X)
    labels: IntArray | None = None
    rounds = 0
    while rounds < _ROUNDS:
        rounds += 1
        squared = X @ (-2.0 * centers.T)
        squared += np.einsum("ij,ij->i", centers, centers)
        nearest = squared.argmin(axis=1)
        nearest[pinned] = owner[pinned]
        if labels is not None and np.array_equal(nearest, labels):
            break
        labels = nearest
        counts = np.bincount(labels, minlength=len(centers))
        sums = np.zeros_like(centers)
        order = np.argsort(labels, kind="stable")
        present = np.flatnonzero(counts)
        if X.shape[1]:
            sums[present] = np.add.reduceat(X[order], (np.cumsum(counts) - counts)[present], axis=0)
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
    inertia = float((norms + squared[np.arange(len(X)), nearest]).sum())
    return inertia, centers, rounds


def _spread_out(X: FloatArray, seeds: FloatArray, count: int, random: np.random.Generator) -> FloatArray:
    """Return `count` users drawn by k-means++ (Arthur & Vassilvitskii 2007) beside centroids that there are."""
    chosen: list[FloatArray] = []
    nearest = np.full(len(X), np.inf)
    for center in seeds:
        nearest = np.minimum(nearest, ((X - center) ** 2).sum(axis=1))
    candidates = 2 + int(np.log(max(count, 1)))
    for _ in range(count):
        total = nearest.sum()
        if total <= 0:
            break
        drawn = np.searchsorted(np.cumsum(nearest), random.random(candidates) * total)
        tries = [np.minimum(nearest, ((X - X[row]) ** 2).sum(axis=1)) for row in np.minimum(drawn, len(X) - 1)]
        best = min(range(candidates), key=lambda number: float(tries[number].sum()))
        chosen.append(X[min(int(drawn[best]), len(X) - 1)])
        nearest = tries[best]
    return np.array(chosen).reshape(len(chosen), X.shape[1])


def _free_means(X: FloatArray, owner: IntArray, previous: IntArray | None) -> FloatArray | None:
    """Return the means of the segments so far, less those in which most of a pinned group were."""
    if previous is None:
        return None
    taken: set[int] = set()
    for group in range(int(owner.max()) + 1):
        were = previous[(owner == group) & (previous >= 0)]
        if were.size:
            taken.add(int(np.bincount(were).argmax()))
    others = [label for label in np.unique(previous[previous >= 0]).tolist() if label not in taken]
    return np.stack([X[previous == label].mean(axis=0) for label in others]) if others else None


def _without_free_crumbs(
    X: FloatArray, owner: IntArray, found: Clustering, positions: Sequence[int], seed: int
) -> tuple[Clustering, tuple[int, ...], list[str]]:
    notes: list[str] = []
    places = tuple(positions)
    while True:
        shares = np.bincount(found.labels, minlength=len(found.centers)) / len(X)
        free = [number for number in range(len(shares)) if number not in places]
        if not free or shares[free[-1]] >= SMALLEST_SHARE:
            return found, places, notes
        notes.append(f"A segment of {shares[free[-1]]:.2%} of users was merged into its neighbours, being under 1%.")
        found, places = pinned_kmeans(
            X, owner, len(shares) - 1, seed=seed, beginning=found.centers[free[:-1]].reshape(-1, X.shape[1])
        )
