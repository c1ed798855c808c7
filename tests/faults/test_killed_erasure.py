"""An erasure that is killed goes unnoticed by nobody, and done again leaves no byte of the users."""

import os
import sys
from pathlib import Path

import pytest
from kill_points import Moment, assert_whole, kill_at, moments, run_to_end, uncompressed
from refresh_process import Shop, left_behind

from sqlseg.engine.duckdb import Engine
from sqlseg.settings import load_settings
from sqlseg.workflow.erasure_list import erased_users, unfinished_erasure

POINTS = int(os.environ.get("SQLSEG_KILL_POINTS", "40"))
GONE = "u0000007"


@pytest.fixture(scope="module")
def refreshed(new_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = new_shop.copy(tmp_path_factory.mktemp("refreshed") / "shop")
    with uncompressed():
        shop.refresh_here()
    assert holds(shop)
    assert {shop.warehouse.name, shop.published.name} <= bytes_of(shop)
    return shop


@pytest.fixture(scope="module")
def ends(refreshed: Shop, tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    place = tmp_path_factory.mktemp("traced")
    return moments(
        run_to_end(refreshed.copy(place / "shop"), ["forget", GONE], place, under=uncompressed), POINTS, seed=3
    )


def holds(shop: Shop) -> bool:
    """Whether the user is in any row of either database."""
    for file, tables in (
        (shop.warehouse, ("sqlseg.events", "segments.membership", "segments.membership_history")),
        (shop.published, ("segments.membership", "segments.membership_history", "features.rfm")),
    ):
        with Engine.open(file, read_only=True) as reader:
            for table in tables:
                if reader.value(f"select count(*) from {table} where user_id = $user", {"user": GONE}):
                    return True
    return False


def bytes_of(shop: Shop) -> set[str]:
    """The files of the project, besides the sources, with the user's id in their bytes."""
    files = [path for path in shop.directory.rglob("*") if path.is_file() and path.parent.name != "data"]
    return {path.name for path in files if GONE.encode() in path.read_bytes()} - {"later.parquet"}


@pytest.mark.slow
@pytest.mark.parametrize("point", range(POINTS))
def test_killed(point: int, refreshed: Shop, ends: list[Moment], tmp_path: Path) -> None:
    shop = refreshed.copy(tmp_path / "shop")
    settings = load_settings(shop.directory)
    end = ends[point]
    sys.stdout.write(f"killed {end}\n")  # shown where the test fails; its own id repeats it
    kill_at(shop, ["forget", GONE], end, tmp_path, under=uncompressed)
    assert_whole(shop.published)
    # Either it has not begun, or somebody is told, or nothing is left.
    begun = erased_users(settings).holds(GONE)
    if unfinished_erasure(settings) is None and begun:
        assert not holds(shop)
        assert bytes_of(shop) == set()
    kill_at(shop, ["forget", GONE], Moment(10**9, "never"), tmp_path, under=uncompressed)
    assert unfinished_erasure(settings) is None
    assert not holds(shop)
    assert bytes_of(shop) == set()
    assert_whole(shop.published)
    with uncompressed():
        shop.refresh_here()
    assert not holds(shop)
    assert bytes_of(shop) == set()
    assert left_behind(shop) == []
