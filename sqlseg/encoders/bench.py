"""Measures how many users a second an encoder handles here."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sqlseg.encoders.manifest import Encoder
from sqlseg.encoders.session import EncoderSession
from sqlseg.encoders.udf import token_encoder

SHORT, MIXED = 5, 16
"""Mean tokens of a user in a shop where most are new, and in one that many come back to."""


@dataclass(frozen=True)
class Throughput:
    """Users a second, of users whose histories have so many tokens in the mean."""

    ref: str
    provider: str
    threads: int
    users: int
    mean_length: float
    users_per_second: float


def random_tokens(encoder: Encoder, users: int, mean: int, seed: int) -> pa.Table:
    """Return token rows (user_id, position, the columns) of users ordered by id, with random figures.

    Lengths are geometric: most users have few tokens, a few fill the whole sequence.
    """
    described = encoder.manifest
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.geometric(1 / mean, users), described.max_length)
    ids = pa.array(f"u{number:07d}" for number in range(users))
    total = int(lengths.sum())
    position = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    figures = {name: rng.normal(0, 0.5, total).astype(np.float32) for name in described.columns}
    owners = ids.take(pa.array(np.repeat(np.arange(users), lengths)))
    return pa.table({"user_id": owners, "position": position.astype(np.int32), **figures})


def measure_throughput(
    session: EncoderSession, clock: Callable[[], float], threads: int = 1, users: int = 20_000, seed: int = 0
) -> list[Throughput]:
    """Encode random tokens of users with short and with mixed histories, as a refresh does; `clock` counts seconds."""
    measured = []
    for mean in (SHORT, MIXED):
        tokens = random_tokens(session.encoder, users, mean, seed)
        with token_encoder(session, threads) as encoder:
            encoder.encode_rows(tokens.slice(0, len(tokens) // 10))  # warms the memory pools
            began = clock()
            encoder.encode_rows(tokens)
            seconds = clock() - began
        measured.append(
            Throughput(
                session.encoder.ref,
                session.provider,
                threads,
                users,
                len(tokens) / users,
                users / max(seconds, 1e-9),
            )
        )
    return measured
