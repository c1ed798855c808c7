"""Measures an encoder on the CPU and, where CUDA starts, on the GPU, at several batch sizes.

Usage: python benchmarks/gpu.py [--encoder behavior@3] [--users N] [--rounds N] [--output results/gpu.json]

Needs nothing but sqlseg and what it depends on; on the GPU also the CUDA libraries (pip install 'sqlseg[cuda]').
Users a second by the clock. Prints a Markdown table, writes it beside the JSON file, and says how far the embeddings
of both devices lie apart. Without CUDA it says why and measures the CPU. Exit 1 where the devices differ by more than
1e-3 in cosine.
"""

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import machine

from sqlseg.encoders.batching import ON_CPU, ON_GPU, Batching, encode_ragged
from sqlseg.encoders.bench import MIXED, SHORT, random_tokens
from sqlseg.encoders.manifest import Encoder, load_encoder
from sqlseg.encoders.session import DeviceUnavailable, EncoderSession, open_session
from sqlseg.encoders.udf import user_tokens
from sqlseg.errors import SqlsegError
from sqlseg.resources import resource_root

RESULT = Path(__file__).parent / "results" / "gpu.json"
COSINE = 1e-3


@dataclass(frozen=True)
class Measured:
    """Users a second on one device, with one size of batches and one kind of histories."""

    provider: str
    histories: str
    mean_tokens: float
    batch_tokens: int
    used_by_sqlseg: bool
    users_per_second: int


def sessions(encoder: Encoder) -> tuple[list[EncoderSession], str | None]:
    """Return a session for each device that starts, and why there is none on the GPU."""
    found = [open_session(encoder, "cpu")]
    try:
        return [*found, open_session(encoder, "cuda")], None
    except DeviceUnavailable as error:
        return found, error.message


def budgets(session: EncoderSession) -> list[Batching]:
    """Return the batch sizes to try; the one that sqlseg uses is among them."""
    if session.on_gpu:
        return [Batching(size, ON_GPU.start) for size in (8_192, 32_768, ON_GPU.budget, 4 * ON_GPU.budget)]
    return [Batching(size, ON_CPU.start) for size in (256, 512, ON_CPU.budget, 4 * ON_CPU.budget, 32_768)]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest cosine distance between embeddings of the same users."""
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return float(1 - cosine.min())


def markdown(rows: list[Measured]) -> str:
    """A table with one row a measurement."""
    lines = ["| provider | histories | tokens a batch | users a second |", "|---|---|--:|--:|"]
    for row in rows:
        used = " (used)" if row.used_by_sqlseg else ""
        what = f"{row.histories}, {row.mean_tokens:.1f} tokens"
        lines.append(f"| {row.provider} | {what} | {row.batch_tokens:,}{used} | {row.users_per_second:,} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="behavior@3")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    try:
        encoder = load_encoder(options.encoder, [resource_root("onnx_models")])
        started, no_gpu = sessions(encoder)
    except SqlsegError as error:
        print(error.message, error.hint or "", file=sys.stderr)
        return 1
    if no_gpu:
        print(f"CUDA does not start here, so only the CPU is measured. {no_gpu}\n", file=sys.stderr)
    rows, apart, beside = [], {}, ThreadPoolExecutor(2)
    for histories, mean in (("short", SHORT), ("mixed", MIXED)):
        _, values, lengths = user_tokens(random_tokens(encoder, options.users, mean, 0), encoder.manifest.columns)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        answers = []
        for session in started:
            for batching in budgets(session):
                seconds = []
                for _ in range(options.rounds + 1):
                    began = time.perf_counter()
                    # As in a refresh: while a GPU computes a batch, the next is padded.
                    answer = encode_ragged(
                        values,
                        offsets,
                        session.run,
                        encoder.manifest.dimensions,
                        batching,
                        beside if session.on_gpu else None,
                    )
                    seconds.append(time.perf_counter() - began)
                rate = round(options.users / statistics.median(seconds[1:]))  # the first round warms up
                used = batching == session.batching
                rows.append(Measured(session.provider, histories, float(lengths.mean()), batching.budget, used, rate))
                print(f"{session.provider}, {histories}, {batching.budget:,} tokens a batch: {rate:,}", file=sys.stderr)
            answers.append(answer)
        if len(answers) > 1:
            apart[histories] = distance(*answers)
    table = markdown(rows)
    print(f"{options.encoder}, {options.users:,} users, one thread, median of {options.rounds} rounds.\n\n{table}")
    for histories, found in apart.items():
        word = "within" if found <= COSINE else "MORE THAN"
        print(f"\nCPU and GPU, {histories} histories: cosine distance at most {found:.1e}, {word} {COSINE:g}.")
    figures = {
        "measured_at": time.strftime("%Y-%m-%d", time.gmtime()),
        "encoder": options.encoder,
        "users": options.users,
        "rounds": options.rounds,
        "machine": machine(threads=1),
        "cuda": no_gpu or "started",
        "rows": [vars(row) for row in rows],
        "cosine_distance": apart,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    options.output.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    return 0 if all(found <= COSINE for found in apart.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
