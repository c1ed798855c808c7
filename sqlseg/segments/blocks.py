"""The inputs of a segmentation: named blocks of columns, one row a user, the same users in the same order in all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sqlseg.errors import SqlsegError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Vectors = NDArray[np.float32] | NDArray[np.float64]
"""Vectors of an encoder in single precision, as it gives them, or what was made of them in double."""

BlockKind = Literal["features", "embedding", "content"]

STEPS = 1e6
"""Coordinates in a model's space are whole multiples of 1 / STEPS."""


class UnusableInput(SqlsegError):
    """An input of a segmentation holds values that nobody can cluster."""


@dataclass(frozen=True, eq=False)
class Block:
    """One input: a view of readable features (`rfm@1`), an embedding (`encoder:behavior@1`) or what users buy.

    `values` is users x columns; NaN means missing. A user without an embedding has a row of NaN.
    An embedding's columns have no names of their own: it is one thing wherever people read of it. So is a content block
    (`content:category@1`), which is sparse, users x `terms`, and says how much each weighs for the user.
    """

    name: str
    kind: BlockKind
    columns: tuple[str, ...]
    values: "Vectors | csr_array"
    terms: tuple[str, ...] = ()
    texts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The text columns of a view by `<view>__<column>`, one text or None a user."""

    @property
    def user_count(self) -> int:
        """The number of users, which all blocks of a segmentation share."""
        return int(self.values.shape[0])

    @property
    def figures(self) -> FloatArray:
        """The values of columns that people read, which are in double precision."""
        return np.asarray(self.values, dtype=np.float64)

    def take(self, rows: IntArray | slice) -> "Block":
        """Return the block of these rows only."""
        texts = {column: values[rows] for column, values in self.texts.items()}
        return Block(self.name, self.kind, self.columns, self.values[rows], self.terms, texts)


def feature_block(
    name: str, columns: Sequence[str], values: ArrayLike, texts: Mapping[str, NDArray[Any]] | None = None
) -> Block:
    """Return the block of a view's numeric columns, named `<view>__<column>`, and its texts; infinities are refused.

    >>> feature_block("rfm@1", ["rfm__orders"], [[1], [3]]).user_count
    2
    """
    matrix = _matrix(name, values)
    if matrix.shape[1] != len(columns):
        raise UnusableInput(f"{name} has {matrix.shape[1]} columns of values and {len(columns)} names.")
    if len(set(columns)) != len(columns):
        raise UnusableInput(f"{name} names a column twice: {', '.join(columns)}.")
    infinite = np.isinf(matrix).sum(axis=0)
    if infinite.any():
        worst = int(infinite.argmax())
        raise UnusableInput(
            f"{columns[worst]} is infinite for {infinite[worst]} of {matrix.shape[0]} users.",
            hint="Guard the division in the feature view: x / nullif(y, 0) gives NULL, which is handled.",
        )
    return Block(name, "features", tuple(columns), matrix, texts=dict(texts or {}))


def embedding_block(name: str, values: ArrayLike) -> Block:
    """Return the block of an encoder's vectors, users x dimensions; a row is known in full or not at all.

    >>> embedding_block("encoder:behavior@1", [[0.0, 1.0]]).columns
    ()
    """
    matrix = values if isinstance(values, np.ndarray) and values.dtype == np.float32 else _matrix(name, values)
    missing = np.isnan(matrix)
    torn = missing.any(axis=1) & ~missing.all(axis=1)
    if torn.any() or np.isinf(matrix).any():
        raise UnusableInput(
            f"The embedding {name} holds values that are not finite.",
            hint="Run `sqlseg encoders verify`; the model's output should be finite for every user.",
        )
    return Block(name, "embedding", (), matrix)


def content_block(name: str, terms: Sequence[str], weights: "csr_array") -> Block:
    """Return the block of what users have, users x terms; weights must be finite and above 0 where there are any.

    >>> from scipy.sparse import csr_array
    >>> content_block("content:category@1", ["tea"], csr_array(np.array([[3.0], [0.0]]))).user_count
    2
    """
    if weights.shape[1] != len(terms) or len(set(terms)) != len(terms):
        raise UnusableInput(f"{name} has {weights.shape[1]} columns and {len(set(terms))} different terms.")
    usable = np.isfinite(weights.data) & (weights.data > 0)
    if not usable.all():
        raise UnusableInput(
            f"{name} holds weights that are not above 0, or not finite: {weights.data[~usable][0]}.",
            hint="Leave such rows out of the content view: where weight > 0.",
        )
    return Block(name, "content", (), weights, tuple(terms))


def user_count(blocks: Sequence[Block]) -> int:
    """Return how many users the blocks describe; blocks of different length are refused."""
    if not blocks:
        raise UnusableInput("A cluster segmentation needs at least one input.", hint="Name one, as inputs = ['rfm@1'].")
    names = [block.name for block in blocks]
    if len(set(names)) != len(names):
        raise UnusableInput(f"An input is named twice: {', '.join(names)}.")
    counts = {block.name: block.user_count for block in blocks}
    if len(set(counts.values())) != 1:
        raise UnusableInput(f"The inputs describe different numbers of users: {counts}.")
    return blocks[0].user_count


def rounded(values: FloatArray) -> FloatArray:
    """Round to 1e-6 in place, as floor(x * 1e6 + 0.5) / 1e6, which every engine computes alike.

    >>> rounded(np.array([0.1234564, -0.5]))
    array([ 0.123456, -0.5     ])
    """
    values *= STEPS
    values += 0.5
    np.floor(values, out=values)
    values /= STEPS
    return values


def _matrix(name: str, values: ArrayLike) -> FloatArray:
    matrix: NDArray[Any] = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise UnusableInput(f"{name} must be users x columns, got {matrix.ndim} dimensions.")
    return matrix
