"""Measures how good a segmentation is, for `segments.metric`."""

from collections.abc import Sequence

import numpy as np

from sqlseg.segments.assignment import Assignment
from sqlseg.segments.blocks import Block, user_count
from sqlseg.segments.clustering import one_thread
from sqlseg.segments.measures import Spread, eta_squared, pairwise_distances, silhouette
from sqlseg.segments.model import ClusterModel

__all__ = ["eta_squared", "segment_quality"]

_SILHOUETTE_USERS = 2_000
_MEASURED_USERS = 50_000


def segment_quality(
    model: ClusterModel,
    blocks: Sequence[Block],
    assignment: Assignment,
    *,
    seed: int,
    stability: float | None = None,
) -> dict[str, float]:
    """Return the measures by name; those that are not defined, as a silhouette of one segment, are left out.

    Sizes, inertia and confidence are of all users; calinski_harabasz, davies_bouldin and explained_variance of at
    most 50,000 drawn by the seed, silhouette of at most 2,000. For each input, `block_share[rfm@1]` is its share of the
    differences between users, as its weight gives it, and `explained_variance[rfm@1]` the part of its differences that
    lies between segments: near 0, the segments say nothing of it. `stability` is taken over from the choice of k.
    """
    users = user_count(blocks)
    shares = assignment.sizes(len(model.centers)) / max(users, 1)
    values: dict[str, float | None] = {
        "segment_count": float(len(model.centers)),
        "smallest_share": float(shares.min()),
        "largest_share": float(shares.max()),
        "inertia": float(np.square(assignment.distance).sum()),
        "mean_confidence": float(assignment.confidence.mean()) if users else None,
        "stability": stability,
    }
    if users:
        random = np.random.default_rng(seed)
        rows = np.sort(random.permutation(users)[:_MEASURED_USERS]).astype(np.int64)
        X, labels = model.preprocessing.transform([block.take(rows) for block in blocks]), assignment.labels[rows]
        some = np.sort(random.permutation(rows.size)[:_SILHOUETTE_USERS])
        places = model.preprocessing.places
        with one_thread():
            values["silhouette"] = silhouette(pairwise_distances(X[some]), labels[some])
            spread = Spread.of(X, labels)
        values["calinski_harabasz"] = spread.calinski_harabasz
        values["davies_bouldin"] = spread.davies_bouldin
        values["explained_variance"] = spread.explained_variance()
        values.update({f"block_share[{name}]": v for name, v in spread.block_shares(places).items()})
        values.update({f"explained_variance[{name}]": v for name, v in spread.explained_by_block(places).items()})
    return {name: value for name, value in values.items() if value is not None}
