"""A source that goes away, or shrinks, while it is read: a refresh says so or is complete."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from refresh_process import Shop, Stage, wait_for
from test_stopped_refresh import assert_explained


def remove(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize("fault", [remove, cut, empty])
@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_source_that_vanishes_while_it_is_read(
    fault: Callable[[Path], None], seconds: float, warm: Stage, tmp_path: Path
) -> None:
    shop: Shop = warm.shop.copy(tmp_path / "shop")
    before = shop.published.read_bytes()
    query = (shop.directory / "sql" / "events.sql").read_text("utf-8")
    shop.slow_down(10**8)
    process = shop.start()
    log = shop.warehouse.with_name(shop.warehouse.name + ".wal")
    assert wait_for(log.exists, process)
    time.sleep(seconds)
    for file in (shop.directory / "data").iterdir():
        fault(file)
    out, err = process.communicate(timeout=300)
    if process.returncode != 0:
        assert_explained(subprocess.CompletedProcess(process.args, process.returncode, out, err))
        assert shop.published.read_bytes() == before
    # The source is back, and all is good.
    shutil.rmtree(shop.directory / "data")
    shutil.copytree(warm.shop.directory / "data", shop.directory / "data")
    (shop.directory / "sql" / "events.sql").write_text(query, "utf-8")
    shop.refresh_here()
    if process.returncode != 0:
        warm.assert_finished(shop)
