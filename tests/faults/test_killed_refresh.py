"""A refresh that is killed leaves what was there, whole; the next one comes to the same as if nothing had happened."""

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pytest
from refresh_process import Shop, Stage, assert_same_content, content, wait_for

KILL_POINTS = int(os.environ.get("SQLSEG_KILL_POINTS", "25"))
"""How many moments of a refresh it is killed at, spread evenly over its life."""

STAGES = ["cold", "warm"]

Moment = Callable[[Shop], bool]


def building(shop: Shop) -> Path:
    return shop.published.with_name(f".{shop.published.name}.building")


def size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def check_after_kill(stage: Stage, shop: Shop, scratch: Path) -> None:
    """The published file is the old one or a whole new one; the warehouse opens; the next refresh makes all good."""
    if stage.shop.published.exists() or shop.published.exists():
        old = stage.shop.published.read_bytes() if stage.shop.published.exists() else None
        if shop.published.read_bytes() != old:
            assert_same_content(content(shop.published), stage.published)
            with duckdb.connect(str(shop.published), read_only=True) as reader:
                assert reader.execute("select status from segments.run order by run_id desc limit 1").fetchone() == (
                    "done",
                )
        assert not shop.published.with_name(shop.published.name + ".wal").exists()
    if shop.warehouse.exists():
        # Looked at in a copy, since opening it replays its log and so changes what the next refresh finds.
        scratch.mkdir()
        for file in (shop.warehouse, shop.warehouse.with_name(shop.warehouse.name + ".wal")):
            if file.exists():
                shutil.copy(file, scratch)
        with duckdb.connect(str(scratch / shop.warehouse.name)) as warehouse:
            assert warehouse.execute("select count(*) from duckdb_tables()").fetchone() is not None
    shop.refresh_here()
    stage.assert_finished(shop)
    with duckdb.connect(str(shop.warehouse), read_only=True) as warehouse:
        assert warehouse.execute("select count(*) from segments.run where status = 'running'").fetchone() == (0,)


def kill_when(shop: Shop, moment: Moment, delay: float = 0.0) -> bool:
    """Refresh a copy and kill it a while after a moment has come; False where it had ended by then."""
    process = shop.start()
    came = wait_for(lambda: moment(shop), process)
    time.sleep(delay)
    process.kill()
    process.communicate()
    return came


@pytest.mark.slow
def test_killed_while_it_publishes(cold: Stage, tmp_path: Path) -> None:
    for attempt in range(4):  # on a busy machine the swap may come before the kill
        shop = cold.shop.copy(tmp_path / f"shop{attempt}")
        if kill_when(shop, lambda shop: building(shop).exists()) and not shop.published.exists():
            check_after_kill(cold, shop, tmp_path / "scratch")
            return
    pytest.fail("the file was published before the refresh could be killed, four times")


@pytest.mark.slow
@pytest.mark.parametrize("point", range(KILL_POINTS))
@pytest.mark.parametrize("when", STAGES)
def test_killed_at_any_moment(when: str, point: int, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    stage: Stage = request.getfixturevalue(when)
    shop = stage.shop.copy(tmp_path / "shop")
    process = shop.start()
    time.sleep(stage.seconds * (point + 0.5) / KILL_POINTS)
    process.kill()
    process.communicate()
    check_after_kill(stage, shop, tmp_path / "scratch")


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 30, 150])
@pytest.mark.parametrize("when", STAGES)
def test_killed_while_the_new_file_grows(
    when: str, milliseconds: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    stage: Stage = request.getfixturevalue(when)
    for attempt in range(4):
        shop = stage.shop.copy(tmp_path / f"shop{attempt}")
        if kill_when(shop, lambda shop: building(shop).exists(), milliseconds / 1000):
            check_after_kill(stage, shop, tmp_path / "scratch")
            return
    pytest.fail("the refresh was over before it could be killed, four times")


@pytest.mark.slow
@pytest.mark.parametrize("when", STAGES)
def test_killed_right_after_the_swap(when: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    stage: Stage = request.getfixturevalue(when)
    shop = stage.shop.copy(tmp_path / "shop")
    before = shop.published.stat().st_ino if shop.published.exists() else None
    kill_when(shop, lambda shop: shop.published.exists() and shop.published.stat().st_ino != before)
    assert_same_content(content(shop.published), stage.published)
    check_after_kill(stage, shop, tmp_path / "scratch")


def commits(shop: Shop) -> bool:
    return size_of(shop.warehouse.with_name(shop.warehouse.name + ".wal")) > 300_000


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 5, 20])
@pytest.mark.parametrize("when", STAGES)
def test_killed_while_the_warehouse_commits(
    when: str, milliseconds: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The one transaction of a refresh goes into the log at its end; all that is written there before is small."""
    stage: Stage = request.getfixturevalue(when)
    for attempt in range(4):
        shop = stage.shop.copy(tmp_path / f"shop{attempt}")
        if kill_when(shop, commits, milliseconds / 1000):
            check_after_kill(stage, shop, tmp_path / "scratch")
            return
    pytest.fail("the refresh was over before it could be killed, four times")


def works_the_log_in(log: Path, size_before: int, shop: Shop) -> bool:
    return size_of(log) > 300_000 and size_of(shop.warehouse) > size_before


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 30])
@pytest.mark.parametrize("when", STAGES)
def test_killed_while_the_log_is_worked_into_the_warehouse(
    when: str, milliseconds: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Which is done when it is closed, after the publication."""
    stage: Stage = request.getfixturevalue(when)
    for attempt in range(4):
        shop = stage.shop.copy(tmp_path / f"shop{attempt}")
        log = shop.warehouse.with_name(shop.warehouse.name + ".wal")
        before = max(size_of(shop.warehouse), 1_000_000)
        if kill_when(shop, partial(works_the_log_in, log, before), milliseconds / 1000):
            assert_same_content(content(shop.published), stage.published)
            check_after_kill(stage, shop, tmp_path / "scratch")
            return
    pytest.fail("the refresh was over before it could be killed, four times")
