"""Times an encoder as sqlseg runs it against the bare model, a fixed padded batch, and PyTorch.

Usage: python benchmarks/encoder.py [--encoder behavior@3] [--users N] [--rounds N]

One thread each; users a second of processor time. The ways take turns, and the best of the rounds counts: whatever else
the machine does can only add to a time. Prints Markdown and writes results/encoder.json with every round. PyTorch, with
the same weights, takes part where torch and onnx are installed, for encoders of behavior@1's layers, with behavior@3's
figures before them.
Exit 1 where two ways give different embeddings.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measuring import machine

from sqlseg.encoders.batching import cut_batches, pad_right
from sqlseg.encoders.bench import MIXED, SHORT, random_tokens
from sqlseg.encoders.manifest import load_encoder
from sqlseg.encoders.session import EncoderSession, open_session
from sqlseg.encoders.udf import TokenEncoder, user_tokens
from sqlseg.resources import resource_root

HERE = Path(__file__).parent
RESULT = HERE / "results" / "encoder.json"
FIXED = 2_048
OF_BARE, OF_FIXED, USERS_A_SECOND = 0.85, 8.0, 30_000

Way = Callable[[], np.ndarray]


def ways(session: EncoderSession, tokens: pa.Table) -> dict[str, Way]:
    """Return every way to embed the same users, in the same order; what is ready-made is made here, untimed."""
    described = session.encoder.manifest
    users, values, lengths = user_tokens(tokens, described.columns)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    encoder = TokenEncoder(session)

    def by_rows() -> np.ndarray:
        return encoder.encode_rows(tokens)["embedding"].combine_chunks().flatten().to_numpy().reshape(len(users), -1)

    figures = np.column_stack([tokens["position"].to_numpy().astype(np.float32), values])
    lists = pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.FixedSizeListArray.from_arrays(pa.array(figures.ravel()), figures.shape[1])
    )
    # As a refresh gives them to the database: the longest first.
    by_length = np.argsort(-lengths, kind="stable")
    places = np.argsort(by_length)
    calls = [lists.take(pa.array(by_length[start : start + FIXED])) for start in range(0, len(users), FIXED)]

    def by_calls() -> np.ndarray:
        return np.concatenate([encoder(call).flatten().to_numpy().reshape(len(call), -1) for call in calls])[places]

    def bare(run: Callable[[np.ndarray, np.ndarray], np.ndarray], slice_users: int) -> Way:
        parts = [by_length[start : start + slice_users] for start in range(0, len(users), slice_users)]
        batches = [part[batch] for part in parts for batch in cut_batches(lengths[part], session.batching)]
        ready = [(pad_right(values, offsets[batch], lengths[batch]), lengths[batch]) for batch in batches]
        order = np.argsort(np.concatenate(batches))
        return lambda: np.concatenate([run(padded, count) for padded, count in ready])[order]

    # The fixed batch has so few users a second that a part of them must do.
    part = min(len(users), 2 * FIXED)
    groups = [np.arange(start, min(start + FIXED, part)) for start in range(0, part, FIXED)]
    full = [np.zeros((len(group), described.max_length, len(described.columns)), np.float32) for group in groups]
    for group, padded in zip(groups, full, strict=True):
        some = pad_right(values, offsets[group], lengths[group])
        padded[:, : some.shape[1]] = some

    def fixed(run: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Way:
        return lambda: np.concatenate([run(p, lengths[group]) for p, group in zip(full, groups, strict=True)])

    found = {
        "rows of a slice": by_rows,
        "calls of 2,048 lists": by_calls,
        "bare model, the slice's batches": bare(session.run, len(users)),
        "bare model, the calls' batches": bare(session.run, FIXED),
        "bare model, fixed batch": fixed(session.run),
    }
    eager = pytorch(session)
    if eager is not None:
        found |= {"PyTorch, the slice's batches": bare(eager, len(users)), "PyTorch, fixed batch": fixed(eager)}
    return found


def pytorch(session: EncoderSession) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """Return the same model run by PyTorch in eager mode, on one thread, with the weights of the ONNX file."""
    try:
        import onnx
        import torch
    except ImportError:
        return None
    graph = onnx.load(session.encoder.model_path).graph
    held = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    layers = [node for node in graph.node if node.op_type == "GRU"]
    enters = [node.input[1] for node in graph.node if node.op_type in ("MatMul", "Gemm") and "enter.bias" in node.input]
    enters += [node.input[1] for node in graph.node if node.op_type == "MatMul"]
    figures = {node.name for node in graph.node} >= {"figures", "entered"}
    if not layers or not enters or "leave.weight" not in held or "enter.bias" not in held:
        return None
    torch.set_num_threads(1)
    size = held["leave.weight"].shape[1]
    gru = torch.nn.GRU(size, size, num_layers=len(layers), batch_first=True)
    for number, layer in enumerate(layers):
        # ONNX has the update gate before the reset gate, and both biases in one row.
        update, reset, new = range(0, size), range(size, 2 * size), range(2 * size, 3 * size)
        gates = [*reset, *update, *new]
        both = held[layer.input[3]][0]
        weights = {
            f"bias_ih_l{number}": both[: 3 * size][gates],
            f"bias_hh_l{number}": both[3 * size :][gates],
        }
        for kind, name in zip(("ih", "hh"), layer.input[1:3], strict=True):
            in_torchs_order = held.get(f"gru.weight_{kind}_l{number}")
            weights[f"weight_{kind}_l{number}"] = held[name][0][gates] if in_torchs_order is None else in_torchs_order
        for name, weight in weights.items():
            getattr(gru, name).data = torch.from_numpy(weight.copy())
    enter, enter_bias, leave, leave_bias = (
        torch.from_numpy(held[name].copy()) for name in (enters[0], "enter.bias", "leave.weight", "leave.bias")
    )

    def run(padded: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            given = torch.from_numpy(padded)
            read = behavior_figures(given) if figures else given
            tokens = torch.nn.functional.gelu(read @ enter + enter_bias)
            last = gru(tokens)[0][torch.arange(len(lengths)), torch.from_numpy(lengths) - 1]
            return torch.nn.functional.normalize(last @ leave.T + leave_bias, dim=1).numpy()

    return run


def behavior_figures(tokens: Any) -> Any:
    """Return what behavior@3 makes of its columns within itself (onnx_models/behavior_v3/export.py), by PyTorch."""
    import torch

    kind, minute, tenure, place, lines, quantity, gap, spend, price, popularity, *flags = tokens.split(1, dim=2)
    kinds = (kind == torch.arange(1, 9)).float()
    known = (torch.cat([gap, spend, price, popularity], dim=2) >= 0).float()
    counts = torch.cat([tenure / 86_400 + 1, place, lines, quantity + 1, gap / 60 + 1], dim=2).clamp(min=1).log()
    counts = counts * torch.tensor([1 / 5, 1 / 4, 1, 1 / 2, 1 / 5])
    spent = spend.clamp(math.exp(-5), math.exp(5)).log() / 2
    measures = torch.cat([spent, price - 0.5, popularity - 0.5], dim=2) * known[..., 1:]
    days = minute / 1440
    turns = 2 * math.pi * torch.cat([days - days.floor(), days.floor() / 7], dim=2)
    return torch.cat([kinds, known, counts, measures, turns.sin(), turns.cos(), *flags], dim=2)


def measured(session: EncoderSession, mean: int, users: int, rounds: int) -> dict[str, object]:
    """Return users a second of processor time by way, and the ratios of ours to the others."""
    tokens = random_tokens(session.encoder, users, mean, seed=0)
    every = ways(session, tokens)
    rates: dict[str, list[float]] = {name: [] for name in every}
    answers = {name: way() for name, way in every.items()}  # warms up, too
    for _ in range(rounds):
        for name, way in every.items():
            began = time.process_time()
            way()
            rates[name].append(len(answers[name]) / (time.process_time() - began))
    ours = answers["rows of a slice"]
    apart = max(float(np.abs(answer - ours[: len(answer)]).max()) for answer in answers.values())

    def ratio(one: str, other: str) -> float:
        return round(max(rates[one]) / max(rates[other]), 3)

    return {
        "mean_tokens": round(len(tokens) / users, 2),
        "users_a_second": {name: round(max(found)) for name, found in rates.items()},
        "every_round": {name: [round(rate) for rate in found] for name, found in rates.items()},
        "ratio_to": {
            other: {one: ratio(one, other) for one in ("rows of a slice", "calls of 2,048 lists")}
            for other in list(every)[2:]
        },
        "apart_at_most": apart,
    }


def markdown(results: dict[str, dict]) -> str:
    """A table with one row a way."""
    lines = ["| histories | way | users a second | a slice : this way | calls : this way |", "|---|---|--:|--:|--:|"]
    for name, found in results.items():
        for way, rate in found["users_a_second"].items():
            against = found["ratio_to"].get(way)
            told = " | ".join(f"{ratio:.2f}" for ratio in against.values()) if against else "|"
            lines.append(f"| {name}, {found['mean_tokens']:.1f} tokens | {way} | {rate:,} | {told} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="behavior@3")
    parser.add_argument("--users", type=int, default=20_480)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    session = open_session(load_encoder(options.encoder, [resource_root("onnx_models")]), "cpu")
    results = {
        name: measured(session, mean, options.users, options.rounds)
        for name, mean in (("short", SHORT), ("mixed", MIXED))
    }
    print(f"{options.encoder}, {options.users:,} users, one thread, {options.rounds} rounds.\n")
    print(markdown(results))
    short = results["short"]
    against = short["ratio_to"]
    goals = (
        ("of the bare model (rows of a slice)", against["bare model, the slice's batches"]["rows of a slice"], OF_BARE),
        ("of the bare model (calls)", against["bare model, the calls' batches"]["calls of 2,048 lists"], OF_BARE),
        ("times the fixed batch", against["bare model, fixed batch"]["rows of a slice"], OF_FIXED),
        ("users a second and core", short["users_a_second"]["rows of a slice"], USERS_A_SECOND),
    )
    print()
    for what, found, goal in goals:
        print(f"Short histories, {what}: {found:,.2f}, the goal was {goal:,g}: {'met' if found >= goal else 'MISSED'}.")
    apart = max(found["apart_at_most"] for found in results.values())
    print(f"All ways agree within {apart:.1e}.")
    RESULT.parent.mkdir(exist_ok=True)
    figures = {
        "measured_at": time.strftime("%Y-%m-%d", time.gmtime()),
        "encoder": options.encoder,
        "users": options.users,
        "rounds": options.rounds,
        "machine": machine(threads=1),
        "results": results,
    }
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if apart <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
