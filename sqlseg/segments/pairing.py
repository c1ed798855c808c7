"""SciPy's solver of the assignment problem (Kuhn 1955; Crouse 2016), without the optimizers that come with it.

`scipy.optimize` takes a sixth of a second and 24 MB to import, for one function of a few kilobytes that is compiled by
itself. Where that cannot be found alone, the whole is imported.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import numpy as np

from sqlseg.segments.blocks import IntArray


def best_pairs(worth: np.ndarray) -> tuple[IntArray, IntArray]:
    """Return the rows and columns of a matrix that are paired, each at most once, to be worth most together.

    >>> best_pairs(np.array([[5, 9], [1, 7]]))
    (array([0, 1]), array([0, 1]))
    """
    rows, columns = _solver()(worth, maximize=True)
    return rows, columns


@cache
def _solver() -> Callable[..., Any]:
    import scipy

    spec = PathFinder.find_spec("_lsap", [str(Path(scipy.__file__).parent / "optimize")])
    if spec is None or spec.loader is None:
        module = import_module("scipy.optimize")
    else:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    solver: Callable[..., Any] = module.linear_sum_assignment
    return solver
