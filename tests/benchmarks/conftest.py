"""The benchmarks are scripts beside the package: put on the path here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def simulated_events(tmp_path_factory):
    """A year of a small simulated shop, as a file."""
    from sqlseg.synth import write_synthetic_events

    path = tmp_path_factory.mktemp("events") / "events.parquet"
    write_synthetic_events(path, users=300, events=9000, seed=77)
    return path
