"""Times the whole step of an encoder, from events to the table of embeddings, against the bare model on all cores.

Usage: python benchmarks/encoder_step.py [--encoder behavior@3] [--events N] [--users N] [--threads N] [--rounds N]

The step is what a cold refresh does: SQL over the events of a shop makes sequences, these become tensors, the encoder
runs, the table is written. Beside it: the same SQL alone, with its hashes and lists, as Arrow; what the encoder does
with these; and the bare model: ONNX Runtime on the very same batches, padded before the clock starts, on all cores.
Wall clock on all threads; the best of the rounds. Prints Markdown and writes results/encoder_step.json.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from features import take_in
from measuring import keep_result
from peak_memory import peak_kb

from sqlseg.encoders.batching import cut_batches, pad_right
from sqlseg.encoders.embedding import embed, token_slices
from sqlseg.encoders.manifest import load_encoder
from sqlseg.encoders.session import EncoderSession, open_session
from sqlseg.encoders.udf import sorted_tokens, token_encoder, token_lists
from sqlseg.engine.duckdb import Engine
from sqlseg.features.binding import bound_sql
from sqlseg.features.registry import Registry
from sqlseg.resources import resource_root, sql_text
from sqlseg.synth import write_synthetic_events
from sqlseg.workflow.materialise import Moment, compute_statistics, keep_population

OF_BARE = 0.85


def bare(session: EncoderSession, slices: list[pa.Table], threads: int) -> float:
    """Return the seconds of the model alone on tensors of these tokens."""
    seconds, width = 0.0, 1 + len(session.encoder.manifest.columns)
    with ThreadPoolExecutor(threads) as executor:
        for tokens in slices:
            values, lengths = sorted_tokens(tokens["tokens"].combine_chunks(), width)
            starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
            batches = cut_batches(lengths, session.batching)
            ready = [(pad_right(values, starts[batch], lengths[batch]), lengths[batch]) for batch in batches]
            started = time.perf_counter()
            for _ in executor.map(lambda batch: session.run(*batch), reversed(ready)):
                pass
            seconds += time.perf_counter() - started
    return seconds


def one_round(folder: Path, encoder_ref: str, threads: int) -> tuple[dict[str, float], int]:
    """Return the seconds of each part, and the number of users that were encoded."""
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
        select = f"({bound_sql(sequence, as_of, as_of, moment.source, pretty=False)})"
        started = time.perf_counter()
        result = embed(
            engine,
            encoder,
            select,
            "sqlseg.population",
            everyone=True,
            embedded_at=as_of,
            device="cpu",
            threads=threads,
        )
        seconds = {"the whole step": time.perf_counter() - started}
        engine.execute(
            f"drop table embeddings.{encoder.table}; create temp view embed_sequence as select * from {select}; "
            "create temp view embed_users as select user_id from sqlseg.population"
        )
        slices = []
        started = time.perf_counter()
        for first, last in token_slices(engine):
            rows = engine.table(sql_text("steps/embed/token_rows.sql"), {"first_user": first, "last_user": last})
            slices.append(token_lists(rows, encoder.manifest.columns))
        seconds["SQL: events to sequences"] = time.perf_counter() - started
        engine.execute("rollback")
    session = open_session(encoder, "cpu")
    with token_encoder(session, threads) as encode:
        started = time.perf_counter()
        for tokens in slices:
            encode(tokens["tokens"])
        seconds["sequences to tensors to embeddings"] = time.perf_counter() - started
    seconds["the bare model"] = bare(session, slices, threads)
    return seconds, result.users_embedded


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
        best: dict[str, float] = {}
        for _ in range(options.rounds):
            seconds, users = one_round(folder, options.encoder, options.threads)
            best = {name: round(min(value, best.get(name, value)), 3) for name, value in seconds.items()}
    raw = best["the bare model"]
    print(f"{options.encoder}, {users:,} users with {options.events:,} events, {options.threads} threads.\n")
    print("| part | seconds | users a second | the bare model's speed |\n|---|--:|--:|--:|")
    for name, value in best.items():
        print(f"| {name} | {value:.2f} | {users / value:,.0f} | {raw / value:.0%} |")
    print()
    for name in ("sequences to tensors to embeddings", "the whole step"):
        met = "met" if raw / best[name] >= OF_BARE else "MISSED"
        print(
            f"{name[0].upper()}{name[1:]}: {raw / best[name]:.0%} of the bare model; the goal was {OF_BARE:.0%}: {met}."
        )
    figures = {"encoder": options.encoder, "users": users, "events": options.events, "seconds": best}
    keep_result("encoder_step", {**figures, "peak_kb": peak_kb()}, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
