"""Keeps the table of embeddings up to date: only users whose tokens changed are encoded."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlseg.encoders.manifest import Device, Encoder
from sqlseg.encoders.session import open_session
from sqlseg.encoders.udf import TokenEncoder, encoding_function, token_lists
from sqlseg.errors import SqlsegError
from sqlseg.resources import sql_text

SLICES = 8
SLICE_USERS, SLICE_USERS_AT_MOST = 35_000, 125_000
"""Users whose tokens are read at a time are an eighth of all, within these bounds.

Events in the order of a log are read whole for every slice. 35,000 users with 64 tokens of 13 figures each make 120 MB,
of which there are two at most; larger slices take no more than the 2 kB a user that segments need later.
"""

NUMBERED_USERS = "embed_users"
"""The users to embed and their places, while `embed` works."""

_READ_AT_ONCE = 4_096
"""Users whose lists of tokens are one part of a slice."""

_COMMENTS = {
    "user_id": "The user.",
    "embedding": "What the encoder makes of the user's last tokens.",
    "input_hash": "Changes with any token; an embedding with the same input and model is not computed again.",
    "model_sha256": "SHA-256 of the model file.",
    "provider": "Where it was computed: CPUExecutionProvider or CUDAExecutionProvider.",
    "embedded_at": "When it was computed, in UTC.",
}


class SequenceMismatch(SqlsegError):
    """A sequence view does not give what the encoder reads."""

    def __init__(self, encoder: Encoder, found: Sequence[str], expected: Sequence[str]) -> None:
        wrong = next(
            (pair for pair in zip((*found, None), (*expected, None), strict=False) if pair[0] != pair[1]), (None, None)
        )
        super().__init__(
            f"Encoder {encoder.ref} reads the sequence {encoder.manifest.sequence}, whose columns differ from its "
            f"manifest: {wrong[0]!r} instead of {wrong[1]!r}.",
            hint="A sequence view never changes; another order or set of columns is a new version with a new encoder.",
        )


class Database(Protocol):
    """What is needed of a database, such as `sqlseg.engine.duckdb.Engine`."""

    def execute(self, sql: str, parameters: Any = None) -> None:
        """Run statements."""

    def rows(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Return all rows."""

    def value(self, sql: str, parameters: Any = None) -> Any:
        """Return the first column of the first row."""

    def table(self, sql: str, parameters: Any = None) -> pa.Table:
        """Return the result as an Arrow table."""

    def registered(self, name: str, table: pa.Table, *, large: bool = False) -> AbstractContextManager[None]:
        """Make an Arrow table readable under a name while the block runs; a large one is not held any longer."""

    def describe(self, sql: str) -> dict[str, str]:
        """Return the columns of a query and their types."""

    def relation_exists(self, schema: str, table: str) -> bool:
        """Return whether there is a table or view of that name."""

    def create_vector_function(self, name: str, function: TokenEncoder, parameters: list[str], returns: str) -> None:
        """Make a function callable from SQL."""

    def drop_function(self, name: str) -> None:
        """Take it back."""

    def transaction(self) -> AbstractContextManager[None]:
        """Keep all or nothing."""

    def beside(self) -> AbstractContextManager[Self]:
        """Give another connection for as long as the block runs, for statements on a thread of their own."""


@dataclass(frozen=True)
class EmbedResult:
    """What was done: users that have an embedding now, those encoded and those removed, and on what it ran."""

    encoder: str
    users_total: int
    users_embedded: int
    users_removed: int
    provider: str


def embed(
    engine: Database,
    encoder: Encoder,
    sequence_relation: str,
    users_relation: str,
    *,
    everyone: bool,
    embedded_at: datetime,
    device: Device = "auto",
    threads: int = 1,
    numbered: bool = False,
    slice_users: int | None = None,
    meanwhile: Callable[[], None] | None = None,
    encoded: Callable[[float], None] | None = None,
) -> EmbedResult:
    """Bring `embeddings.<encoder>_v<k>` up to date for the users of `users_relation`.

    `sequence_relation` (a name, or a SELECT in parentheses) gives their tokens: user_id, position and the columns
    of the manifest. A user without tokens has no row. With `everyone`, whoever is not among the users loses the
    row; without, they keep it (a refresh that looks only at the users it must). The caller may hold a transaction;
    a broken run leaves rows that are right but not complete.

    Where it is `numbered`, its user_id is the place of a user in `NUMBERED_USERS` (user_id, place), which is there by
    then: whole numbers are grouped, sorted and handed over in less time than ids.

    The encoder works on one slice of users while the database reads the next. `meanwhile` is other work for the
    database, done while the last slice is being encoded. `encoded` hears of the share of slices that have been read.

    Raises SequenceMismatch, DamagedEncoder, DeviceUnavailable or EncoderNotRunnable.
    """
    session = open_session(encoder, device)
    _bind(engine, encoder, sequence_relation, users_relation)
    table = f'embeddings."{encoder.table}"'
    slices = token_slices(engine, slice_users)
    known = {
        "model_sha256": encoder.manifest.sha256,
        "provider": session.provider,
        "embedded_at": embedded_at,
    }
    _make_table(engine, encoder, table)
    engine.execute(f"create or replace temp view embed_known as select * from {table}")
    embedded = removed = 0

    def write(place: Mapping[str, Any], encoding: Future[pa.Table]) -> None:
        nonlocal embedded, removed
        # Held as Arrow: a temporary table of a transaction stays in memory until its end, even when replaced.
        rows = encoding.result()
        embedded += len(rows) - rows["embedding"].null_count
        with engine.registered("embed_rows", rows, large=True):
            changed = "select user_id from embed_rows where embedding is not null"
            engine.execute(f"delete from {table} where user_id in ({changed})")
            engine.execute(f"insert into {table} {sql_text('steps/embed/changed_rows.sql')}", known)
            gone = f"user_id in ({sql_text('steps/embed/users_without_tokens.sql')})"
            removed += _delete(engine, table, gone, place)

    with (
        engine.beside() as beside,
        encoding_function(beside, session, threads) as encode,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed") as worker,
    ):
        under_way: tuple[Mapping[str, Any], Future[pa.Table]] | None = None
        for number, users in enumerate(slices, start=1):
            tokens = _token_slice(engine, encoder, users, threads, numbered=numbered)
            encoding = worker.submit(_encoded_slice, beside, encode, tokens)
            del tokens
            if under_way is not None:
                write(*under_way)
            under_way = users.between_ids, encoding
            if encoded is not None:
                encoded(number / len(slices))
        if meanwhile is not None:
            meanwhile()
        if under_way is not None:
            write(*under_way)
    if everyone:
        removed += _delete(engine, table, "user_id not in (select user_id from embed_users)", None)
    engine.execute("drop view embed_known; drop view embed_sequence; drop table embed_users")
    total = int(engine.value(f"select count(*) from {table}"))
    return EmbedResult(encoder.ref, total, embedded, removed, session.provider)


@dataclass(frozen=True)
class TokenSlice:
    """Users whose tokens are read at a time, from the first to the last of them by id, and so by place."""

    first_user: str
    last_user: str
    first_place: int
    last_place: int

    @property
    def between_ids(self) -> dict[str, str]:
        """Parameters for users named by their ids."""
        return {"first": self.first_user, "last": self.last_user}

    @property
    def between_places(self) -> dict[str, int]:
        """Parameters for users named by their places."""
        return {"first": self.first_place, "last": self.last_place}


def number_users(engine: Database, users_relation: str) -> None:
    """Give the users their places, from 1 in the order of their ids, in the temporary table `NUMBERED_USERS`."""
    engine.execute(
        f"create or replace temp table {NUMBERED_USERS} as "
        "select user_id, row_number() over (order by user_id)::integer as place "
        f"from (select distinct user_id from {users_relation})"
    )


def token_slices(engine: Database, slice_users: int | None = None) -> list[TokenSlice]:
    """Return the slices of `NUMBERED_USERS`, in order, of as many users as memory allows."""
    if slice_users is None:
        users = int(engine.value("select count(*) from embed_users"))
        slice_users = min(max(users // SLICES, SLICE_USERS), SLICE_USERS_AT_MOST)
    return [TokenSlice(*row) for row in engine.rows(sql_text("steps/embed/slices.sql"), {"slice_users": slice_users})]


def _token_slice(engine: Database, encoder: Encoder, users: TokenSlice, threads: int, *, numbered: bool) -> pa.Table:
    """Return user_id, tokens (NULL where the embedding that is there still holds) and input_hash of some users."""
    between = users.between_places if numbered else users.between_ids
    rows = engine.table(sql_text("steps/embed/token_rows.sql"), between)
    lists = token_lists(rows, encoder.manifest.columns, threads)
    del rows
    if numbered:
        by_place = f"select user_id from {NUMBERED_USERS} where place between $first and $last order by place"
        ids = engine.table(by_place, between)["user_id"].take(pc.subtract(lists["user_id"], users.first_place))
        lists = lists.set_column(0, "user_id", ids)
    ids = pa.table({"place": np.arange(len(lists)), "user_id": lists["user_id"], "input_hash": lists["input_hash"]})
    with engine.registered("token_ids", ids):
        left = engine.table(sql_text("steps/embed/users_left_out.sql"), {"model_sha256": encoder.manifest.sha256})
    if len(left):
        wanted, holds = np.ones(len(lists), dtype=bool), np.zeros(len(lists), dtype=bool)
        stranger = left["stranger"].to_numpy()
        wanted[left["place"].to_numpy()[stranger]] = False
        holds[left["place"].to_numpy()[~stranger]] = True
        tokens = lists["tokens"].combine_chunks().take(pa.array(np.arange(len(lists)), mask=holds))
        lists = lists.set_column(1, "tokens", tokens).filter(pa.array(wanted))
    # In parts, which the database reads side by side.
    return pa.Table.from_batches(lists.to_batches(max_chunksize=_READ_AT_ONCE), lists.schema)


def _encoded_slice(beside: Database, encode: TokenEncoder, tokens: pa.Table) -> pa.Table:
    """Return user_id, embedding (NULL where the one that is there still holds) and input_hash of a slice of users.

    On a CPU the encoder is called by the database, with 2,048 users at most; a GPU gets the slice as a whole.
    """
    if not encode.session.on_gpu:
        with beside.registered("token_slice", tokens):
            return beside.table(sql_text("steps/embed/encode_slice.sql"))
    embeddings = encode(tokens["tokens"])
    return pa.table({"user_id": tokens["user_id"], "embedding": embeddings, "input_hash": tokens["input_hash"]})


def _bind(engine: Database, encoder: Encoder, sequence_relation: str, users_relation: str) -> None:
    number_users(engine, users_relation)
    expected = ("user_id", "position", *encoder.manifest.columns)
    found = tuple(engine.describe(f"select * from {sequence_relation}"))
    if found != expected:
        raise SequenceMismatch(encoder, found, expected)
    engine.execute(f"create or replace temp view embed_sequence as select * from {sequence_relation}")


def _make_table(engine: Database, encoder: Encoder, table: str) -> None:
    if engine.relation_exists("embeddings", encoder.table):
        return
    size = encoder.manifest.dimensions
    engine.execute(
        f"create table {table} (user_id varchar, embedding float[{size}], input_hash varchar, "
        "model_sha256 varchar, provider varchar, embedded_at timestamp)"
    )
    engine.execute(f"comment on table {table} is 'Embeddings of users by the encoder {encoder.ref}.'")
    for column, meaning in _COMMENTS.items():
        engine.execute(f"comment on column {table}.{column} is '{meaning.replace(chr(39), chr(39) * 2)}'")


def _delete(engine: Database, table: str, condition: str, parameters: Mapping[str, Any] | None) -> int:
    doomed = int(engine.value(f"select count(*) from {table} where {condition}", parameters))
    if doomed:
        engine.execute(f"delete from {table} where {condition}", parameters)
    return doomed
