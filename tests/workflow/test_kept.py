"""What is kept of all users in memory is what the warehouse says of them, or is read from it anew."""

from contextlib import nullcontext
from itertools import count
from types import SimpleNamespace
from unittest.mock import patch

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shops import CLUSTERS, RULES, bought, new_shop

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.workflow import kept as kept_module
from sqlseg.workflow.inputs import READ_ANEW, read_users
from sqlseg.workflow.kept import Kept
from sqlseg.workflow.segmenting import Placed
from sqlseg.workflow.standing import read_standing

# Characters whose order differs between UTF-8 and UTF-16, by case, and in SQL.
USERS = [
    "a",
    "A",
    "B",
    "Z",
    "b",
    "10",
    "9",
    "'",
    '"',
    "é",
    "e\u0301",
    "\uffff",
    "😀",
    "😀😀",
    "\U00010348",
    "中",
    " ",
    "~",
]
SEGMENTS = ("groups-001", "groups-002", "groups-003")
ENCODER = SimpleNamespace(ref="tiny@1", table="tiny_v1", manifest=SimpleNamespace(dimensions=2))

users = st.sets(st.sampled_from(USERS))
stays = st.dictionaries(st.sampled_from(USERS), st.sampled_from(["there", "bare", "gone"]))
"""What becomes of the users whom a round touches: `bare` is somebody without an embedding and with NULLs."""


class Warehouse:
    """Tables as a refresh leaves them; rows of touched users move to the end, as they do there."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.numbers = engine, count(1)
        engine.execute(
            "create schema sqlseg; create schema embeddings; create schema segments; "
            "create table sqlseg.population (user_id varchar); "
            "create table sqlseg.feature_rfm_v1 (user_id varchar, orders bigint, spend double, word varchar); "
            "create table embeddings.tiny_v1 (user_id varchar, embedding float[2]); "
            "create table segments.membership (user_id varchar, segmentation varchar, segment_id varchar, "
            "runner_up_segment_id varchar, distance double, confidence double, assignment_probability double, "
            "model_version integer); create temp table touched_users (user_id varchar); "
            "create temp table recomputed_users (user_id varchar)"
        )

    def touch(self, what: dict[str, str]) -> None:
        """Compute everything of these users anew."""
        engine, there = self.engine, [user for user, stay in what.items() if stay != "gone"]
        for table, some in (("touched_users", list(what)), ("recomputed_users", there)):
            engine.execute(f"delete from {table}")
            engine.insert(table, [(user,) for user in some])
        for table in ("sqlseg.population", "sqlseg.feature_rfm_v1", "embeddings.tiny_v1"):
            engine.execute(f"delete from {table} where user_id in (select user_id from touched_users)")
        for user in there:
            number = next(self.numbers)
            known = what[user] == "there"
            engine.insert("sqlseg.population", [(user,)])
            engine.insert("sqlseg.feature_rfm_v1", [(user, number, number / 7 if known else None, "tea")])
            if known:
                engine.insert("embeddings.tiny_v1", [(user, [number / 3, -number])])

    def place(self, placed: Placed, everybody: np.ndarray) -> None:
        """Put down where users are."""
        rows = placed.table(everybody, np.full(len(everybody), "behavior", dtype=object), np.zeros(len(everybody)))
        with self.engine.registered("rows_", rows):
            self.engine.execute("delete from segments.membership")
            self.engine.execute(
                "insert into segments.membership select user_id, 'groups', segment_id, runner_up_segment_id, distance, "
                "confidence, assignment_probability, 3 from rows_"
            )


def placed_at_random(count: int, seed: int, *, several: bool) -> Placed:
    random = np.random.default_rng(seed)
    labels, runner_up = random.integers(0, 3, count), random.integers(0, 3, count)
    distance = random.random(count) if several else np.full(count, np.nan)
    return Placed(
        SEGMENTS,
        labels,
        runner_up if several else np.full(count, -1),
        distance,
        random.random(count),
        None,
        {},
        probability=random.random(count) if several else None,
    )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_rows_are_those_of_the_warehouse_through_any_rounds(data):
    with Engine.open(None) as engine:
        warehouse, kept = Warehouse(engine), Kept()
        warehouse.touch(dict.fromkeys(data.draw(users), "there"))
        tables = {"feature_rfm_v1", "tiny_v1"}
        several = data.draw(st.booleans())
        for seed in range(data.draw(st.integers(1, 5))):
            if seed:
                warehouse.touch(data.draw(stays))
            found = kept.renew(engine, tables)
            assert found.tolist() == read_users(engine).tolist()
            if seed:
                other_order = SEGMENTS[::-1]
                standing = kept.standing(engine, "groups", other_order, 3)
                expected = read_standing(engine, "groups", other_order, 3)
                assert standing.changed.tolist() == expected.changed.tolist()
                same = ~standing.changed
                for name in ("labels", "runner_up", "distance", "confidence", "probability"):
                    ours, theirs = (getattr(one.before, name) for one in (standing, expected))
                    if ours is None:
                        assert np.isnan(theirs).all()
                    else:
                        np.testing.assert_array_equal(ours[same], theirs[same])
                assert kept.tables == (tables if len(found) else set())
                with patch.object(kept_module, "READ_ANEW", None) if len(found) else nullcontext():
                    columns, values = kept.features(engine, "feature_rfm_v1")
            else:
                columns, values = kept.features(engine, "feature_rfm_v1")
            assert columns == ("orders", "spend")
            np.testing.assert_array_equal(values, READ_ANEW.features(engine, "feature_rfm_v1")[1])
            np.testing.assert_array_equal(kept.embeddings(engine, ENCODER), READ_ANEW.embeddings(engine, ENCODER))
            placed = placed_at_random(len(found), seed, several=several)
            kept.place("groups", 3, placed)
            warehouse.place(placed, found)


@pytest.mark.parametrize("columns", [("orders", "spend", "days"), ()])
def test_rows_move_where_they_are_as_they_would_into_new_arrays(columns):
    random = np.random.default_rng(0)
    values = np.asfortranarray(random.random((200, 3))) if columns else random.random((200, 3))
    matrix, rooms = kept_module._Matrix(columns, values.copy(order="A")), []
    for number in range(60):
        gone = np.sort(random.choice(len(values), random.integers(0, 9), replace=False))
        left = np.delete(values, gone, axis=0)
        come = np.sort(random.integers(0, len(left) + 1, random.integers(0, 9)))
        runs = kept_module._runs(len(values), gone, come)
        values = np.insert(left, come, np.nan, axis=0)
        matrix = matrix.moved(runs)
        np.testing.assert_array_equal(matrix.values, values, str(number))
        if not any(matrix.room is one for one in rooms):
            rooms.append(matrix.room)
    assert 1 < len(rooms) < 30, "most found room where they were"


def test_what_is_read_cannot_be_written_to():
    with Engine.open(None) as engine:
        warehouse, kept = Warehouse(engine), Kept()
        warehouse.touch({"a": "there", "b": "bare"})
        kept.renew(engine)
        for values in (kept.features(engine, "feature_rfm_v1")[1], kept.embeddings(engine, ENCODER)):
            with pytest.raises(ValueError, match="read-only"):
                values[0, 0] = 1.0


def test_other_segments_or_another_model_are_read_from_the_warehouse():
    with Engine.open(None) as engine:
        warehouse, kept = Warehouse(engine), Kept()
        warehouse.touch({"a": "there", "b": "bare", "c": "there"})
        placed = placed_at_random(len(kept.renew(engine)), 0, several=True)
        kept.place("groups", 3, placed)
        warehouse.place(placed, read_users(engine))
        warehouse.touch({"b": "there"})
        kept.renew(engine)
        assert kept.standing(engine, "groups", SEGMENTS, 3) is not None
        # Of the model before nobody has a place in memory, nor one of the model after in the warehouse.
        assert kept.standing(engine, "groups", SEGMENTS, 4) is None
        left = [one for number, one in enumerate(SEGMENTS) if number != placed.labels[0]]
        assert kept.standing(engine, "groups", left, 3) is None, "user a stood in a segment that is no more"


def test_only_so_much_is_kept_of_a_user():
    with Engine.open(None) as engine, patch.object(kept_module, "BYTES_A_USER", 23):
        warehouse, kept = Warehouse(engine), Kept()
        warehouse.touch(dict.fromkeys(USERS, "there"))
        kept.renew(engine)
        kept.features(engine, "feature_rfm_v1")
        values = kept.embeddings(engine, ENCODER)
        assert kept.tables == {"feature_rfm_v1"}
        np.testing.assert_array_equal(values, READ_ANEW.embeddings(engine, ENCODER))
        warehouse.touch({"a": "bare"})
        kept.renew(engine, {"feature_rfm_v1"})
        np.testing.assert_array_equal(kept.embeddings(engine, ENCODER), READ_ANEW.embeddings(engine, ENCODER))


def test_without_a_next_round_embeddings_are_not_held():
    with Engine.open(None) as engine:
        warehouse, kept = Warehouse(engine), Kept(lasting=False)
        warehouse.touch({"a": "there", "b": "bare"})
        kept.renew(engine)
        kept.features(engine, "feature_rfm_v1")
        np.testing.assert_array_equal(kept.embeddings(engine, ENCODER), READ_ANEW.embeddings(engine, ENCODER))
        assert kept.tables == {"feature_rfm_v1"}


DAYS = [bought(f"u{n}", f"2024-01-{n:02}T10:00", 10.0 * n) for n in range(1, 25)]


def more(number: int) -> list[dict]:
    return [bought(f"n{one}", f"2024-01-24T12:{one:02}", 5.0 * one) for one in range(number)]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """A shop that has been refreshed; every test begins with a copy of it."""
    shop = new_shop(tmp_path_factory.mktemp("kept") / "shop", DAYS, RULES + CLUSTERS)
    shop.refresh(refit="never")
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def read_in(shop, kept, number: int) -> set[str]:
    """Refresh with some more users; return the relations whose rows were read."""
    read, features, embeddings = set(), kept_module.read_features, kept_module.read_embeddings

    def of_features(engine, table, columns, users="everybody", rows=None):
        read.add(users)
        return features(engine, table, columns, *([] if users == "everybody" else [users, rows]))

    def of_embeddings(engine, encoder, users="everybody"):
        read.add(users)
        return embeddings(engine, encoder, *([] if users == "everybody" else [users]))

    shop.events(*DAYS, *more(number))
    with (
        patch.object(kept_module, "read_features", of_features),
        patch("sqlseg.workflow.inputs.read_features", of_features),
        patch.object(kept_module, "read_embeddings", of_embeddings),
    ):
        assert shop.refresh(refit="never", kept=kept).plan.kind == "warm"
    return read


def test_a_round_reads_rows_of_touched_users_only(shop):
    kept = Kept()
    assert "everybody" in read_in(shop, kept, 1)
    assert read_in(shop, kept, 2) == {"recomputed_users"}
    assert shop.refresh(refit="never", kept=kept).plan.kind == "noop"
    assert read_in(shop, kept, 3) == {"recomputed_users"}
    assert shop.rows("select count(*) from segments.membership where segmentation = 'groups'") == [(27,)]


def fails_in(step: str):
    return patch(f"sqlseg.workflow.{step}", side_effect=SqlsegError("It fails."))


def test_after_a_round_that_failed_everything_is_read(shop):
    kept = Kept()
    read_in(shop, kept, 1)
    for number, step in enumerate(("carrying_out.run_checks", "refresh.publish"), start=2):
        shop.events(*DAYS, *more(number))
        with fails_in(step), pytest.raises(SqlsegError, match="It fails"):
            shop.refresh(refit="never", kept=kept)
        assert "everybody" in read_in(shop, kept, number + 5)


def another_process(shop):
    shop.events(*DAYS, *more(20))
    shop.refresh(refit="never")


def forgotten(shop):
    assert shop.sqlseg("forget", "u3").code == 0


def by_hand(shop):
    shop.change("update sqlseg.feature_rfm_v1 set spend = spend + 1")


def by_hand_and_killed(shop):
    """Changes that stand in the log, as of a process that was killed: the file itself is as it was."""
    with duckdb.connect(str(shop.warehouse_file)) as connection:
        connection.execute("set checkpoint_threshold = '1TB'; pragma disable_checkpoint_on_shutdown")
        connection.execute("update sqlseg.feature_rfm_v1 set spend = spend + 1")
    assert shop.warehouse_file.with_name("warehouse.duckdb.wal").exists()


def restored(shop):
    content = shop.warehouse_file.read_bytes()
    another_process(shop)
    shop.warehouse_file.write_bytes(content)


def test_after_others_had_the_warehouse_everything_is_read(shop, monkeypatch):
    monkeypatch.setenv("SQLSEG_ERASURE_KEY", "k" * 40)
    kept = Kept()
    read_in(shop, kept, 1)
    for number, meanwhile in enumerate((another_process, forgotten, restored, by_hand, by_hand_and_killed), start=3):
        meanwhile(shop)
        fresh = shop.copy(shop.directory.with_name("fresh")) if meanwhile is by_hand_and_killed else None
        assert "everybody" in read_in(shop, kept, number), meanwhile.__name__
    assert "everybody" in read_in(fresh, None, number)
    profile = "select * from segments.profile order by all"
    assert shop.rows(profile) == fresh.rows(profile)


def test_users_and_rows_are_held_as_text_and_doubles():
    with Engine.open(None) as engine:
        warehouse, kept = Warehouse(engine), Kept()
        warehouse.touch({"a": "there"})
        assert pa.array(kept.renew(engine), pa.string()).to_pylist() == ["a"]
        assert kept.features(engine, "feature_rfm_v1")[1].dtype == np.float64
