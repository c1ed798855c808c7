"""Text columns of feature views as numbers: one column a level, 1 for users who have it and 0 for all others.

Levels of under 2% of users, and those beyond the twenty most usual, are pooled into one, so that no country of three
users makes a segment; where the pool itself is under 2%, it is left out. Who has no value, or one that is left out, is
0 everywhere. All levels of a column together have the variance of one numeric column, or a country of ten levels would
count ten times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import Block, FloatArray, UnusableInput

LEVEL_AT_LEAST = 0.02
LEVELS_AT_MOST = 20
POOLED = "(other)"


@dataclass(frozen=True)
class Category:
    """The levels of a text column that have a column of their own, and whether there is one for all others."""

    block: str
    column: str
    levels: tuple[str, ...]
    pooled: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that are made of it."""
        return tuple(f"{self.column}={level}" for level in (*self.levels, *([POOLED] if self.pooled else [])))

    def indicators(self, values: NDArray[Any]) -> FloatArray:
        """Return users x names, 0 or 1; None is 0 everywhere.

        >>> category = Category("who@1", "who__country", ("GB",), True)
        >>> category.indicators(np.array(["GB", "FR", None], dtype=object)).tolist()
        [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
        """
        number = {level: position for position, level in enumerate(self.levels)}
        rest = len(self.levels) if self.pooled else None
        result = np.zeros((values.shape[0], len(self.names)))
        for row, value in enumerate(values):
            if value is not None and (position := number.get(value, rest)) is not None:
                result[row, position] = 1.0
        return result

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Category":
        """Return what `dataclasses.asdict` made plain."""
        return cls(data["block"], data["column"], tuple(data["levels"]), data["pooled"])


def fit_category(block: str, column: str, values: NDArray[Any]) -> Category | str:
    """Return the levels of a text column (None for missing), or the reason why it is of no use."""
    known = values[np.array([value is not None for value in values], dtype=bool)]
    if known.size == 0:
        return "missing for every user"
    levels, counts = np.unique(known.astype(str), return_counts=True)
    order = np.lexsort((levels, -counts))
    usual = [position for position in order if counts[position] >= LEVEL_AT_LEAST * values.size][:LEVELS_AT_MOST]
    if not usual:
        return f"none of its {levels.size:,} levels is that of {LEVEL_AT_LEAST:.0%} of users"
    pooled = known.size - counts[usual].sum() >= LEVEL_AT_LEAST * values.size
    return Category(block, column, tuple(str(levels[position]) for position in usual), bool(pooled))


def expanded(block: Block, categories: Sequence[Category]) -> Block:
    """Return a block with its text columns as numbers, those of the categories only. Raises UnusableInput."""
    own = [category for category in categories if category.block == block.name]
    if not own:
        return block
    missing = [category.column for category in own if category.column not in block.texts]
    if missing:
        raise UnusableInput(
            f"The model was fitted with {', '.join(missing)}, which {block.name} does not have as text.",
            hint="A published view never changes its columns; restore it, or refit with --refit always.",
        )
    parts = [category.indicators(block.texts[category.column]) for category in own]
    names = tuple(name for category in own for name in category.names)
    return Block(block.name, block.kind, (*block.columns, *names), np.hstack([np.asarray(block.values), *parts]))
