"""The benchmarks of features and of growing shops run, and notice where two ways say something else."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import features
import pytest
import scale

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, simulated_events):
    folder = tmp_path_factory.mktemp("features")
    (folder / "events.parquet").write_bytes(simulated_events.read_bytes())
    features.take_in(folder / "events.parquet", folder, threads=1)
    features.run_way("sqlseg", folder, folder / "report.json", threads=1)
    return folder


@pytest.mark.parametrize("way", ["alone", "hand", "polars", "pandas"])
def test_every_way_computes_the_same_features(folder, way):
    if way == "polars" and importlib.util.find_spec("polars") is None:
        pytest.skip("polars is not installed")
    features.run_way(way, folder, folder / "report.json", threads=1)
    assert features.differences(folder, way) == {}
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["seconds"] >= 0
    assert report["peak_kb"] > 10_000


def test_a_different_result_and_a_missing_user_are_found(folder):
    features.run_way("alone", folder, folder / "report.json", threads=1)
    path = folder / "alone" / "rfm.parquet"
    other = folder / "other.parquet"
    duckdb.execute(
        f"copy (with buyers as (select min(user_id) as first, max(user_id) as last from '{path}' where spend > 0) "
        f"select f.* replace (f.spend + (f.user_id = first)::int as spend) from '{path}' as f, buyers "
        f"where f.user_id <> last) to '{other}'"
    )
    other.replace(path)
    found = features.differences(folder, "alone")
    assert found["rfm__spend"] == 2
    assert found["rfm__orders"] == 1


def test_sizes_are_read_as_people_write_them():
    assert scale.size("10M/500k") == scale.Size("10M/500k", 10_000_000, 500_000)
    with pytest.raises(Exception, match="no number"):
        scale.number("ten")


@pytest.mark.slow
def test_a_small_shop_is_refreshed_beside_its_limits(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "scale.py"), "--sizes", "6k/300", "12k/600", "--usual-up-to", "0"]
    name = "scale_of_a_test"
    result = BENCHMARKS / "results" / f"{name}.json"
    try:
        done = subprocess.run(
            [*command, "--threads", "1", "--folder", str(tmp_path), "--name", name],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        figures = json.loads(result.read_text(encoding="utf-8"))
    finally:
        result.unlink(missing_ok=True)
    assert "slope from 6,000 to 12,000 events" in done.stdout
    small = figures["results"]["6k/300"]
    assert small["users"] == 300
    assert set(small["limits"]["seconds"]) == set(scale.LIMITS)
    assert figures["ratios"]["6,000 events, times the sum of the limits"] > 1
    assert figures["machine"]["threads"] == 1
