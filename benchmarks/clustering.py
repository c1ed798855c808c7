"""Clusters many users twice: as `k = "auto"` does it, and with scikit-learn in full for every number of clusters.

Users are simulated in eight round groups. Both ways run in this process, on one thread, one after the other, so the
ratio of their seconds is what counts. scikit-learn fits all users once for every number from 4 to 12, with k-means++
and as many beginnings as `--starts`; sqlseg's inertia is compared with its inertia at the number that sqlseg chose.

    python benchmarks/clustering.py                  # 1,000,000 users x 64 inputs
    python benchmarks/clustering.py --users 200000   # a quick look
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

from sqlseg.segments.algorithms import kmeans
from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import FloatArray, rounded
from sqlseg.segments.choice_of_k import choose_k
from sqlseg.segments.clustering import one_thread, sampled_rows
from sqlseg.segments.model import FIT_USERS

RESULT = Path(__file__).parent / "results" / "clustering.json"
NUMBERS = range(4, 13)


def simulated_users(users: int, inputs: int, groups: int = 8, seed: int = 0) -> FloatArray:
    """Return users x inputs: round groups of unequal size, centres about 0.7 sqrt(inputs) standard deviations apart."""
    random = np.random.default_rng(seed)
    group = random.choice(groups, users, p=random.dirichlet(np.full(groups, 5.0)))
    X = random.normal(size=(users, inputs))
    X += random.normal(size=(groups, inputs))[group] * 0.5
    return rounded(X)


def sqlseg_way(X: FloatArray, seed: int) -> tuple[int, float]:
    """Return the number of clusters and the inertia over all users, as a fit of this many users comes to them."""
    with one_thread():
        rows = sampled_rows(len(X), FIT_USERS, seed)
        sample = X[rows]
        choice = choose_k(sample, kmeans, k_min=NUMBERS.start, k_max=NUMBERS.stop - 1, seed=seed)
        found = kmeans(sample, choice.k, seed=seed, initial_centers=choice.centers)
        placed = assign(X, found.centers)
    return found.centers.shape[0], float(np.square(placed.distance).sum())


def full_fits(X: FloatArray, starts: int, seed: int) -> dict[int, float]:
    """Return the inertia of scikit-learn's fit of all users, by number of clusters."""
    with one_thread():
        return {k: float(KMeans(k, n_init=starts, random_state=seed).fit(X).inertia_) for k in NUMBERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    X = simulated_users(given.users, given.inputs, seed=given.seed)
    kmeans(X[:100], 2, seed=0)  # the import of scikit-learn is nobody's work
    began = time.perf_counter()
    k, inertia = sqlseg_way(X, given.seed)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    full = full_fits(X, given.starts, given.seed)
    theirs = time.perf_counter() - began
    result = {
        **vars(given),
        "chosen": k,
        "inertia": inertia,
        "full_inertia": full[k],
        "inertia_over_full": inertia / full[k],
        "seconds": round(ours, 2),
        "full_seconds": round(theirs, 2),
        "times_faster": round(theirs / ours, 2),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
