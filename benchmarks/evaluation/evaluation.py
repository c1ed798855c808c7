"""Evaluates one shop: snapshots, tables, goals."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from evaluation.demographics import demographic_targets, demographics, membership
from evaluation.encoders import random_encoder, shipped_encoders
from evaluation.findings import Goal, ShopFindings, Table
from evaluation.forecasts import Back, adapted, forecast_input, learnable, zero_shot
from evaluation.history import ShopHistory, Snapshot
from evaluation.learning import Moment
from evaluation.measures import Floats, resamples
from evaluation.repurchase import Forecasts, Inputs, repurchase, repurchase_goals
from evaluation.worth import ETA, Worth, candidates, default_worth
from sqlseg.encoders.manifest import Encoder
from sqlseg.segments.blocks import Block, feature_block
from sqlseg.segments.content import fit_content
from sqlseg.settings import ClusterSegmentation

RFM, CONTENT = "rfm@1", "content:category@1"
LONG, SHORT = 90, 30

Choice = tuple[tuple[str, ...], dict[str, float]]
"""Inputs, and the weights of those that have another than 1."""

CHOICES: tuple[Choice, ...] = (
    (("rfm@1", "cadence@1", "basket@1", "trend@2", "ENCODER"), {}),
    (("FORECAST",), {}),
    (("FORECAST", "rfm@1"), {"FORECAST": 3.0}),
    (("FORECAST", "ENCODER"), {"FORECAST": 3.0}),
    (("FORECAST", "rfm@1", "ENCODER"), {"FORECAST": 4.0}),
    (("FORECAST", "rfm@1", "ENCODER"), {"FORECAST": 3.0, "rfm@1": 0.5, "ENCODER": 0.5}),
    (("FORECAST", "rfm@1", "cadence@1", "basket@1", "trend@2"), {"FORECAST": 4.0}),
)
"""Inputs that a new project could begin with, of the newest encoder and its forecasts."""


class TooShort(Exception):
    """A shop has too little to be judged: no history to learn from and ask about, or no segments from inputs."""


@dataclass(frozen=True)
class Effort:
    """How much is computed: seeds, bootstrap resamples of the users, and refits for the stability of segments."""

    seeds: int = 5
    bootstraps: int = 400
    refits: int = 8


@dataclass(frozen=True, eq=False)
class Looked:
    """A shop looked at: the moment that is asked about, those that are learned from, and those that heads read."""

    now: Moment
    past: tuple[Moment, ...]
    backs: tuple[Back, ...]
    learnable: dict[int, tuple[int, ...]]
    ahead: int


def horizon(days: int) -> int:
    """Return over how many days is asked: 90, or 30 where a third of the history is shorter, or a fifth of it.

    >>> horizon(373), horizon(200), horizon(10)
    (90, 30, 2)
    """
    return next((ahead for ahead in (LONG, SHORT) if days >= 3 * ahead), max(1, days // 5))


def days_back(before: int, ahead: int) -> dict[int, tuple[int, ...]]:
    """Return how many days before the moment that is asked about users are learned from, by how far is looked ahead.

    `before` is the length of the history by that moment. These are the days at which forecasts are learned, so that
    baselines learn from as much; a shop too short for them is looked at a horizon back, and half of one before that.

    >>> days_back(283, 90)[90], days_back(8, 2)
    ((90, 120, 150, 180, 210, 240), {2: (2, 3, 4)})
    """
    found = learnable(before)
    if ahead not in found:
        days = tuple(back for back in (ahead, ahead + ahead // 2, 2 * ahead) if before - back >= ahead)
        if not days:
            raise TooShort(f"{before + ahead} days are too few to look {ahead} days ahead twice.")
        found[ahead] = days
    return found


def look(
    shop: ShopHistory,
    encoders: Sequence[Encoder],
    shuffled: Sequence[Encoder],
    now_only: Sequence[Encoder] = (),
    *,
    everyone: bool,
    tell: Callable[[str], None] = lambda text: None,
) -> Looked:
    """Return the shop as it stood at all moments; with `everyone`, also users are asked about who never bought.

    `shuffled` are not looked at where only heads are learned, `now_only` but at the moment that is asked about.
    """
    ahead = horizon(shop.days)
    wanted = days_back(shop.days - ahead, ahead)
    asked_at = shop.before_end(ahead)

    def moment(back: int, also: Sequence[Encoder]) -> Moment:
        snapshot = with_recency(shop.snapshot(shop.before_end(ahead + back), [*encoders, *also], encoders))
        outcome = shop.outcome(snapshot, ahead)
        tell(f"as it stood on {snapshot.as_of:%Y-%m-%d}")
        return Moment(snapshot, outcome, np.flatnonzero(outcome.buyer | everyone))

    now = moment(0, [*shuffled, *now_only])
    past, backs = [], []
    for back in sorted({back for days in wanted.values() for back in days}):
        learned_from = back in wanted[ahead]
        found = moment(back, shuffled if learned_from else [])
        since = found.snapshot.as_of
        known = {
            days: shop.product_outcome(since, min(since + timedelta(days=days), asked_at))
            for days in wanted
            if back in wanted[days]
        }
        backs.append(Back(back, found.snapshot, known))
        if learned_from:
            past.append(found)
    return Looked(now, tuple(past), tuple(backs), wanted, ahead)


def evaluate(
    name: str,
    title: str,
    directory: Path,
    effort: Effort,
    scratch: Path,
    read_at: datetime,
    *,
    funnels_only: bool = False,
    choices: Sequence[Choice] = (),
) -> ShopFindings:
    """Return what was found on the project in a folder; `scratch` is an empty place for models."""
    started = time.perf_counter()

    def tell(text: str) -> None:
        print(f"{name}: {time.perf_counter() - started:5.0f} s, {text}", file=sys.stderr, flush=True)

    with ShopHistory(directory, read_at) as shop:
        segmentations = shop.project.settings.segmentations.values()
        segmentation = next((one for one in segmentations if isinstance(one, ClusterSegmentation)), None)
        if segmentation is None:
            raise TooShort("its settings have no segmentation of kind cluster, whose inputs could be judged")
        encoder = next(one for one in shipped_encoders("behavior") if one.manifest.forecasts is not None)
        shuffled = [random_encoder(encoder, scratch, seed) for seed in range(effort.seeds)]
        own = [one for one in shop.project.encoders if one.ref != encoder.ref]
        random = {encoder.ref: shuffled} | {
            one.ref: [random_encoder(one, scratch, seed, f"random_{one.table}_") for seed in range(effort.seeds)]
            for one in own
        }
        tell(f"{shop.days} days of {shop.users_total:,} users")
        now_only = [copy for one in own for copy in random[one.ref]]
        looked = look(shop, [encoder, *own], shuffled, now_only, everyone=funnels_only, tell=tell)
        now = looked.now
        inputs = Inputs(
            rfm=RFM,
            rich=tuple(view.ref for view in shop.project.published_views() if view.ref in now.snapshot.blocks),
            encoder=f"encoder:{encoder.ref}",
            random=tuple(f"encoder:{one.ref}" for one in shuffled),
            shuffled={
                f"encoder:{ref}": tuple(f"encoder:{copy.ref}" for copy in copies) for ref, copies in random.items()
            },
        )
        attributes = shop.attributes()
        facts = {
            "days of history": shop.days,
            "users": f"{shop.users_total:,}",
            "events": f"{sum(shop.event_types.values()):,}",
            "days looked ahead": looked.ahead,
            "asked as of": f"{now.snapshot.as_of:%Y-%m-%d}",
            "learned as of": " and ".join(f"{moment.snapshot.as_of:%Y-%m-%d}" for moment in looked.past),
        }
    counts = resamples(len(now.asked), effort.bootstraps, seed=0)
    table, rows = repurchase(
        looked.past, now, inputs, _forecasts(looked, effort.seeds, encoder.ref), effort.seeds, counts
    )
    tables, goals = [table], repurchase_goals(rows)
    tell("who buys again")
    if funnels_only:
        return ShopFindings(name, title, facts, tuple(tables), ())
    for one in (encoder, *own):
        foretold = forecast_input(looked.backs, now.snapshot, looked.learnable, f"forecast:{one.ref}")
        if foretold is not None:
            now = replace(now, snapshot=now.snapshot.with_block(foretold))
    counts = resamples(len(now.snapshot.users), effort.bootstraps, seed=2)
    worth = Worth(looked.past, now, inputs, effort.seeds, counts, effort.refits)
    default = tuple(str(one) for one in segmentation.inputs)
    missing = [one for one in default if one not in now.snapshot.blocks]
    if missing:
        raise TooShort(f"the inputs {', '.join(missing)} cannot be had from this shop's past")
    more, found = default_worth(worth, default, dict(segmentation.weights))
    tables.append(more)
    goals += found
    tell("what segments are worth")
    if choices:
        versions = {"ENCODER": inputs.encoder, "FORECAST": f"forecast:{encoder.ref}"}
        named = [
            (tuple(versions.get(one, one) for one in names), {versions.get(one, one): w for one, w in weights.items()})
            for names, weights in choices
        ]
        tables.append(candidates(worth, [one for one in named if now.snapshot.blocks.keys() >= set(one[0])]))
        tell("which inputs serve best")
    targets = demographic_targets(attributes, now.snapshot.users)
    if targets and CONTENT in now.snapshot.blocks:
        more_tables, found = _who_users_are(worth, inputs, default, dict(segmentation.weights), targets, effort)
        tables += more_tables
        goals += found
        tell("who users are")
    return ShopFindings(name, title, facts, tuple(tables), tuple(goals))


def _forecasts(looked: Looked, seeds: int, encoder: str) -> Forecasts:
    alone = zero_shot(looked.now, looked.ahead, encoder)
    learned = []
    if looked.ahead in (LONG, SHORT):
        days = looked.learnable[looked.ahead]
        learned = [adapted(looked.backs, looked.now, looked.ahead, days, seed, encoder) for seed in range(seeds)]
    return Forecasts(
        zero_shot=[] if alone is None else [alone] * seeds,
        adapted=[one for one in learned if one is not None],
    )


def with_recency(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the days since the last purchase as a block of its own."""
    block = snapshot.blocks[RFM]
    column = block.columns.index("rfm__recency_days")
    return snapshot.with_block(feature_block(f"{RFM}/recency", ["rfm__recency_days"], block.values[:, [column]]))


def content_columns(block: Block) -> Floats:
    """Return users x axes of what users buy: the product's TF-IDF and truncated SVD."""
    fitted = fit_content(block.name, block.terms, block.values, 1.0)
    if isinstance(fitted, str):
        raise TooShort(f"{block.name} is {fitted}")
    return fitted.along(block.terms, block.values)


def _who_users_are(
    worth: Worth,
    inputs: Inputs,
    default: tuple[str, ...],
    weights: dict[str, float],
    targets: dict[str, Floats],
    effort: Effort,
) -> tuple[list[Table], list[Goal]]:
    """Return who users are by columns and by segments, and what fused segments keep of both."""
    snapshot = worth.now.snapshot
    behavior = worth.by_inputs([one for one in default if not one.startswith("content:")], _kept(weights, default))
    fused_inputs = (*(one for one in default if not one.startswith("content:")), CONTENT)
    # As much weight on what is bought as on all of behaviour together.
    fused_weights = {**_kept(weights, default), CONTENT: sum(weights.get(one, 1.0) for one in fused_inputs[:-1])}
    fused = worth.by_inputs(fused_inputs, fused_weights)
    bought = worth.by_inputs((CONTENT,))
    content = content_columns(snapshot.blocks[CONTENT])
    rich, embedding = snapshot.matrix(list(inputs.rich)), snapshot.matrix([inputs.encoder])
    every: Callable[[Sequence[np.ndarray]], list[Floats]] = lambda labels: [membership(one) for one in labels]  # noqa: E731
    table, means = demographics(
        targets,
        {
            "rich: all feature views": [rich],
            "embedding": [embedding],
            "random-weights encoder": [snapshot.matrix([one]) for one in inputs.random],
            CONTENT: [content],
            f"rich + {CONTENT}": [np.hstack([rich, content])],
            "segments of behaviour": every([one.labels for one in behavior]),
            f"segments of {CONTENT}": every([one.labels for one in bought]),
            "fused segments": every([one.labels for one in fused]),
        },
        effort.seeds,
        effort.bootstraps,
    )
    rows = [
        worth.row("segments of behaviour", behavior, refitted=True),
        worth.row(f"segments of {CONTENT}", bought, refitted=True),
        worth.row("fused segments", fused, refitted=True),
    ]
    both = Table(
        "Fused segments",
        "segments",
        tuple(rows[0].figures) + tuple(rows[0].words),
        tuple(rows),
        f"Fused: the inputs of behaviour and {CONTENT}, which weighs as much as all of them together.",
    )
    gain = means[CONTENT] - means["rich: all feature views"]
    kept = means["fused segments"] - means["segments of behaviour"]
    return [table, both], [
        Goal(f"mean AUC of {CONTENT} on who users are, less that of all feature views", gain, 0.05),
        Goal(
            "eta squared of fused segments, less 90% of the behaviour segments'",
            rows[2].figures[ETA] - rows[0].figures[ETA] * 0.9,
            0.0,
        ),
        Goal(
            f"AUC that fused segments gain over behaviour segments, less half the gain of {CONTENT}",
            kept - gain * 0.5,
            0.0,
        ),
    ]


def _kept(weights: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if name in names and not name.startswith("content:")}
