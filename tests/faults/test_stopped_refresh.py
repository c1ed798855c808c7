"""Ctrl-C ends a refresh with one sentence, and changes nothing."""

import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pytest
from refresh_process import Shop, Stage, wait_for


def assert_explained(run: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit 1 and a message that holds the words; no traceback."""
    assert run.returncode == 1, (run.returncode, run.stdout, run.stderr)
    assert "Traceback" not in run.stderr, run.stderr
    assert run.stderr.startswith("Error: ") or "\nError: " in run.stderr, run.stderr
    for word in words:
        assert word in run.stderr, run.stderr


def stop(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_a_second_refresh_is_refused_and_ctrl_c_ends_the_first(new_shop: Shop, tmp_path: Path) -> None:
    shop = new_shop.copy(tmp_path / "shop")
    shop.slow_down(10**12)
    first = shop.start()
    log = shop.warehouse.with_name(shop.warehouse.name + ".wal")
    assert wait_for(log.exists, first)
    time.sleep(1.0)
    assert first.poll() is None
    assert_explained(shop.refresh(), str(shop.warehouse), "is held", str(first.pid))
    assert_explained(stop(first), "Interrupted", "as they were")
    assert not shop.published.exists()
    with duckdb.connect(str(shop.warehouse), read_only=True) as warehouse:
        assert warehouse.execute("select status, error from segments.run").fetchall() == [("failed", "Interrupted.")]


@pytest.mark.slow
@pytest.mark.parametrize("percent", [40, 50, 60, 70, 75, 80, 85, 90, 95])
@pytest.mark.parametrize("when", ["cold", "warm"])
def test_ctrl_c_at_any_moment(when: str, percent: int, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    stage: Stage = request.getfixturevalue(when)
    shop: Shop = stage.shop.copy(tmp_path / "shop")
    before = shop.published.read_bytes() if shop.published.exists() else None
    process = shop.start()
    time.sleep(stage.seconds * percent / 100)
    run = stop(process)
    if run.returncode != 0:
        assert_explained(run, "Interrupted")
        assert (shop.published.read_bytes() if shop.published.exists() else None) == before
    again = shop.refresh()
    assert again.returncode == 0, again.stderr
    stage.assert_finished(shop)
