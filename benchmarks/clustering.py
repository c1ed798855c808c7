"""Clusters many users as `k = "auto"` does it, and in full with scikit-learn and faiss: seconds, and how tight it is.

    python benchmarks/clustering.py                  # 1,000,000 users x 64 inputs; half an hour, 3 GB
    python benchmarks/clustering.py --users 200000   # a quick look

Users are simulated in eight round groups. All ways run in this process, held to one core, one after the other. They are
told apart by the seconds of the processor, which other jobs on the machine lengthen less than those of the clock.

- Number, centres, everybody's place: sqlseg; against scikit-learn's fit of all users for every number from 4 to 12.
- Centres and places for one number, the one that sqlseg chose: sqlseg, scikit-learn in full and by small batches, faiss
  on all users and as it comes (`pip install 'sqlseg[bench]'`; left out where it is not there).

Inertia is the sum of squared distances of all users to the nearest centre, added up in the same way for all; it is told
against the best of `--best-of` beginnings of scikit-learn on all users. Writes results/clustering.json and .md.
"""

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from cold_refresh import machine
from sklearn.cluster import KMeans, MiniBatchKMeans

from sqlseg.segments.algorithms import kmeans
from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import FloatArray, rounded
from sqlseg.segments.choice_of_k import choose_k
from sqlseg.segments.clustering import one_thread, sampled_rows
from sqlseg.segments.model import FIT_USERS

RESULTS = Path(__file__).parent / "results"
NUMBERS = range(4, 13)
GROUPS = 8
WITHIN, FASTER = 1.005, 5.0


@dataclass(frozen=True)
class Measured:
    """What one way took, by the processor and by the clock, and the inertia it came to over all users."""

    way: str
    k: int
    cpu_seconds: float
    seconds: float
    inertia: float


def simulated_users(users: int, inputs: int, groups: int = GROUPS, seed: int = 0) -> FloatArray:
    """Return users x inputs: round groups of unequal size, centres about 0.7 sqrt(inputs) standard deviations apart."""
    random = np.random.default_rng(seed)
    group = random.choice(groups, users, p=random.dirichlet(np.full(groups, 5.0)))
    X = random.normal(size=(users, inputs))
    X += random.normal(size=(groups, inputs))[group] * 0.5
    return rounded(X)


def chosen_and_placed(X: FloatArray, seed: int) -> FloatArray:
    """Return the centres that a fit with k = "auto" comes to, everybody placed."""
    sample = X[sampled_rows(len(X), FIT_USERS, seed)]
    choice = choose_k(sample, kmeans, k_min=NUMBERS.start, k_max=NUMBERS.stop - 1, seed=seed)
    centers = kmeans(sample, choice.k, seed=seed, initial_centers=choice.centers).centers
    assign(X, centers)
    return centers


def placed_at(X: FloatArray, k: int, seed: int) -> FloatArray:
    """Return the centres that a fit with a number comes to, everybody placed."""
    centers = kmeans(X[sampled_rows(len(X), FIT_USERS, seed)], k, seed=seed).centers
    assign(X, centers)
    return centers


def fitted_by_faiss(X: FloatArray, k: int, seed: int, at_most: int | None) -> FloatArray:
    """Return the centres of faiss, everybody placed; `at_most` users a centre are fitted, by default 256."""
    import faiss

    faiss.omp_set_num_threads(1)
    single = X.astype(np.float32)
    sizes = {} if at_most is None else {"max_points_per_centroid": at_most}
    found = faiss.Kmeans(X.shape[1], k, niter=25, seed=seed, **sizes)
    found.train(single)
    found.index.search(single, 1)
    return found.centroids.astype(np.float64)


def inertia(X: FloatArray, centers: FloatArray) -> float:
    """Return the sum of squared distances to the nearest centre."""
    return float(np.square(assign(X, centers).distance).sum())


def measured(way: str, X: FloatArray, fit: Callable[[], FloatArray]) -> Measured:
    """Time one way; what it takes to tell its inertia is not counted."""
    cpu, clock = time.process_time(), time.perf_counter()
    centers = fit()
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    found = Measured(way, len(centers), round(cpu, 2), round(clock, 2), inertia(X, centers))
    print(f"{way}, k = {found.k}: {found.cpu_seconds} s of processor, {found.seconds} s", flush=True)
    return found


def measure(X: FloatArray, seed: int, best_of: int) -> tuple[Measured, list[Measured], list[Measured], Measured]:
    """Return sqlseg with k = "auto", scikit-learn for every number, all ways for the one chosen, and the best there."""

    def scikit(k: int, starts: int) -> Callable[[], FloatArray]:
        return lambda: KMeans(k, n_init=starts, random_state=seed).fit(X).cluster_centers_

    with one_thread():
        ours = measured('sqlseg, k = "auto" over 4 to 12', X, lambda: chosen_and_placed(X, seed))
        k = ours.k
        every = [measured("scikit-learn KMeans, all users", X, scikit(number, 1)) for number in NUMBERS]
        single = [
            measured("sqlseg, k given", X, lambda: placed_at(X, k, seed)),
            next(one for one in every if one.k == k),
            measured(
                "scikit-learn MiniBatchKMeans",
                X,
                lambda: MiniBatchKMeans(k, n_init=1, random_state=seed).fit(X).cluster_centers_,
            ),
        ]
        if importlib.util.find_spec("faiss"):
            single += [
                measured("faiss Kmeans, all users", X, lambda: fitted_by_faiss(X, k, seed, len(X))),
                measured("faiss Kmeans, as it comes", X, lambda: fitted_by_faiss(X, k, seed, None)),
            ]
        best = measured(f"scikit-learn KMeans, best of {best_of}", X, scikit(k, best_of))
    return ours, every, single, best


def markdown(result: dict[str, object], rows: list[tuple[str, Measured]], best: Measured) -> str:
    """Return the table."""
    lines = [
        "| what | way | k | processor, s | clock, s | inertia over the best full fit |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for what, one in rows:
        ratio = f"{one.inertia / best.inertia:.5f}" if one.k == best.k else ""
        k = one.k if "every" not in one.way else "4 to 12"
        lines.append(f"| {what} | {one.way} | {k} | {one.cpu_seconds:.2f} | {one.seconds:.2f} | {ratio} |")
    on = result["machine"]
    assert isinstance(on, dict)
    lines += [
        "",
        f"{result['users']:,} users x {result['inputs']} inputs in {GROUPS} groups; one core of {on['cores']} "
        f"({on['cpu']}), {on['memory']}, Python {on['python']}, commit {on['commit']}. Processor time: sqlseg "
        f"{result['times_faster']} times faster than the nine full fits, inertia {result['inertia_over_best']:.5f} "
        "times that of the best full fit.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--best-of", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    X = simulated_users(given.users, given.inputs, seed=given.seed)
    kmeans(X[:100], 2, seed=0)  # the import of scikit-learn is nobody's work
    ours, every, single, best = measure(X, given.seed, given.best_of)
    total = Measured(
        "scikit-learn KMeans, all users, every number",
        best.k,
        round(sum(one.cpu_seconds for one in every), 2),
        round(sum(one.seconds for one in every), 2),
        next(one.inertia for one in every if one.k == best.k),
    )
    result: dict[str, object] = {
        **vars(given),
        "machine": machine(1),
        "chosen": ours.k,
        "inertia_over_best": ours.inertia / best.inertia,
        "times_faster": round(total.cpu_seconds / ours.cpu_seconds, 1),
        "times_faster_by_the_clock": round(total.seconds / ours.seconds, 1),
        "met": ours.inertia <= WITHIN * best.inertia and total.cpu_seconds >= FASTER * ours.cpu_seconds,
        "auto": asdict(ours),
        "every_number": [asdict(one) for one in every],
        "one_number": [asdict(one) for one in single],
        "best": asdict(best),
    }
    rows = [("number, centres, places", ours), ("", total), ("centres, places", single[0])]
    rows += [("", one) for one in [*single[1:], best]]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "clustering.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "clustering.md").write_text(markdown(result, rows, best), encoding="utf-8")
    print(markdown(result, rows, best))


if __name__ == "__main__":
    main()
