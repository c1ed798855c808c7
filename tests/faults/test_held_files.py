"""Files that others hold or protect: a refresh names them, and changes nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from refresh_process import Stage
from test_stopped_refresh import assert_explained

HOLD = (
    "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == 'True'); print('held', flush=True); "
    "sys.stdin.read()"
)


@contextmanager
def held(file: Path, *, read_only: bool) -> Iterator[int]:
    """Let another process hold a database file open; its process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file), str(read_only)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process.pid
    finally:
        process.communicate("")


@pytest.mark.slow
@pytest.mark.parametrize("read_only", [False, True], ids=["for writing", "for reading"])
def test_the_warehouse_is_held(warm: Stage, read_only: bool, tmp_path: Path) -> None:
    shop = warm.shop.copy(tmp_path / "shop")
    before = shop.published.read_bytes()
    with held(shop.warehouse, read_only=read_only) as holder:
        told = (f"(process {holder} of ", "running since", f"let people and BI tools open {shop.published} instead")
        assert_explained(shop.refresh(), str(shop.warehouse), "is held by", *told)
    assert shop.published.read_bytes() == before
    shop.refresh_here()
    warm.assert_finished(shop)


@pytest.mark.slow
def test_a_reader_of_the_published_file_is_in_nobodys_way(warm: Stage, tmp_path: Path) -> None:
    shop = warm.shop.copy(tmp_path / "shop")
    with held(shop.published, read_only=True):
        shop.refresh_here()
    warm.assert_finished(shop)


@pytest.mark.slow
def test_the_published_folder_is_read_only(
    warm: Stage, without_override: Callable[[], None] | None, tmp_path: Path
) -> None:
    shop = warm.shop.copy(tmp_path / "shop")
    before = shop.published.read_bytes()
    folder = shop.published.parent
    folder.chmod(0o555)
    try:
        assert_explained(shop.refresh(preexec_fn=without_override), str(folder))
    finally:
        folder.chmod(0o755)
    assert shop.published.read_bytes() == before
    shop.refresh_here()
    warm.assert_finished(shop)


@pytest.mark.slow
def test_the_folder_of_the_warehouse_is_read_only(
    cold: Stage, without_override: Callable[[], None] | None, tmp_path: Path
) -> None:
    shop = cold.shop.copy(tmp_path / "shop")
    shop.directory.chmod(0o555)
    try:
        assert_explained(shop.refresh(preexec_fn=without_override), str(shop.directory))
    finally:
        shop.directory.chmod(0o755)
    shop.refresh_here()
    cold.assert_finished(shop)
