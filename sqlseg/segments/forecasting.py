"""Forecasts of what users will do, learned from what others like them did: the shop's own past, back-dated.

At several earlier moments users are described by what was known then, and by what they did in the horizon after it.
The newest of these moments whose horizon is over is held out first: heads fitted on the older ones, all of whose
horizons were over by then, are measured on it, as if they had been used. Then they are fitted on all of the moments,
and recalibrated by half of what the newest one asked for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from sqlseg.errors import OtherModelFormat
from sqlseg.segments.algorithms import one_thread
from sqlseg.segments.blocks import Block, FloatArray
from sqlseg.segments.heads import TARGETS, Head, HorizonHeads, Target, fit_design, fit_head

MOMENTS = 6
WARM_UP_DAYS = 30
FEWEST = 20
TRUST_IN_NEWEST = 0.5
_FORMAT = 1
_BINS = 10


@dataclass(frozen=True, eq=False)
class Outcome:
    """What users did in the days after a moment: number of orders, and revenue (None where no price is known)."""

    orders: FloatArray
    spend: FloatArray | None

    def actual(self, target: Target) -> FloatArray | None:
        """Return what a target forecasts, one value a user: 0 or 1, a number, or an amount of at least 0."""
        if target == "p_order":
            return (self.orders > 0).astype(np.float64)
        if target == "orders":
            return self.orders
        return None if self.spend is None else np.maximum(self.spend, 0.0)


@dataclass(frozen=True, eq=False)
class PastMoment:
    """Users as they stood `days_back` days before as_of, and what they did after, by horizon in days.

    `blocks` hold only what was known then. A horizon that was not over at as_of has no outcome.
    """

    days_back: int
    as_of: datetime
    blocks: tuple[Block, ...]
    outcomes: Mapping[int, Outcome]


@dataclass(frozen=True)
class Refusal:
    """A horizon that the shop's past cannot support, and why, as a sentence about it."""

    horizon: int
    reason: str


@dataclass(frozen=True)
class Measure:
    """How a forecast did on the held-out moment; `value` is of the measure that docs/forecasts.md names."""

    horizon: int
    target: str
    measure: str
    value: float


@dataclass(frozen=True)
class ForecastModel:
    """The heads of all horizons."""

    horizons: tuple[HorizonHeads, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all that is forecast, such as `p_order_30d`."""
        return tuple(name for heads in self.horizons for name in heads.columns)

    def forecasts(self, blocks: Sequence[Block]) -> dict[str, FloatArray]:
        """Return the forecasts of these users by column."""
        return {name: values for heads in self.horizons for name, values in heads.forecasts(blocks).items()}

    def to_json(self) -> str:
        """Return the model as JSON text; `from_json` gives back exactly this model."""
        return json.dumps({"format": _FORMAT, "horizons": [h.to_dict() for h in self.horizons]}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "ForecastModel":
        """Return the model that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        if data.get("format") != _FORMAT:
            raise OtherModelFormat("model of forecasts", data.get("format"), _FORMAT)
        return cls(tuple(HorizonHeads.from_dict(one) for one in data["horizons"]))


@dataclass(frozen=True)
class FittedForecasts:
    """A model, how it did on the held-out moments, the users and rows it was fitted on, and what was refused."""

    model: ForecastModel
    measures: tuple[Measure, ...]
    refusals: tuple[Refusal, ...]
    row_count: int


def past_days(horizon: int, history_days: int) -> tuple[int, ...] | Refusal:
    """Return how many days before as_of to look at users for a horizon, or why the history is too short.

    The newest lies one horizon back, so that its outcome is known. At least one is needed two horizons back, whose
    outcome was known by the newest, and every one wants 30 days of purchases before it.

    >>> past_days(30, 365)
    (30, 60, 90, 120, 150, 180)
    >>> past_days(90, 365)
    (90, 120, 150, 180, 210, 240)
    >>> past_days(90, 150).reason
    '90 days ahead want 210 days of purchases to learn from (two horizons and 30 days), and there are 150'
    """
    wanted = 2 * horizon + WARM_UP_DAYS
    if history_days < wanted:
        return Refusal(
            horizon,
            f"{horizon} days ahead want {wanted:,} days of purchases to learn from (two horizons and {WARM_UP_DAYS} "
            f"days), and there are {history_days:,}",
        )
    step = max(min(horizon, 30), -(-horizon // 3))
    days = {horizon + step * number for number in range(MOMENTS)} | {2 * horizon}
    return tuple(sorted(back for back in days if back <= history_days - WARM_UP_DAYS))


def fit_forecasts(moments: Sequence[PastMoment], horizons: Mapping[int, Sequence[int]]) -> FittedForecasts:
    """Return heads for each horizon, from the moments that `horizons` names by their days back.

    A horizon is refused where too few users order, or do not, to learn the difference.
    """
    by_days = {moment.days_back: moment for moment in moments}
    fitted: list[HorizonHeads] = []
    measures: list[Measure] = []
    refusals: list[Refusal] = []
    used: set[int] = set()
    with one_thread("sklearn.linear_model"):
        for horizon, days in sorted(horizons.items()):
            newest, *rest = (by_days[back] for back in sorted(days))
            older = [moment for moment in rest if moment.days_back >= 2 * horizon]
            few = too_few(horizon, _buyers(horizon, [newest]), _buyers(horizon, older))
            if few is not None:
                refusals.append(few)
                continue
            tried = _heads(horizon, older)
            measures += held_out_measures(tried, newest)
            heads = _heads(horizon, [newest, *rest])
            fitted.append(_recalibrated(heads, tried, newest))
            used.update(days)
    rows = sum(moment.blocks[0].user_count for moment in moments if moment.days_back in used)
    return FittedForecasts(ForecastModel(tuple(fitted)), tuple(measures), tuple(refusals), rows)


def too_few(horizon: int, newest: tuple[int, int], older: tuple[int, int]) -> Refusal | None:
    """Return why users and buyers, at the newest moment and at those before together, are too few to learn from.

    >>> too_few(30, newest=(100, 40), older=(300, 19)).reason.partition(";")[0]
    '30 days ahead: of 300 users at the moments before to learn from, 19 ordered within them'
    """
    for which, (users, buyers) in (("the newest moment", newest), ("the moments before", older)):
        if min(buyers, users - buyers) < FEWEST:
            return Refusal(
                horizon,
                f"{horizon} days ahead: of {users:,} users at {which} to learn from, {buyers:,} ordered "
                f"within them; {FEWEST} who do and {FEWEST} who do not are wanted",
            )
    return None


def _buyers(horizon: int, moments: Sequence[PastMoment]) -> tuple[int, int]:
    """Return how many users there were at some moments, and how many of them ordered within the horizon."""
    ordered = [moment.outcomes[horizon].orders > 0 for moment in moments]
    return sum(len(users) for users in ordered), sum(int(users.sum()) for users in ordered)


def _heads(horizon: int, moments: Sequence[PastMoment]) -> HorizonHeads:
    design = fit_design([moment.blocks for moment in moments])
    inputs = np.vstack([design.inputs(moment.blocks) for moment in moments])
    heads = []
    for target in TARGETS:
        parts = [moment.outcomes[horizon].actual(target) for moment in moments]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            continue
        actual = np.concatenate(known)
        if not actual.any():
            continue
        unit = float(np.median(actual[actual > 0])) if target == "spend" else 1.0
        heads.append(fit_head(target, inputs, actual, unit))
    return HorizonHeads(horizon, design, tuple(heads))


def _recalibrated(final: HorizonHeads, tried: HorizonHeads, newest: PastMoment) -> HorizonHeads:
    """Return the final heads with the correction that the heads before them needed at the newest moment."""
    inputs = tried.design.inputs(newest.blocks)
    corrected: dict[str, Head] = {}
    for head in tried.heads:
        actual = newest.outcomes[tried.horizon].actual(head.target)
        if actual is not None and actual.any():
            corrected[head.target] = head.recalibrated(inputs, actual, TRUST_IN_NEWEST)
    heads = []
    for head in final.heads:
        known = corrected.get(head.target)
        heads.append(head if known is None else head.corrected_as(known))
    return HorizonHeads(final.horizon, final.design, tuple(heads))


def held_out_measures(heads: HorizonHeads, newest: PastMoment) -> list[Measure]:
    """Return how heads do on users of a moment that they have not seen."""
    forecasts = heads.forecasts(newest.blocks)
    found = []
    for head, column in zip(heads.heads, heads.columns, strict=True):
        actual = newest.outcomes[heads.horizon].actual(head.target)
        if actual is None:
            continue
        values = chance_measures(forecasts[column], actual) if head.target == "p_order" else {}
        values |= amount_measures(forecasts[column], actual)
        found += [Measure(heads.horizon, head.target, name, value) for name, value in values.items()]
    baseline = rfm_rank_sum(newest.blocks)
    ordered = newest.outcomes[heads.horizon].actual("p_order")
    if baseline is not None and ordered is not None:
        found.append(Measure(heads.horizon, "p_order", "auc_of_rfm", chance_measures(baseline, ordered)["auc"]))
    return found


def chance_measures(forecast: FloatArray, happened: FloatArray) -> dict[str, float]:
    """Return area under the ROC curve, Brier score and calibration error of chances (0 to 1; ranks for the area only).

    The calibration error is the mean gap between forecast and frequency over ten groups of equal size by forecast.

    >>> chance_measures(np.array([0.2, 0.8]), np.array([0.0, 1.0]))["auc"]
    1.0
    """
    from sklearn.metrics import roc_auc_score

    return {
        "auc": float(roc_auc_score(happened, forecast)),
        "brier": float(np.mean((forecast - happened) ** 2)),
        "calibration_error": calibration_error(forecast, happened),
    }


def calibration_error(forecast: FloatArray, actual: FloatArray, bins: int = _BINS) -> float:
    """Return the mean absolute gap between mean forecast and mean outcome over groups of users by forecast.

    >>> calibration_error(np.array([0.2, 0.2, 0.8, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]), bins=2)
    0.2
    """
    groups = np.array_split(np.argsort(forecast, kind="stable"), min(bins, len(forecast)))
    gaps = [len(group) * abs(float(forecast[group].mean() - actual[group].mean())) for group in groups]
    return round(float(sum(gaps) / len(forecast)), 9)


def amount_measures(forecast: FloatArray, actual: FloatArray) -> dict[str, float]:
    """Return mean forecast, mean outcome, and Spearman's rank correlation where either varies."""
    from scipy.stats import spearmanr

    values = {"mean_forecast": float(forecast.mean()), "mean_actual": float(actual.mean())}
    if np.ptp(forecast) > 0 and np.ptp(actual) > 0:
        values["rank_correlation"] = float(spearmanr(forecast, actual).statistic)
    return values


def rfm_rank_sum(blocks: Sequence[Block]) -> FloatArray | None:
    """Return the usual score to compare with, the sum of users' ranks in recency, orders and spend; None without rfm.

    A user without a purchase has the lowest ranks.
    """
    from scipy.stats import rankdata

    block = next((block for block in blocks if block.name == "rfm@1"), None)
    if block is None:
        return None
    total = np.zeros(block.user_count)
    for column, sign in (("rfm__recency_days", -1.0), ("rfm__orders", 1.0), ("rfm__spend", 1.0)):
        values = sign * block.values[:, block.columns.index(column)]
        total += rankdata(np.where(np.isnan(values), -np.inf, values))
    return total
