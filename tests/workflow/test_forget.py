"""Forgetting users: nothing of them is left in any file, they do not come back, and what was done is on record."""

import json
import os
import stat
from unittest.mock import patch

import duckdb
import pytest
from shops import CLUSTERS, RULES, Notes, bought, event, new_shop

from sqlseg.engine import rewriting
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import PathNotWritable
from sqlseg.events.erasure import Erased
from sqlseg.names import SCHEMAS
from sqlseg.workflow import forgetting, replaying
from sqlseg.workflow.narration import Clock

GONE, ALSO = "forget-me-7f3a9c", "and-me-o'neil-51d2e8"
SOURCE_ONLY = "seen-in-sources-only-88aa"


def events(*users):
    found = []
    for number, user in enumerate(users):
        for day in (1, 3 + number % 5, 12):
            found.append(
                bought(user, f"2024-03-{day:02} 10:00", 20.0 + 10 * number, event_id=f"{user}/{day}", text=user)
            )
        found.append(bought(user, "2024-03-02 10:00", -1.0, event_id=f"{user}/bad", text=user))
        found.append(event(user, "2024-03-04 10:00", "review", event_id=f"{user}/review", text=f"says {user}"))
    return found


STAY = [f"stays{number:03}" for number in range(12)]
EVENTS = events(*STAY, GONE, ALSO)


@pytest.fixture(scope="module")
def uncompressed():
    """Stores every table uncompressed, so that ids stand in the files as they are."""
    opened = Engine.open.__func__

    def opening(cls, *arguments, **options):
        engine = opened(cls, *arguments, **options)
        engine.execute("set force_compression = 'uncompressed'")
        return engine

    with patch.object(Engine, "open", classmethod(opening)):
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, uncompressed):
    """A shop with users in every kind of table, refreshed twice."""
    shop = new_shop(tmp_path_factory.mktemp("forget") / "shop", EVENTS, RULES + CLUSTERS.replace("k = 2", "k = 3"))
    shop.write("sql/users.sql", "select distinct user_id, 'called ' || user_id as name from read_parquet('data/*')")
    shop.refresh()
    shop.events(*EVENTS, bought(GONE, "2024-03-20 10:00", 900, event_id="more", text=GONE))
    shop.refresh()
    return shop


@pytest.fixture
def shop(made, tmp_path):
    return made.copy(tmp_path / "shop")


def places(shop, *texts):
    """The files of the project, but for the sources, in whose raw bytes one of the texts stands."""
    found = set()
    for path in shop.directory.rglob("*"):
        if path.is_file() and path.parent.name != "data":
            content = path.read_bytes()
            found |= {path.name for text in texts if text.encode() in content}
    return found


def forget(shop, *users, code=0):
    ran = shop.sqlseg("forget", *users, "--json")
    assert ran.code == code, ran.err
    return json.loads(ran.out) if code == 0 else ran


def rows_of(shop, *users):
    """How often the users stand in each table of sqlseg's schemas, in any column as text."""
    found = {}
    for schema, table in shop.rows("select schema_name, table_name from duckdb_tables() order by all"):
        if schema in SCHEMAS:
            text = "\n".join(str(row) for row in shop.rows(f'select * from {schema}."{table}"'))
            if any(user in text for user in users):
                found[f"{schema}.{table}"] = True
    return found


def test_no_byte_of_a_user_is_left(shop):
    assert places(shop, GONE) == {"warehouse.duckdb", "shop.duckdb"}
    assert "quality.rejected_events" in rows_of(shop, GONE)
    told = forget(shop, GONE, ALSO)
    assert (told["users_asked"], told["users_found"], told["unknown"]) == (2, 2, [])
    assert places(shop, GONE, ALSO) == set()
    assert rows_of(shop, GONE, ALSO) == {}
    assert told["tables"]["sqlseg.events"] == 4 + 1 + 4
    assert {"segments.membership", "segments.membership_history", "segments.user_reason", "sqlseg.users"} <= told[
        "tables"
    ].keys()
    assert sorted(shop.segments_of()) == STAY


def test_deleting_alone_would_leave_bytes(shop):
    """What the rewriting is for; if DuckDB should ever erase by itself, this says so."""
    with patch.object(forgetting, "rewrite_database"):
        forget(shop, GONE)
    assert rows_of(shop, GONE) == {}
    assert "warehouse.duckdb" in places(shop, GONE)


def test_they_do_not_come_back_and_rows_still_add_up(shop):
    forget(shop, GONE, ALSO)
    before = shop.rows(
        "select sum(row_count) from quality.rejection where run_id = (select max(run_id) from quality.rejection)"
    )
    outcome = shop.refresh()
    staged = outcome.plan.staged
    assert staged.rejected == {"erased": 11, "negative price": len(STAY)}
    assert staged.accepted + sum(staged.rejected.values()) == staged.rows_read == len(EVENTS) + 1
    assert before == [(11 + len(STAY),)]
    rows = shop.rows("select \"row\" from quality.rejected_events where reason = 'erased'")
    assert [list(json.loads(row)) for (row,) in rows] == [["erased"]] * 11
    assert (places(shop, GONE, ALSO), rows_of(shop, GONE, ALSO)) == (set(), {})
    assert sorted(shop.segments_of()) == STAY
    shop.events(*EVENTS, *events("newcomer"), bought(GONE, "2024-03-12 11:00", 5, event_id="late", text=GONE))
    staged = shop.refresh().plan.staged
    assert staged.rejected["erased"] == 11
    assert staged.accepted + sum(staged.rejected.values()) == staged.rows_read == len(EVENTS) + 6
    assert (places(shop, GONE, ALSO), rows_of(shop, GONE, ALSO)) == (set(), {})
    shop.refresh(full=True)
    assert (places(shop, GONE, ALSO), rows_of(shop, GONE, ALSO)) == (set(), {})


def test_everything_checks_out_before_and_after_the_next_refresh(shop):
    forget(shop, GONE)
    failed = {one["name"] for one in json.loads(shop.sqlseg("check", "--json").out)["checks"] if not one["passed"]}
    assert failed <= {"daily_revenue_adds_up"}  # by day and segment they count until the next refresh
    shop.refresh()
    checks = json.loads(shop.sqlseg("check", "--json").out)["checks"]
    assert [one["name"] for one in checks if not one["passed"]] == []
    assert shop.rows("select sum(user_count) from segments.segment where segmentation = 'tier'") == [(len(STAY) + 1,)]


def test_the_next_refresh_is_none_where_nothing_else_is_new_after_it(shop):
    forget(shop, GONE)
    assert shop.refresh().plan.kind != "noop"
    assert shop.refresh().plan.kind == "noop"


def test_leaving_is_a_move_with_its_cause(shop):
    left = shop.segments_of()[GONE]
    forget(shop, GONE)
    query = (
        "select f.segment_name, t.to_segment_id, t.user_count from segments.transition as t "
        "join segments.segment as f on f.segment_id = t.from_segment_id "
        "where t.cause = 'erased' and t.segmentation = 'tier'"
    )
    assert shop.rows(query) == [(left, None, 1)]
    assert shop.published(query) == [(left, None, 1)]
    shop.refresh()
    assert shop.rows(query) == [(left, None, 1)]


def test_a_user_of_the_sources_alone_never_comes_in(shop):
    told = forget(shop, SOURCE_ONLY)
    assert (told["users_found"], told["unknown"]) == (0, [SOURCE_ONLY])
    shop.events(*EVENTS, *events(SOURCE_ONLY))
    staged = shop.refresh().plan.staged
    assert staged.rejected["erased"] == 5
    assert (places(shop, SOURCE_ONLY), rows_of(shop, SOURCE_ONLY)) == (set(), {})


def test_before_the_first_refresh(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    told = forget(shop, GONE)
    assert (told["users_found"], told["rewritten"]) == (0, [])
    shop.refresh()
    assert GONE not in shop.segments_of()
    assert places(shop, GONE) == set()


def test_a_lost_warehouse_is_rebuilt_without_them(shop):
    forget(shop, GONE)
    shop.warehouse_file.unlink()
    shop.refresh()
    assert (places(shop, GONE), GONE in shop.segments_of()) == (set(), False)


def test_a_backtest_leaves_them_out(shop):
    forget(shop, GONE, ALSO)
    seen = {}

    def spy(reader, kind, *arguments, **options):
        seen[kind] = options["erased"]

    with patch.object(replaying, "keep_attributes", spy):
        shop.sqlseg("backtest", "--from", "2024-03-06", "--horizon", "5d")
    assert seen["users"].holds(GONE)


def test_the_receipt_stands_in_a_public_table(shop):
    told = forget(shop, GONE, "nobody-at-all")
    rows = shop.published("select distinct erasure_id, users_asked, users_found from quality.erasure")
    assert rows == [(told["erasure_id"], 2, 1)]
    tables = dict(shop.published("select relation, row_count from quality.erasure where subject = 'table'"))
    assert tables == told["tables"]
    models = shop.published("select relation, row_count from quality.erasure where subject = 'model'")
    assert models == [("groups model 1", len(STAY) + 2)]
    text = str(shop.published("select * from quality.erasure"))
    assert GONE not in text and "nobody-at-all" not in text


def test_for_people(shop):
    ran = shop.sqlseg("forget", GONE, "nobody-at-all")
    assert ran.code == 0
    assert "1 of 2 users were found and erased" in ran.out
    assert "Nothing was found of 'nobody-at-all'" in ran.err
    assert "Yours to erase: the sources" in ran.out
    assert "groups model 1" in ran.out


def test_a_warehouse_within_a_file_is_told_as_such(shop):
    settings = (shop.directory / "sqlseg.toml").read_text(encoding="utf-8")
    shop.write("sqlseg.toml", settings.replace("[warehouse]", '[warehouse]\npath = "sql/events.sql/w.duckdb"'))
    ran = shop.sqlseg("forget", GONE)
    said = " ".join(ran.err.split())
    assert ran.code == 1
    assert f"{shop.directory / 'sql' / 'events.sql'} is a file, not a folder." in said
    assert "Correct [warehouse] path in sqlseg.toml" in said
    assert "Nothing was erased" not in said and "permissions" not in said


def test_a_list_that_cannot_be_written_says_that_nothing_was_erased(shop):
    (shop.directory / "warehouse.duckdb.erasing").mkdir()
    ran = shop.sqlseg("forget", GONE)
    assert ran.code == 1
    assert "Nothing was erased: without the list" in " ".join(ran.err.split())
    assert GONE in str(shop.rows("select user_id from segments.membership"))


def test_ids_from_a_file(shop, tmp_path):
    file = tmp_path / "ids.txt"
    file.write_text(f"\ufeff{GONE}\n\n{ALSO}\n", encoding="utf-8")
    assert forget(shop, "--file", str(file))["users_found"] == 2
    assert places(shop, GONE, ALSO) == set()
    ran = forget(shop, "--file", str(tmp_path / "none.txt"), code=1)
    assert "cannot be read" in ran.err


def test_nobody_named_is_told(shop):
    assert "No user is named" in forget(shop, code=1).err


def test_only_keyed_hashes_are_remembered_and_nobody_else_reads_them(shop):
    forget(shop, GONE)
    listed, key = (shop.directory / f"warehouse.duckdb.erased{end}" for end in ("", ".key"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (listed, key)] == [0o600, 0o600]
    wanted = Erased(key.read_bytes().strip(), frozenset()).hash(GONE)
    assert listed.read_text().splitlines()[1:] == [wanted]
    forget(shop, GONE, ALSO)
    assert len(listed.read_text().splitlines()) == 3


def test_without_the_key_nothing_is_refreshed(shop):
    forget(shop, GONE)
    key = shop.directory / "warehouse.duckdb.erased.key"
    kept = key.read_text()
    key.unlink()
    ran = shop.sqlseg("refresh")
    assert (ran.code, "1 users were forgotten" in ran.err, "is missing" in ran.err) == (1, True, True)
    key.write_text("0" * 64)
    assert "is another one" in shop.sqlseg("refresh").err
    key.unlink()
    with patch.dict(os.environ, {"SQLSEG_ERASURE_KEY": kept.strip()}):
        assert shop.sqlseg("refresh").code == 0
    with patch.dict(os.environ, {"SQLSEG_ERASURE_KEY": "short"}):
        assert "16 or more" in shop.sqlseg("refresh").err


def test_the_key_may_live_elsewhere(shop):
    with patch.dict(os.environ, {"SQLSEG_ERASURE_KEY": "of this shop, kept in a vault"}):
        forget(shop, GONE)
        assert not (shop.directory / "warehouse.duckdb.erased.key").exists()
        shop.refresh()
    assert GONE not in shop.segments_of()


def test_tables_of_the_shop_are_left_to_the_shop(shop):
    shop.change(f"create table main.orders as select '{GONE}' as user_id")
    told = forget(shop, GONE)
    assert told["own_tables"] == ["main.orders"]
    assert shop.rows("select user_id from main.orders") == [(GONE,)]
    assert "main.orders" in shop.sqlseg("forget", GONE).out


@pytest.mark.slow
@pytest.mark.parametrize("step", ["_erased", "publish_whole", "rewrite_database"])
def test_broken_off_anywhere_it_is_finished_by_doing_it_again(shop, step):
    with patch.object(forgetting, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        forgetting.forget(shop.directory, [GONE], *_clock_and_narrator(shop))
    with duckdb.connect(str(shop.published_file), read_only=True) as connection:
        assert connection.execute("select count(*) from segments.membership").fetchone()[0] > 0
    assert "The erasure of 1 users" in unfinished(shop)["found"]
    assert "`sqlseg forget` again" in unfinished(shop)["advice"]
    forget(shop, GONE)
    assert unfinished(shop) is None
    assert places(shop, GONE) == set()
    shop.refresh()
    assert (places(shop, GONE), rows_of(shop, GONE)) == (set(), {})


def unfinished(shop):
    findings = json.loads(shop.sqlseg("doctor", "--json").out)
    return next((one for one in findings if one["what"] == "erasure"), None)


def test_an_unfinished_erasure_is_finished_by_the_same_users_only(shop):
    with patch.object(forgetting, "_erased", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        forgetting.forget(shop.directory, [GONE, "another"], *_clock_and_narrator(shop))
    shop.refresh()
    assert any("The erasure of 2 users" in note and "`sqlseg forget` again" in note for note in shop.notes)
    forget(shop, GONE)
    assert "The erasure of 1 users" in unfinished(shop)["found"]
    forget(shop, "another")
    assert unfinished(shop) is None


def test_a_rewriting_that_is_broken_off_leaves_the_old_file_whole(shop):
    content = shop.warehouse_file.read_bytes()
    full = OSError(28, "No space left on device")
    with patch.object(rewriting, "_sync", side_effect=full), pytest.raises(PathNotWritable, match="No space left"):
        rewriting.rewrite_database(shop.warehouse_file)
    assert shop.warehouse_file.read_bytes() == content
    assert [path.name for path in shop.directory.iterdir() if "rewriting" in path.name] == []


def test_a_rewritten_warehouse_is_the_same_one(shop):
    def everything():
        with duckdb.connect(str(shop.warehouse_file), read_only=True) as connection:
            tables = connection.execute(
                "select schema_name, table_name, comment from duckdb_tables() order by all"
            ).fetchall()
            rows = {
                f"{schema}.{table}": sorted(map(str, connection.execute(f'from {schema}."{table}"').fetchall()))
                for schema, table, _ in tables
            }
            views = connection.execute(
                "select schema_name, view_name, sql, comment from duckdb_views() where not internal order by all"
            ).fetchall()
            columns = connection.execute(
                "select schema_name, table_name, column_name, data_type, comment from duckdb_columns() "
                "where not internal order by all"
            ).fetchall()
        return tables, rows, views, columns

    before = everything()
    rewriting.rewrite_database(shop.warehouse_file)
    assert everything() == before
    assert shop.refresh().plan.kind == "noop"


def _clock_and_narrator(shop):
    return Clock(now=lambda: shop.now, seconds=lambda: 0.0), Notes()
