"""Forecasts as the product makes them: by the encoder alone, and by heads adapted to the shop's own past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.history import Snapshot
from evaluation.learning import FOLDS, Moment, folds
from evaluation.measures import Floats
from sqlseg.segments.blocks import Block, feature_block
from sqlseg.segments.forecasting import Outcome, PastMoment, Refusal, fit_forecasts, past_days
from sqlseg.workflow.project import DEFAULT_HORIZONS


@dataclass(frozen=True, eq=False)
class Back:
    """Users as they stood some days before the moment that is asked about, and what they did, by days ahead."""

    days: int
    snapshot: Snapshot
    outcomes: Mapping[int, Outcome]

    def of(self, rows: NDArray[np.int64] | None, blocks: Sequence[Block]) -> PastMoment:
        """Return what heads are fitted on: these users, or all."""
        if rows is None:
            return PastMoment(self.days, self.snapshot.as_of, tuple(blocks), self.outcomes)
        outcomes = {
            ahead: Outcome(one.orders[rows], None if one.spend is None else one.spend[rows])
            for ahead, one in self.outcomes.items()
        }
        return PastMoment(self.days, self.snapshot.as_of, tuple(block.take(rows) for block in blocks), outcomes)


def learnable(history_days: int) -> dict[int, tuple[int, ...]]:
    """Return for each horizon that so long a history supports how many days back users are looked at.

    >>> learnable(150)
    {30: (30, 60, 90, 120)}
    """
    found = {ahead: past_days(ahead, history_days) for ahead in DEFAULT_HORIZONS}
    return {ahead: days for ahead, days in found.items() if not isinstance(days, Refusal)}


def zero_shot(moment: Moment, ahead: int, encoder: str) -> Floats | None:
    """Return an encoder's own probability to order, of the users who are asked about; None where it gives none."""
    block = next((block for block in moment.snapshot.heads[encoder] if block.name == "foretold"), None)
    column = f"foretold__order_probability_{ahead}d"
    if block is None or column not in block.columns:
        return None
    return np.nan_to_num(block.values[moment.asked, block.columns.index(column)])


def adapted(
    backs: Sequence[Back], now: Moment, ahead: int, days: Sequence[int], seed: int, encoder: str
) -> Floats | None:
    """Return the adapted probability to order of each user who is asked about, by heads that saw other users only.

    None where the past has too few who order, or do not.
    """
    some = [back for back in backs if back.days in days]
    found = np.empty(len(now.asked))
    *in_past, in_now = folds([*(back.snapshot.users for back in some), now.users], seed)
    asked = [block.take(now.asked) for block in now.snapshot.heads[encoder]]
    for fold in range(FOLDS):
        moments = [
            back.of(np.flatnonzero(of != fold), back.snapshot.heads[encoder])
            for back, of in zip(some, in_past, strict=True)
        ]
        model = fit_forecasts(moments, {ahead: days}).model
        if not model.horizons:
            return None
        rows = np.flatnonzero(in_now == fold)
        found[rows] = model.forecasts([block.take(rows) for block in asked])[f"p_order_{ahead}d"]
    return found


def forecast_input(backs: Sequence[Back], now: Snapshot, days: Mapping[int, Sequence[int]], name: str) -> Block | None:
    """Return the input `forecast:<encoder>@<version>` of all users, learned as in daily work from all users' past."""
    encoder = name.partition(":")[2]
    model = fit_forecasts([back.of(None, back.snapshot.heads[encoder]) for back in backs], days).model
    if not model.horizons:
        return None
    values = model.forecasts(now.heads[encoder])
    prefix = encoder.partition("@")[0]
    columns = [f"forecast_{prefix}__{column}" for column in values]
    return feature_block(name, columns, np.column_stack(list(values.values())))
