"""A refresh works for the users whom something touched, says so, and patches the published file."""

import re
from unittest.mock import patch

import duckdb
import pytest
from shops import CLUSTERS, RULES, bought, viewed

from sqlseg.engine.duckdb import Engine
from sqlseg.names import Relation
from sqlseg.publish import patching
from sqlseg.publish.content_hash import TableContent
from sqlseg.publish.patching import NoPatch, Patch, patch_copy
from sqlseg.publish.snapshot import ROW_GROUP_SIZE, PublishedRelation, building_file, publish_snapshot
from sqlseg.workflow import publishing

EVENTS = [
    one
    for number in range(30)
    for one in (
        bought(
            f"u{number:02d}", f"2024-05-{1 + number % 28:02d}T10:00", 10.0 + number, order_id=f"o{number}", item_id="i1"
        ),
        viewed(f"u{number:02d}", f"2024-05-{1 + number % 28:02d}T09:00"),
    )
]
BASKETS = '[segmentations.baskets]\nkind = "cluster"\ninputs = ["basket@1"]\nk = 2\nrefit = "never"\n'
NEW = bought("u07", "2024-05-28T20:00", 500.0, order_id="new")


@pytest.fixture
def shop(make_shop):
    shop = make_shop(EVENTS, RULES + CLUSTERS + BASKETS)
    shop.refresh()
    return shop


def tampered(shop):
    """Give a user whom nothing touches features that only a computation of them would correct."""
    shop.change("update sqlseg.feature_rfm_v1 set spend = 77 where user_id = 'u02'")
    shop.change("update sqlseg.feature_basket_v1 set distinct_items = 77 where user_id = 'u02'")


def of_u02(shop):
    [(spend,)] = shop.rows("select spend from sqlseg.feature_rfm_v1 where user_id = 'u02'")
    [(items,)] = shop.rows("select distinct_items from sqlseg.feature_basket_v1 where user_id = 'u02'")
    return spend, items


def test_users_whom_nothing_touched_keep_their_rows(shop):
    tampered(shop)
    shop.events(*EVENTS, NEW)
    outcome = shop.refresh()
    assert outcome.plan.everyone_because is None
    assert of_u02(shop) == (77, 77)
    assert shop.rows("select orders, spend from features.rfm where user_id = 'u07'") == [(2, 517.0)]
    assert shop.rows("select users_touched from segments.run order by run_id") == [(30,), (1,)]
    assert shop.refresh(full=True).plan.everyone_because == "--full asks for it"
    assert of_u02(shop) == (12.0, 1)


def test_on_a_new_day_views_that_read_as_of_are_computed_for_all(shop):
    tampered(shop)
    shop.change("update segments.membership set confidence = 0.5 where user_id = 'u02'")
    shop.events(*EVENTS, bought("u07", "2024-05-30T20:00", 500.0, order_id="new"))
    assert shop.refresh().plan.everyone_because is None
    assert of_u02(shop) == (12.0, 77)
    assert shop.rows("select min(recency_days) from features.rfm where user_id <> 'u07'") == [(3,)]
    placed = "select segmentation, confidence = 0.5 from segments.membership where user_id = 'u02' order by 1"
    assert shop.rows(placed) == [("baskets", True), ("groups", False), ("tier", False)]
    assert shop.rows("select distinct as_of::date::varchar from segments.membership") == [("2024-05-31",)]


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda shop: shop.write("sql/items.sql", "select 'i1' as item_id"), "items changed"),
        (lambda shop: shop.write("sql/users.sql", "select 'u01' as user_id, 1 as n"), "the columns of users changed"),
        (
            lambda shop: shop.settings(RULES + CLUSTERS.replace("k = 2", "k = 3") + BASKETS),
            "definitions changed",
        ),
    ],
)
def test_what_concerns_everybody_is_computed_for_all(shop, change, because):
    change(shop)
    assert re.search(because, shop.refresh().plan.everyone_because)


@pytest.fixture
def small_files_too(monkeypatch):
    monkeypatch.setattr(patching, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(patching, "GROWS_AT_MOST", 10)


def test_the_published_file_is_patched_where_few_users_are_touched(shop, small_files_too):
    shop.events(*EVENTS, NEW)
    with patch.object(publishing, "patch_copy", wraps=patching.patch_copy) as patched:
        shop.refresh()
    assert patched.call_count == 1
    assert not [note for note in shop.notes if "built whole" in note]
    tier = "select segment_name from segments.membership where user_id = 'u07' and segmentation = 'tier'"
    assert shop.published(tier) == [("High",)]
    assert shop.published("select spend from features.rfm where user_id = 'u07'") == [(517.0,)]
    assert shop.published("select count(*) from segments.run") == [(2,)]
    assert shop.published_file.read_bytes()[12:20] == (64).to_bytes(8, "little"), "storage v1.0.0"


def test_the_file_is_built_whole_where_a_user_is_gone(shop, small_files_too):
    shop.events(*[one for one in EVENTS if one["user_id"] != "u05"])
    shop.refresh()
    assert any("users are gone" in note for note in shop.notes)
    assert shop.published("select count(*) from segments.membership where user_id = 'u05'") == [(0,)]


def test_the_file_is_built_whole_where_somebody_changed_it(shop, small_files_too):
    shop.published_file.chmod(0o644)
    with duckdb.connect(str(shop.published_file)) as connection:
        connection.execute("update features.rfm_v1 set spend = 1 where user_id = 'u02'")
    shop.events(*EVENTS, NEW)
    shop.refresh()
    assert any("features.rfm_v1 would not be what the warehouse holds" in note for note in shop.notes)
    assert shop.published("select spend from features.rfm_v1 where user_id = 'u02'") == [(12.0,)]


def test_a_damaged_file_is_built_anew(shop, small_files_too):
    shop.published_file.chmod(0o644)
    shop.published_file.write_bytes(b"nothing that opens")
    shop.events(*EVENTS, NEW)
    shop.refresh()
    assert shop.published("select count(*) from segments.membership where segmentation = 'tier'") == [(30,)]


@pytest.fixture
def engine():
    with Engine.open(None, threads=1) as engine:
        engine.execute("create table size as select 'u' || i as user_id, i as n from range(1000) as r(i)")
        engine.execute("create temp table changed as select 'u7' as user_id")
        yield engine


SIZE = PublishedRelation(Relation("segments", "size"), "size", "How many.")


def patched(engine, path, relations, **how):
    given = {"whole_bytes": path.stat().st_size, **how}
    known = Patch({SIZE.target: "changed"}, **given)
    return publish_snapshot(engine, path, relations, None, lambda new: patch_copy(engine, path, new, relations, known))


def test_rows_comments_and_small_tables_are_brought_up_to_date(engine, tmp_path):
    path, other = tmp_path / "p.duckdb", PublishedRelation(Relation("segments", "other"), "other")
    engine.execute("create table other as select 1 as n")
    contents = publish_snapshot(engine, path, [SIZE, other]).contents
    engine.execute("update size set n = -7 where user_id = 'u7'; insert into other values (2)")
    described = PublishedRelation(SIZE.target, "size", "How many.", {"n": "The number."})
    snapshot = patched(engine, path, [described, other], contents=contents, whole_bytes=10**9)
    whole = publish_snapshot(engine, tmp_path / "whole.duckdb", [described, other])
    assert (snapshot.content_hash, snapshot.contents) == (whole.content_hash, whole.contents)
    with duckdb.connect(str(path), read_only=True) as reader:
        assert reader.execute("select n from segments.size where user_id = 'u7'").fetchall() == [(-7,)]
        assert reader.execute("select count(*), max(n) from segments.other").fetchall() == [(2, 2)]
        comments = "select table_name, column_name, comment from duckdb_columns() where comment is not null"
        assert reader.execute(comments).fetchall() == [("size", "n", "The number.")]


@pytest.mark.parametrize(
    ("change", "how", "why"),
    [
        ("select 1", {"contents": {SIZE.target: TableContent(1000, 7)}}, "would not be what the warehouse holds"),
        ("delete from size where user_id = 'u7'", {}, "users are gone"),
        ("alter table size add column m integer", {}, "has other columns"),
        ("select 1", {"whole_bytes": 1000}, "1.5 times as large"),
    ],
)
def test_what_cannot_be_patched_is_refused_and_the_file_stays(engine, tmp_path, change, how, why):
    path = tmp_path / "p.duckdb"
    contents = publish_snapshot(engine, path, [SIZE]).contents
    before = path.read_bytes()
    engine.execute(change)
    with pytest.raises(NoPatch, match=why):
        patched(engine, path, [SIZE], **{"contents": contents, **how})
    assert path.read_bytes() == before
    assert not building_file(path).exists()


def test_a_patch_writes_the_rows_that_differ_and_no_others_again(engine, tmp_path):
    path = tmp_path / "p.duckdb"
    engine.execute(
        "create or replace table size as select 'u' || range as user_id, range % 1000 + 10 as n from range(110000)"
    )
    contents = publish_snapshot(engine, path, [SIZE]).contents
    before = path.stat().st_size
    engine.execute("update size set n = 7 where user_id in (from changed)")
    patched(engine, path, [SIZE], contents=contents)
    with duckdb.connect(str(path), read_only=True) as reader:
        (largest,) = reader.execute("select max(count) from pragma_storage_info('segments.size')").fetchone()
        assert reader.execute("select count(*) from segments.size where n = 7").fetchone() == (1,)
    assert largest <= ROW_GROUP_SIZE, "row groups are not put together"
    assert path.stat().st_size - before <= 4 * 2**18, "blocks of the file"


def test_a_table_with_a_column_that_hides_the_places_of_rows_is_not_patched(engine, tmp_path):
    path = tmp_path / "p.duckdb"
    engine.execute("alter table size rename n to rowid")
    contents = publish_snapshot(engine, path, [SIZE]).contents
    engine.execute("update size set rowid = 1 where user_id = 'u7'")
    with pytest.raises(NoPatch, match="has a column named rowid"):
        patched(engine, path, [SIZE], contents=contents)
