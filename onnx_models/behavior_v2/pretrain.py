"""Pretrains the behaviour encoder and its forecasts on simulated shops: model.onnx, forecasts.onnx, manifest.json.

    pip install 'sqlseg[pretrain]'
    python onnx_models/behavior_v2/pretrain.py

One thread, about four minutes. The tokens come from the same SQL that serves the encoder, so training and use cannot
drift apart. The same seed gives the same files on the same machine.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from model import DIMENSIONS, LENGTH, QUANTITIES, BehaviorEncoder, EncoderWithForecasts, Forecaster
from tokens import HORIZONS
from torch import nn
from training import Examples, examples, train

FOLDER = Path(__file__).resolve().parent
GOLDEN_LENGTHS = (1, 2, 3, 5, 9, 17, 33, 64)
GOLDEN_AGES = (0.0, 0.5, 3.0, 12.0, 45.0, 90.0, 200.0, 700.0)
TOLERANCE = 1e-5
MOST_BYTES = 2_000_000


def write_onnx(
    module: nn.Module, given: dict[str, torch.Tensor], dynamic: dict[str, Any], outputs: list[str], path: Path
) -> None:
    """Write a module as one ONNX file that bears no trace of the machine that made it."""
    program = torch.onnx.export(
        module,
        tuple(given.values()),
        dynamo=True,
        dynamic_shapes=dynamic,
        input_names=list(given),
        output_names=outputs,
        verbose=False,
    )
    program.save(path, external_data=False)
    model = onnx.load(path)
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


def export(encoder: BehaviorEncoder, forecaster: Forecaster, columns: int, folder: Path) -> None:
    """Write model.onnx (tokens, lengths, age) and forecasts.onnx (embedding, age), and check both against torch."""
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1)
    both = EncoderWithForecasts(encoder, forecaster)
    tokens, lengths = torch.randn(3, 5, columns), torch.tensor([5, 1, 3])
    age = torch.tensor([0.5, 40.0, 3.0])
    write_onnx(
        both,
        {"tokens": tokens, "lengths": lengths, "age": age},
        {"tokens": {0: batch, 1: length}, "lengths": {0: batch}, "age": {0: batch}},
        ["embedding", "forecasts"],
        folder / "model.onnx",
    )
    write_onnx(
        forecaster,
        {"embedding": torch.randn(3, DIMENSIONS), "age": age},
        {"embedding": {0: batch}, "age": {0: batch}},
        ["forecasts"],
        folder / "forecasts.onnx",
    )
    whole, part = sessions(folder)
    generator = torch.Generator().manual_seed(1)
    for count, longest in ((1, 1), (7, 64), (200, 33)):
        tokens = torch.randn(count, longest, columns, generator=generator)
        lengths = torch.randint(1, longest + 1, (count,), generator=generator)
        age = torch.rand(count, generator=generator) * 400
        with torch.no_grad():
            expected = [answer.numpy() for answer in both(tokens, lengths, age)]
        found = whole.run(None, {"tokens": tokens.numpy(), "lengths": lengths.numpy(), "age": age.numpy()})
        found += part.run(None, {"embedding": found[0], "age": age.numpy()})
        for name, answer, wanted in zip(
            ("embedding", "forecasts", "forecasts of embeddings"), found, (*expected, expected[1]), strict=True
        ):
            worst = float((np.abs(answer - wanted) / np.maximum(np.abs(wanted), 1.0)).max())
            print(f"ONNX against torch, {count} x {longest}, {name}: {worst:.1e}")
            if worst > TOLERANCE:
                raise SystemExit(f"The exported model differs from torch by {worst:.1e}.")
    size = sum((folder / name).stat().st_size for name in ("model.onnx", "forecasts.onnx"))
    if size > MOST_BYTES:
        raise SystemExit(f"The exported models have {size} bytes, more than {MOST_BYTES}.")


def sessions(folder: Path) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    """Return the two exported models, started."""
    whole, part = (
        onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        for name in ("model.onnx", "forecasts.onnx")
    )
    return whole, part


def golden_rows(data: Examples, folder: Path) -> list[dict[str, object]]:
    """Return token sequences of several lengths and ages, and what the exported model answers."""
    whole, _ = sessions(folder)
    lengths = np.diff(data.offsets)
    rows: list[dict[str, object]] = []
    for length, age in zip(GOLDEN_LENGTHS, GOLDEN_AGES, strict=True):
        index = int(np.flatnonzero(lengths == length)[0])
        tokens = np.round(data.tokens[data.offsets[index] : data.offsets[index + 1]].astype(np.float64), 4)
        feed = {
            "tokens": tokens[None].astype(np.float32),
            "lengths": np.array([length], dtype=np.int64),
            "age": np.array([age], dtype=np.float32),
        }
        embedding, forecasts = whole.run(["embedding", "forecasts"], feed)
        rows.append(
            {
                "tokens": tokens.tolist(),
                "embedding": [round(float(value), 7) for value in embedding[0]],
                "age": age,
                "forecasts": [[round(float(value), 7) for value in figures] for figures in forecasts[0]],
            }
        )
    return rows


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(
    columns: tuple[str, ...], folder: Path, trained_on: str, rows: list[dict[str, object]]
) -> dict[str, object]:
    """Return what sqlseg needs to know about the exported models."""
    forecasts = {
        "age": {"name": "age", "dtype": "float32", "shape": ["batch"]},
        "output": {"name": "forecasts", "dtype": "float32", "shape": ["batch", len(HORIZONS), len(QUANTITIES)]},
        "horizons": list(HORIZONS),
        "quantities": list(QUANTITIES),
        "model": "forecasts.onnx",
        "sha256": sha256(folder / "forecasts.onnx"),
    }
    return {
        "name": "behavior",
        "version": 2,
        "description": "A user's habits from the last 64 events and orders, in any shop, and what they foretell.",
        "sequence": "behavior@1",
        "model": "model.onnx",
        "sha256": sha256(folder / "model.onnx"),
        "inputs": [
            {"name": "tokens", "dtype": "float32", "shape": ["batch", "length", len(columns)]},
            {"name": "lengths", "dtype": "int64", "shape": ["batch"]},
        ],
        "output": {"name": "embedding", "dtype": "float32", "shape": ["batch", DIMENSIONS]},
        "forecasts": forecasts,
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


def publish(encoder: BehaviorEncoder, forecaster: Forecaster, data: Examples, trained_on: str, folder: Path) -> None:
    """Write model.onnx, forecasts.onnx and manifest.json."""
    export(encoder, forecaster, len(data.columns), folder)
    described = manifest(data.columns, folder, trained_on, golden_rows(data, folder))
    (folder / "manifest.json").write_text(manifest_text(described), encoding="utf-8", newline="\n")


def main() -> None:
    """Simulate, train, export."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--shops", type=int, default=140)
    options.add_argument("--users", type=int, default=400, help="users of each shop")
    options.add_argument("--cuts", type=int, default=3, help="points in time at which each shop is looked at")
    options.add_argument("--body", choices=["gru", "transformer", "cnn"], default="gru")
    options.add_argument("--steps", type=int, default=3_200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=FOLDER)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    began = time.process_time()
    data = examples(range(1_000 * given.seed, 1_000 * given.seed + given.shops), given.users, given.cuts)
    print(f"{len(data)} examples, {len(data.tokens)} tokens, {time.process_time() - began:.0f} s of CPU", flush=True)
    encoder, forecaster = train(data, given.body, given.steps, given.seed)
    trained_on = (
        f"Simulated shops only: {given.shops} random shops of {given.users} users at {given.cuts} points in time "
        f"({len(data)} sequences), seed {given.seed}. No real person's data."
    )
    given.out.mkdir(parents=True, exist_ok=True)
    publish(encoder, forecaster, data, trained_on, given.out)
    parameters = [sum(one.numel() for one in module.parameters()) for module in (encoder, forecaster)]
    print(f"{parameters[0]} + {parameters[1]} parameters, {time.process_time() - began:.0f} s of CPU in all")
    for name in ("model.onnx", "forecasts.onnx"):
        print(f"{sha256(given.out / name)}  {name}")


if __name__ == "__main__":
    main()
