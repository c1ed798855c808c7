"""Pretrains the behaviour encoder on simulated shops and exports it: model.onnx and manifest.json.

    pip install 'sqlseg[pretrain]'
    python onnx_models/behavior_v1/pretrain.py

One thread, six to twelve minutes. The tokens come from the same SQL that serves the encoder, so training and use
cannot drift apart. Repeatable by seed on one machine.
"""

import argparse
import hashlib
import json
import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from tokens import WINDOWS, Snapshot, load_shop, snapshot
from torch import nn

from sqlseg.engine.duckdb import Engine
from sqlseg.synth import random_groups, random_shop, simulate_shop

FOLDER = Path(__file__).resolve().parent
LENGTH = 64
DIMENSIONS = 64
TYPES = 8
GOLDEN_LENGTHS = (1, 2, 3, 5, 9, 17, 33, 64)
TOLERANCE = 1e-5


class BehaviorEncoder(nn.Module):
    """Two GRU layers over a user's tokens; the last real state becomes an embedding of length 1."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.enter = nn.Linear(columns, DIMENSIONS)
        self.gru = nn.GRU(DIMENSIONS, DIMENSIONS, num_layers=2, batch_first=True)
        self.leave = nn.Linear(DIMENSIONS, DIMENSIONS)

    def states(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the state after every token, (batch, length, dimensions); tokens are padded on the right."""
        states, _ = self.gru(nn.functional.gelu(self.enter(tokens)))
        return states

    def embedding(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the embedding at the last real token."""
        place = torch.arange(states.shape[1], device=states.device)
        is_last = (place[None, :] == (lengths - 1)[:, None]).to(states.dtype)
        return nn.functional.normalize(self.leave((states * is_last[:, :, None]).sum(dim=1)), dim=1)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (batch, dimensions) of right-padded tokens (batch, length, columns)."""
        return self.embedding(self.states(tokens), lengths)


class Foretelling(nn.Module):
    """What the encoder is trained by, and not exported: the next token, and the windows after the cut."""

    def __init__(self) -> None:
        super().__init__()
        self.next_type = nn.Linear(DIMENSIONS, TYPES)
        self.next_gap = nn.Linear(DIMENSIONS, 1)
        self.deep = nn.Sequential(nn.Linear(DIMENSIONS + 1, 64), nn.GELU(), nn.Linear(64, 3 * len(WINDOWS)))
        self.flat = nn.Linear(DIMENSIONS + 1, 3 * len(WINDOWS))

    def windows(self, embedding: torch.Tensor, recency: torch.Tensor) -> torch.Tensor:
        """Return (batch, 3, windows): logit of any order, log of orders, log of spend."""
        known = torch.cat([embedding * math.sqrt(DIMENSIONS), recency[:, None]], dim=1)
        return (self.deep(known) + self.flat(known)).reshape(-1, 3, len(WINDOWS))


@dataclass(frozen=True)
class Examples:
    """Snapshots of many shops as one: targets (users, 3, windows), NaN where not observable."""

    tokens: np.ndarray
    offsets: np.ndarray
    recency: np.ndarray
    targets: np.ndarray


def shop_snapshots(engine: Engine, seed: int, users: int, cuts: int) -> list[Snapshot]:
    """Return a random shop as it stood at some cuts; the same seed gives the same shop."""
    rng = np.random.default_rng([20_231, seed])
    shop = random_shop(rng)
    events = simulate_shop(shop, random_groups(rng), users, seed)
    load_shop(engine, events)
    begin = datetime.combine(shop.first_day, datetime.min.time())
    end = begin + timedelta(days=shop.days)
    days = sorted(int(shop.days * share) for share in rng.uniform(0.3, 0.97, cuts))
    return [snapshot(engine, begin + timedelta(days=day), end) for day in days]


def examples(snapshots: list[Snapshot]) -> Examples:
    """Return snapshots put together, with the targets that pretraining uses."""
    lengths = np.concatenate([np.diff(shot.offsets) for shot in snapshots])

    def targets(shot: Snapshot) -> np.ndarray:
        stacked = np.stack([(shot.orders > 0).astype(float), np.log1p(shot.orders), np.log1p(shot.spend)], axis=1)
        return np.where(shot.observed[None, None, :], stacked, np.nan)

    return Examples(
        tokens=np.concatenate([shot.tokens for shot in snapshots]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        recency=np.concatenate([np.log1p(shot.recency_days) for shot in snapshots]).astype(np.float32),
        targets=np.concatenate([targets(shot) for shot in snapshots]).astype(np.float32),
    )


def padded(data: Examples, which: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens of some examples, padded on the right, and their lengths."""
    lengths = data.offsets[which + 1] - data.offsets[which]
    tokens = np.zeros((len(which), int(lengths.max()), data.tokens.shape[1]), dtype=np.float32)
    for row, index in enumerate(which):
        tokens[row, : lengths[row]] = data.tokens[data.offsets[index] : data.offsets[index + 1]]
    return torch.from_numpy(tokens), torch.from_numpy(lengths.astype(np.int64))


def loss_of(encoder: BehaviorEncoder, heads: Foretelling, data: Examples, which: np.ndarray, gap: int) -> torch.Tensor:
    """Return 0.5 x next token + 2 x future windows; `gap` is the column of the time between tokens."""
    tokens, lengths = padded(data, which)
    states = encoder.states(tokens)
    real = torch.arange(1, tokens.shape[1])[None, :] < lengths[:, None]
    before, after = states[:, :-1][real], tokens[:, 1:][real]
    next_token = torch.zeros(())
    if len(before):
        next_token = nn.functional.cross_entropy(heads.next_type(before), after[:, :TYPES].argmax(dim=1))
        next_token = next_token + nn.functional.smooth_l1_loss(heads.next_gap(before)[:, 0], after[:, gap])
    foretold = heads.windows(encoder.embedding(states, lengths), torch.from_numpy(data.recency[which]))
    wanted = torch.from_numpy(data.targets[which])
    known = ~torch.isnan(wanted)
    wanted = torch.nan_to_num(wanted)
    any_order = nn.functional.binary_cross_entropy_with_logits(foretold[:, 0], wanted[:, 0], reduction="none")
    amounts = nn.functional.smooth_l1_loss(foretold[:, 1:], wanted[:, 1:], reduction="none")
    errors = torch.cat([any_order[:, None], amounts], dim=1)
    future = (errors * known).sum() / known.sum().clamp(min=1)
    return 0.5 * next_token + 2.0 * future


def train(data: Examples, columns: tuple[str, ...], steps: int, seed: int) -> BehaviorEncoder:
    """Return an encoder trained for some steps of 192 users; AdamW at 2e-3, warmed up, then a cosine to zero."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 77])
    encoder, heads = BehaviorEncoder(len(columns)), Foretelling()
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / steps)))
    )
    began, shown = time.monotonic(), 0.0
    for step in range(steps):
        which = rng.integers(0, len(data.recency), 192)
        loss = loss_of(encoder, heads, data, which, columns.index("log_gap"))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        shown = loss.item() if step == 0 else 0.98 * shown + 0.02 * loss.item()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} of {steps}  loss {shown:.4f}  {time.monotonic() - began:.0f} s", flush=True)
    return encoder.eval()


def export(encoder: BehaviorEncoder, columns: int, path: Path) -> None:
    """Write the encoder as one ONNX file with dynamic batch and length, and check it against torch."""
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1)
    program = torch.onnx.export(
        encoder,
        (torch.randn(3, 5, columns), torch.tensor([5, 1, 3])),
        dynamo=True,
        dynamic_shapes={"tokens": {0: batch, 1: length}, "lengths": {0: batch}},
        input_names=["tokens", "lengths"],
        output_names=["embedding"],
        verbose=False,
    )
    program.save(path, external_data=False)
    model = onnx.load(path)
    del model.metadata_props[:]
    for node in model.graph.node:  # traces of the exporting machine's folders
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save_model(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(1)
    for count, longest in ((1, 1), (7, 64), (200, 33)):
        tokens = torch.randn(count, longest, columns, generator=generator)
        lengths = torch.randint(1, longest + 1, (count,), generator=generator)
        found = session.run(None, {"tokens": tokens.numpy(), "lengths": lengths.numpy()})[0]
        worst = float(np.abs(found - encoder(tokens, lengths).detach().numpy()).max())
        print(f"ONNX against torch, {count} x {longest}: {worst:.1e}")
        if worst > TOLERANCE:
            raise SystemExit(f"The exported model differs from torch by {worst:.1e}.")


def golden_rows(data: Examples, path: Path) -> list[dict[str, object]]:
    """Return token sequences of several lengths and the embeddings that the exported model gives them."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    lengths = np.diff(data.offsets)
    rows = []
    for length in GOLDEN_LENGTHS:
        index = int(np.flatnonzero(lengths == length)[0])
        tokens = data.tokens[data.offsets[index] : data.offsets[index + 1]]
        tokens = np.array([[round(float(value), 4) for value in token] for token in tokens], dtype=np.float32)
        found = session.run(None, {"tokens": tokens[None], "lengths": np.array([length], dtype=np.int64)})[0][0]
        rows.append(
            {
                "tokens": [[round(float(value), 4) for value in token] for token in tokens],
                "embedding": [round(float(value), 7) for value in found],
            }
        )
    return rows


def manifest(columns: tuple[str, ...], path: Path, trained_on: str, rows: list[dict[str, object]]) -> dict[str, object]:
    """Return what sqlseg needs to know about the exported model."""
    return {
        "name": "behavior",
        "version": 1,
        "description": "A user's habits from the last 64 events and orders, in any shop.",
        "sequence": "behavior@1",
        "model": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "inputs": [
            {"name": "tokens", "dtype": "float32", "shape": ["batch", "length", len(columns)]},
            {"name": "lengths", "dtype": "int64", "shape": ["batch"]},
        ],
        "output": {"name": "embedding", "dtype": "float32", "shape": ["batch", DIMENSIONS]},
        "columns": list(columns),
        "dimensions": DIMENSIONS,
        "max_length": LENGTH,
        "training_data": trained_on,
        "license": "Apache-2.0",
        "golden": {"tolerance": TOLERANCE, "rows": rows},
    }


def manifest_text(described: dict[str, object]) -> str:
    """Return the manifest as JSON with a line for each key and each golden row."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in described.items())
    return "{\n" + lines.replace('{"tokens"', '\n    {"tokens"') + "\n}\n"


def main() -> None:
    """Simulate, train, export."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--shops", type=int, default=90)
    options.add_argument("--users", type=int, default=450, help="users of each shop")
    options.add_argument("--cuts", type=int, default=3, help="points in time at which each shop is looked at")
    options.add_argument("--steps", type=int, default=3_600)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=FOLDER)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    began = time.monotonic()
    with Engine.open(None, threads=1) as engine:
        shots = [
            shot
            for number in range(given.shops)
            for shot in shop_snapshots(engine, 1_000 * given.seed + number, given.users, given.cuts)
            if len(shot.users)
        ]
    columns = shots[0].columns
    data = examples(shots)
    print(f"{len(data.recency)} examples, {len(data.tokens)} tokens, {time.monotonic() - began:.0f} s", flush=True)
    encoder = train(data, columns, given.steps, given.seed)
    path = given.out / "model.onnx"
    export(encoder, len(columns), path)
    trained_on = (
        f"Simulated shops only: {given.shops} random shops of {given.users} users at {given.cuts} points in time "
        f"({len(data.recency)} sequences), seed {given.seed}. No real person's data."
    )
    described = manifest(columns, path, trained_on, golden_rows(data, path))
    (given.out / "manifest.json").write_text(manifest_text(described), encoding="utf-8")
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    print(f"{parameters} parameters, {path.stat().st_size} bytes, {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
