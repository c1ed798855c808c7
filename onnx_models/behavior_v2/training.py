"""Simulated shops as training examples, the loss, and the loop that trains an encoder with its forecaster."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import torch
from model import TYPES, BehaviorEncoder, Forecaster, NextToken
from tokens import Snapshot, load_shop, simulated_shop, snapshot
from torch import nn

from sqlseg.engine.duckdb import Engine

BATCH = 192
MOST_SPEND = 300.0
"""Spend over the shop's median is cut here: one order in a shop of trifles shall not steer a batch."""


@dataclass(frozen=True)
class Examples:
    """Snapshots of many shops as one.

    Example i holds the tokens `offsets[i]:offsets[i + 1]`. `age` (examples,) counts days since the last token,
    `orders` and `spend` (examples, horizons) are what followed, NaN where it was not observable; `shop` numbers
    the snapshot that an example is from.
    """

    columns: tuple[str, ...]
    tokens: np.ndarray
    offsets: np.ndarray
    age: np.ndarray
    orders: np.ndarray
    spend: np.ndarray
    shop: np.ndarray

    def __len__(self) -> int:
        return len(self.age)


def shop_snapshots(engine: Engine, seed: int, users: int, cuts: int) -> list[Snapshot]:
    """Return a random shop as it stood at some cuts; the same seed gives the same shop."""
    shop, events = simulated_shop(seed, users)
    load_shop(engine, events)
    begin = datetime.combine(shop.first_day, datetime.min.time())
    end = begin + timedelta(days=shop.days)
    shares = np.random.default_rng([20_233, seed]).uniform(0.25, 0.97, cuts)
    return [snapshot(engine, begin + timedelta(days=int(shop.days * share)), end) for share in sorted(shares)]


def examples(seeds: range, users: int, cuts: int) -> Examples:
    """Return the simulated shops of some seeds as examples."""
    with Engine.open(None, threads=1) as engine:
        shots = [shot for seed in seeds for shot in shop_snapshots(engine, seed, users, cuts) if len(shot.users)]
    lengths = np.concatenate([np.diff(shot.offsets) for shot in shots])

    def followed(shot: Snapshot, values: np.ndarray) -> np.ndarray:
        return np.where(shot.observed[None, :], values, np.nan)

    return Examples(
        columns=shots[0].columns,
        tokens=np.concatenate([shot.tokens for shot in shots]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        age=np.concatenate([shot.recency_days for shot in shots]).astype(np.float32),
        orders=np.concatenate([followed(shot, shot.orders) for shot in shots]).astype(np.float32),
        spend=np.concatenate([followed(shot, shot.spend) for shot in shots]).astype(np.float32),
        shop=np.repeat(np.arange(len(shots)), [len(shot.users) for shot in shots]),
    )


def padded(data: Examples, which: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens of some examples, padded on the right, and their lengths."""
    lengths = data.offsets[which + 1] - data.offsets[which]
    tokens = np.zeros((len(which), int(lengths.max()), data.tokens.shape[1]), dtype=np.float32)
    for row, index in enumerate(which):
        tokens[row, : lengths[row]] = data.tokens[data.offsets[index] : data.offsets[index + 1]]
    return torch.from_numpy(tokens), torch.from_numpy(lengths.astype(np.int64))


def batches(data: Examples, steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield `steps` random batches; each holds examples of like length, so that little is padded."""
    lengths = np.diff(data.offsets)
    done = 0
    while done < steps:
        pool = rng.permutation(len(data))[: 16 * BATCH]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        for part in rng.permutation(len(pool) // BATCH)[: steps - done]:
            yield pool[part * BATCH : (part + 1) * BATCH]
            done += 1


@dataclass(frozen=True)
class Errors:
    """Means over what could be observed: of any order, log count, log spend, and of the expected amounts."""

    any_order: torch.Tensor
    log_orders: torch.Tensor
    log_spend: torch.Tensor
    amounts: torch.Tensor

    @property
    def future(self) -> torch.Tensor:
        """The loss of the windows."""
        return (self.any_order + self.log_orders + self.log_spend) / 3 + 0.1 * self.amounts


def window_errors(parts: torch.Tensor, data: Examples, which: np.ndarray, typical: torch.Tensor) -> Errors:
    """Return how far forecasts lie from what followed; `typical` (2, horizons) are the mean orders and spend.

    Expected amounts are fitted by the Poisson deviance, which the mean minimises whatever the distribution.
    """
    amounts = torch.from_numpy(np.stack([data.orders[which], data.spend[which]], axis=1)).clamp(max=MOST_SPEND)
    known = ~torch.isnan(amounts)
    amounts = torch.nan_to_num(amounts)
    ordered = (amounts[:, 0] > 0).to(parts.dtype)
    hazard = Forecaster.hazard(parts)
    chance = ordered * -torch.log(-torch.expm1(-hazard)) + (1 - ordered) * hazard
    logs = nn.functional.smooth_l1_loss(parts[:, 1:3], torch.log1p(amounts), reduction="none")
    means = Forecaster.means(parts)
    deviance = (means - amounts * torch.log(means.clamp(min=1e-8))) / typical

    def mean(errors: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        return (errors * seen).sum() / seen.sum().clamp(min=1)

    return Errors(
        mean(chance, known[:, 0]), mean(logs[:, 0], known[:, 0]), mean(logs[:, 1], known[:, 1]), mean(deviance, known)
    )


def next_token_error(
    heads: NextToken, states: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor, gap: int
) -> torch.Tensor:
    """Return the error of the next token's type and gap, of which the gap is in column `gap`."""
    real = torch.arange(1, tokens.shape[1])[None, :] < lengths[:, None]
    before, after = states[:, :-1][real], tokens[:, 1:][real]
    if not len(before):
        return torch.zeros(())
    error = nn.functional.cross_entropy(heads.kind(before), after[:, :TYPES].argmax(dim=1))
    return error + nn.functional.smooth_l1_loss(heads.gap(before)[:, 0], after[:, gap])


def typical_amounts(data: Examples) -> torch.Tensor:
    """Return the mean orders and spend within each horizon, (2, horizons)."""
    means = [np.nanmean(np.minimum(amount, MOST_SPEND), axis=0) for amount in (data.orders, data.spend)]
    return torch.from_numpy(np.stack(means).astype(np.float32))


def train(data: Examples, body: str, steps: int, seed: int, quiet: bool = False) -> tuple[BehaviorEncoder, Forecaster]:
    """Return an encoder and its forecaster; AdamW at 2e-3, warmed up, then a cosine to zero.

    The loss is 0.5 x next token + 2 x future windows.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 77])
    encoder, forecaster = BehaviorEncoder(len(data.columns), body), Forecaster()
    heads = NextToken(encoder.body.width)
    parameters = [*encoder.parameters(), *forecaster.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / steps)))
    )
    gap, typical = data.columns.index("log_gap"), typical_amounts(data)
    began, shown = time.process_time(), 0.0
    for step, which in enumerate(batches(data, steps, rng), start=1):
        tokens, lengths = padded(data, which)
        states = encoder.body(tokens)
        parts = forecaster.parts(encoder.embedding(states, lengths), torch.from_numpy(data.age[which]))
        future = window_errors(parts, data, which, typical).future
        loss = 0.5 * next_token_error(heads, states, tokens, lengths, gap) + 2.0 * future
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        shown = loss.item() if step == 1 else 0.99 * shown + 0.01 * loss.item()
        if step % 100 == 0 and not quiet:
            print(f"step {step} of {steps}  loss {shown:.4f}  {time.process_time() - began:.0f} s", flush=True)
    return encoder.eval(), forecaster.eval()
