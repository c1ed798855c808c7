"""The content hash of the published file: what proves that it holds exactly what one refresh published."""

import hashlib
import json
import re
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.names import RUN, Relation
from sqlseg.publish.content_hash import (
    FileContent,
    TableContent,
    content_hash,
    file_content,
    table_content,
    table_contents,
)
from sqlseg.publish.snapshot import PublishedRelation, publish_snapshot
from sqlseg.workflow import forgetting, renaming

RELIABILITY = Path(__file__).parents[2] / "docs" / "reliability.md"
SIZE = Relation("segments", "size")


@pytest.fixture
def shop(busy_shop, tmp_path):
    return busy_shop.copy(tmp_path / "shop")


@pytest.fixture
def engine():
    with Engine.open(None, threads=1) as engine:
        engine.execute("create schema segments; create table sizes as select 'a' as name, 1.5 as n")
        yield engine


def content_of(shop) -> FileContent:
    with Engine.open(shop.published_file, read_only=True) as reader:
        return file_content(reader)


def change_published(shop, sql):
    shop.published_file.chmod(0o644)
    with duckdb.connect(str(shop.published_file)) as connection:
        connection.execute(sql)
    shop.published_file.chmod(0o444)


def doctor(shop) -> tuple[int, str]:
    ran = shop.sqlseg("doctor", "--json")
    (finding,) = [one for one in json.loads(ran.out) if one["what"] == "published file"]
    return ran.code, f"{finding['found']}. {finding['advice'] or ''}"


def test_the_order_of_rows_does_not_matter_and_everything_else_does(engine):
    def of(select):
        return table_content(engine, SIZE, select)

    whole = of("select * from (values ('a', 1), ('b', null), ('b', null)) as t(x, y)")
    assert whole == of("select * from (values ('b', null), ('a', 1), ('b', null)) as t(x, y)")
    assert whole.row_count == 3
    for other in ("('a', 1), ('b', null)", "('a', 1), ('b', null), ('b', 1)", "('a', null), ('b', 1), ('b', null)"):
        assert of(f"select * from (values {other}) as t(x, y)") != whole
    assert of("select 1 as x where false") == TableContent(0, 0)


@pytest.mark.parametrize("name", ["t", "a", "row", "u"])
def test_no_column_has_a_name_that_hides_the_others(engine, name):
    one, other = (table_content(engine, SIZE, f'select 1 as "{name}", {number} as beside') for number in (1, 2))
    assert one != other


def test_tables_have_the_same_content_one_by_one_and_all_at_once(engine):
    engine.execute("create table runs as select 'r1' as run_id, 'c0ffee' as content_hash")
    selects = {
        RUN: "select * from runs",
        SIZE: "select * from (values ('a', 1), ('b', null)) as t(x, y)",
        Relation("segments", "none"): "select 1 as x where false",
    }
    assert table_contents(engine, selects) == {
        table: table_content(engine, table, select) for table, select in selects.items()
    }
    assert table_contents(engine, {}) == {}


def test_the_hash_of_a_file_is_made_of_its_tables(engine):
    one, two = TableContent(3, 17), TableContent(0, 0)
    hashed = content_hash(engine, {Relation("b", "x"): two, Relation("a", "y"): one})
    constant, _, content = hashed.partition("-")
    assert content == hashlib.md5(b"a.y 3 17\nb.x 0 0").hexdigest()
    assert re.fullmatch("[0-9a-f]{8}", constant)
    assert content_hash(engine, {Relation("b", "x"): two, Relation("a", "z"): one}) != hashed
    assert content_hash(engine, {Relation("a", "y"): one, Relation("b", "x"): two}) == hashed


def test_it_is_written_into_the_row_of_its_refresh_and_is_no_part_of_itself(engine, tmp_path):
    engine.execute(
        "create table runs as select 'r1' as run_id, 'done' as status, 'cold' as kind, null::varchar as content_hash "
        "union all select 'r2', 'done', 'noop', null"
    )
    relations = [PublishedRelation(RUN, "runs"), PublishedRelation(SIZE, "sizes")]
    snapshot = publish_snapshot(engine, tmp_path / "p.duckdb", relations, "r1")
    with Engine.open(tmp_path / "p.duckdb", read_only=True) as reader:
        assert file_content(reader) == FileContent("r1", snapshot.content_hash, snapshot.content_hash)
        assert reader.rows("select run_id, content_hash from segments.run order by 1") == [
            ("r1", snapshot.content_hash),
            ("r2", None),
        ]


def test_both_files_say_what_was_published(shop):
    content = content_of(shop)
    assert content.whole
    told = "select content_hash from segments.run order by run_id"
    assert shop.published(told) == shop.rows(told)
    assert shop.rows(told)[-1] == (content.recorded,)
    assert len(set(shop.rows(told))) == 2


def test_anybody_can_compute_it_again_with_the_query_of_the_docs(shop):
    (query,) = re.findall(r"```sql\n(.*?is_whole.*?)```", RELIABILITY.read_text("utf-8"), re.DOTALL)
    assert shop.published(query) == [(content_of(shop).run_id, True)]
    change_published(shop, "update segments.segment set revenue = revenue + 1 where segment_id = 'tier-1'")
    assert shop.published(query) == [(content_of(shop).run_id, False)]


def test_the_view_lists_every_table(shop):
    listed = {relation: (rows, hashed) for relation, rows, hashed in shop.published("from quality.content")}
    tables = shop.published("select schema_name || '.' || table_name from duckdb_tables()")
    assert sorted(listed) == sorted(name for (name,) in tables)
    with Engine.open(shop.published_file, read_only=True) as reader:
        found = table_content(reader, RUN, "select * from segments.run")
    assert listed["segments.run"] == (found.row_count, str(found.row_hash)) == (2, str(found.row_hash))


def test_doctor_says_whether_it_is_whole(shop):
    code, told = doctor(shop)
    assert (code, f"exactly what refresh {content_of(shop).run_id} published" in told) == (0, True)
    change_published(shop, "delete from features.rfm_v1 where user_id = (select min(user_id) from features.rfm_v1)")
    code, told = doctor(shop)
    assert code == 1
    assert "is not what refresh" in told
    assert "Run `sqlseg refresh`" in told
    shop.refresh()
    assert doctor(shop)[0] == 0


def test_doctor_does_not_judge_what_another_duckdb_hashed(shop):
    change_published(shop, "update segments.run set content_hash = '00000000-' || content_hash")
    code, told = doctor(shop)
    assert (code, "cannot be told: its content hash was made by another DuckDB" in told) == (0, True)
    change_published(shop, "alter table segments.run drop column content_hash")
    code, told = doctor(shop)
    assert (code, "cannot be told: it has no content hash" in told) == (0, True)


@pytest.mark.parametrize(
    "damage",
    [
        "update segments.membership set confidence = 0.5 where segmentation = 'groups'",
        pytest.param("drop table segments.rule", marks=pytest.mark.slow),
        pytest.param("create table segments.more as select 1 as x", marks=pytest.mark.slow),
        pytest.param("update segments.run set content_hash = null", marks=pytest.mark.slow),
    ],
)
def test_a_refresh_without_news_replaces_a_file_that_is_not_whole(shop, damage):
    expected = content_of(shop)
    change_published(shop, damage)
    outcome = shop.refresh()
    assert (outcome.plan.kind, outcome.published) == ("noop", shop.published_file)
    assert content_of(shop).whole
    assert content_of(shop).run_id == expected.run_id
    assert shop.refresh().published is None


def test_a_file_that_lies_as_it_was_left_is_not_read_again(shop):
    with patch("sqlseg.workflow.publishing.file_content", side_effect=AssertionError("it was read")):
        assert shop.refresh().published is None
    content = shop.published_file.read_bytes()
    shop.published_file.unlink()
    shop.published_file.write_bytes(content)  # another moment of change: it is read once
    with patch("sqlseg.workflow.publishing.file_content", wraps=file_content) as read:
        assert [shop.refresh().published, shop.refresh().published] == [None, None]
    assert read.call_count == 1


@pytest.mark.parametrize(
    ("module", "command"),
    [
        (renaming, ("segments", "rename", "tier-1", "The best")),
        pytest.param(forgetting, ("forget", "u0000001"), marks=pytest.mark.slow),
    ],
)
def test_what_was_changed_and_not_published_is_published_by_the_next_refresh(shop, module, command):
    with patch.object(module, "publish_whole", side_effect=KeyboardInterrupt):
        assert shop.sqlseg(*command).code == 1
    before = content_of(shop)
    assert shop.rows(f"select content_hash from segments.run where run_id = '{before.run_id}'") == [(None,)]
    assert shop.refresh().published is not None
    assert content_of(shop).whole
    told = "select segment_id, segment_name from segments.membership where segmentation = 'tier' order by user_id"
    assert shop.published(told) == shop.rows(told)


def test_a_warehouse_of_an_earlier_release_gets_it_with_the_next_refresh(shop):
    shop.change(
        "alter table segments.run drop column content_hash; alter table sqlseg.published_file drop column bytes; "
        "alter table sqlseg.published_file drop column modified_ns"
    )
    change_published(shop, "alter table segments.run drop column content_hash")
    outcome = shop.refresh()
    assert (outcome.plan.kind, outcome.published) == ("noop", shop.published_file)
    assert content_of(shop).whole
    comment = "select comment from duckdb_columns() where table_name = 'run' and column_name = 'content_hash'"
    assert shop.rows(comment) == shop.published(comment) != [(None,)]
