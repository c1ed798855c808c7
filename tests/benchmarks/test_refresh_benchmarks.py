"""The benchmarks of refreshes of a shop that has been refreshed before, on shops so small that they say nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def ran(script: str, *arguments: object) -> str:
    command = [sys.executable, BENCHMARKS / script, *map(str, arguments), "--no-results"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_shop_is_refreshed_day_by_day(tmp_path):
    told = ran("history_growth.py", "--users", 60, "--days", 3, "--threads", 1, "--folder", tmp_path)
    assert "60 users, 3 days" in told
    assert "File size:" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_commands_and_rounds_of_a_watch_are_told_apart(tmp_path):
    told = ran("warm_refresh.py", "--users", 150, "--events", 6000, "--threads", 1, "--folder", tmp_path)
    for row in ("cold", "a new day", "1,000 new events"):
        assert row in told
