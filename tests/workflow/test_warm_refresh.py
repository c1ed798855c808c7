"""A refresh works for the users whom something touched, says so, and patches the published file."""

import re
import shutil
import threading
from unittest.mock import patch

import duckdb
import pytest
from shops import CLUSTERS, RULES, bought, viewed

from sqlseg.engine.duckdb import ROW_GROUP_SIZE, Engine
from sqlseg.names import PRIVACY, RUN, Relation
from sqlseg.publish import patching
from sqlseg.publish.content_hash import TableContent
from sqlseg.publish.patching import NoPatch, Patch, patch_copy
from sqlseg.publish.snapshot import PublishedRelation, building_file, publish_snapshot
from sqlseg.publish.touched_rows import TouchedRows
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


def test_a_command_patches_a_copy_that_was_made_beside_its_other_work(shop, small_files_too):
    threads, copyfile = [], shutil.copyfile

    def copied(*files):
        threads.append(threading.current_thread().name)
        return copyfile(*files)

    with patch("sqlseg.publish.spare.shutil.copyfile", copied):
        shop.events(*EVENTS, NEW)
        shop.refresh()
        assert threads == ["copy"]
        shop.events(*EVENTS, NEW, bought("u07", "2024-05-30T20:00", 500.0, order_id="newer"))
        shop.refresh()  # a new day: the file is built whole
    assert threads == ["copy"]
    assert [path.name for path in shop.published_file.parent.iterdir()] == [shop.published_file.name]


def test_a_refresh_that_fails_leaves_no_copy(shop, small_files_too):
    shop.events(*EVENTS, NEW)
    with patch("sqlseg.workflow.steps.place_everyone", side_effect=ZeroDivisionError), pytest.raises(ZeroDivisionError):
        shop.refresh()
    assert [path.name for path in shop.published_file.parent.iterdir()] == [shop.published_file.name]


def test_rows_that_a_refresh_has_just_written_are_looked_for_at_the_end_of_their_tables(shop, small_files_too):
    shop.events(*EVENTS, NEW)
    with patch.object(TouchedRows, "_last", autospec=True, side_effect=TouchedRows._last) as last:
        shop.refresh()
    assert len(last.call_args_list) >= 1
    places = shop.rows("select rowid from sqlseg.feature_rfm_v1 where user_id = 'u07'")
    assert places == shop.rows("select max(rowid) from sqlseg.feature_rfm_v1")


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


@pytest.mark.parametrize("users", [["u7", "u999"], ["u998", "u999"]], ids=["not all at the end", "all at the end"])
def test_touched_rows_are_found_wherever_they_stand(engine, users):
    engine.execute(f"create or replace temp table changed as select unnest({users}) as user_id")
    engine.execute("create table sqlseg_size as from size")
    touched = TouchedRows(engine, {"sqlseg_size": 2})
    with patch.object(TouchedRows, "_keep", autospec=True, side_effect=TouchedRows._keep) as kept:
        found = touched.read(PublishedRelation(SIZE.target, "sqlseg_size"), '"user_id", "n"', "changed")
    assert engine.rows(f"select * from {found} order by n") == [(user, int(user[1:])) for user in users]
    assert kept.call_count == (1 if users[0] == "u998" else 2)
    touched.drop()


VIEWED = Relation("segments", "viewed")


def of_sizes(condition):
    source = f"(select * from segments.size where {condition})"
    return PublishedRelation(VIEWED, source, "Some of them.", {"n": "The number."}, kind="view")


def test_views_are_written_again_where_they_read_something_else(engine, tmp_path):
    path, views = tmp_path / "p.duckdb", []
    contents = publish_snapshot(engine, path, [SIZE, of_sizes("n < 10")]).contents

    def publish(view):
        with patch.object(patching, "create", wraps=patching.create) as created:
            snapshot = patched(engine, path, [SIZE, view], contents=contents, whole_bytes=10**9)
        assert snapshot.contents == contents
        views.append([call.args[1].target for call in created.call_args_list])
        with duckdb.connect(str(path), read_only=True) as reader:
            commented = "select comment from duckdb_columns() where table_name = 'viewed' and comment is not null"
            assert reader.execute(commented).fetchall() == [("The number.",)]
            return reader.execute("select count(*) from segments.viewed").fetchone()

    patching._STORED.clear()
    counts = [publish(of_sizes(f"n < {most}")) for most in (10, 10, 20, 20)]
    assert counts == [(10,), (10,), (20,), (20,)]
    assert views == [[VIEWED], [], [VIEWED], []]
    path.chmod(0o644)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create or replace view segments.viewed as select * from segments.size where n < 3")
    assert publish(of_sizes("n < 20")) == (20,), "somebody else has written it"


def test_a_file_of_another_refresh_or_with_other_measures_is_not_patched(engine, tmp_path):
    path = tmp_path / "p.duckdb"
    engine.execute(
        "create table runs as "
        "select 'r1' as run_id, 'done' as status, 'cold' as kind, null::varchar as content_hash; "
        "create table measures as select 'min_users' as measure, '5' as value"
    )
    relations = [SIZE, PublishedRelation(RUN, "runs"), PublishedRelation(PRIVACY, "measures")]
    contents = publish_snapshot(engine, path, relations, "r1").contents
    known = {"contents": contents, "run_id": "r1", "measures": (("min_users", "5"),)}
    with pytest.raises(NoPatch, match="not of the last refresh"):
        patched(engine, path, relations, **{**known, "run_id": "r0"})
    with pytest.raises(NoPatch, match="for privacy"):
        patched(engine, path, relations, **{**known, "measures": (("min_users", "9"),)})
    assert patched(engine, path, relations, **known).contents == contents


def test_a_patch_writes_no_log(engine, tmp_path):
    path, logs = tmp_path / "p.duckdb", []
    contents = publish_snapshot(engine, path, [SIZE]).contents
    engine.execute("update size set n = -7 where user_id = 'u7'")
    detach = Engine.detach

    def detached(self, alias):
        building = building_file(path)
        logs.append(building.with_name(f"{building.name}.wal").exists())
        detach(self, alias)

    with patch.object(Engine, "detach", detached):
        patched(engine, path, [SIZE], contents=contents, whole_bytes=10**9)
    assert logs == [False]


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
