"""Counts and sums with noise by which no single user can be told, by OpenDP's mechanisms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlseg.errors import SqlsegError

CONFIDENCE = 0.95
LARGEST_EPSILON = 20.0


class NoOpenDp(SqlsegError):
    """What makes noise is not installed."""

    def __init__(self) -> None:
        super().__init__("Noise is made by OpenDP, which is not installed.", hint="pip install 'sqlseg[privacy]'")


@dataclass(frozen=True)
class NoisyIntegers:
    """Whole numbers with noise; `epsilon` is what they cost by OpenDP's account, `scale` that of the noise."""

    values: tuple[int, ...]
    epsilon: float
    scale: float

    def within(self, alpha: float) -> int:
        """Return how far a true number is from its noisy one at most, but for a part `alpha` of all cases."""
        return math.ceil(discrete_laplace_width(self.scale, alpha))


def noisy_integers(values: Sequence[int], sensitivity: int, epsilon: float) -> NoisyIntegers:
    """Return numbers with discrete Laplace noise, which costs `epsilon` at most.

    `sensitivity` is by how much all of them together change at most (in L1) where one user comes or goes. The noise is
    drawn by OpenDP from the randomness of the operating system, and exactly: floating-point noise can be seen through
    (Mironov 2012). Raises NoOpenDp.
    """
    try:
        from opendp.domains import atom_domain, vector_domain
        from opendp.measurements import make_laplace
        from opendp.metrics import l1_distance
        from opendp.mod import enable_features
    except ImportError as error:
        raise NoOpenDp from error
    enable_features("contrib")
    domain, metric = vector_domain(atom_domain(T="i64")), l1_distance(T="i64")
    scale = sensitivity / epsilon
    measurement: Any = make_laplace(domain, metric, scale=scale)
    while measurement.map(sensitivity) > epsilon:  # its account is in floating point, and rounds up
        scale = math.nextafter(scale, math.inf)
        measurement = make_laplace(domain, metric, scale=scale)
    drawn = measurement(list(values)) if values else []
    return NoisyIntegers(tuple(int(value) for value in drawn), float(measurement.map(sensitivity)), scale)


def discrete_laplace_width(scale: float, alpha: float) -> int:
    """Return the smallest whole w for which noise is larger than w, either way, in at most a part `alpha` of cases.

    With p = exp(-1 / scale), P(|X| > w) = 2 p^(w + 1) / (1 + p) (Inusah and Kozubowski 2006).

    >>> discrete_laplace_width(10.0, 0.05)
    30
    """
    p = math.exp(-1 / scale)
    return max(0, math.ceil(math.log(alpha * (1 + p) / 2) / math.log(p) - 1))
