"""The published file: replaced in one step, whole or not at all, in types that old clients read."""

import threading
from dataclasses import replace
from unittest.mock import patch

import duckdb
import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import PathNotWritable
from sqlseg.errors import SqlsegError
from sqlseg.names import Relation
from sqlseg.publish import snapshot
from sqlseg.publish.snapshot import PublishedRelation, SnapshotDiffers, publish_snapshot

SIZES = PublishedRelation(
    Relation("segments", "size"), "sizes", "How many.", {"n": "The number.", "gone": "No column."}
)


@pytest.fixture
def engine():
    with Engine.open(None, threads=1) as engine:
        engine.execute("create table sizes as select 'a' as name, 1 as n")
        yield engine


@pytest.fixture
def path(tmp_path):
    return tmp_path / "published" / "shop.duckdb"


def read(path, sql="select name, n from segments.size order by 1"):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_file_holds_the_relations_with_their_comments(engine, path):
    snapshot = publish_snapshot(engine, path, [SIZES])
    assert snapshot.size == path.stat().st_size
    assert read(path) == [("a", 1)]
    assert read(path, "select comment from duckdb_tables()") == [("How many.",)]
    assert read(path, "select column_name, comment from duckdb_columns() where not internal order by 1") == [
        ("n", "The number."),
        ("name", None),
    ]
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.read_bytes()[12:20] == (64).to_bytes(8, "little"), "storage v1.0.0"


def test_it_holds_exactly_what_is_given(engine, path):
    publish_snapshot(engine, path, [SIZES])
    engine.execute("create table other as select 2 as n")
    publish_snapshot(engine, path, [PublishedRelation(Relation("stats", "other"), "other")])
    assert read(path, "select schema_name, table_name from duckdb_tables()") == [("stats", "other")]


def test_a_reader_keeps_the_old_file_and_the_next_one_sees_the_new(engine, path):
    publish_snapshot(engine, path, [SIZES])
    with path.open("rb") as held:
        before = path.read_bytes()
        engine.execute("insert into sizes values ('b', 2)")
        publish_snapshot(engine, path, [SIZES])
        assert held.read() == before
    assert read(path) == [("a", 1), ("b", 2)]


def test_stale_files_are_neither_replayed_nor_reused(engine, path):
    path.parent.mkdir()
    publish_snapshot(engine, path, [SIZES])
    building = path.with_name(f".{path.name}.building")
    with duckdb.connect(str(building)) as connection:
        connection.execute("create schema segments; create table segments.left_over as select 1 as x")
    path.with_name(path.name + ".wal").write_bytes(b"stale")
    building.with_name(building.name + ".wal").write_bytes(b"stale")
    publish_snapshot(engine, path, [SIZES])
    assert read(path, "select table_name from duckdb_tables()") == [("size",)]
    assert list(path.parent.iterdir()) == [path]


TYPES = {
    "'2024-05-01 10:00:00+02'::timestamptz": ("TIMESTAMP", "2024-05-01 08:00:00"),
    "'2024-05-01 10:00:00.123456'::timestamp_ns": ("TIMESTAMP", "2024-05-01 10:00:00.123456"),
    "'2024-05-01 10:00'::timestamp_s": ("TIMESTAMP", "2024-05-01 10:00:00"),
    "'x'::enum('x', 'y')": ("VARCHAR", "x"),
    "'{\"a\": 1}'::json": ("VARCHAR", '{"a": 1}'),
    "'00000000-0000-0000-0000-000000000001'::uuid": ("VARCHAR", "00000000-0000-0000-0000-000000000001"),
    "'101'::bit": ("VARCHAR", "101"),
    "5::hugeint": ("DOUBLE", "5.0"),
    "5::ubigint": ("DOUBLE", "5.0"),
    "'text'": ("VARCHAR", "text"),
    "true": ("BOOLEAN", "true"),
    "date '2024-05-01'": ("DATE", "2024-05-01"),
}


@pytest.mark.parametrize("expression", TYPES)
def test_types_become_those_of_old_clients(engine, path, expression):
    engine.execute(f'create view odd as select {expression} as "odd ""name"""')
    publish_snapshot(engine, path, [PublishedRelation(Relation("segments", "odd"), "odd")])
    assert read(path, 'select typeof("odd ""name"""), "odd ""name"""::varchar from segments.odd') == [TYPES[expression]]


@pytest.fixture
def with_features():
    """A database of two threads with a table of features, and one that only its own connection sees."""
    with Engine.open(None, threads=2) as engine:
        engine.execute("create table sizes as select 'a' as name, 1 as n; create schema sqlseg")
        engine.execute(
            "create table sqlseg.feature_rfm_v1 as select i as user_id, i % 7 as orders from range(60000) t(i)"
        )
        engine.execute("create temp table pseudonyms as select 'x' as user_id, 3 as orders")
        yield engine


FEATURES = (
    PublishedRelation(Relation("features", "rfm_v1"), 'sqlseg."feature_rfm_v1"', "Money.", {"orders": "How many."}),
    PublishedRelation(Relation("features", "hidden_v1"), "pseudonyms"),
    PublishedRelation(Relation("features", "rfm"), 'features."rfm_v1"', kind="view"),
)


def test_features_are_written_beside_other_tables(with_features, path):
    threads = set()
    create = snapshot._create_and_look

    def noted(engine, relation):
        threads.add((relation.target.name, threading.current_thread().name.partition("_")[0]))
        return create(engine, relation)

    with patch.object(snapshot, "_create_and_look", noted):
        published = publish_snapshot(with_features, path, [SIZES, *FEATURES])
    assert threads == {("size", "MainThread"), ("hidden_v1", "MainThread"), ("rfm_v1", "publish")}
    assert [str(table) for table in sorted(published.contents, key=str)] == [
        "features.hidden_v1",
        "features.rfm_v1",
        "segments.size",
    ]
    assert read(path) == [("a", 1)]
    assert read(path, "select count(*), sum(orders) from features.rfm") == [(60000, sum(i % 7 for i in range(60000)))]
    assert read(path, "select * from features.hidden_v1") == [("x", 3)]
    assert read(path, "select comment from duckdb_columns() where column_name = 'orders' and comment is not null") == [
        ("How many.",)
    ]


@pytest.mark.parametrize("target", ["size", "rfm_v1"])
def test_a_failure_on_either_connection_leaves_the_old_file(with_features, path, target):
    publish_snapshot(with_features, path, [SIZES, *FEATURES])
    before, create = path.read_bytes(), snapshot._create_and_look

    def broken(engine, relation):
        return engine.value("select error('boom')") if relation.target.name == target else create(engine, relation)

    with patch.object(snapshot, "_create_and_look", broken), pytest.raises(SqlsegError, match="boom"):
        publish_snapshot(with_features, path, [SIZES, *FEATURES])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    publish_snapshot(with_features, path, [SIZES, *FEATURES])


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(engine, path):
    publish_snapshot(engine, path, [SIZES])
    before = (path.stat().st_ino, path.read_bytes())
    broken = PublishedRelation(Relation("segments", "broken"), "(select error('boom') as x)")
    with pytest.raises(SqlsegError, match="boom"):
        publish_snapshot(engine, path, [SIZES, broken])
    assert (path.stat().st_ino, path.read_bytes()) == before
    assert list(path.parent.iterdir()) == [path]
    publish_snapshot(engine, path, [SIZES])
    assert path.stat().st_ino != before[0]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"row_count": 7}, r"has 1 rows in segments\.size instead of 7"),
        ({"row_hash": 7}, r"has other rows in segments\.size than were written"),
    ],
)
def test_a_file_that_does_not_hold_what_it_should_is_thrown_away(engine, path, wrong, told):
    publish_snapshot(engine, path, [SIZES])
    before = path.read_bytes()
    create = snapshot._create_and_look

    def mistaken(engine, relation):
        return replace(create(engine, relation), **wrong)

    with (
        patch.object(snapshot, "_create_and_look", mistaken),
        pytest.raises(SnapshotDiffers, match=told),
    ):
        publish_snapshot(engine, path, [SIZES])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_file_in_the_way_of_the_folder(engine, path):
    path.parent.write_text("not a folder")
    with pytest.raises(PathNotWritable, match="published"):
        publish_snapshot(engine, path, [SIZES])
