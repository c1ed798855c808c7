"""Keeps segment ids permanent: a refit's clusters take the ids of the segments whose users they hold.

Clusters and segments are matched one to one so that the sum of their Jaccard indices, over the users both know, is
the largest (Kuhn 1955; the matching of Greene, Doyle & Cunningham 2010 for groups that change over time). A pair
below one third is no match: two segments of one size then share less than half of their users. Hennig 2007 calls a
cluster dissolved at one half; refits on noisy features move a third of all users without changing what the segments
are, hence the lower line. Whatever is left takes the next number never used.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.measures import jaccard
from sqlseg.segments.pairing import best_pairs

Relation = Literal["kept", "split", "merged", "born", "retired"]

MINIMUM_OVERLAP = 1 / 3
DESCENDS_AT = 0.5
_TIE_BREAK = 1e-6


@dataclass(frozen=True)
class Lineage:
    """One line of descent at a refit.

    - kept: the id goes on; `overlap` is the Jaccard index of its users before and after, 0 where the place decided.
    - split: a new id that has at least half of its users from `from_segment_id`; `overlap` is that share.
    - merged: an old id that ends, at least half of its users now in `to_segment_id`; `overlap` is that share.
    - born: a new id without such a parent; `overlap` is the largest share that comes from any one segment.
    - retired: an old id that ends without such an heir; `overlap` is the largest share that any one segment took.
    """

    from_segment_id: str | None
    to_segment_id: str | None
    relation: Relation
    overlap: float


@dataclass(frozen=True)
class Matching:
    """The ids of the new clusters in their order, what became of every old id, and the next number never used."""

    segment_ids: tuple[str, ...]
    lineage: tuple[Lineage, ...]
    next_number: int


def match_segments(
    segmentation: str,
    old_users: NDArray[Any],
    old_segments: Sequence[str],
    new_users: NDArray[Any],
    new_labels: IntArray,
    *,
    new_count: int,
    next_number: int,
    live_ids: Iterable[str] = (),
    old_centers: Mapping[str, FloatArray] | None = None,
    new_centers: FloatArray | None = None,
    same: tuple[str | None, int] | None = None,
    named: Mapping[int, str] | None = None,
) -> Matching:
    """Return ids for clusters 0 .. new_count - 1, from who was and who is where.

    `old_segments[i]` is the segment of `old_users[i]`, a user at most once; `new_labels[i]` the cluster of
    `new_users[i]`. `live_ids` are old segments that may have no user left. `old_centers`, by id, and
    `new_centers` (clusters x inputs) are the mean users of both in one space. `same` is an old segment (or None) and
    a cluster that mean the same whoever their users are; see `match_counts` for the rest, and for `named`.
    """
    old_ids = tuple(sorted({*live_ids, *(str(segment) for segment in old_segments)}, key=segment_number_order))
    position = {segment: number for number, segment in enumerate(old_ids)}
    old_labels = np.fromiter((position[str(segment)] for segment in old_segments), dtype=np.int64)
    _, where_old, where_new = np.intersect1d(old_users, new_users, return_indices=True)
    shared = np.zeros((len(old_ids), new_count), dtype=np.int64)
    np.add.at(shared, (old_labels[where_old], new_labels[where_new]), 1)
    sizes = np.bincount(new_labels, minlength=new_count)
    distances = None
    if old_centers is not None and new_centers is not None:
        distances = np.full(shared.shape, np.inf)
        for row, segment in enumerate(old_ids):
            if segment in old_centers:
                distances[row] = np.sqrt(((new_centers - old_centers[segment]) ** 2).sum(axis=1))
    fixed = None if same is None else (position.get(str(same[0])), same[1])
    return match_counts(
        segmentation,
        old_ids,
        shared,
        sizes,
        next_number=next_number,
        distances=distances,
        same=fixed,
        named=named,
    )


def match_counts(
    segmentation: str,
    old_ids: Sequence[str],
    shared: IntArray,
    new_sizes: IntArray,
    *,
    next_number: int,
    distances: FloatArray | None = None,
    same: tuple[int | None, int] | None = None,
    named: Mapping[int, str] | None = None,
) -> Matching:
    """Return ids for the new clusters from the users that each old segment shares with each.

    `shared` is old x new, `new_sizes` counts all users of the new clusters, also those unknown before, and orders
    new ids: the largest new cluster gets the smallest number. `distances`, old x new, between the means of both in
    one space (infinite where unknown), settles what the users leave open. `same` is a pair, old and new, that is
    matched whatever it shares; with None for the old one, the new one is matched with none. `named` are ids that new
    clusters have whatever they share, of old segments or of such as were there before. `next_number` must be above
    every number ever given out.

    >>> found = match_counts("behavior", ["behavior-1", "behavior-2"], np.array([[9, 1], [0, 0]]), np.array([9, 5]),
    ...                      next_number=3)
    >>> found.segment_ids, found.next_number
    (('behavior-1', 'behavior-3'), 4)
    """
    next_number = max(next_number, next_segment_number(segmentation, old_ids))
    overlap = jaccard(shared)
    likeness = overlap.copy()
    if same is not None:
        old, new = same
        likeness[:, new] = 0.0
        if old is not None:
            likeness[old, :] = 0.0
            likeness[old, new] = 1.0 + min(likeness.shape)
    named = named or {}
    for new, segment_id in named.items():
        likeness[:, new] = 0.0
        if segment_id in old_ids:
            old = list(old_ids).index(segment_id)
            likeness[old, :] = 0.0
            likeness[old, new] = 1.0 + min(likeness.shape)
    score = likeness.copy()
    if distances is not None:
        score -= _TIE_BREAK * _relative(distances)
    rows, columns = best_pairs(score)
    matched = {
        int(new): int(old) for old, new in zip(rows, columns, strict=True) if likeness[old, new] >= MINIMUM_OVERLAP
    }
    if distances is not None:
        by_place = _matched_by_place(shared, distances, matched)
        settled = {*named, *([] if same is None else [same[1]])}
        matched |= {new: old for new, old in by_place.items() if new not in settled}
    ids: dict[int, str] = {new: old_ids[old] for new, old in matched.items()} | dict(named)
    for new in sorted((new for new in range(shared.shape[1]) if new not in ids), key=lambda j: (-new_sizes[j], j)):
        ids[new] = f"{segmentation}-{next_number}"
        next_number += 1
    segment_ids = tuple(ids[new] for new in range(shared.shape[1]))
    return Matching(segment_ids, _lineage(old_ids, segment_ids, shared, overlap, matched), next_number)


def next_segment_number(segmentation: str, ids_ever: Iterable[str]) -> int:
    """Return the smallest number above all that were ever given out, retired ones too.

    >>> next_segment_number("behavior", ["behavior-1", "behavior-4", "value-9"])
    5
    """
    numbers = (re.fullmatch(re.escape(segmentation) + r"-(\d+)", segment_id) for segment_id in ids_ever)
    return max((int(number[1]) for number in numbers if number), default=0) + 1


def segment_number_order(segment_id: str) -> tuple[str, int]:
    """Return a key that sorts behavior-2 before behavior-10."""
    name, _, number = segment_id.rpartition("-")
    return (name, int(number)) if number.isdigit() else (segment_id, 0)


def _relative(distances: FloatArray) -> FloatArray:
    """Return distances as parts of the largest known one; what is unknown is twice as far."""
    known = np.isfinite(distances)
    largest = distances[known].max() if known.any() else 0.0
    result: FloatArray = np.where(known, distances / largest if largest > 0 else 0.0, 2.0)
    return result


def _matched_by_place(shared: IntArray, distances: FloatArray, matched: Mapping[int, int]) -> dict[int, int]:
    """Return matches (new to old) of segments that have lost all users with clusters of new users alone."""
    emptied = [old for old in np.flatnonzero(shared.sum(axis=1) == 0) if old not in matched.values()]
    unknown = [new for new in np.flatnonzero(shared.sum(axis=0) == 0) if new not in matched]
    if not emptied or not unknown:
        return {}
    rows, columns = best_pairs(-_relative(distances)[np.ix_(emptied, unknown)])
    pairs = ((int(emptied[row]), int(unknown[column])) for row, column in zip(rows, columns, strict=True))
    return {
        new: old
        for old, new in pairs
        if np.isfinite(distances[old, new]) and distances[old, new] == distances[:, new].min()
    }


def _lineage(
    old_ids: Sequence[str], new_ids: Sequence[str], shared: IntArray, overlap: FloatArray, matched: dict[int, int]
) -> tuple[Lineage, ...]:
    came_from = shared / np.maximum(shared.sum(axis=0), 1)[None, :]
    went_to = shared / np.maximum(shared.sum(axis=1), 1)[:, None]
    rows: list[Lineage] = []
    for new, segment_id in enumerate(new_ids):
        if new in matched:
            old = matched[new]
            rows.append(Lineage(old_ids[old], segment_id, "kept", float(overlap[old, new])))
            continue
        parent = int(came_from[:, new].argmax()) if old_ids else None
        share = float(came_from[parent, new]) if parent is not None else 0.0
        if parent is not None and share >= DESCENDS_AT:
            rows.append(Lineage(old_ids[parent], segment_id, "split", share))
        else:
            rows.append(Lineage(None, segment_id, "born", share))
    kept = set(matched.values())
    for old, segment_id in enumerate(old_ids):
        if old in kept:
            continue
        heir = int(went_to[old].argmax()) if new_ids else None
        share = float(went_to[old, heir]) if heir is not None else 0.0
        if heir is not None and share >= DESCENDS_AT:
            rows.append(Lineage(segment_id, new_ids[heir], "merged", share))
        else:
            rows.append(Lineage(segment_id, None, "retired", share))
    return tuple(rows)
