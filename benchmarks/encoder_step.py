"""Times the whole step of an encoder, from events to the table of embeddings, against the bare model on all cores.

Usage: python benchmarks/encoder_step.py [--encoder behavior@3] [--events N] [--users N] [--threads N] [--rounds N]

The step is what a cold refresh does: SQL over the events of a shop makes sequences, these become tensors, the encoder
runs, the table is written. Beside it: the same SQL alone, with its hashes and lists, as Arrow; what the encoder does
with these; and the bare model: ONNX Runtime on the very same batches, padded before the clock starts, on all cores.
Wall clock on all threads, and processor time, which other work on the machine disturbs less; the best of the rounds.
Prints Markdown and writes results/encoder_step.json.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from features import take_in
from measuring import keep_result
from peak_memory import peak_kb

from sqlseg.encoders.batching import cut_batches, pad_right
from sqlseg.encoders.embedding import embed, number_users, token_slices
from sqlseg.encoders.manifest import load_encoder
from sqlseg.encoders.session import EncoderSession, open_session
from sqlseg.encoders.udf import sorted_tokens, token_encoder, token_lists
from sqlseg.engine.duckdb import Engine
from sqlseg.features.registry import Registry
from sqlseg.resources import resource_root, sql_text
from sqlseg.synth import write_synthetic_events
from sqlseg.workflow.embedding import tokens_sql
from sqlseg.workflow.materialise import Moment, compute_statistics, keep_population

OF_BARE = 0.85


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of the processor, which counts all threads."""

    wall: float
    processor: float

    @classmethod
    def until_now(cls) -> "Spent":
        """Since some moment: only differences mean something."""
        return cls(time.perf_counter(), time.process_time())

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall + other.wall, self.processor + other.processor)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.wall - other.wall, self.processor - other.processor)

    def best(self, other: "Spent") -> "Spent":
        """Return the less of each."""
        return Spent(min(self.wall, other.wall), min(self.processor, other.processor))


def bare(session: EncoderSession, slices: list[pa.Table], threads: int) -> Spent:
    """Return what the model alone spends on tensors of these tokens."""
    spent, width = Spent(0, 0), 1 + len(session.encoder.manifest.columns)
    with ThreadPoolExecutor(threads) as executor:
        for tokens in slices:
            values, lengths = sorted_tokens(tokens["tokens"].combine_chunks(), width)
            starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
            batches = cut_batches(lengths, session.batching)
            ready = [(pad_right(values, starts[batch], lengths[batch]), lengths[batch]) for batch in batches]
            started = Spent.until_now()
            for _ in executor.map(lambda batch: session.run(*batch), reversed(ready)):
                pass
            spent += Spent.until_now() - started
    return spent


def one_round(folder: Path, encoder_ref: str, threads: int) -> tuple[dict[str, Spent], int]:
    """Return what each part spends, and the number of users that were encoded."""
    as_of = datetime.fromisoformat((folder / "as_of").read_text(encoding="utf-8"))
    encoder = load_encoder(encoder_ref, [resource_root("onnx_models")])
    registry, moment = Registry.load([resource_root("sql")]), Moment(as_of, as_of)
    with Engine.open(folder / "shop.duckdb", threads=threads) as engine:
        engine.execute("begin transaction")
        sequence = registry.view("sequences", encoder.manifest.sequence)
        for view in registry.closure([sequence], "sequences"):
            if view.kind == "statistics":
                compute_statistics(engine, view, moment)
        keep_population(engine, moment)
        select, numbered = tokens_sql(sequence, moment)
        started = Spent.until_now()
        result = embed(
            engine,
            encoder,
            select,
            "sqlseg.population",
            everyone=True,
            embedded_at=as_of,
            device="cpu",
            threads=threads,
            numbered=numbered,
        )
        spent = {"the whole step": Spent.until_now() - started}
        number_users(engine, "sqlseg.population")
        engine.execute(
            f"drop table embeddings.{encoder.table}; create temp view embed_sequence as select * from {select}"
        )
        slices = []
        started = Spent.until_now()
        for users in token_slices(engine):
            between = users.between_places if numbered else users.between_ids
            rows = engine.table(sql_text("steps/embed/token_rows.sql"), between)
            slices.append(token_lists(rows, encoder.manifest.columns, threads))
        spent["SQL: events to sequences"] = Spent.until_now() - started
        engine.execute("rollback")
    session = open_session(encoder, "cpu")
    with token_encoder(session, threads) as encode:
        started = Spent.until_now()
        for tokens in slices:
            encode(tokens["tokens"])
        spent["sequences to tensors to embeddings"] = Spent.until_now() - started
    spent["the bare model"] = bare(session, slices, threads)
    return spent, result.users_embedded


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="behavior@3")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where events are kept, and found again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sqlseg-encoder-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "events.parquet").is_file():
            write_synthetic_events(folder / "events.parquet", options.users, options.events, seed=0)
        if not (folder / "as_of").is_file():
            take_in(folder / "events.parquet", folder, options.threads)
        best: dict[str, Spent] = {}
        for _ in range(options.rounds):
            found, users = one_round(folder, options.encoder, options.threads)
            best = {name: spent.best(best.get(name, spent)) for name, spent in found.items()}
    raw = best["the bare model"]
    print(f"{options.encoder}, {users:,} users with {options.events:,} events, {options.threads} threads.\n")
    print("| part | seconds | users a second | the bare model's speed | processor, s | the bare model's |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, spent in best.items():
        shares = raw.wall / spent.wall, raw.processor / spent.processor
        rate = users / spent.wall
        print(
            f"| {name} | {spent.wall:.2f} | {rate:,.0f} | {shares[0]:.0%} | {spent.processor:.2f} | {shares[1]:.0%} |"
        )
    print()
    for name in ("sequences to tensors to embeddings", "the whole step"):
        share = raw.wall / best[name].wall
        met = "met" if share >= OF_BARE else "MISSED"
        print(f"{name[0].upper()}{name[1:]}: {share:.0%} of the bare model; the goal was {OF_BARE:.0%}: {met}.")
    figures = {
        "encoder": options.encoder,
        "users": users,
        "events": options.events,
        "seconds": {name: round(spent.wall, 3) for name, spent in best.items()},
        "processor_seconds": {name: round(spent.processor, 3) for name, spent in best.items()},
    }
    keep_result("encoder_step", {**figures, "peak_kb": peak_kb()}, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
