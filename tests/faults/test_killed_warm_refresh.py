"""A later refresh that is killed leaves what was there, or what is to be; the next one makes all good."""

import os
from pathlib import Path

import pytest
from kill_points import Moment, kill_and_check, moments, run_to_end
from refresh_process import Stage

POINTS = int(os.environ.get("SQLSEG_KILL_POINTS", "100"))


@pytest.fixture(scope="module")
def ends(warm: Stage, tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    place = tmp_path_factory.mktemp("traced")
    return moments(run_to_end(warm.shop.copy(place / "shop"), ["refresh"], place), POINTS, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("point", range(POINTS))
def test_killed(point: int, warm: Stage, ends: list[Moment], tmp_path: Path) -> None:
    kill_and_check(warm, ends[point], tmp_path)
