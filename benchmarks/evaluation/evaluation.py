"""Evaluates one shop: snapshots, tables, goals."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from evaluation.encoders import random_encoder, shipped_encoders
from evaluation.findings import Goal, ShopFindings, Table
from evaluation.history import ShopHistory, Snapshot
from evaluation.learning import Moment
from evaluation.measures import resamples
from evaluation.repurchase import Forecasts, Inputs, repurchase, repurchase_goals
from evaluation.worth import Worth, default_worth
from sqlseg.segments.blocks import feature_block
from sqlseg.settings import ClusterSegmentation

RFM = "rfm@1"
LONG, SHORT = 90, 30


class TooShort(Exception):
    """A shop's history is too short to learn from one part of it and ask about another."""


@dataclass(frozen=True)
class Effort:
    """How much is computed: seeds, bootstrap resamples of the users, and refits for the stability of segments."""

    seeds: int = 5
    bootstraps: int = 400
    refits: int = 10


def horizon(days: int) -> int:
    """Return over how many days is asked: 90, or 30 where a third of the history is shorter, or a fifth of it.

    >>> horizon(373), horizon(200), horizon(10)
    (90, 30, 2)
    """
    return next((days_ahead for days_ahead in (LONG, SHORT) if days >= 3 * days_ahead), max(1, days // 5))


def days_back(days: int, ahead: int) -> list[int]:
    """Return how many days before the end the shop is looked at: first to ask, then to learn from.

    What is learned from ends where is asked, and has at least as much history before it as it looks ahead.

    >>> days_back(373, 90), days_back(280, 90)
    ([90, 180, 210, 240], [90, 180])
    """
    found = [ahead] + [2 * ahead + step * ahead // 3 for step in range(3)]
    found = [back for back in found if days - back >= ahead]
    if len(found) < 2:
        raise TooShort(f"{days} days are too few to look {ahead} days ahead twice.")
    return found


def evaluate(
    name: str,
    title: str,
    directory: Path,
    effort: Effort,
    scratch: Path,
    read_at: datetime,
    *,
    funnels_only: bool = False,
) -> ShopFindings:
    """Return what was found on the project in a folder; `scratch` is an empty place for models."""
    started = time.perf_counter()

    def tell(text: str) -> None:
        print(f"{name}: {time.perf_counter() - started:5.0f} s, {text}", file=sys.stderr, flush=True)

    with ShopHistory(directory, read_at) as shop:
        ahead = horizon(shop.days)
        segmentation = next(
            one for one in shop.project.settings.segmentations.values() if isinstance(one, ClusterSegmentation)
        )
        default = tuple(str(one) for one in segmentation.inputs)
        encoder = shipped_encoders("behavior")[0]
        shuffled = [random_encoder(encoder, scratch, seed) for seed in range(effort.seeds)]
        own = [one for one in shop.project.encoders if one.ref != encoder.ref]
        tell(f"{shop.days} days of {shop.users_total:,} users, looking {ahead} days ahead")
        moments = []
        for back in days_back(shop.days, ahead):
            snapshot = with_recency(shop.snapshot(shop.before_end(back), [encoder, *shuffled, *own]))
            outcome = shop.outcome(snapshot, ahead)
            asked = np.flatnonzero(outcome.buyer | funnels_only)
            moments.append(Moment(snapshot, outcome, asked))
        now, past = moments[0], moments[1:]
        inputs = Inputs(
            rfm=RFM,
            rich=tuple(view.ref for view in shop.project.published_views() if view.ref in now.snapshot.blocks),
            encoder=f"encoder:{encoder.ref}",
            random=tuple(f"encoder:{one.ref}" for one in shuffled),
        )
        tell(f"{len(moments)} snapshots")
        counts = resamples(len(now.asked), effort.bootstraps, seed=0)
        table, rows = repurchase(past, now, inputs, Forecasts(), effort.seeds, counts)
        tables, goals = [table], repurchase_goals(rows, calibration=True)
        tell("who buys again")
        if funnels_only:
            goals = []
        else:
            more, found = _segments(past, now, inputs, default, effort)
            tables += more
            goals += found
            tell("segments")
        facts = {
            "days of history": shop.days,
            "users": f"{shop.users_total:,}",
            "events": f"{sum(shop.event_types.values()):,}",
            "days looked ahead": ahead,
            "asked as of": f"{now.snapshot.as_of:%Y-%m-%d}",
            "learned as of": " and ".join(f"{moment.snapshot.as_of:%Y-%m-%d}" for moment in past),
        }
    return ShopFindings(name, title, facts, tuple(tables), tuple(goals))


def with_recency(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the days since the last purchase as a block of its own."""
    block = snapshot.blocks[RFM]
    column = block.columns.index("rfm__recency_days")
    alone = feature_block(f"{RFM}/recency", ["rfm__recency_days"], block.values[:, [column]])
    return replace(snapshot, blocks={**snapshot.blocks, alone.name: alone})


def _segments(
    past: Sequence[Moment], now: Moment, inputs: Inputs, default: tuple[str, ...], effort: Effort
) -> tuple[list[Table], list[Goal]]:
    counts = resamples(len(now.snapshot.users), effort.bootstraps, seed=2)
    worth = Worth(past, now, inputs, effort.seeds, counts, effort.refits)
    names = tuple(inputs.encoder if name.startswith("encoder:behavior@") else name for name in default)
    table, goals, _ = default_worth(worth, names, inputs.encoder)
    return [table], goals
