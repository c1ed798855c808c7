"""Figures of one column segment by segment, from the values of each segment in ascending order.

Sums are taken over values in order, so that they do not depend on the order of users.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.ordered import Ordered
from sqlseg.segments.scaling import ColumnScaling, scaled_known

QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, eq=False)
class Division:
    """How users fall into segments: `order` has them segment by segment, and those of no segment last.

    `borders` is where each of these groups begins in that order, and where the last one ends.
    """

    order: IntArray
    borders: IntArray

    @classmethod
    def of(cls, labels: IntArray, segment_count: int) -> "Division":
        """Return the division that `labels` make: the number of each user's segment from 0, or -1 for none.

        >>> Division.of(np.array([1, -1, 0, 1]), 2).order
        array([2, 0, 3, 1])
        """
        group = np.where(labels < 0, segment_count, labels)
        if segment_count < np.iinfo(np.int16).max:
            group = group.astype(np.int16)  # which are put in order by counting
        sizes = np.bincount(group, minlength=segment_count + 1)
        return cls(np.argsort(group, kind="stable"), np.concatenate([[0], np.cumsum(sizes)]))

    def parts(self, values: FloatArray) -> list[Ordered]:
        """Return the values of one column (1-D, one a user) in order, of each segment and last of users of none."""
        together = values[self.order]
        return [Ordered.in_place(together[a:b]) for a, b in zip(self.borders[:-1], self.borders[1:], strict=True)]


@dataclass(frozen=True, eq=False)
class GroupFigures:
    """How many users of each group have a value, the sum of these, and their squared deviations from their mean.

    Groups are the segments and, last, the users of none; further axes before that one are columns. `quantiles` has a
    last axis more, for `QUANTILES`; NaN where nobody has a value.
    """

    count: FloatArray
    total: FloatArray
    squares: FloatArray
    quantiles: FloatArray

    @classmethod
    def of(cls, parts: Sequence[Ordered]) -> "GroupFigures":
        """Return the figures of one column."""
        count, total, squares = np.zeros((3, len(parts)))
        quantiles = np.full((len(parts), len(QUANTILES)), np.nan)
        room = np.empty(max(part.known.size for part in parts))
        with np.errstate(over="ignore", invalid="ignore"):  # of values beyond 1e150, and of infinite ones
            for group, part in enumerate(parts):
                if part.known.size == 0:
                    continue
                count[group], total[group] = part.known.size, part.known.sum()
                apart = np.subtract(part.known, total[group] / count[group], out=room[: part.known.size])
                apart *= apart
                squares[group] = apart.sum()
                quantiles[group] = part.quantiles(QUANTILES)
        return cls(count, total, squares, quantiles)

    @classmethod
    def stacked(cls, columns: Sequence["GroupFigures"]) -> "GroupFigures":
        """Return the figures of several columns, these being the first axis."""
        names = ("count", "total", "squares", "quantiles")
        return cls(*(np.stack([getattr(column, name) for column in columns]) for name in names))

    @property
    def mean(self) -> FloatArray:
        """The mean of each group, 0 where nobody has a value."""
        result: FloatArray = self.total / np.maximum(self.count, 1)
        return result


def mean_in_units(parts: Sequence[Ordered], scaling: ColumnScaling) -> FloatArray:
    """Return the mean of each group on one column in robust standard units, users without a value imputed."""
    imputed = float(scaled_known(np.array([scaling.median]), scaling)[0])
    sums = [scaled_known(part.known, scaling).sum() + part.missing * imputed for part in parts]
    result: FloatArray = np.array(sums) / np.maximum([part.users for part in parts], 1)
    return result
