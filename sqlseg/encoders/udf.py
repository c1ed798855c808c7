"""The encoder as a SQL function over Arrow arrays: lists of tokens in, embeddings out."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlseg.encoders.batching import CPU_TOKENS, GPU_TOKENS, encode_ragged
from sqlseg.encoders.session import EncoderSession

FUNCTION = "embed_tokens"


class FunctionHost(Protocol):
    """A database that can be given a Python function, such as `sqlseg.engine.duckdb.Engine`."""

    def create_vector_function(self, name: str, function: "TokenEncoder", parameters: list[str], returns: str) -> None:
        """Make the function callable from SQL."""

    def drop_function(self, name: str) -> None:
        """Take it back."""


@dataclass(frozen=True)
class TokenEncoder:
    """Encodes a column of token lists; each token is an array of its position and then its columns.

    The position is carried because a list that was aggregated without an order comes in any order. NULL and empty
    lists give NULL; of a list that is too long, the newest tokens count.
    """

    session: EncoderSession
    executor: Executor | None = None

    def __call__(self, column: pa.ChunkedArray | pa.Array) -> pa.Array:
        """Return FixedSizeList<float>[dimensions], one for each list."""
        described = self.session.encoder.manifest
        lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        values, lengths = sorted_tokens(lists, 1 + len(described.columns))
        values, lengths = _newest(values, lengths, described.max_length)
        embeddings = encode_ragged(
            values,
            np.concatenate([[0], np.cumsum(lengths)]),
            self.session.run,
            described.dimensions,
            GPU_TOKENS if self.session.on_gpu else CPU_TOKENS,
            None if self.session.on_gpu else self.executor,
        )
        return pa.FixedSizeListArray.from_arrays(
            pa.array(embeddings.ravel()), described.dimensions, mask=pa.array(lengths == 0)
        )


def sorted_tokens(lists: pa.Array, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of all lists, ordered by list and position and without the position, and the lists' lengths.

    `width` counts the position and the columns; the lists may be of fixed-size lists or of lists.
    """
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    flat = lists.flatten().flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    tokens = flat.reshape(-1, width)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    position = tokens[:, 0]
    ascending = (owner[1:] > owner[:-1]) | (position[1:] > position[:-1])
    if not ascending.all():
        tokens = tokens[np.lexsort((position, owner))]
    return np.ascontiguousarray(tokens[:, 1:]), lengths.astype(np.int64)


def _newest(values: np.ndarray, lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    if not len(lengths) or int(lengths.max()) <= most:
        return values, lengths
    ends = np.repeat(np.cumsum(lengths), lengths)
    return values[np.arange(len(values)) >= ends - most], np.minimum(lengths, most)


@contextmanager
def encoding_function(host: FunctionHost, session: EncoderSession, threads: int) -> Iterator[None]:
    """Make the encoder callable in SQL as `embed_tokens(tokens)` while the block runs, on so many threads."""
    described = session.encoder.manifest
    with ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="encode") as executor:
        host.create_vector_function(
            FUNCTION,
            TokenEncoder(session, executor),
            [f"FLOAT[{1 + len(described.columns)}][]"],
            f"FLOAT[{described.dimensions}]",
        )
        try:
            yield
        finally:
            host.drop_function(FUNCTION)
