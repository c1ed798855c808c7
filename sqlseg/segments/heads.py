"""Heads on embeddings and features that say what users will do: linear models, kept as plain numbers.

For a horizon there are three: whether a user orders (logistic), how many orders (Poisson) and how much is spent
(Tweedie, power 1.5, which has room for the many who spend nothing). All three are linear in the same inputs:

    eta = intercept + sum(weight * input),  clipped to what the users of the fit reached
    forecast = mean(shift + slope * eta),   mean(x) = 1 / (1 + exp(-x)) for a chance, exp(x) for an amount

The inputs are readable columns in robust standard units (`preprocessing.fit_column`), with a mark for users of whom
a column is unknown, and the dimensions of embeddings in standard units; a user without an embedding sits at the mean.
Gradient boosting on the same inputs was no better on the shops that it was compared on (docs/forecasts.md), and this
is smaller, repeatable, and needs no pickle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sqlseg.segments.blocks import Block, FloatArray, UnusableInput, rounded
from sqlseg.segments.scaling import ColumnScaling, fit_column, scaled_column

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression, TweedieRegressor

Target = Literal["p_order", "orders", "spend"]
TARGETS: tuple[Target, ...] = ("p_order", "orders", "spend")

_C = 0.03
_UNKNOWN_BETWEEN = (0.005, 0.995)
_TWEEDIE_POWER = {"orders": 1.0, "spend": 1.5}
_ITERATIONS = 200
_ALMOST_FREE = 1e4


@dataclass(frozen=True)
class Design:
    """How blocks become the inputs of the heads.

    `columns` are readable columns by the name of their block, `unknown` those whose being unknown is an input too;
    `embeddings` maps a block to the means and deviations of its dimensions.
    """

    columns: tuple[tuple[str, ColumnScaling], ...]
    unknown: tuple[tuple[str, str], ...]
    embeddings: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...]

    @property
    def width(self) -> int:
        """The number of inputs."""
        return len(self.columns) + len(self.unknown) + sum(len(means) for _, means, _ in self.embeddings)

    def inputs(self, blocks: Sequence[Block]) -> FloatArray:
        """Return users x inputs. Raises UnusableInput where a block or column of the fit is not there."""
        given = {block.name: block for block in blocks}
        parts = [scaled_column(_column(given, block, column.name), column) for block, column in self.columns]
        parts += [np.isnan(_column(given, block, column)).astype(np.float64) for block, column in self.unknown]
        users = next(iter(given.values())).user_count if given else 0
        matrix = np.column_stack(parts) if parts else np.empty((users, 0))
        for block, means, deviations in self.embeddings:
            values = _block(given, block).values
            if values.shape[1] != len(means):
                raise UnusableInput(f"{block} has {values.shape[1]} dimensions, the forecasts know {len(means)}.")
            z = (values - np.array(means)) / np.array(deviations)
            np.copyto(z, 0.0, where=np.isnan(z))
            matrix = np.hstack([matrix, z])
        return matrix

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Design":
        """Return what `dataclasses.asdict` made plain."""
        return cls(
            tuple((block, ColumnScaling(**column)) for block, column in data["columns"]),
            tuple((block, column) for block, column in data["unknown"]),
            tuple((block, tuple(means), tuple(deviations)) for block, means, deviations in data["embeddings"]),
        )


@dataclass(frozen=True)
class Head:
    """One target: the weights of the inputs, the range of eta in the fit, and the recalibration of it.

    `unit` is what a forecast of 1 stands for: the shop's median order for spend, else 1.
    """

    target: Target
    intercept: float
    weights: tuple[float, ...]
    low: float
    high: float
    unit: float = 1.0
    shift: float = 0.0
    slope: float = 1.0

    def eta(self, inputs: FloatArray) -> FloatArray:
        """Return the linear score of each user, before recalibration."""
        score: FloatArray = np.clip(inputs @ np.array(self.weights) + self.intercept, self.low, self.high)
        return score

    def forecast(self, inputs: FloatArray) -> FloatArray:
        """Return the forecast for each user: a chance, a number of orders, or an amount in the shop's currency."""
        eta = self.shift + self.slope * self.eta(inputs)
        if self.target == "p_order":
            return 1.0 / (1.0 + np.exp(-eta))
        return np.exp(eta) * self.unit

    def corrected_as(self, other: "Head") -> "Head":
        """Return the head with the shift and slope of another one of the same target."""
        return replace(self, shift=other.shift, slope=other.slope)

    def recalibrated(self, inputs: FloatArray, actual: FloatArray, trust: float) -> "Head":
        """Return the head turned towards what these users did, who are none of the fit's: Platt's correction.

        Shift and slope are fitted as one more model of the same kind on eta (Platt 1999; for amounts with the log as
        link). `trust` between 0 and 1 is how far to go: these users are those of one moment, whose season need not be
        that of the forecast.
        """
        eta = self.eta(inputs)
        fitted = _regression(self.target, len(eta), None).fit(eta[:, None], actual / self.unit)
        shift, slope = float(np.ravel(fitted.intercept_)[0]), float(np.ravel(fitted.coef_)[0])
        return replace(self, shift=trust * shift, slope=1.0 + trust * (slope - 1.0))


def fit_design(slices: Sequence[Sequence[Block]]) -> Design:
    """Return the design that the users of several moments together give; each moment has the same blocks.

    >>> from sqlseg.segments.blocks import feature_block
    >>> fit_design([[feature_block("rfm@1", ["rfm__orders"], [[1], [2], [4]])]]).width
    1
    """
    columns: list[tuple[str, ColumnScaling]] = []
    unknown: list[tuple[str, str]] = []
    embeddings: list[tuple[str, tuple[float, ...], tuple[float, ...]]] = []
    for number, block in enumerate(slices[0]):
        values = np.vstack([blocks[number].values for blocks in slices], dtype=np.float64)
        if block.kind == "embedding":
            known = values[~np.isnan(values).any(axis=1)]
            if len(known):
                deviations = np.maximum(known.std(axis=0), 1e-9)
                embeddings.append((block.name, tuple(known.mean(axis=0).tolist()), tuple(deviations.tolist())))
            continue
        for position, name in enumerate(block.columns):
            scaling = fit_column(name, values[:, position])
            if isinstance(scaling, ColumnScaling):
                columns.append((block.name, scaling))
            missing = float(np.isnan(values[:, position]).mean())
            if _UNKNOWN_BETWEEN[0] < missing < _UNKNOWN_BETWEEN[1]:
                unknown.append((block.name, name))
    return Design(tuple(columns), tuple(unknown), tuple(embeddings))


def fit_head(target: Target, inputs: FloatArray, actual: FloatArray, unit: float = 1.0) -> Head:
    """Return the head that these users (rows of `inputs`) give; `actual` is what they did: 0 or 1 for p_order.

    Weights are held small by a ridge penalty whose strength does not grow with the users (C = 0.03, as for logistic
    regression). On one thread, the same users give the same head.
    """
    y = actual / unit
    if inputs.shape[1] == 0:
        rate = float(y.mean())
        start = float(np.log(rate / (1 - rate))) if target == "p_order" else float(np.log(rate))
        return Head(target, start, (), start, start, unit)
    fitted = _regression(target, len(y), _C).fit(inputs, y)
    weights, intercept = np.ravel(fitted.coef_), float(np.ravel(fitted.intercept_)[0])
    eta = inputs @ weights + intercept
    return Head(target, intercept, tuple(weights.tolist()), float(eta.min()), float(eta.max()), unit)


def _regression(target: Target, users: int, c: float | None) -> "LogisticRegression | TweedieRegressor":
    from sklearn.linear_model import LogisticRegression, TweedieRegressor

    if target == "p_order":
        return LogisticRegression(C=c or _ALMOST_FREE, solver="newton-cholesky", max_iter=_ITERATIONS)
    alpha = 1.0 / ((c or _ALMOST_FREE) * users)  # the same strength in terms of the mean
    power = _TWEEDIE_POWER[target]
    return TweedieRegressor(power=power, link="log", alpha=alpha, solver="newton-cholesky", max_iter=_ITERATIONS)


@dataclass(frozen=True)
class HorizonHeads:
    """The heads of one horizon, in days, and the design that they share."""

    horizon: int
    design: Design
    heads: tuple[Head, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what is forecast, such as `p_order_30d`."""
        return tuple(f"{head.target}_{self.horizon}d" for head in self.heads)

    def forecasts(self, blocks: Sequence[Block]) -> dict[str, FloatArray]:
        """Return a column for each target, one value a user, rounded to 1e-6."""
        inputs = self.design.inputs(blocks)
        return {name: rounded(head.forecast(inputs)) for name, head in zip(self.columns, self.heads, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, texts and numbers, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "HorizonHeads":
        """Return what `to_dict` wrote."""
        heads = tuple(Head(**{**head, "weights": tuple(head["weights"])}) for head in data["heads"])
        return cls(data["horizon"], Design.from_dict(data["design"]), heads)


def _block(given: Mapping[str, Block], name: str) -> Block:
    if name not in given:
        raise UnusableInput(f"The forecasts were fitted with {name}, which is not among what they are given.")
    return given[name]


def _column(given: Mapping[str, Block], name: str, column: str) -> FloatArray:
    block = _block(given, name)
    if column not in block.columns:
        raise UnusableInput(f"The forecasts were fitted with {column}, which {name} does not have.")
    result: FloatArray = block.figures[:, block.columns.index(column)]
    return result
