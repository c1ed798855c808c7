"""Other releases of DuckDB, each in a folder of its own."""

import subprocess
import sys
from pathlib import Path

import pytest


def library_of(version: str, place: Path) -> Path:
    """Install one DuckDB beside the others; skip where it cannot be had for this Python or without a network."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary", ":all:", "--target", str(place), f"duckdb=={version}"),
        ],
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        pytest.skip(f"duckdb {version} cannot be installed here: {run.stderr.strip().splitlines()[-1]}")
    return place
