"""Other releases of DuckDB and other clients, each in a folder of its own that later runs find again."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".pytest_cache" / "clients"


class NotInstallable(Exception):
    """A client cannot be had for this machine, or not without a network."""


def library_of(version: str) -> Path:
    """Return a folder with one release of DuckDB; skip where it cannot be had."""
    try:
        return python_library(f"duckdb-{version}", "--no-deps", f"duckdb=={version}")
    except NotInstallable as error:
        pytest.skip(str(error))


def python_library(name: str, *packages: str) -> Path:
    """Return a folder with packages of Python, installed there if they are not yet. Raises NotInstallable."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    tag = f"{name}-{sys.implementation.cache_tag}"
    return _installed(tag, lambda place: [*pip, "--target", str(place), *packages])


def node_library(name: str, *packages: str) -> Path:
    """Return a folder with packages of Node, installed there if they are not yet. Raises NotInstallable."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotInstallable(f"{name}: there is no node, or no npm")
    npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix"]
    return _installed(name, lambda place: [*npm, str(place), *packages])


def _installed(name: str, command: Callable[[Path], list[str]]) -> Path:
    place = CACHE / name
    if place.is_dir():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        building = Path(folder) / "library"
        building.mkdir()
        run = subprocess.run(command(building), capture_output=True, text=True)
        if run.returncode != 0:
            said = run.stderr.strip().splitlines() or ["no word why"]
            raise NotInstallable(f"{name} cannot be installed here: {said[-1]}")
        try:
            building.replace(place)
        except OSError:
            if not place.is_dir():  # another process was faster
                raise
    return place
