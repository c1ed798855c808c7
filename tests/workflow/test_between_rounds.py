"""What a watch leaves for the time between two rounds: the log of the warehouse, and a look at what was published."""

from datetime import timedelta
from unittest.mock import patch

import duckdb
import pytest
from shops import CLUSTERS, RULES, Notes, Shop, bought, new_shop, views_read_once

from sqlseg.engine.duckdb import Engine
from sqlseg.publish import patching
from sqlseg.publish.content_hash import file_content
from sqlseg.publish.spare import prepare_spare, spare_file
from sqlseg.settings import load_settings
from sqlseg.workflow import watching
from sqlseg.workflow.holding import take_lock
from sqlseg.workflow.kept import Kept
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.outcome import Options

DAY = [bought(f"u{n:02}", f"2024-01-{n:02}T10:00", 10.0 * n) for n in range(1, 25)]
LATER = [bought(f"u{n:02}", f"2024-01-24T{n:02}:30", 100.0) for n in range(12, 20)]


@pytest.fixture
def shop(tmp_path):
    with patch.multiple(patching, SMALLEST_BYTES=0, GROWS_AT_MOST=10):
        yield new_shop(tmp_path / "shop", DAY, RULES + CLUSTERS)


def watch(shop, *, rounds, told=lambda number: None, waiting=lambda number: None):
    """Watch for some rounds, each with one more purchase; `told` is called at the end of one, `waiting` after that."""
    ticks, narrator = iter(range(10**9)), Notes()

    def now():
        shop.now += timedelta(seconds=1)
        return shop.now

    def tell(one, tally):
        assert one.error is None, one.error
        told(one.number)

    def wait(seconds):
        number = tally_of.pop()
        waiting(number)
        if number == rounds:
            raise KeyboardInterrupt
        tally_of.append(number + 1)
        shop.events(*DAY, *LATER[:number])

    tally_of = [1]
    clock = Clock(now=now, seconds=lambda: float(next(ticks)))
    with views_read_once():
        watching.watch(shop.directory, Options(refit="never"), clock, narrator, every=60, wait=wait, tell=tell)
    return narrator.texts


def log(shop):
    return shop.warehouse_file.with_name("warehouse.duckdb.wal")


def is_whole(path):
    with Engine.open(path, read_only=True) as reader:
        return file_content(reader).whole


def test_a_round_ends_before_its_log_is_taken_over_and_a_watch_leaves_none(shop):
    there = []
    watch(
        shop,
        rounds=2,
        told=lambda number: there.append(("told", log(shop).exists())),
        waiting=lambda number: there.append(("waiting", log(shop).exists())),
    )
    assert there == [("told", True), ("waiting", False)] * 2
    assert not log(shop).exists()


def test_a_round_without_news_leaves_no_log(shop):
    shop.refresh()
    there = []
    watch(shop, rounds=1, told=lambda number: there.append(log(shop).exists()))
    assert there == [False]


def test_what_a_watch_has_read_is_kept_while_the_log_is_taken_over(shop):
    dropped = []
    with patch.object(Kept, "drop", autospec=True, side_effect=Kept.drop) as drop:
        watch(shop, rounds=3, told=lambda number: dropped.append(drop.call_count))
    assert dropped[0] == dropped[1] == dropped[2] > 0


def test_a_watch_that_is_stopped_before_it_takes_the_log_over_does_so_at_its_end(shop):
    def stopped(number):
        assert log(shop).exists()
        raise KeyboardInterrupt

    watch(shop, rounds=1, told=stopped)
    assert not log(shop).exists()
    assert shop.rows("select status from segments.run") == [("done",)]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """As a watch leaves a shop that is killed at the end of its second round."""
    folder = tmp_path_factory.mktemp("killed")
    shop, left = new_shop(folder / "shop", DAY, RULES + CLUSTERS), []
    watch(shop, rounds=2, told=lambda number: left.append(shop.copy(folder / f"left{number}")))
    assert log(left[1]).exists()
    assert is_whole(left[1].published_file)
    assert left[1].rows(PLACES) == shop.rows(PLACES)
    return left[1]


PLACES = "select user_id, segment_id from segments.membership order by all"


@pytest.mark.parametrize("command", [("refresh",), ("doctor",), ("forget", "u03"), ("segments", "explain", "u07")])
def test_every_command_goes_on_from_a_warehouse_with_a_log(killed, tmp_path, command):
    copy = killed.copy(tmp_path / "shop")
    assert copy.sqlseg(*command).code == 0
    gone = {"u03"} if command[0] == "forget" else set()
    assert copy.rows(PLACES) == [row for row in killed.rows(PLACES) if row[0] not in gone]
    assert copy.published(PLACES) == copy.rows(PLACES)
    assert is_whole(copy.published_file)
    if command[0] in ("refresh", "forget"):
        assert not log(copy).exists()
    if gone:
        assert not any(b"u03" in path.read_bytes() for path in (copy.warehouse_file, copy.published_file))


def test_only_what_was_written_is_read_again_in_a_copy_that_was_found_whole(shop):
    with (
        patch.object(patching, "verify", side_effect=AssertionError("all of it was read")),
        patch.object(patching, "_verify_written", wraps=patching._verify_written) as some,
    ):
        notes = watch(shop, rounds=3)
    assert some.call_count == 2
    assert not any("built whole" in note for note in notes)
    assert is_whole(shop.published_file)
    for table in ("membership", "user_reason", "membership_history", "daily", "profile", "segment"):
        told = f"select * from segments.{table} order by all"
        assert shop.published(told) == shop.rows(told), table


def test_a_published_file_that_is_found_damaged_is_built_anew_and_that_is_told(shop):
    damaged = []

    def damage_first(published):
        if not damaged:
            damaged.append(published)
            published.chmod(0o644)
            with duckdb.connect(str(published)) as connection:
                connection.execute("update segments.membership set confidence = 0.5 where user_id = 'u02'")
        prepare_spare(published)

    with patch.object(watching, "prepare_spare", damage_first):
        notes = watch(shop, rounds=1, waiting=lambda number: damaged.append(is_whole(shop.published_file)))
    assert damaged == [shop.published_file, True]
    assert sum("does not hold what was published" in note for note in notes) == 1
    told = "select * from segments.membership order by all"
    assert shop.published(told) == shop.rows(told)
    assert not spare_file(shop.published_file).exists()


def test_a_warehouse_that_somebody_holds_between_rounds_stops_no_watch(shop):
    locks = []

    def held(number):
        if number == 1:
            locks.append(take_lock(load_settings(shop.directory), "sqlseg segments rename"))

    def given_back(number):
        if number == 1:
            assert log(shop).exists()
            locks.pop().release()

    notes = watch(shop, rounds=2, told=held, waiting=given_back)
    assert sum("sqlseg segments rename" in note and "next round" in note for note in notes) == 1
    assert not log(shop).exists()
    assert shop.rows("select count(*) from segments.run where status = 'done'") == [(2,)]


def test_a_shop_that_is_not_there_any_more_is_no_traceback(tmp_path):
    shop = new_shop(tmp_path / "shop", DAY)

    def gone(number):
        shop.directory.rename(tmp_path / "gone")
        raise KeyboardInterrupt

    watch(shop, rounds=1, told=gone)
    assert not Shop(tmp_path / "shop").directory.exists()
