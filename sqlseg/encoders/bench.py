"""Measures how many users a second an encoder handles here."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sqlseg.encoders.batching import CPU_TOKENS, GPU_TOKENS, encode_ragged
from sqlseg.encoders.session import EncoderSession


@dataclass(frozen=True)
class Throughput:
    """Users a second, of users whose histories are as long as those of a typical shop."""

    ref: str
    provider: str
    threads: int
    users: int
    mean_length: float
    users_per_second: float


def measure_throughput(
    session: EncoderSession, clock: Callable[[], float], threads: int = 1, users: int = 20_000, seed: int = 0
) -> Throughput:
    """Encode random tokens in calls of 2,048 users, as the database makes them; `clock` counts seconds.

    Lengths are geometric with a mean of about 16: most users are new, a few fill the whole sequence.
    """
    described = session.encoder.manifest
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.geometric(1 / 16, users), described.max_length)
    calls = []
    for start in range(0, users, 2_048):
        offsets = np.concatenate([[0], np.cumsum(lengths[start : start + 2_048])])
        calls.append((rng.normal(0, 0.5, (offsets[-1], len(described.columns))).astype(np.float32), offsets))
    budget = GPU_TOKENS if session.on_gpu else CPU_TOKENS
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        executor = None if session.on_gpu else pool
        encode_ragged(*calls[0], session.run, described.dimensions, budget, executor)  # warms the memory pools
        began = clock()
        for values, offsets in calls:
            encode_ragged(values, offsets, session.run, described.dimensions, budget, executor)
        seconds = clock() - began
    return Throughput(
        session.encoder.ref, session.provider, threads, users, float(lengths.mean()), users / max(seconds, 1e-9)
    )
