import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from sqlseg.segments import pairing
from sqlseg.segments.pairing import best_pairs


@pytest.fixture(params=["alone", "with the rest"])
def solver(request, monkeypatch):
    if request.param == "with the rest":
        monkeypatch.setattr(pairing.PathFinder, "find_spec", lambda *_: None)
    pairing._solver.cache_clear()
    yield
    pairing._solver.cache_clear()


def test_it_is_scipys(solver):
    random = np.random.default_rng(0)
    for _ in range(50):
        worth = random.integers(0, 4, random.integers(1, 9, 2))
        np.testing.assert_array_equal(best_pairs(worth), linear_sum_assignment(worth, maximize=True))
        np.testing.assert_array_equal(best_pairs(-worth), linear_sum_assignment(worth))


def test_it_comes_without_the_optimizers():
    asked = (
        "import sys, numpy; from sqlseg.segments.pairing import best_pairs; "
        "assert best_pairs(numpy.eye(2))[1].tolist() == [0, 1]; print('scipy.optimize' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
