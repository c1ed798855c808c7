"""Who buys again? What features, embeddings and forecasts know about it, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.findings import Goal, Row, Table
from evaluation.learning import LEARNERS, Moment, best_learner, forecast
from evaluation.measures import (
    Counts,
    Figure,
    Floats,
    areas,
    calibration_by_chance,
    calibration_errors,
    figure,
    rank_sum,
    recentred,
)

AUC, CALIBRATION, LEARNER = "AUC", "calibration error", "learner"
_RANK_SUM, _RFM, _RICH, _TREES = (
    "RFM rank sum, nothing learned",
    "RFM",
    "rich: all feature views",
    "rich, boosted trees",
)
_ADAPTED, _ZERO_SHOT = "adapted forecasts", "forecasts as trained, nothing learned"


@dataclass(frozen=True)
class Inputs:
    """The names of blocks: RFM, all feature views, the encoder, and one random-weights copy of it for each seed.

    `shuffled` has such copies of every encoder that segments read, by its name.
    """

    rfm: str
    rich: tuple[str, ...]
    encoder: str
    random: tuple[str, ...]
    shuffled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Probabilities to buy of the users who are asked about, one array a seed."""

    zero_shot: Sequence[Floats] = ()
    adapted: Sequence[Floats] = ()


def rfm_score(moment: Moment, rfm: str) -> Floats:
    """Return the plain RFM score of all users of a snapshot: recent, many orders, much spent."""
    block = moment.snapshot.blocks[rfm]
    column = {
        name.partition("__")[2]: np.nan_to_num(values)
        for name, values in zip(block.columns, block.values.T, strict=True)
    }
    recency = block.values[:, block.columns.index(f"{block.columns[0].partition('__')[0]}__recency_days")]
    return rank_sum(-np.where(np.isnan(recency), np.inf, recency), column["orders"], column["spend"])


def repurchase(
    past: Sequence[Moment], now: Moment, inputs: Inputs, forecasts: Forecasts, seeds: int, counts: Counts
) -> tuple[Table, dict[str, Row]]:
    """Return the table, and its rows by name; `counts` are resamples of the users who are asked about."""
    rows: dict[str, Row] = {}

    def add(name: str, probabilities: Sequence[Floats], learner: str, *, calibrated: bool = True) -> None:
        truth = now.bought
        figures = {AUC: figure([lambda c, p=p: areas(truth, p, c) for p in probabilities], counts)}
        words = {LEARNER: learner}
        if calibrated:
            errors = [lambda c, p=p: calibration_errors(truth, p, c) for p in probabilities]
            figures[CALIBRATION] = recentred(figure(errors, counts))
        rows[name] = Row(name, figures, words)

    def learned(name: str, by_seed: Sequence[Sequence[str]], learner: str | None = None) -> None:
        chosen = learner or best_learner(past, by_seed[0])
        add(name, [forecast(past, now, names, chosen, seed) for seed, names in enumerate(by_seed)], chosen)

    score = rfm_score(now, inputs.rfm)[now.asked]
    add(_RANK_SUM, [score] * seeds, "none", calibrated=False)
    rfm, rich, encoder = [inputs.rfm], list(inputs.rich), [inputs.encoder]
    recency = [f"{inputs.rfm}/recency"]
    learned(_RFM, [rfm] * seeds)
    learned(_RICH, [rich] * seeds)
    learned(_TREES, [rich] * seeds, "gradient boosting")
    learned("embedding", [encoder] * seeds)
    learned("random-weights encoder", [[inputs.random[seed]] for seed in range(seeds)])
    learned("embedding + recency", [encoder + recency] * seeds)
    learned("rich + embedding", [rich + encoder] * seeds)
    learned("rich + random-weights encoder", [[*rich, inputs.random[seed]] for seed in range(seeds)])
    if forecasts.zero_shot:
        add(_ZERO_SHOT, forecasts.zero_shot, "none")
    if forecasts.adapted:
        add(_ADAPTED, forecasts.adapted, "as shipped")
    chance = calibration_by_chance(forecast(past, now, rich, next(iter(LEARNERS)), 0), 20, 0)
    before = np.mean(np.concatenate([moment.bought for moment in past]))
    note = (
        f"{len(now.asked):,} users are asked about, of whom {now.bought.mean():.1%} bought within the time; "
        f"{before:.1%} did in the past that was learned from. Perfect probabilities would show a calibration error of "
        f"{chance:.3f} by chance."
    )
    table = Table("Who buys again", "what is known", (AUC, CALIBRATION, LEARNER), tuple(rows.values()), note)
    return table, rows


def repurchase_goals(rows: dict[str, Row]) -> list[Goal]:
    """Return the goals that encoders and forecasts are held to."""

    def auc(name: str) -> Figure:
        return rows[name].figures[AUC]

    goals = [
        Goal("AUC of the embedding alone, less that of all feature views", auc("embedding") - auc(_RICH), -0.005),
        Goal("AUC that the embedding adds to all feature views", auc("rich + embedding") - auc(_RICH), -0.002),
    ]
    if _ADAPTED in rows:
        goals.append(
            Goal("AUC of adapted forecasts, less that of the RFM rank sum", auc(_ADAPTED) - auc(_RANK_SUM), 0.005)
        )
        errors = rows[_ADAPTED].figures[CALIBRATION]
        goals.append(Goal("calibration error of adapted forecasts", errors, 0.03, at_most=True))
    return goals
