"""Where the disk is full, a refresh says so; the published file stays, and the next one, with room, is complete."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from refresh_process import Shop, Stage
from test_stopped_refresh import assert_explained


def limited_to(size: int) -> Callable[[], None]:
    """Before a process starts: let no file of it grow beyond a size."""

    def limit() -> None:
        # Ignored, so that the write fails as it does on a full disk, with an error of its own.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def published_bytes(shop: Shop) -> bytes | None:
    return shop.published.read_bytes() if shop.published.exists() else None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "share"), [("cold", 0.02), ("cold", 0.3), ("cold", 0.6), ("warm", 0.02), ("warm", 0.3), ("warm", 0.45)]
)
def test_no_file_may_grow(when: str, share: float, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    stage: Stage = request.getfixturevalue(when)
    shop = stage.shop.copy(tmp_path / "shop")
    before = published_bytes(shop)
    assert_explained(shop.refresh(preexec_fn=limited_to(int(stage.largest_file * share))))
    assert published_bytes(shop) == before
    shop.refresh_here()
    stage.assert_finished(shop)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount an empty file system of so many bytes, where this machine lets us."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(size: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
        if (
            os.geteuid() != 0
            or shutil.which("mount") is None
            or subprocess.run(command, capture_output=True).returncode
        ):
            pytest.skip("a small file system can be mounted by root alone")
        return place

    try:
        yield mounted
    finally:
        if place.is_mount():  # gone at once, also where some process still has a file open there
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [0.1, 3, 10])
@pytest.mark.parametrize("when", ["cold", "warm"])
def test_the_disk_is_full(
    when: str,
    megabytes: float,
    request: pytest.FixtureRequest,
    small_disk: Callable[[int], Path],
    tmp_path: Path,
) -> None:
    stage: Stage = request.getfixturevalue(when)
    there = sum(file.stat().st_size for file in stage.shop.directory.rglob("*") if file.is_file())
    shop = stage.shop.copy(small_disk(int(there + (1 << 16) + megabytes * 1e6)) / "shop")
    before = published_bytes(shop)
    run = shop.refresh()
    assert_explained(run, "The disk is full")
    assert published_bytes(shop) == before
    moved = shop.copy(tmp_path / "roomy")
    moved.refresh_here()
    stage.assert_finished(moved)
