"""Ctrl-C ends a refresh with one sentence, and changes nothing."""

import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pytest
from refresh_process import Shop, Stage, wait_for

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.statements import Parameters
from sqlseg.workflow.refresh import Interrupted


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
    assert_explained(shop.refresh(), f"{shop.warehouse} is held by `sqlseg refresh` (process {first.pid} on ")
    assert_explained(stop(first), "Interrupted", "as they were")
    assert not shop.published.exists()
    with duckdb.connect(str(shop.warehouse), read_only=True) as warehouse:
        assert warehouse.execute("select status, error from segments.run").fetchall() == [("failed", "Interrupted.")]


def test_ctrl_c_in_the_instant_after_the_commit(
    new_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is done and on record as done; only publishing is left for the next refresh."""
    shop = new_shop.copy(tmp_path / "shop")
    carried_out = Engine.execute

    def execute(engine: Engine, sql: str, parameters: Parameters = None) -> None:
        carried_out(engine, sql, parameters)
        if sql == "commit" and engine.value("select count(*) from segments.run where status = 'done'"):
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "execute", execute)
    with pytest.raises(Interrupted):
        shop.refresh_here()
    shop.refresh_here()
    with duckdb.connect(str(shop.published), read_only=True) as reader:
        assert reader.execute("select kind, status from segments.run order by run_id").fetchall()[0] == ("cold", "done")
    published = shop.published.stat().st_mtime_ns
    shop.refresh_here()
    assert shop.published.stat().st_mtime_ns == published


@pytest.mark.slow
@pytest.mark.parametrize("percent", [0, 20, 40, 60, 75])
@pytest.mark.parametrize("when", ["cold", "warm"])
def test_ctrl_c_at_any_moment(when: str, percent: int, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """From the moment on that the warehouse is written to."""
    stage: Stage = request.getfixturevalue(when)
    shop: Shop = stage.shop.copy(tmp_path / "shop")
    before = shop.published.read_bytes() if shop.published.exists() else None
    process = shop.start()
    log = shop.warehouse.with_name(shop.warehouse.name + ".wal")
    assert wait_for(log.exists, process)
    time.sleep(stage.seconds * percent / 100)
    run = stop(process)
    if "Refreshed as of" not in run.stdout:  # what is said at the very end
        assert_explained(run, "Interrupted")
        if "Interrupted;" in run.stderr:
            assert (shop.published.read_bytes() if shop.published.exists() else None) == before
    shop.refresh_here()
    stage.assert_finished(shop)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_watch_ends_cleanly_between_rounds(new_shop: Shop, tmp_path: Path, number: signal.Signals) -> None:
    shop = new_shop.copy(tmp_path / "shop")
    process = shop.start("--watch", "600")
    assert wait_for(shop.published.exists, process)
    assert process.stdout is not None
    assert "new events" in process.stdout.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    assert "Stopped. Rounds: 1, of which 1 with something new" in err
    assert "Traceback" not in err


def test_a_watch_ends_cleanly_within_a_round_and_undoes_it(new_shop: Shop, tmp_path: Path) -> None:
    shop = new_shop.copy(tmp_path / "shop")
    shop.slow_down(10**12)
    process = shop.start("--watch", "1")
    log = shop.warehouse.with_name(shop.warehouse.name + ".wal")
    assert wait_for(log.exists, process)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    assert "as they were" in err
    assert "Traceback" not in err
    assert not shop.published.exists()
