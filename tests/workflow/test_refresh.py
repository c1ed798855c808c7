"""What a refresh does and what it leaves alone: nothing new, something new, and everything that can fail half-way."""

import json
from datetime import datetime
from unittest.mock import patch

import duckdb
import pytest
from shops import CLUSTERS, RULES, TIERS, bought, new_shop, viewed

from sqlseg.engine.errors import QueryFailed
from sqlseg.errors import SqlsegError
from sqlseg.publish.content_hash import TableContent
from sqlseg.publish.snapshot import SnapshotDiffers
from sqlseg.workflow import publishing, steps
from sqlseg.workflow.as_of import BadAsOf, NoEventsBefore
from sqlseg.workflow.checking import CheckFailed
from sqlseg.workflow.refresh import Interrupted, UnknownSegmentation

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("ann", "2024-03-03 10:00", 10),
    bought("bob", "2024-03-01 12:00", 50),
    bought("dan", "2024-03-02 12:00", 70),
    viewed("eve", "2024-03-03 09:00"),
]
ENCODED = '[segmentations.groups]\nkind = "cluster"\ninputs = ["rfm@1", "encoder:behavior@1"]\nk = 2\nrefit = "never"\n'


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A shop with a rule, and one with clusters of embeddings beside it, each refreshed once."""
    folder = tmp_path_factory.mktemp("refresh")
    shops = new_shop(folder / "plain", EVENTS), new_shop(folder / "encoded", EVENTS, RULES + ENCODED)
    for shop in shops:
        shop.refresh()
    return shops


@pytest.fixture
def shop(originals, tmp_path):
    return originals[0].copy(tmp_path / "shop")


@pytest.fixture
def encoded_shop(originals, tmp_path):
    return originals[1].copy(tmp_path / "shop")


def contents(shop, *, without=("run", "source_memory", "attribute_memory")):
    """Every row of every table and the text of every view of the warehouse; when sources were looked at is left out."""
    with duckdb.connect(str(shop.warehouse_file), read_only=True) as connection:
        tables = connection.execute("select schema_name, table_name from duckdb_tables() order by all").fetchall()
        found = {
            f"{schema}.{table}": sorted(map(str, connection.execute(f'from {schema}."{table}"').fetchall()))
            for schema, table in tables
            if table not in without
        }
        views = connection.execute("select schema_name, view_name, sql from duckdb_views() order by all").fetchall()
    return {**found, "views": views}


def look(path):
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, path.read_bytes()


# -- nothing new -------------------------------------------------------------------------------------------------


def test_a_second_refresh_finds_nothing_new_and_leaves_everything_as_it_was(shop):
    before, file = contents(shop), look(shop.published_file)
    outcome = shop.refresh()
    assert outcome.plan.kind == "noop"
    assert (outcome.published, outcome.users_total, outcome.users_embedded, outcome.moves) == (None, 4, 0, ())
    assert contents(shop) == before
    assert look(shop.published_file) == file
    assert shop.rows("select kind, status, users_total, events_new, users_touched from segments.run order by run_id")[
        1:
    ] == [("noop", "done", 4, 0, 0)]
    assert shop.published("select count(*) from segments.run") == [(1,)]


def test_the_same_rows_in_another_order_and_the_same_rule_in_other_words_are_nothing_new(shop):
    shop.events(*reversed(EVENTS))
    assert shop.refresh().plan.kind == "noop"
    shop.write("sql/segments/tier.sql", "-- Said again.\n" + TIERS.replace("select user_id", "SELECT  user_id"))
    before = contents(shop, without=("run", "refresh_state", "model_fingerprint"))
    outcome = shop.refresh()
    after = contents(shop, without=("run", "refresh_state", "model_fingerprint"))
    assert outcome.moves == ()
    assert after["segments.membership_history"] == before["segments.membership_history"]


def test_a_published_file_that_is_gone_is_made_again(shop):
    before = shop.published("select * from segments.membership order by all")
    shop.published_file.unlink()
    outcome = shop.refresh()
    assert outcome.plan.kind == "noop"
    assert outcome.published == shop.published_file
    assert shop.published("select * from segments.membership order by all") == before


def test_full_computes_everything_and_moves_nobody(encoded_shop):
    shop = encoded_shop
    outcome = shop.refresh(full=True)
    assert outcome.plan.kind != "noop"
    assert outcome.moves == ()


# -- something new -----------------------------------------------------------------------------------------------


def test_new_events_touch_only_their_users(encoded_shop):
    shop = encoded_shop
    ids = dict(shop.rows("select user_id, embedded_at from embeddings.behavior_v1"))
    assert len(ids) == 4
    shop.events(*EVENTS, bought("bob", "2024-03-04 12:00", 60), viewed("fay", "2024-03-05 12:00"))
    outcome = shop.refresh()
    assert outcome.plan.kind == "warm"
    assert outcome.users_embedded == 2  # bob and fay
    columns = "kind, events_total, events_new, events_rejected, users_total, users_touched, users_embedded"
    assert shop.rows(f"select {columns} from segments.run order by run_id")[1:] == [("warm", 7, 2, 0, 5, 2, 2)]
    after = dict(shop.rows("select user_id, embedded_at from embeddings.behavior_v1"))
    assert {user for user in ids if after[user] != ids[user]} == {"bob"}
    assert shop.segments_of()["bob"] == "High"


def test_time_alone_embeds_nobody(encoded_shop):
    shop = encoded_shop
    outcome = shop.refresh(as_of="2024-06-01")
    assert (outcome.plan.kind, outcome.users_embedded) == ("warm", 0)


def test_users_whose_events_are_gone_are_forgotten(encoded_shop):
    shop = encoded_shop
    shop.events(*EVENTS[:3])
    outcome = shop.refresh()
    assert outcome.users_total == 2
    assert shop.segments_of() == {"ann": "High", "bob": "Low"}
    assert shop.rows("select user_id from segments.groups_users order by 1") == [("ann",), ("bob",)]
    assert shop.rows("select user_id from features.rfm order by 1") == [("ann",), ("bob",)]


def test_a_warm_refresh_comes_to_what_a_cold_one_does(shop, tmp_path):
    """Rules read only features: a shop refreshed in steps and one refreshed at once hold the same tables."""
    more = [*EVENTS, bought("bob", "2024-03-04 12:00", 60), viewed("fay", "2024-03-05 12:00")]
    shop.events(*more)
    shop.refresh()
    cold = new_shop(tmp_path / "cold", more)
    cold.refresh()
    for query in (
        "select * from features.rfm order by user_id",
        "select user_id, segment_name, confidence from segments.membership where segmentation = 'tier' order by 1",
        "select segment_name, user_count, share, revenue from segments.segment where segmentation = 'tier' order by 1",
        "select feature, p.user_count, mean, median, lift, z from segments.profile as p join segments.segment as s "
        "using (segment_id) where p.segmentation = 'tier' order by s.segment_name, feature",
    ):
        assert shop.rows(query) == cold.rows(query)


# -- as_of -------------------------------------------------------------------------------------------------------


def test_as_of_is_the_midnight_after_the_newest_event_and_later_events_are_not_seen(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    outcome = shop.refresh(as_of="2024-03-02")
    assert (outcome.plan.as_of, outcome.plan.data_through) == (datetime(2024, 3, 2), datetime(2024, 3, 1, 12))
    assert shop.segments_of() == {"ann": "High", "bob": "Low"}
    assert shop.rows("select user_id, spend, recency_days from features.rfm order by 1") == [
        ("ann", 150, 1),
        ("bob", 50, 1),
    ]
    assert shop.rows("select max(date) from segments.daily") == [(datetime(2024, 3, 1).date(),)]
    with pytest.raises(BadAsOf, match="before the last refresh"):
        shop.refresh(as_of="2024-03-01")
    outcome = shop.refresh()
    assert (outcome.plan.kind, outcome.plan.as_of) == ("warm", datetime(2024, 3, 4))
    assert shop.segments_of() == {"ann": "High", "bob": "Low", "dan": "Low", "eve": "Browsers"}
    assert shop.rows("select user_id, valid_from, cause from segments.membership_history order by 1") == [
        ("ann", datetime(2024, 3, 1, 12), "first_seen"),
        ("bob", datetime(2024, 3, 1, 12), "first_seen"),
        ("dan", datetime(2024, 3, 3, 10), "first_seen"),
        ("eve", datetime(2024, 3, 3, 10), "first_seen"),
    ]


def test_as_of_before_every_event(shop, tmp_path):
    fresh = new_shop(tmp_path / "fresh", EVENTS)
    with pytest.raises(NoEventsBefore, match="2024-03-01"):
        fresh.refresh(as_of="2024-03-01")
    assert fresh.rows("select status, error is not null from segments.run") == [("failed", True)]
    assert not fresh.published_file.exists()


# -- one segmentation only ---------------------------------------------------------------------------------------


def test_one_segmentation_only(encoded_shop):
    shop = encoded_shop
    shop.events(*EVENTS, bought("bob", "2024-03-04 12:00", 60), viewed("fay", "2024-03-05 12:00"))
    outcome = shop.refresh(segmentation="tier")
    assert [plan.name for plan in outcome.plan.segmentations] == ["tier"]
    assert shop.segments_of()["bob"] == "High"
    assert "fay" not in shop.segments_of("groups")
    assert shop.rows("select segmentation, as_of from segments.segmentation order by 1") == [
        ("groups", datetime(2024, 3, 4)),
        ("tier", datetime(2024, 3, 6)),
    ]
    # The other one is not forgotten: the next whole refresh brings it up to date.
    outcome = shop.refresh()
    assert outcome.plan.kind != "noop"
    assert "fay" in shop.segments_of("groups")


def test_one_segmentation_only_within_a_day(encoded_shop):
    shop = encoded_shop
    # as_of stays the same, and the other segmentation does not know the new user yet.
    shop.events(*EVENTS, viewed("fay", "2024-03-03 23:00"))
    shop.refresh(segmentation="tier")
    assert shop.segments_of()["fay"] == "Browsers"
    shop.refresh()
    assert "fay" in shop.segments_of("groups")


def test_a_segmentation_that_is_not_there(shop):
    with pytest.raises(UnknownSegmentation) as error:
        shop.refresh(segmentation="tire")
    assert "tier" in str(error.value.hint)


# -- what fails leaves everything as it was ----------------------------------------------------------------------


BROKEN = """
-- What no database can compute.
-- grain: user_id
select
    user_id,                     -- the user
    max(error('boom'))::int as x -- nothing
from events
group by user_id
"""

STRICT = """
-- A promise that does not hold.
-- grain: user_id
select
    user_id,           -- the user
    count(*) as n,     -- all events
    max(price) as top  -- #not_null the highest price
from events
group by user_id
"""


def failed_run(shop):
    return shop.rows("select kind, status, error from segments.run order by run_id desc limit 1")[0]


def test_a_view_that_fails(shop):
    before, file = contents(shop), look(shop.published_file)
    shop.events(*EVENTS, viewed("fay", "2024-03-05 12:00"))
    shop.write("sql/features/broken__v1.sql", BROKEN)
    shop.settings(RULES + CLUSTERS.replace("rfm", "broken"))
    with pytest.raises(SqlsegError, match=r"broken__v1\.sql"):
        shop.refresh()
    assert contents(shop) == before
    assert look(shop.published_file) == file
    kind, status, error = failed_run(shop)
    assert (kind, status) == (None, "failed")
    assert "broken__v1.sql" in error
    assert not list(shop.published_file.parent.glob(".*"))
    shop.settings(RULES)
    assert shop.refresh().plan.kind == "warm"
    assert "fay" in shop.segments_of()


@pytest.mark.parametrize("step", ["accept_events", "place_everyone", "create_public_views"])
def test_somebody_stops_it(shop, step):
    before, file = contents(shop), look(shop.published_file)
    shop.events(*EVENTS, viewed("fay", "2024-03-05 12:00"))
    original = getattr(steps, step)

    def stopped(*arguments):
        original(*arguments)
        raise KeyboardInterrupt

    with patch.object(steps, step, stopped), pytest.raises(Interrupted):
        shop.refresh()
    assert contents(shop) == before
    assert look(shop.published_file) == file
    assert failed_run(shop) == (None, "failed", "Interrupted.")


def test_after_a_failure_the_next_refresh_does_the_work(shop):
    shop.events(*EVENTS, viewed("fay", "2024-03-05 12:00"))
    with patch.object(steps, "record_everything", side_effect=QueryFailed("boom")), pytest.raises(QueryFailed):
        shop.refresh()
    outcome = shop.refresh()
    assert (outcome.plan.kind, outcome.plan.changes.events_new) == ("warm", 1)
    assert shop.rows("select status from segments.run order by run_id") == [("done",), ("failed",), ("done",)]
    assert shop.published("select status from segments.run order by run_id") == [("done",), ("failed",), ("done",)]


def test_a_publication_that_fails_is_made_up_for(encoded_shop):
    shop = encoded_shop
    file = look(shop.published_file)
    shop.events(*EVENTS, viewed("fay", "2024-03-05 12:00"))
    failure = SnapshotDiffers(None, TableContent(3, 0), TableContent(2, 0))
    with patch.object(publishing, "publish_snapshot", side_effect=failure), pytest.raises(SnapshotDiffers):
        shop.refresh()
    assert look(shop.published_file) == file
    outcome = shop.refresh()
    assert (outcome.plan.kind, outcome.published) == ("noop", shop.published_file)
    assert shop.published("select count(*) from segments.membership where user_id = 'fay'") == [(2,)]
    assert shop.refresh().published is None


def test_a_result_that_fails_its_checks_is_not_kept(shop):
    apart = ("run", "check")  # which say that it was tried, and what was found
    before, file = contents(shop, without=apart), look(shop.published_file)
    shop.events(*EVENTS, viewed("fay", "2024-03-05 12:00"))
    shop.write("sql/features/strict__v1.sql", STRICT)
    shop.settings(RULES + CLUSTERS.replace("rfm", "strict"))
    with pytest.raises(CheckFailed, match=r"strict@1\.top\.not_null \(2 rows"):  # eve and fay only looked
        shop.refresh()
    assert contents(shop, without=apart) == before
    assert look(shop.published_file) == file


def test_a_run_that_was_killed_is_closed_by_the_next(shop):
    shop.change(
        "insert into segments.run (run_id, status, started_at) values "
        "('20250101T000130-001', 'running', timestamp '2025-01-01 00:01:30')"
    )
    shop.events(*EVENTS, viewed("fay", "2024-03-05 12:00"))
    outcome = shop.refresh()
    status = shop.rows("select run_id, status, error from segments.run order by run_id")
    assert status[1][:2] == ("20250101T000130-001", "failed")
    assert "ended before the refresh was complete" in status[1][2]
    assert status[2] == (outcome.run_id, "done", None)


def test_runs_sort_by_time_even_where_the_clock_was_set_back(shop):
    shop.now = datetime(2024, 12, 1)
    shop.refresh()
    assert [kind for (kind,) in shop.rows("select kind from segments.run order by run_id")] == ["cold", "noop"]


def test_a_run_says_how_long_its_steps_took_and_with_what(encoded_shop):
    shop = encoded_shop
    seconds, versions, provider = shop.rows("select seconds, versions, provider from segments.run")[0]
    assert set(json.loads(seconds)) == {"events", "features", "segments", "tables", "checks", "publish"}
    assert {"sqlseg", "duckdb", "numpy", "features.rfm_v1"} <= set(json.loads(versions))
    assert "encoder" in " ".join(json.loads(versions)) or "behavior" in " ".join(json.loads(versions))
    assert provider == "CPUExecutionProvider" or "CUDA" in provider


def test_extra_columns_and_refused_rows_are_told(tmp_path):
    shop = new_shop(tmp_path / "shop", [*EVENTS, bought("bad", "2024-03-01", -1)])
    shop.write("sql/events.sql", "select *, 1 as shop_number from read_parquet('data/events.parquet')")
    shop.refresh()
    assert any("1 of 6 source rows cannot be used (negative price: 1)" in note for note in shop.notes)
    assert any("shop_number" in note for note in shop.notes)
    assert shop.rows("select events_total, events_rejected from segments.run") == [(5, 1)]


def test_nothing_is_left_beside_the_two_files(shop):
    there = {path.name for path in shop.directory.iterdir()} - {"features.lock"}
    assert there == {"data", "published", "sql", "sqlseg.toml", "warehouse.duckdb"}
    assert [path.name for path in shop.published_file.parent.iterdir()] == ["shop.duckdb"]
    assert shop.published_file.stat().st_mode & 0o222 == 0
