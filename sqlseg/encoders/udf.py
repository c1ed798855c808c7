"""The encoder over Arrow: as a SQL function of token lists, and for whole slices of token rows."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlseg.encoders.batching import encode_ragged
from sqlseg.encoders.session import EncoderSession
from sqlseg.errors import SqlsegError

FUNCTION = "embed_tokens"

_BLOCK = 4_096
"""Rows that are turned from columns into tokens at a time: few enough to stay in the cache."""


class BadToken(SqlsegError):
    """A token holds something that is not a finite number; a model may well answer to it, wrongly."""

    def __init__(self, ref: str, who: str, column: str) -> None:
        super().__init__(
            f"Encoder {ref} cannot read the tokens of {who}: {column} is NULL or not finite in one of them.",
            hint="Give every column of the sequence view a number, with coalesce and #not_null.",
        )


class NoEmbedding(SqlsegError):
    """The model gave something that is not a finite number."""

    def __init__(self, ref: str, who: str) -> None:
        super().__init__(
            f"Encoder {ref} gave no finite embedding for {who}, although every token is a finite number.",
            hint="The model divides by zero or overflows: mend it and give it a new version.",
        )


class FunctionHost(Protocol):
    """A database that can be given a Python function, such as `sqlseg.engine.duckdb.Engine`."""

    def create_vector_function(self, name: str, function: "TokenEncoder", parameters: list[str], returns: str) -> None:
        """Make the function callable from SQL."""

    def drop_function(self, name: str) -> None:
        """Take it back."""


@dataclass(frozen=True)
class TokenEncoder:
    """Encodes tokens that come as Arrow: the lists in a call of the database, or the rows of a slice (`encode_rows`).

    Both ways take positions along, since rows and lists that were aggregated without an order come in any order; and
    both cut, pad and run alike. Of a sequence that is too long, the newest tokens count.
    """

    session: EncoderSession
    executor: Executor | None = None

    def __call__(self, column: pa.ChunkedArray | pa.Array) -> pa.Array:
        """Return FixedSizeList<float>[dimensions], one for each list; NULL for NULL and empty lists.

        Each token is an array of its position and then its columns. Raises BadToken or NoEmbedding.
        """
        lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        values, lengths = sorted_tokens(lists, 1 + len(self.session.encoder.manifest.columns))
        embeddings = self._encoded(values, lengths, None)
        return _fixed_size(embeddings, mask=pa.array(lengths == 0))

    def encode_rows(self, tokens: pa.Table) -> pa.Table:
        """Return `user_id` and `embedding` FixedSizeList<float>[dimensions] of every user who has a token.

        `tokens` has one row a token: user_id, position, and the columns of the manifest, whatever else and in
        whatever order. It is quickest when rows are ordered by user_id and position; users come in the order of
        their rows then, else in that of their first row. Raises BadToken or NoEmbedding.
        """
        users, values, lengths = user_tokens(tokens, self.session.encoder.manifest.columns)
        embeddings = self._encoded(values, lengths, users)
        return pa.table({"user_id": users, "embedding": _fixed_size(embeddings)})

    def _encoded(self, values: np.ndarray, lengths: np.ndarray, users: pa.Array | None) -> np.ndarray:
        session, described = self.session, self.session.encoder.manifest
        values, lengths = _newest(values, lengths, described.max_length)
        offsets = np.concatenate([[0], np.cumsum(lengths)])

        def who(place: int) -> str:
            return f"sequence {place} of a call" if users is None else f"user {users[place].as_py()!r}"

        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            place = int(np.searchsorted(offsets, row, side="right")) - 1
            raise BadToken(session.encoder.ref, who(place), described.columns[column])
        embeddings = encode_ragged(values, offsets, session.run, described.dimensions, session.batching, self.executor)
        wrong = np.flatnonzero(~np.isfinite(embeddings).all(axis=1) & (lengths > 0))
        if len(wrong):
            raise NoEmbedding(session.encoder.ref, who(int(wrong[0])))
        return embeddings


def _fixed_size(embeddings: np.ndarray, mask: pa.Array | None = None) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1], mask=mask)


def sorted_tokens(lists: pa.Array, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of all lists, ordered by list and position and without the position, and the lists' lengths.

    `width` counts the position and the columns; the lists may be of fixed-size lists or of lists.
    """
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = lists.flatten().flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    tokens = flat.reshape(-1, width)
    order = _ascending(lengths, tokens[:, 0])
    if order is not None:
        tokens = tokens[order]
    return np.ascontiguousarray(tokens[:, 1:]), lengths


def _newest(values: np.ndarray, lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    if not len(lengths) or int(lengths.max()) <= most:
        return values, lengths
    ends = np.repeat(np.cumsum(lengths), lengths)
    return values[np.arange(len(values)) >= ends - most], np.minimum(lengths, most)


def user_tokens(tokens: pa.Table, columns: tuple[str, ...]) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Return the users of a table of token rows, their tokens by user and position, and how many each user has."""
    if not len(tokens):
        return tokens["user_id"].combine_chunks(), np.empty((0, len(columns)), np.float32), np.empty(0, np.int64)
    users, lengths, order = _grouped(tokens)
    return users, _figures(tokens, columns, order), lengths


def token_lists(tokens: pa.Table, columns: tuple[str, ...], threads: int = 1) -> pa.Table:
    """Return one row for each user of a table of token rows: `user_id`, `tokens` and `input_hash`.

    Tokens are lists of FixedSizeList<float>[1 + columns], of their position and figures. The hash is the number of
    tokens and all their `token_hash` at once, in whatever order rows come. Users come with the longest lists first:
    the lists of a call of the database are then about as long as each other, and its batches full and hardly padded.
    """
    users, lengths, order = _grouped(tokens, longest_first=True)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    figures = _figures(tokens, ("position", *columns), order, threads)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(figures.ravel()), 1 + len(columns))
    hashes = tokens["token_hash"].to_numpy()
    if len(tokens):
        hashes = np.bitwise_xor.reduceat(hashes if order is None else hashes[order], offsets[:-1])
    counts = pa.array(lengths).cast(pa.string())
    return pa.table(
        {
            "user_id": users,
            "tokens": pa.ListArray.from_arrays(pa.array(offsets), lists),
            "input_hash": pc.binary_join_element_wise(counts, pa.array(hashes).cast(pa.string()), "-"),
        }
    )


def _figures(tokens: pa.Table, columns: tuple[str, ...], order: np.ndarray | None, threads: int = 1) -> np.ndarray:
    """Return columns of token rows as one array (rows, columns), in this order of rows."""
    values = np.empty((len(tokens), len(columns)), np.float32)
    with ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="tokens") as workers:
        figures = list(workers.map(_floats, [tokens[name] for name in columns]))

        def fill(start: int) -> None:
            rows = slice(start, start + _BLOCK)
            for place, column in enumerate(figures):
                values[rows, place] = column[rows] if order is None else column[order[rows]]

        for _ in workers.map(fill, range(0, len(tokens), _BLOCK)):
            pass
    return values


def _grouped(tokens: pa.Table, *, longest_first: bool = False) -> tuple[pa.Array, np.ndarray, np.ndarray | None]:
    """Return the users of token rows, how many rows each has, and the order of rows by user and position.

    Users come in the order of their first rows, or by how many they have; the order is None where rows are in it.
    """
    coded = tokens["user_id"].combine_chunks().dictionary_encode()
    users, owner = coded.dictionary, coded.indices.to_numpy()
    lengths = np.bincount(owner, minlength=len(users))
    if longest_first:
        by_length = np.argsort(-lengths, kind="stable")
        rank = np.empty(len(users), owner.dtype)
        rank[by_length] = np.arange(len(users))
        users, lengths, owner = users.take(pa.array(by_length)), lengths[by_length], rank[owner]
    position = tokens["position"].to_numpy()
    if not (owner[1:] < owner[:-1]).any():
        return users, lengths, _ascending(lengths, position)
    order = _by_place(owner, position, lengths)
    return users, lengths, np.lexsort((position, owner)) if order is None else order


def _by_place(owner: np.ndarray, position: np.ndarray, lengths: np.ndarray) -> np.ndarray | None:
    """Return the order that sorts rows by owner and position without sorting, where each owner's count from 1."""
    if position.dtype.kind != "i" or int(position.min()) < 1 or (position > lengths[owner]).any():
        return None
    place = (np.cumsum(lengths) - lengths)[owner] + position - 1
    order = np.full(len(place), -1, dtype=np.int64)
    order[place] = np.arange(len(place))
    return None if (order < 0).any() else order


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.float32(), safe=False)
    found: np.ndarray = column.to_numpy()
    return found


def _ascending(lengths: np.ndarray, position: np.ndarray) -> np.ndarray | None:
    """Return the order that sorts the positions of each owner, or None where they are; owners' rows lie together."""
    falls = position[1:] <= position[:-1]
    starts = np.cumsum(lengths)[:-1]
    # Where the next owner's rows begin a position may fall; an owner without rows shares its place with the next.
    falls[starts[(starts > 0) & (starts < len(position))] - 1] = False
    if not falls.any():
        return None
    return np.lexsort((position, np.repeat(np.arange(len(lengths)), lengths)))


@contextmanager
def encoding_function(host: FunctionHost, session: EncoderSession, threads: int) -> Iterator[TokenEncoder]:
    """Make the encoder callable in SQL as `embed_tokens(tokens)` while the block runs, on so many threads; give it."""
    described = session.encoder.manifest
    with token_encoder(session, threads) as encoder:
        host.create_vector_function(
            FUNCTION, encoder, [f"FLOAT[{1 + len(described.columns)}][]"], f"FLOAT[{described.dimensions}]"
        )
        try:
            yield encoder
        finally:
            host.drop_function(FUNCTION)


@contextmanager
def token_encoder(session: EncoderSession, threads: int) -> Iterator[TokenEncoder]:
    """Give the encoder for slices of rows or for lists, on so many threads, while the block runs."""
    with ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="encode") as executor:
        yield TokenEncoder(session, executor)
