"""A refresh that is killed while it patches the published file leaves the old one or the new one, whole."""

import os
import sys
from pathlib import Path

import duckdb
import pytest
from kill_points import Moment, check_killed_refresh, kill_at, moments, patching_small_files, run_to_end
from refresh_process import Shop, Stage, undisturbed

POINTS = int(os.environ.get("SQLSEG_KILL_POINTS", "20"))


@pytest.fixture(scope="module")
def few_touched(new_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Refreshed once and published; events of a few users have come late, on days that are known."""
    shop = new_shop.copy(tmp_path_factory.mktemp("few") / "shop")
    earlier, late, rest = (shop.directory / name for name in ("data/earlier.parquet", "later.parquet", "rest.parquet"))
    with duckdb.connect() as connection:
        connection.execute(f"create table events as select * from '{earlier}'")
        is_late = (
            "user_id in (select user_id from events group by user_id order by user_id limit 12) "
            "and event_time < (select max(event_time) - interval 2 day from events) and hash(event_id) % 3 = 0"
        )
        connection.execute(f"copy (select * from events where {is_late}) to '{late}'")
        connection.execute(f"copy (select * from events where not ({is_late})) to '{rest}'")
    rest.replace(earlier)
    shop.refresh_here()
    shop.add_events()
    return undisturbed(shop, tmp_path_factory.mktemp("undisturbed") / "shop")


def copied(stage: Stage, place: Path) -> Shop:
    """Copy the shop, whose published file is known by its path."""
    shop = stage.shop.copy(place)
    with duckdb.connect(str(shop.warehouse)) as connection:
        connection.execute("update sqlseg.published_file set path = $path", {"path": str(shop.published)})
    return shop


@pytest.fixture(scope="module")
def ends(few_touched: Stage, tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    place = tmp_path_factory.mktemp("traced")
    shop = copied(few_touched, place / "shop")
    things = run_to_end(shop, ["refresh"], place, under=patching_small_files)
    few_touched.assert_finished(shop)
    assert any(what.startswith("file copy ") for what, _ in things), "the published file has been copied, and patched"
    assert "built whole" not in (place / "log.txt").read_text("utf-8")
    return moments(things, POINTS, seed=4)


@pytest.mark.slow
@pytest.mark.parametrize("point", range(POINTS))
def test_killed(point: int, few_touched: Stage, ends: list[Moment], tmp_path: Path) -> None:
    shop = copied(few_touched, tmp_path / "shop")
    sys.stdout.write(f"killed {ends[point]}\n")  # shown where the test fails; its own id repeats it
    kill_at(shop, ["refresh"], ends[point], tmp_path, under=patching_small_files)
    check_killed_refresh(few_touched, shop)
