"""The encoder inside DuckDB."""

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest

from sqlseg.encoders import udf
from sqlseg.encoders.batching import encode_ragged
from sqlseg.encoders.session import EncoderSession
from sqlseg.encoders.udf import BadToken, NoEmbedding, TokenEncoder, encoding_function, sorted_tokens, token_encoder
from sqlseg.engine.duckdb import Engine

Ragged = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def engine(session: EncoderSession) -> Iterator[Engine]:
    with Engine.open(None, threads=2) as engine, encoding_function(engine, session, threads=2):
        yield engine


def token_lists(values: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """Return lists of tokens, each with its position first."""
    places = np.concatenate([np.arange(1, length + 1) for length in np.diff(offsets)])
    flat = pa.array(np.column_stack([places, values]).astype(np.float32).ravel())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.FixedSizeListArray.from_arrays(flat, 28))


def test_the_database_gives_what_the_model_gives(engine: Engine, session: EncoderSession, ragged: Ragged) -> None:
    values, offsets = ragged
    repeat = 20  # more than one call of 2,048 rows
    users = pa.table({"user": np.arange(300), "tokens": token_lists(values, offsets)})
    expected = encode_ragged(values, offsets, session.run, 64)
    with engine.registered("users", users):
        found = engine.table(
            f"select user, embed_tokens(tokens::float[28][]) as e from users, range({repeat}) order by user"
        )
    assert (
        str(found.schema.field("e").type) == "fixed_size_list<l: float>[64]"
        or found.schema.field("e").type.list_size == 64
    )
    for row in range(0, 300 * repeat, 37):
        answer = found["e"][row].as_py()
        user = found["user"][row].as_py()
        if offsets[user] == offsets[user + 1]:
            assert answer is None
        else:
            np.testing.assert_allclose(answer, expected[user], atol=1e-6)


def test_null_and_empty_lists_give_null(engine: Engine) -> None:
    assert engine.rows("select embed_tokens(null), embed_tokens([]::float[28][])") == [(None, None)]


def test_tokens_may_come_in_any_order(engine: Engine) -> None:
    query = "select embed_tokens(list(array_value({}) order by i {})) from range(1, 31) t(i)"
    columns = ", ".join(["i::float", *(f"sin(i * {column})::float" for column in range(1, 28))])
    (up,), (down,), (mixed,) = (engine.rows(query.format(columns, way))[0] for way in ("asc", "desc", "* 7 % 31"))
    assert up == down == mixed


def test_of_too_many_tokens_the_newest_count(session: EncoderSession) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(70, 27)).astype(np.float32)
    function = TokenEncoder(session)
    both = function(
        pa.chunked_array([token_lists(values, np.array([0, 70])), token_lists(values[6:], np.array([0, 64]))])
    ).to_pylist()
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)


def test_lists_of_lists_and_slices_are_read_too() -> None:
    lists = pa.array(
        [[[9.0, 9.0]], [[2.0, 20.0], [1.0, 10.0]], None, [], [[1.0, 5.0]]], pa.list_(pa.list_(pa.float32()))
    )
    values, lengths = sorted_tokens(lists.slice(1), 2)
    assert values.tolist() == [[10.0], [20.0], [5.0]]
    assert lengths.tolist() == [2, 0, 0, 1]


def token_rows(values: np.ndarray, offsets: np.ndarray, columns: tuple[str, ...]) -> pa.Table:
    """Return the same tokens as rows; users are named by their place."""
    lengths = np.diff(offsets)
    figures = {name: values[:, place] for place, name in enumerate(columns)}
    users = pa.array(np.repeat(np.arange(len(lengths)), lengths).astype(str).tolist(), pa.string())
    places = np.concatenate([np.arange(1, length + 1) for length in lengths]).astype(np.int32)
    return pa.table({"user_id": users, "position": places, **figures})


def test_rows_and_lists_give_the_same(session: EncoderSession, ragged: Ragged) -> None:
    values, offsets = ragged
    columns = session.encoder.manifest.columns
    with token_encoder(session, threads=2) as encoder:
        lists = encoder(token_lists(values, offsets)).to_pylist()
        rows = encoder.encode_rows(token_rows(values, offsets, columns))
    assert rows["user_id"].to_pylist() == [str(user) for user in np.flatnonzero(np.diff(offsets))]
    assert rows["embedding"].type == pa.list_(pa.float32(), 64)
    for user, embedding in zip(rows["user_id"].to_pylist(), rows["embedding"].to_pylist(), strict=True):
        np.testing.assert_allclose(embedding, lists[int(user)], atol=1e-6)


def test_rows_may_come_in_any_order_and_type(session: EncoderSession, ragged: Ragged) -> None:
    columns = session.encoder.manifest.columns
    rows = token_rows(*ragged, columns)
    encoder = TokenEncoder(session)
    expected = dict(zip(*encoder.encode_rows(rows).to_pydict().values(), strict=True))
    shuffled = rows.take(np.random.default_rng(3).permutation(len(rows)))
    assert dict(zip(*encoder.encode_rows(shuffled).to_pydict().values(), strict=True)) == expected
    by_user = rows.sort_by([("user_id", "ascending"), ("position", "descending")])
    assert dict(zip(*encoder.encode_rows(by_user).to_pydict().values(), strict=True)) == expected
    doubles = rows.set_column(2, columns[0], rows[columns[0]].cast(pa.float64())).append_column(
        "other", rows["user_id"]
    )
    assert dict(zip(*encoder.encode_rows(doubles).to_pydict().values(), strict=True)) == expected


def test_of_too_many_rows_the_newest_count(session: EncoderSession) -> None:
    values = np.random.default_rng(1).normal(size=(70, 27)).astype(np.float32)
    columns = session.encoder.manifest.columns
    encoder = TokenEncoder(session)
    long, short = (
        encoder.encode_rows(token_rows(some, np.array([0, len(some)]), columns)) for some in (values, values[6:])
    )
    np.testing.assert_allclose(long["embedding"].to_pylist(), short["embedding"].to_pylist(), atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_tokens_are_put_in_lists_on_any_number_of_threads(threads: int) -> None:
    """Of 10,000 rows, which are more than one part, in any order, as whole numbers and as doubles."""
    random = np.random.default_rng(5)
    lengths = random.integers(1, 64, 310)
    owner = np.repeat(np.arange(310), lengths)
    position = np.concatenate([np.arange(1, length + 1) for length in lengths])
    whole, double = random.integers(0, 9, len(owner)), random.random(len(owner))
    shuffled = random.permutation(len(owner))
    rows = pa.table(
        {
            "user_id": pa.array([f"{user:03d}" for user in owner[shuffled]]),
            "position": position[shuffled],
            "whole": whole[shuffled],
            "double": double[shuffled],
            "token_hash": shuffled.astype(np.uint64),
        }
    )
    assert len(rows) > 2 * udf._BLOCK
    lists = udf.token_lists(rows, ("whole", "double"), threads).to_pydict()
    for user, tokens in zip(lists["user_id"], lists["tokens"], strict=True):
        of_user = owner == int(user)
        expected = np.column_stack([position[of_user], whole[of_user], double[of_user]]).astype(np.float32)
        assert tokens == expected.tolist()
    assert list(map(len, lists["tokens"])) == sorted(lengths.tolist(), reverse=True)
    for user, input_hash in zip(lists["user_id"], lists["input_hash"], strict=True):
        of_user = np.flatnonzero(owner[shuffled] == int(user))
        assert input_hash == f"{len(of_user)}-{np.bitwise_xor.reduce(shuffled[of_user])}"


def test_no_rows_no_users(session: EncoderSession, ragged: Ragged) -> None:
    none = token_rows(*ragged, session.encoder.manifest.columns).slice(0, 0)
    found = TokenEncoder(session).encode_rows(none)
    assert (len(found), found.column_names) == (0, ["user_id", "embedding"])


@pytest.mark.parametrize("figure", [None, float("nan"), float("inf")])
def test_a_missing_figure_names_its_user_and_column(
    session: EncoderSession, ragged: Ragged, figure: float | None
) -> None:
    columns = session.encoder.manifest.columns
    rows = token_rows(*ragged, columns)
    figures = rows[columns[4]].to_pylist()
    figures[70] = figure
    spoiled = rows.set_column(6, columns[4], pa.array(figures, pa.float32()))
    user = rows["user_id"][70].as_py()
    with pytest.raises(BadToken, match=f"'{user}': {columns[4]} is NULL or not finite") as caught:
        TokenEncoder(session).encode_rows(spoiled)
    assert caught.value.hint is not None and "coalesce" in caught.value.hint


def test_an_answer_that_is_no_number_names_its_user(session: EncoderSession, ragged: Ragged) -> None:
    values, offsets = ragged
    with patch.object(EncoderSession, "run", lambda _, tokens, lengths: np.full((len(lengths), 64), np.nan)):
        with pytest.raises(NoEmbedding, match="user '0'"):
            TokenEncoder(session).encode_rows(token_rows(values, offsets, session.encoder.manifest.columns))
        with pytest.raises(NoEmbedding, match="sequence 0 of a call"):
            TokenEncoder(session)(token_lists(values, offsets))


def test_the_function_is_gone_after_the_block(session: EncoderSession) -> None:
    with Engine.open(None) as engine:
        for _ in range(2):
            with encoding_function(engine, session, threads=1):
                assert engine.value("select embed_tokens(null)") is None
