"""The old rows of users are those that stood in the file when the block began, with what the content hash counts."""

import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import QueryFailed
from sqlseg.names import Relation
from sqlseg.publish.content_hash import table_content
from sqlseg.publish.old_rows import old_rows_beside
from sqlseg.publish.snapshot import ALIAS

STAYS, PLACES = Relation("segments", "stays"), Relation("segments", "places")


@pytest.fixture
def engine(tmp_path):
    with Engine.open(None) as engine:
        engine.attach(tmp_path / "copy.duckdb", ALIAS, read_only=False)
        engine.execute(
            f"create schema {ALIAS}.segments; "
            f"create table {ALIAS}.{STAYS} as "
            "select 'u' || i // 2 as user_id, i / 7 as length, i as stay from range(6000) r(i); "
            f"create table {ALIAS}.{PLACES} as "
            "select 'u' || i as user_id, i % 2 as t, nullif(i % 5, 0) as place from range(3000) r(i); "
            "create temp table few as select 'u' || i as user_id from range(100, 3200, 7) r(i); "
            "create temp table nobody as select * from few where false"
        )
        yield engine
        engine.detach(ALIAS)


def test_they_come_to_what_the_content_of_these_rows_is(engine):
    with old_rows_beside(engine, {STAYS: "few", PLACES: "few"}) as old_rows:
        found = {table: old_rows(table) for table in (PLACES, STAYS)}
    for table, rows_each in ((STAYS, 2), (PLACES, 1)):
        theirs = f"select * from {ALIAS}.{table} where user_id in (select user_id from few)"
        assert found[table].content == table_content(engine, table, theirs)
        assert len(found[table].places) == found[table].content.row_count == rows_each * len(found[table].users)
        with engine.registered("places", found[table].places):
            stand_there = f"select * from {ALIAS}.{table} where rowid in (select place from places)"
            assert sorted(engine.rows(stand_there)) == sorted(engine.rows(theirs))
    assert sorted(found[STAYS].users.to_pylist()) == sorted(found[PLACES].users.to_pylist())


def test_what_the_block_writes_is_not_among_them(engine):
    with old_rows_beside(engine, {STAYS: "few", PLACES: "nobody"}) as old_rows, engine.transaction():
        engine.execute(f"delete from {ALIAS}.{STAYS}; insert into {ALIAS}.{PLACES} values ('u107', 1, 1)")
        stays, places = old_rows(STAYS), old_rows(PLACES)
    assert stays.content.row_count == 2 * 415
    assert (places.content.row_count, places.content.row_hash, len(places.users)) == (0, 0, 0)


def test_what_fails_beside_is_raised_where_it_is_asked_for(engine):
    gone = Relation("segments", "gone")
    with pytest.raises(QueryFailed, match="gone"), old_rows_beside(engine, {gone: "few"}) as old_rows:
        old_rows(gone)
