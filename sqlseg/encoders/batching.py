"""Cuts sequences of different lengths into batches that waste little on padding, and puts the answers back."""

from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]

CPU_TOKENS = 1_536
"""Tokens in a batch, padding included: about what one CPU core's caches hold of their states."""

GPU_TOKENS = 131_072


def cut_batches(lengths: np.ndarray, token_budget: int) -> list[np.ndarray]:
    """Return groups of places, from short to long, with count x longest <= `token_budget` or a single place each.

    >>> [batch.tolist() for batch in cut_batches(np.array([3, 1, 1, 2]), token_budget=4)]
    [[1, 2], [3], [0]]
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    batches = []
    start = 0
    while start < len(order):
        # Lengths ascend, so the cost of a batch that ends at a place is that place's length x its count.
        ahead = ordered[start : start + max(1, token_budget // max(1, int(ordered[start])))]
        cost = ahead * np.arange(1, len(ahead) + 1)
        count = max(1, int(np.searchsorted(cost, token_budget, side="right")))
        batches.append(order[start : start + count])
        start += count
    return batches


def pad_right(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return (sequences, longest, columns): rows `starts[i]` to `starts[i] + lengths[i]` of `values`, then zeros."""
    place = np.arange(int(lengths.max()))
    real = place[None, :] < lengths[:, None]
    padded = values[np.where(real, starts[:, None] + place[None, :], starts[:, None])]
    padded[~real] = 0.0
    return padded


def encode_ragged(
    values: np.ndarray,
    offsets: np.ndarray,
    run: Run,
    dimensions: int,
    token_budget: int = CPU_TOKENS,
    executor: Executor | None = None,
) -> np.ndarray:
    """Return one embedding for each sequence, (sequences, dimensions) in the order given; NaN for an empty one.

    Sequence i is `values[offsets[i]:offsets[i + 1]]`. Batches run side by side in the executor, if there is one.
    """
    lengths = np.diff(offsets)
    embeddings = np.full((len(lengths), dimensions), np.nan, dtype=np.float32)
    filled = np.flatnonzero(lengths > 0)
    batches = [filled[batch] for batch in cut_batches(lengths[filled], token_budget)]

    def encode(batch: np.ndarray) -> np.ndarray:
        tokens = pad_right(values, offsets[batch], lengths[batch])
        return run(tokens, lengths[batch].astype(np.int64))

    # Long batches first: they take the longest, and none is left to the end on one core.
    batches.reverse()
    answers = map(encode, batches) if executor is None else executor.map(encode, batches)
    for batch, answer in zip(batches, answers, strict=True):
        embeddings[batch] = answer
    return embeddings
