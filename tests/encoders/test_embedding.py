"""The table of embeddings: who is encoded, who is not, who goes."""

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from sqlseg.encoders.embedding import NUMBERED_USERS, EmbedResult, SequenceMismatch, embed
from sqlseg.encoders.manifest import Encoder
from sqlseg.encoders.session import EncoderSession
from sqlseg.encoders.udf import BadToken, TokenEncoder
from sqlseg.engine.duckdb import Engine

NOON, LATER = datetime(2024, 1, 1, 12), datetime(2024, 1, 2, 12)


@pytest.fixture
def engine(encoder: Encoder) -> Iterator[Engine]:
    columns = ", ".join(
        f"round(sin({number} + i * {place}), 4)::float as {name}"
        for place, name in enumerate(encoder.manifest.columns, 1)
        for number in [place % 5]
    )
    with Engine.open(None, threads=2) as engine:
        engine.execute("create schema embeddings")
        engine.execute(
            f"create table tokens as select 'u' || u as user_id, i::integer as position, {columns} "
            "from range(1, 51) t(u), range(1, 65) s(i) where i <= 1 + u * 7 % 64"
        )
        engine.execute("create table users as select distinct user_id from tokens union all select 'silent'")
        yield engine


def run(engine: Engine, encoder: Encoder, at: datetime = NOON, **given: object) -> EmbedResult:
    options = {"everyone": True, "device": "cpu", "slice_users": 20} | given
    return embed(engine, encoder, "tokens", "users", embedded_at=at, **options)  # type: ignore[arg-type]


def embeddings(engine: Engine) -> dict[str, tuple[np.ndarray, datetime]]:
    rows = engine.rows("select user_id, embedding, embedded_at from embeddings.behavior_v1")
    assert len({user for user, *_ in rows}) == len(rows)
    return {user: (np.array(embedding), at) for user, embedding, at in rows}


def test_every_user_with_tokens_has_one_row(engine: Engine, encoder: Encoder) -> None:
    result = run(engine, encoder)
    assert result == EmbedResult("behavior@1", 50, 50, 0, "CPUExecutionProvider")
    assert "silent" not in embeddings(engine)
    assert engine.columns("embeddings", "behavior_v1") == {
        "user_id": "VARCHAR", "embedding": "FLOAT[64]", "input_hash": "VARCHAR", "model_sha256": "VARCHAR",
        "provider": "VARCHAR", "embedded_at": "TIMESTAMP",
    }  # fmt: skip
    assert (
        engine.value("select count(*) from duckdb_columns() where table_name = 'behavior_v1' and comment is null") == 0
    )


def test_slices_change_nothing(engine: Engine, encoder: Encoder) -> None:
    run(engine, encoder, slice_users=3)
    sliced = embeddings(engine)
    engine.execute("drop table embeddings.behavior_v1")
    run(engine, encoder, slice_users=1_000, threads=3)
    whole = embeddings(engine)
    assert sliced.keys() == whole.keys()
    for user, (embedding, _) in whole.items():
        np.testing.assert_allclose(sliced[user][0], embedding, atol=1e-6)


def test_users_may_be_numbered(engine: Engine, encoder: Encoder) -> None:
    """The same rows come out, whoever has tokens and is not among the users; and nobody is encoded again."""
    engine.execute("delete from users where user_id = 'u9'")
    names = f"join {NUMBERED_USERS} as u on u.user_id = t.user_id"
    by_place = f"(select u.place as user_id, t.* exclude (user_id) from tokens as t {names})"
    result = embed(
        engine, encoder, by_place, "users", everyone=True, embedded_at=NOON, device="cpu", slice_users=7, numbered=True
    )
    assert result == EmbedResult("behavior@1", 49, 49, 0, "CPUExecutionProvider")
    numbered = embeddings(engine)
    assert run(engine, encoder, LATER).users_embedded == 0
    engine.execute("drop table embeddings.behavior_v1")
    run(engine, encoder)
    named = embeddings(engine)
    assert numbered.keys() == named.keys()
    for user, (embedding, _) in named.items():
        np.testing.assert_allclose(numbered[user][0], embedding, atol=1e-6)


def test_only_changed_users_are_encoded_again(engine: Engine, encoder: Encoder) -> None:
    run(engine, encoder)
    before = embeddings(engine)
    engine.execute("create or replace table tokens as select * from tokens order by hash(position), user_id")
    assert run(engine, encoder, LATER).users_embedded == 0
    engine.execute("update tokens set log_gap = 3 where user_id = 'u7' and position = 1")
    result = run(engine, encoder, LATER)
    after = embeddings(engine)
    assert (result.users_total, result.users_embedded, result.users_removed) == (50, 1, 0)
    assert {user for user in after if after[user][1] == LATER} == {"u7"}
    assert not np.allclose(after["u7"][0], before["u7"][0])


def test_positions_matter(engine: Engine, encoder: Encoder) -> None:
    run(engine, encoder)
    engine.execute("update tokens set position = 3 - position where user_id = 'u7' and position <= 2")
    assert run(engine, encoder).users_embedded == 1


def test_another_model_embeds_everybody_again(engine: Engine, encoder: Encoder) -> None:
    run(engine, encoder)
    engine.execute("update embeddings.behavior_v1 set model_sha256 = 'older'")
    assert run(engine, encoder).users_embedded == 50


def test_users_who_are_gone_lose_their_row(engine: Engine, encoder: Encoder) -> None:
    run(engine, encoder)
    engine.execute("delete from tokens where user_id in ('u1', 'u2'); delete from users where user_id = 'u1'")
    result = run(engine, encoder)
    assert (result.users_total, result.users_removed) == (48, 2)
    assert not {"u1", "u2"} & embeddings(engine).keys()


def test_a_refresh_of_some_users_leaves_the_others(engine: Engine, encoder: Encoder) -> None:
    run(engine, encoder)
    engine.execute("create table touched as select * from (values ('u3'), ('u4')) as t(user_id)")
    engine.execute("update tokens set log_gap = 3 where user_id = 'u3'; delete from tokens where user_id = 'u4'")
    result = embed(
        engine,
        encoder,
        "(select * from tokens where user_id in (select user_id from touched))",
        "touched",
        everyone=False,
        embedded_at=LATER,
        device="cpu",
    )
    assert (result.users_total, result.users_embedded, result.users_removed) == (49, 1, 1)


def test_the_database_does_other_work_while_the_last_users_are_encoded(engine: Engine, encoder: Encoder) -> None:
    done = []

    def meanwhile() -> None:
        engine.execute("create table other as select count(*) as rows from tokens")
        done.append(engine.value("select count(*) from embeddings.behavior_v1"))

    run(engine, encoder, meanwhile=meanwhile)
    [written] = done
    assert written < 50 == len(embeddings(engine))
    assert engine.value("select rows from other") == engine.value("select count(*) from tokens")


def test_what_fails_meanwhile_or_while_encoding_comes_out(engine: Engine, encoder: Encoder) -> None:
    def meanwhile() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(engine, encoder, meanwhile=meanwhile)
    engine.execute("update tokens set log_gap = 'nan' where user_id = 'u9'")
    with pytest.raises(BadToken, match="log_gap"):
        run(engine, encoder, LATER)
    engine.execute("update tokens set log_gap = 0 where user_id = 'u9'")
    assert run(engine, encoder, LATER).users_total == 50


def test_no_users_at_all(engine: Engine, encoder: Encoder) -> None:
    engine.execute("delete from tokens; delete from users")
    assert run(engine, encoder).users_total == 0


def test_within_a_transaction_a_failure_leaves_nothing(engine: Engine, encoder: Encoder) -> None:
    run(engine, encoder)
    engine.execute("update tokens set log_gap = 3")
    with pytest.raises(ZeroDivisionError), engine.transaction():
        assert run(engine, encoder, LATER).users_embedded == 50
        raise ZeroDivisionError
    assert {at for _, at in embeddings(engine).values()} == {NOON}


def test_a_sequence_of_other_columns_is_refused(engine: Engine, encoder: Encoder) -> None:
    engine.execute("alter table tokens rename column log_gap to gap")
    with pytest.raises(SequenceMismatch, match="'gap' instead of 'log_gap'"):
        run(engine, encoder)


def test_a_gpu_gets_slices_as_a_whole_and_gives_the_same(
    engine: Engine, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, encoder)
    on_cpu = embeddings(engine)
    engine.execute("drop table embeddings.behavior_v1")
    sequences: list[int] = []
    encode = TokenEncoder.__call__

    def counted(self: TokenEncoder, column: pa.ChunkedArray) -> pa.Array:
        sequences.append(len(column))
        return encode(self, column)

    bound = EncoderSession.run_bound
    monkeypatch.setattr(TokenEncoder, "__call__", counted)
    monkeypatch.setattr(EncoderSession, "on_gpu", True)
    monkeypatch.setattr(EncoderSession, "run_bound", lambda self, feed, device: bound(self, feed, "cpu"))
    assert run(engine, encoder, slice_users=1_000).users_embedded == 50
    assert sequences == [50]
    for user, (embedding, _) in embeddings(engine).items():
        np.testing.assert_allclose(embedding, on_cpu[user][0], atol=1e-6)
    assert run(engine, encoder, LATER).users_embedded == 0
