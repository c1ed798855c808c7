"""A first refresh that is killed leaves nothing, or all; the next one comes to the same as if nothing had happened."""

import os
from pathlib import Path

import pytest
from kill_points import Moment, kill_and_check, moments, run_to_end
from refresh_process import Stage

POINTS = int(os.environ.get("SQLSEG_KILL_POINTS", "100"))


@pytest.fixture(scope="module")
def ends(cold: Stage, tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    place = tmp_path_factory.mktemp("traced")
    return moments(run_to_end(cold.shop.copy(place / "shop"), ["refresh"], place), POINTS, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("point", range(POINTS))
def test_killed(point: int, cold: Stage, ends: list[Moment], tmp_path: Path) -> None:
    kill_and_check(cold, ends[point], tmp_path)
