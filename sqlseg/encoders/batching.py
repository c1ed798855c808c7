"""Cuts sequences of different lengths into batches that waste little on padding, and puts the answers back."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Batching:
    """How large batches are: `budget` tokens, padding included, and what it costs to start one, in tokens."""

    budget: int
    start: int


ON_CPU = Batching(budget=1_024, start=48)
"""About what one core's nearest caches hold of a batch's states, and a start's 45 microseconds against a token's 1."""

ON_GPU = Batching(budget=131_072, start=4_096)


def cut_batches(lengths: np.ndarray, batching: Batching) -> list[np.ndarray]:
    """Return groups of places, from short to long, with count x longest <= `budget` or a single place each.

    Where one length ends and the next begins, a batch ends if that saves more padding than a start costs; of all ways
    to do so the cheapest is taken. Within one length the order is kept.

    >>> [batch.tolist() for batch in cut_batches(np.array([3, 1, 1, 2]), Batching(budget=100, start=1))]
    [[1, 2], [3, 0]]
    >>> [batch.tolist() for batch in cut_batches(np.array([3, 1, 1, 2]), Batching(budget=3, start=1))]
    [[1, 2], [3], [0]]
    """
    if not len(lengths):
        return []
    # Sequences are short, and small integers are sorted in one pass.
    order = np.argsort(lengths.astype(np.uint16) if int(lengths.max()) < 65_536 else lengths, kind="stable")
    sizes, counts = np.unique(lengths, return_counts=True)
    batches: list[np.ndarray] = []
    start = 0
    for stop, size in _cuts(sizes, counts, batching.start):
        most = max(1, batching.budget // max(1, size))
        parts = -(-(stop - start) // most)
        batches += np.array_split(order[start:stop], parts)
        start = stop
    return batches


def _cuts(sizes: np.ndarray, counts: np.ndarray, start_cost: int) -> list[tuple[int, int]]:
    """Return, for each group of ascending sizes that are padded to one, where it ends and that size."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    least = np.zeros(len(sizes) + 1)
    best_start = np.zeros(len(sizes) + 1, dtype=np.int64)
    for stop in range(1, len(sizes) + 1):
        # The last group goes from any earlier size to this one.
        cost = least[:stop] + (ends[stop] - ends[:stop]) * sizes[stop - 1] + start_cost
        best_start[stop] = np.argmin(cost)
        least[stop] = cost[best_start[stop]]
    groups = []
    stop = len(sizes)
    while stop:
        groups.append((int(ends[stop]), int(sizes[stop - 1])))
        stop = int(best_start[stop])
    return groups[::-1]


def pad_right(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return (sequences, longest, columns): rows `starts[i]` to `starts[i] + lengths[i]` of `values`, then zeros."""
    longest = int(lengths.max())
    place = np.arange(longest)
    if int(lengths.min()) == longest:
        padded: np.ndarray = values.take(starts[:, None] + place, axis=0)
        return padded
    real = place < lengths[:, None]
    padded = values.take(np.where(real, starts[:, None] + place, 0), axis=0)
    padded[~real] = 0.0
    return padded


def _side_by_side(values: np.ndarray, offsets: np.ndarray, batch: np.ndarray) -> np.ndarray | None:
    """Return a batch of one length whose sequences follow each other as it lies in memory, where it is one.

    Batches are ordered by length and place, so the first and the last tell of all.
    """
    first, last = int(batch[0]), int(batch[-1])
    start, stop = int(offsets[first]), int(offsets[last + 1])
    length = int(offsets[first + 1]) - start
    if last - first != len(batch) - 1 or stop - int(offsets[last]) != length:
        return None
    return values[start:stop].reshape(len(batch), length, -1)


def encode_ragged(
    values: np.ndarray,
    offsets: np.ndarray,
    run: Run,
    dimensions: int,
    batching: Batching = ON_CPU,
    executor: Executor | None = None,
) -> np.ndarray:
    """Return one embedding for each sequence, (sequences, dimensions) in the order given; NaN for an empty one.

    Sequence i is `values[offsets[i]:offsets[i + 1]]`. Batches run side by side in the executor, if there is one.
    """
    lengths = np.diff(offsets)
    embeddings = np.full((len(lengths), dimensions), np.nan, dtype=np.float32)
    filled = np.flatnonzero(lengths > 0)
    batches = [filled[batch] for batch in cut_batches(lengths[filled], batching)]

    def encode(batch: np.ndarray) -> None:
        tokens = _side_by_side(values, offsets, batch)
        if tokens is None:
            tokens = pad_right(values, offsets[batch], lengths[batch])
        embeddings[batch] = run(tokens, lengths[batch].astype(np.int64, copy=False))

    # Long batches first: they take the longest, and none is left to the end on one core.
    batches.reverse()
    answers = map(encode, batches) if executor is None else executor.map(encode, batches)
    deque(answers, maxlen=0)
    return embeddings
