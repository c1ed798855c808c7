"""Says in plain conditions who is in a segment: a small decision tree that imitates the model (Craven & Shavlik 1996).

The tree is grown best split first, as in Friedman, Hastie & Tibshirani (2000), with one restriction that makes it
readable: no way from the root to a leaf asks about more than three features, so that every leaf is at most three
conditions, each a range of one feature. A segment is the leaves where it is in the majority.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import numpy as np

from sqlseg.engine.duckdb import quoted
from sqlseg.insight.splitting import Sorted, best_question
from sqlseg.segments.blocks import FloatArray, IntArray

MOST_CONDITIONS = 3
LEAVES_PER_SEGMENT = 3
HELD_OUT = 0.3
_SMALLEST_LEAF = 0.005
_GROWN_ON = 10_000
_LARGEST = 3e38


@dataclass(frozen=True)
class Condition:
    """A range of one feature, `low` < x <= `high`; `unknown` says whether users without a value are in it."""

    feature: str
    low: float = -np.inf
    high: float = np.inf
    unknown: bool = True

    def holds(self, values: FloatArray) -> np.ndarray:
        """Return which of these values (NaN for unknown) are in the range."""
        missing = np.isnan(values)
        return np.where(missing, self.unknown, (values > self.low) & (values <= self.high))


@dataclass(frozen=True)
class Rule:
    """Who is in one segment, as far as conditions can say it.

    A user is where all conditions of one of the `ways` hold. `precision` is the part of those who are in the segment,
    `recall` the part of the segment's users that it finds, both of users that the rule was not made from; None where
    there were none to count.
    """

    segment: int
    ways: tuple[tuple[Condition, ...], ...]
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class Imitation:
    """The rules of all segments, and the part of unseen users that they put where the model does (`fidelity`)."""

    rules: tuple[Rule, ...]
    fidelity: float


@dataclass(frozen=True)
class _Split:
    """A question about one feature; users without a value are `below`, above, or (None) were none."""

    feature: str
    threshold: float
    unknown_below: bool | None
    below: np.ndarray


@dataclass(frozen=True, eq=False)
class _Tree:
    """What a tree is made from: features and segments (of `count`) of some users, and how few a leaf may hold."""

    columns: Mapping[str, FloatArray]
    labels: IntArray
    count: int
    smallest: int


@dataclass(order=True)
class _Leaf:
    """A leaf that may be split; `gain` (negative, so that a heap gives the largest first) is what its split brings."""

    gain: float
    number: int
    rows: IntArray = field(compare=False)
    sorted_by: Sorted = field(compare=False)
    conditions: Mapping[str, Condition] = field(compare=False)
    split: _Split | None = field(compare=False)
    parent: "_Leaf | None" = field(compare=False)


def imitate(columns: Mapping[str, FloatArray], labels: IntArray, segment_count: int, seed: int) -> Imitation | None:
    """Return rules for segments in terms of readable features; None where there is nothing to tell apart or by.

    `columns` maps a feature to its values (1-D, one a user, NaN for unknown); `labels` numbers the users' segments from
    0. Seven users in ten make the rules, the others measure them. More than 10,000 users are drawn down to that many.
    """
    users = labels.size
    if segment_count < 2 or not columns or users < 10:
        return None
    random = np.random.default_rng(seed)
    drawn = random.permutation(users)[:_GROWN_ON]
    border = round(len(drawn) * (1 - HELD_OUT))
    made_from, held_out = np.sort(drawn[:border]), np.sort(drawn[border:])
    ways: list[list[tuple[Condition, ...]]] = [[] for _ in range(segment_count)]
    predicted = np.full(users, -1)
    seen = {name: values[made_from] for name, values in columns.items()}
    tree = _Tree(seen, labels[made_from], segment_count, max(5, round(_SMALLEST_LEAF * made_from.size)))
    for leaf in _without_twins(_grown(tree, LEAVES_PER_SEGMENT * segment_count), tree.labels):
        ways[_majority(tree.labels, leaf)].append(tuple(leaf.conditions.values()))
    for segment, of_segment in enumerate(ways):
        predicted[held_out[_found(columns, held_out, of_segment)]] = segment
    actual, told = labels[held_out], predicted[held_out]
    right = actual == told
    rules = [
        Rule(
            segment,
            tuple(of_segment),
            _share(right[told == segment]),
            _share(right[actual == segment]),
        )
        for segment, of_segment in enumerate(ways)
    ]
    return Imitation(tuple(rules), float(right.mean()))


def _share(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _found(columns: Mapping[str, FloatArray], rows: IntArray, ways: Sequence[tuple[Condition, ...]]) -> np.ndarray:
    found = np.zeros(rows.size, dtype=bool)
    for conditions in ways:
        one = np.ones(rows.size, dtype=bool)
        for condition in conditions:
            one &= condition.holds(columns[condition.feature][rows])
        found |= one
    return found


def _grown(tree: _Tree, most_leaves: int) -> list[_Leaf]:
    count = 0

    def leaf(rows: IntArray, sorted_by: Sorted, conditions: Mapping[str, Condition], parent: _Leaf | None) -> _Leaf:
        nonlocal count
        count += 1
        split, gain = _best_split(tree, rows, sorted_by, conditions)
        return _Leaf(-gain, count, rows, sorted_by, conditions, split, parent)

    everyone = np.stack([np.clip(values, -_LARGEST, _LARGEST) for values in tree.columns.values()])
    open_leaves = [leaf(np.arange(tree.labels.size), Sorted.of(everyone), {}, None)]
    done: list[_Leaf] = []
    while open_leaves and len(open_leaves) + len(done) < most_leaves:
        best = heapq.heappop(open_leaves)
        if best.split is None:
            done.append(best)
            continue
        split = best.split
        was = best.conditions.get(split.feature, Condition(split.feature))
        below = replace(was, high=split.threshold, unknown=was.unknown and split.unknown_below is True)
        above = replace(was, low=split.threshold, unknown=was.unknown and split.unknown_below is False)
        for condition, rows in ((below, best.rows[split.below]), (above, best.rows[~split.below])):
            mine = np.zeros(tree.labels.size, dtype=bool)
            mine[rows] = True
            conditions = {**best.conditions, split.feature: condition}
            heapq.heappush(open_leaves, leaf(rows, best.sorted_by.among(mine), conditions, best))
    return [*done, *open_leaves]


def _without_twins(leaves: list[_Leaf], labels: IntArray) -> list[_Leaf]:
    """Return the leaves with neighbours that say the same put back together."""
    while True:
        by_parent: dict[int, list[_Leaf]] = {}
        for leaf in leaves:
            if leaf.parent is not None:
                by_parent.setdefault(leaf.parent.number, []).append(leaf)
        twins = [pair for pair in by_parent.values() if len({_majority(labels, one) for one in pair}) < len(pair)]
        if not twins:
            return sorted(leaves, key=lambda one: one.number)
        gone = {one.number for pair in twins for one in pair}
        parents = [pair[0].parent for pair in twins]
        leaves = [one for one in (*leaves, *parents) if one is not None and one.number not in gone]


def _majority(labels: IntArray, leaf: _Leaf) -> int:
    return int(np.bincount(labels[leaf.rows]).argmax())


def _best_split(
    tree: _Tree, rows: IntArray, sorted_by: Sorted, conditions: Mapping[str, Condition]
) -> tuple[_Split | None, float]:
    """Return the split that lowers the Gini impurity most, and by how much, times the users."""
    if rows.size < 2 * tree.smallest or np.unique(tree.labels[rows]).size == 1:
        return None, 0.0
    names = list(tree.columns)
    if len(conditions) == MOST_CONDITIONS:
        sorted_by = sorted_by.of_features([names.index(name) for name in conditions])
        names = list(conditions)
    question = best_question(sorted_by, tree.labels, tree.count, tree.smallest)
    if question is None:
        return None, 0.0
    name = names[question.feature]
    values = tree.columns[name][rows]
    unknown_below = question.unknown_below if np.isnan(values).any() else None
    threshold = _plain(values, question.threshold)
    below = Condition(name, high=threshold, unknown=unknown_below is True).holds(values)
    if below.all() or not below.any():  # questions see values as float32, which may not part them
        return None, 0.0
    return _Split(name, threshold, unknown_below, below), question.gain


def _plain(values: FloatArray, threshold: float) -> float:
    """Return the number with the fewest digits that parts the values where `threshold` does.

    >>> _plain(np.array([1.0, 29.0, 34.0]), 31.5)
    30.0
    """
    known = values[~np.isnan(values)]
    below, above = known[known <= threshold], known[known > threshold]
    if not below.size or not above.size:
        return np.inf if not above.size else -np.inf
    low, high = Decimal(float(below.max())), Decimal(float(above.min()))
    middle = Decimal(threshold)
    for digits in range(1, 18):
        unit = Decimal(1).scaleb(middle.adjusted() - digits + 1) if middle else Decimal(1)
        for plain in (middle.quantize(unit, ROUND_HALF_EVEN), middle.quantize(unit, ROUND_FLOOR)):
            if low <= plain < high:
                return float(plain)
    return float(low)


def readable_rule(ways: Sequence[Sequence[Condition]]) -> str:
    """Return a rule as an SQL condition over columns named like the features.

    >>> readable_rule([[Condition("rfm__orders", low=3.0, unknown=False), Condition("rfm__spend", 10.0, 99.5, False)]])
    'rfm__orders > 3 and rfm__spend > 10 and rfm__spend <= 99.5'
    """
    spelled = [" and ".join(_spelled(one) for one in conditions) or "true" for conditions in ways]
    return spelled[0] if len(spelled) == 1 else " or ".join(f"({one})" for one in spelled)


def _spelled(condition: Condition) -> str:
    name = condition.feature if condition.feature.isidentifier() else quoted(condition.feature)
    parts = []
    if condition.low == np.inf or condition.high == -np.inf:
        return f"{name} is null"
    if condition.low > -np.inf:
        parts.append(f"{name} > {_number(condition.low)}")
    if condition.high < np.inf:
        parts.append(f"{name} <= {_number(condition.high)}")
    if not parts:
        return "true" if condition.unknown else f"{name} is not null"
    known = " and ".join(parts)
    if not condition.unknown:
        return known
    return f"({known} or {name} is null)"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else repr(value)
