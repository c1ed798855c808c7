"""The encoder benchmarks run, compare the same embeddings, and say where there is no GPU."""

import json
import subprocess
import sys
from pathlib import Path

import encoder as benchmark
import numpy as np
import pytest

from sqlseg.encoders.bench import SHORT, random_tokens
from sqlseg.encoders.manifest import load_encoder
from sqlseg.encoders.session import missing_gpu_library, open_session
from sqlseg.resources import resource_root

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def session():
    return open_session(load_encoder("behavior@1", [resource_root("onnx_models")]), "cpu")


def test_every_way_embeds_the_same_users_in_the_same_order(session):
    ways = benchmark.ways(session, random_tokens(session.encoder, 2_200, SHORT, seed=1))
    assert len(ways) >= 5
    expected = ways["rows of a slice"]()
    assert expected.shape == (2_200, 64)
    for name, way in ways.items():
        found = way()
        assert len(found) == len(expected), name
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)


def test_rates_and_ratios_are_of_one_run(session):
    found = benchmark.measured(session, SHORT, users=300, rounds=1)
    rates, ratios = found["users_a_second"], found["ratio_to"]
    for other, against in ratios.items():
        assert against["rows of a slice"] == pytest.approx(rates["rows of a slice"] / rates[other], rel=0.02)
    assert found["apart_at_most"] < 1e-5
    assert "| short, " in benchmark.markdown({"short": found})


def test_the_gpu_benchmark_runs_without_one(tmp_path):
    output = tmp_path / "gpu.json"
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--users", "300", "--rounds", "1", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    providers = {row["provider"] for row in found["rows"]}
    assert "CPUExecutionProvider" in providers and output.with_suffix(".md").read_text().startswith("| provider |")
    assert sum(row["used_by_sqlseg"] for row in found["rows"]) == 2 * len(providers)
    if missing_gpu_library() is None:
        assert found["cuda"] == "started" and max(found["cosine_distance"].values()) <= 1e-3
    else:
        assert "CUDA does not start here" in done.stderr and found["cosine_distance"] == {}
        assert "did not start" in found["cuda"]
