"""Gaussian mixtures: segments that may be wide or narrow and overlap, with the posterior as confidence.

A segment's spread is at least a tenth of that of all users on the average input. Counts such as one order sit on a
single value, and a distribution would else contract to that value and call its users certain.
"""

import warnings

import numpy as np

from sqlseg.segments.blocks import FloatArray, rounded
from sqlseg.segments.clustering import Clustering, cluster_count, finished, one_cluster, one_thread, sampled_rows
from sqlseg.segments.partitions import kmeans
from sqlseg.segments.shapes import Mixture

_SPREAD_AT_LEAST = 0.1
_FITTED_ON = 50_000
_MAXIMUM_ITERATIONS = 200


def gaussian_mixture(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Divide users by a mixture of normal distributions, each with a full covariance (Dempster et al. 1977)."""
    return _mixture(X, k, "full", seed, initial_centers, starts)


def gaussian_mixture_diagonal(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Divide users by a mixture of normal distributions whose inputs are independent within a segment."""
    return _mixture(X, k, "diag", seed, initial_centers, starts)


def _mixture(
    X: FloatArray, k: int, covariance: str, seed: int, initial_centers: FloatArray | None, starts: int
) -> Clustering:
    """Begin from k-means and let expectation and maximisation go on, on at most 50,000 users drawn by the seed."""
    k = cluster_count(X, k, initial_centers)
    if k == 1:
        return one_cluster(X)
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    sample = X[sampled_rows(X.shape[0], _FITTED_ON, seed)]
    begin = kmeans(sample, k, seed=seed, initial_centers=initial_centers, starts=starts)
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 rounds are enough for segments to stand still
        fitted = GaussianMixture(
            n_components=begin.centers.shape[0],
            covariance_type=covariance,
            reg_covar=_SPREAD_AT_LEAST**2 * float(sample.var(axis=0).mean()),
            means_init=begin.centers,
            max_iter=_MAXIMUM_ITERATIONS,
            init_params="kmeans",
            random_state=np.random.RandomState(seed),
        ).fit(sample)
    shape = Mixture(np.round(fitted.weights_, 12), rounded(fitted.means_.copy()), np.round(fitted.covariances_, 12))
    return finished(X, shape.taking(np.arange(shape.weights.size)), iterations=int(fitted.n_iter_))
