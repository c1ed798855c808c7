"""Splits what boosted trees say of a user among the inputs: exact Shapley values (Lundberg et al. 2020, TreeSHAP).

The game is the usual one of trees: inputs in a coalition S are known, and at a split on any other one the user goes
both ways, in the proportion of the users of the fit who did. Of one leaf that is a product over the inputs on its path,

    v(S) = value * prod(o_i for i in S) * prod(z_i for i not in S)

where o_i is 1 if the user passes all splits on input i on the way, else 0, and z_i is the part of the users who passed
them. Its Shapley values follow from the sums over coalitions of each size, which a polynomial holds, and those of a
tree are sums over leaves. What a tree says depends on a user by the sides of its splits alone, and users share those:
the values are worked out once for all users who go the same ways (after the tables of Yang 2021, Fast TreeSHAP).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.boosting import LEAF, BoostedTrees, Tree

_USERS_AT_ONCE = 65_536
_COUNTED_UP_TO = 16
"""Splits of a tree up to which their outcomes are counted in a table of 2^splits entries."""


@dataclass(frozen=True, eq=False)
class _Path:
    """The way to one leaf: the inputs that are asked, the splits on each with the side to take, and z of each."""

    value: float
    inputs: tuple[int, ...]
    splits: tuple[tuple[tuple[int, bool], ...], ...]
    passed: FloatArray


def score_parts(trees: BoostedTrees, X: FloatArray) -> FloatArray:
    """Return users x inputs x scores: what each input adds to each score, from `expected_scores` on.

    X is users x inputs, NaN for unknown. The parts of a user add up to the user's scores less the expected ones.
    """
    result = np.zeros((X.shape[0], X.shape[1], trees.baseline.size))
    paths = [[tuple(_paths(tree)) for tree in each] for each in trees.rounds]
    for start in range(0, X.shape[0], _USERS_AT_ONCE):
        part = slice(start, start + _USERS_AT_ONCE)
        columns = np.ascontiguousarray(X[part].T)
        parts = np.zeros((trees.baseline.size, *columns.shape))
        for each, ways in zip(trees.rounds, paths, strict=True):
            for number, (tree, leaves) in enumerate(zip(each, ways, strict=True)):
                _add(parts[number], tree, leaves, columns)
        result[part] = parts.transpose(2, 1, 0)
    return result


def expected_scores(trees: BoostedTrees) -> FloatArray:
    """Return each score when nothing is known of a user: the mean over the users of the fit."""
    expected = trees.baseline.copy()
    for each in trees.rounds:
        for number, tree in enumerate(each):
            leaves = tree.left == LEAF
            expected[number] += float(tree.value[leaves] @ tree.users[leaves]) / float(tree.users[0])
    return expected


def _paths(tree: Tree) -> Iterator[_Path]:
    waiting: list[tuple[int, dict[int, tuple[tuple[tuple[int, bool], ...], float]]]] = [(0, {})]
    while waiting:
        node, asked = waiting.pop()
        if tree.left[node] == LEAF:
            yield _Path(
                float(tree.value[node]),
                tuple(asked),
                tuple(splits for splits, _ in asked.values()),
                np.array([passed for _, passed in asked.values()]),
            )
            continue
        feature = int(tree.feature[node])
        splits, passed = asked.get(feature, ((), 1.0))
        for child, left in ((tree.left[node], True), (tree.right[node], False)):
            part = float(tree.users[child]) / float(tree.users[node])
            waiting.append((int(child), {**asked, feature: ((*splits, (node, left)), passed * part)}))


def _add(parts: FloatArray, tree: Tree, leaves: tuple[_Path, ...], columns: FloatArray) -> None:
    """Add to `parts` (inputs x users) what each input adds to what the tree says."""
    inner = np.flatnonzero(tree.left != LEAF)
    if not inner.size:
        return
    sides, which = _ways(np.stack([tree.goes_left(node, columns) for node in inner.tolist()]))
    place = {int(node): position for position, node in enumerate(inner)}
    asked = sorted({int(feature) for feature in tree.feature[inner]})
    row = {feature: position for position, feature in enumerate(asked)}
    table = np.zeros((len(asked), sides.shape[1]))
    for leaf in leaves:
        passes = np.stack(
            [np.logical_and.reduce([sides[place[node]] == left for node, left in splits]) for splits in leaf.splits]
        ).astype(np.float64)
        for feature, values in zip(leaf.inputs, _of_leaf(passes, leaf.passed), strict=True):
            table[row[feature]] += leaf.value * values
    for feature, values in zip(asked, table, strict=True):
        parts[feature] += values[which]


def _ways(sides: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], IntArray]:
    """Return the different columns of splits x users, and which of them each user has."""
    if len(sides) > _COUNTED_UP_TO:
        different, which = np.unique(sides, axis=1, return_inverse=True)
        return different, which.reshape(-1)
    code = np.zeros(sides.shape[1], dtype=np.int64)
    for side in sides:
        code *= 2
        code += side
    present = np.flatnonzero(np.bincount(code, minlength=1 << len(sides)))
    number = np.empty(1 << len(sides), dtype=np.int64)
    number[present] = np.arange(present.size)
    bits = np.arange(len(sides))[::-1, None]
    return (present >> bits & 1).astype(bool), number[code]


def _of_leaf(passes: FloatArray, passed: FloatArray) -> FloatArray:
    """Return the Shapley values of prod(o in S) * prod(z not in S): `passes` has o, inputs x ways, `passed` z.

    With two inputs, o = (1, 0) and z = (1/2, 1/4): v of nobody is 1/8, of the first 1/4, of the second and of both 0.

    >>> _of_leaf(np.array([[1.0], [0.0]]), np.array([0.5, 0.25])).tolist()
    [[0.0625], [-0.1875]]
    """
    count = len(passed)
    weights = [factorial(size) * factorial(count - 1 - size) / factorial(count) for size in range(count)]
    result = np.empty_like(passes)
    for own in range(count):
        sums = np.zeros((count, passes.shape[1]))  # over coalitions of the others, by their size
        sums[0] = 1.0
        for other in range(count):
            if other != own:
                larger = sums[:-1] * passes[other]
                sums *= passed[other]
                sums[1:] += larger
        result[own] = (passes[own] - passed[own]) * (weights @ sums)
    return result
