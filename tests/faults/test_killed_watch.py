"""A watch that is killed, in a round or between two, leaves both files for the next command to go on from."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest
from kill_points import Moment, assert_whole, kill_at, moments, patching_small_files, run_to_end
from refresh_process import Content, Shop, assert_same_content, content, left_behind

from sqlseg.workflow import watching

POINTS = int(os.environ.get("SQLSEG_KILL_POINTS", "12"))
BATCHES = ("first.parquet", "second.parquet")

OF_USERS = (
    "segments.membership",
    "segments.segment",
    "segments.user_reason",
    "segments.behavior_users",
    "features.rfm_v1",
)
"""Tables that are the same however many refreshes led to them."""


@contextmanager
def fed(directory: Path) -> Iterator[None]:
    """Bring a batch of late events in after each round; the watch ends when there is none left."""
    batches = iter(BATCHES)
    watch = watching.watch

    def wait(seconds: float) -> None:
        name = next(batches, None)
        if name is None:
            raise KeyboardInterrupt
        (directory / name).rename(directory / "data" / name)

    with (
        patching_small_files(),
        patch("sqlseg.workflow.watching.watch", lambda *a, **k: watch(*a, **{**k, "wait": wait})),
    ):
        yield


@pytest.fixture(scope="module")
def shop(new_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Refreshed once and published; two batches of late events of a few users lie ready."""
    shop = new_shop.copy(tmp_path_factory.mktemp("fed") / "shop")
    earlier, rest = shop.directory / "data" / "earlier.parquet", shop.directory / "rest.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table events as select * from '{earlier}'")
        late = (
            "user_id in (select user_id from events group by user_id order by user_id limit 12) "
            "and event_time < (select max(event_time) - interval 2 day from events) and hash(event_id) % 6 = {}"
        )
        for number, name in enumerate(BATCHES):
            connection.execute(f"copy (select * from events where {late.format(number)}) to '{shop.directory / name}'")
        kept = " and ".join(f"not ({late.format(number)})" for number in range(len(BATCHES)))
        connection.execute(f"copy (select * from events where {kept}) to '{rest}'")
    rest.replace(earlier)
    shop.refresh_here()
    return shop


def copied(shop: Shop, place: Path) -> Shop:
    """Copy the shop, whose published file is known by its path."""
    copy = shop.copy(place)
    with duckdb.connect(str(copy.warehouse)) as connection:
        connection.execute("update sqlseg.published_file set path = $path", {"path": str(copy.published)})
    return copy


def of_users(shop: Shop) -> Content:
    return {table: rows for table, rows in content(shop.published).items() if table in OF_USERS}


@pytest.fixture(scope="module")
def watched(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Moment], Content]:
    """The moments of a watch that nobody kills, and what it ends with."""
    place = tmp_path_factory.mktemp("traced")
    copy = copied(shop, place / "shop")
    things = run_to_end(copy, ["refresh", "--watch", "1"], place, under=partial(fed, copy.directory))
    assert left_behind(copy) == [] and not list(copy.published.parent.glob(".*"))
    assert "built whole" not in (place / "log.txt").read_text("utf-8")
    copies = sum(what.startswith("file copy") for what, _ in things)
    assert copies == 3, "one in the first round with news, one after each of both; the second patched what it found"
    expected = of_users(copy)
    assert set(expected) == set(OF_USERS)
    copy.refresh_here()
    assert_same_content(of_users(copy), expected)
    return moments(things, POINTS, seed=5), expected


@pytest.mark.slow
@pytest.mark.parametrize("point", range(POINTS))
def test_killed(point: int, shop: Shop, watched: tuple[list[Moment], Content], tmp_path: Path) -> None:
    ends, expected = watched
    copy = copied(shop, tmp_path / "shop")
    sys.stdout.write(f"killed {ends[point]}\n")  # shown where the test fails; its own id repeats it
    kill_at(copy, ["refresh", "--watch", "1"], ends[point], tmp_path, under=partial(fed, copy.directory))
    assert_whole(copy.published)
    for name in BATCHES:
        if (copy.directory / name).exists():
            (copy.directory / name).rename(copy.directory / "data" / name)
    copy.refresh_here()
    assert_whole(copy.published)
    assert_same_content(of_users(copy), expected)
    assert left_behind(copy) == []
