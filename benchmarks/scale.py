"""Times cold refreshes of growing shops, against what the machine could do at best and against the usual way.

Usage: python benchmarks/scale.py [--sizes 1M/50k 10M/500k ...] [--usual-up-to 10M] [--memory-limit 500MB]

Each size is a shop of its own, whose events stand in order of time, as a log has them; every run is a process of its
own. The limits are three things that any such refresh must do, done alone: DuckDB reads the file and sorts the events
by user and time; ONNX Runtime runs the encoder over ready-made tensors of as many tokens; NumPy multiplies the matrices
of the fits and of placing everybody. Prints tables, and writes results/scale.json. A run that fails, for want of memory
for instance, is told and the others go on.
"""

import argparse
import itertools
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from measuring import ProcessRun, ProgramFailed, keep_result, run_process
from peak_memory import peak_kb

from sqlseg.encoders.batching import cut_batches
from sqlseg.encoders.embedding import SLICE_USERS
from sqlseg.encoders.manifest import load_encoder
from sqlseg.encoders.session import open_session
from sqlseg.resources import resource_root
from sqlseg.segments.model import FIT_USERS
from sqlseg.synth import write_synthetic_events

ENCODER = "behavior@3"
SIZES = ("1M/50k", "10M/500k", "100M/2M")
STEPS = ("events", "features", "embeddings", "segments", "tables")
LIMITS = ("scan and sort", "raw encoder", "matrix products")
NUMBERS, ITERATIONS, INPUTS = range(4, 13), 10, 80
SLOPE, OVER_LIMITS, OVER_USUAL = 1.05, 1.5, 10.0


@dataclass(frozen=True)
class Size:
    """How many events of how many users, as it was asked for."""

    name: str
    events: int
    users: int


def size(text: str) -> Size:
    """Return the size that `10M/500k` names."""
    events, _, users = text.partition("/")
    return Size(text, number(events), number(users))


def number(text: str) -> int:
    """Return the number that `500k` stands for.

    >>> number("500k"), number("2M"), number("12")
    (500000, 2000000, 12)
    """
    found = re.fullmatch(r"(\d+)([kM]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no number such as 500k or 2M")
    return int(found.group(1)) * {"": 1, "k": 1_000, "M": 1_000_000}[found.group(2)]


# -- the limits, in a process of their own -------------------------------------------------------------------------


def scan_and_sort(events: Path, threads: int, folder: Path) -> float:
    started = time.perf_counter()
    with duckdb.connect(str(folder / "sorted.duckdb"), config={"threads": threads}) as connection:
        connection.execute("set preserve_insertion_order = true")
        connection.execute(
            f"create table events as select * from read_parquet('{events}') order by user_id, event_time"
        )
    return time.perf_counter() - started


def raw_encoder(warehouse: Path, threads: int) -> float:
    """Run the encoder over tensors of the lengths that the shop's users have, on one session a core."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        # What a user's sequence is cut to; a token is an order, or the events of one type at one instant.
        lengths = connection.sql(
            "select least(count(distinct (event_type, case when event_type = 'purchase' and order_id is not null "
            "then order_id else event_time::varchar end)), 64)::bigint as tokens "
            "from sqlseg.events group by user_id"
        ).fetchnumpy()["tokens"]
    session = open_session(load_encoder(ENCODER, [resource_root("onnx_models")]), "cpu")
    columns, random, seconds = len(session.encoder.manifest.columns), np.random.default_rng(0), 0.0
    with ThreadPoolExecutor(threads) as executor:
        for start in range(0, len(lengths), SLICE_USERS):
            some = lengths[start : start + SLICE_USERS]
            ready = [
                (random.random((len(batch), int(some[batch].max()), columns), dtype=np.float32), some[batch])
                for batch in cut_batches(some, session.batching)
            ]
            started = time.perf_counter()
            for _ in executor.map(lambda batch: session.run(*batch), ready):
                pass
            seconds += time.perf_counter() - started
    return seconds


def matrix_products(users: int) -> float:
    """Multiply users and centres as often as fits of all numbers of segments, and placing everybody, must."""
    random = np.random.default_rng(0)
    X = random.random((min(users, FIT_USERS), INPUTS))
    everybody = random.random((users, INPUTS), dtype=np.float32)
    started = time.perf_counter()
    for k in NUMBERS:
        centers = random.random((INPUTS, k))
        for _ in range(ITERATIONS):
            X @ centers
    everybody @ random.random((INPUTS, NUMBERS.stop), dtype=np.float32)
    return time.perf_counter() - started


def measure_limits(events: Path, warehouse: Path, users: int, threads: int, report: Path) -> None:
    with tempfile.TemporaryDirectory(dir=report.parent) as folder:
        found = (
            scan_and_sort(events, threads, Path(folder)),
            raw_encoder(warehouse, threads),
            matrix_products(users),
        )
    seconds = {name: round(value, 2) for name, value in zip(LIMITS, found, strict=True)}
    report.write_text(json.dumps({"seconds": seconds, "peak_kb": peak_kb()}), encoding="utf-8")


# -- all sizes -----------------------------------------------------------------------------------------------------


def write_log(path: Path, one: Size) -> None:
    """Write a shop's events in the order in which they happened; simulated ones come user by user."""
    drawn = path.with_suffix(".drawn")
    write_synthetic_events(drawn, one.users, one.events, seed=0)
    with duckdb.connect(config={"temp_directory": str(path.parent), "memory_limit": "8GB"}) as connection:
        # Renamed when it is whole: a file that is there is believed in the next run.
        ordered = path.with_suffix(".part")
        connection.execute(
            f"copy (from read_parquet('{drawn}') order by event_time) to '{ordered}' (format parquet, compression zstd)"
        )
    drawn.unlink()
    ordered.rename(path)


def told(run: ProcessRun) -> dict[str, object]:
    return {"seconds": run.report["seconds"], "wall": run.wall, "cpu": run.cpu, "peak_mb": run.peak_mb}


def measured(one: Size, folder: Path, threads: int, limit: str | None, *, usual: bool) -> dict[str, object]:
    """Return what the runs of one size came to; those that failed tell their last words."""
    events, project, report = folder / "events" / f"{one.events}.parquet", folder / "project", folder / "report.json"
    events.parent.mkdir(exist_ok=True)
    if not events.is_file():
        write_log(events, one)
    shutil.rmtree(project, ignore_errors=True)
    calls = {"sqlseg": ("sqlseg_way.py", [events, project, report, threads, *([limit] if limit else [])])}
    limits = ["--limits", events, project / "warehouse.duckdb", one.users, report, "--threads", threads]
    calls["limits"] = ("scale.py", limits)
    if usual:
        calls["usual"] = ("usual_way.py", [events, folder / "usual.duckdb", report])
    found: dict[str, object] = {"events": one.events, "users": one.users}
    for way, (script, arguments) in calls.items():
        try:
            found[way] = told(run_process(script, arguments, report, threads))
        except ProgramFailed as error:
            found[way] = {"failed": str(error).strip().splitlines()[-1]}
        print(f"{one.name}: {way}: {json.dumps(found[way])}", file=sys.stderr)
    for path in (project, folder / "usual.duckdb"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return found


def markdown(results: dict[str, dict]) -> str:
    """Seconds by step, one column a size."""
    header = " | ".join(f"{found['events']:,} events" for found in results.values())
    lines = [f"| | {header} |", "|---|" + "--:|" * len(results)]

    def row(name: str, cell: Callable[[dict], str]) -> None:
        lines.append(f"| {name} | " + " | ".join(cell(found) for found in results.values()) + " |")

    def of(found: dict, way: str, name: str, step: str | None = None) -> str:
        if "failed" in found.get(way, {"failed": ""}):
            return "-"
        value = found[way][name] if step is None else found[way][name][step]
        return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"

    for step in STEPS:
        row(f"{step}, s", lambda found, step=step: of(found, "sqlseg", "seconds", step))
    row("**whole process, s**", lambda found: of(found, "sqlseg", "wall"))
    row("processor time, s", lambda found: of(found, "sqlseg", "cpu"))
    row("**peak memory, MB**", lambda found: of(found, "sqlseg", "peak_mb"))
    for name in LIMITS:
        row(f"limit: {name}, s", lambda found, name=name: of(found, "limits", "seconds", name))
    row("the usual way, s", lambda found: of(found, "usual", "wall"))
    row("the usual way's peak memory, MB", lambda found: of(found, "usual", "peak_mb"))
    return "\n".join(lines)


def verdicts(results: dict[str, dict]) -> dict[str, float]:
    """Return the ratios that the goals are about, and print them."""
    whole = [found for found in results.values() if "failed" not in found["sqlseg"]]
    ratios: dict[str, float] = {}
    for small, large in itertools.pairwise(whole):
        name = f"slope from {small['events']:,} to {large['events']:,} events"
        times = math.log(large["sqlseg"]["wall"] / small["sqlseg"]["wall"])
        ratios[name] = round(times / math.log(large["events"] / small["events"]), 3)
        met = "met" if ratios[name] <= SLOPE else "MISSED"
        print(f"- {name}: {ratios[name]:.3f}; the goal was {SLOPE:g} at most: {met}.")
    for found in whole:
        if "failed" not in found["limits"]:
            name = f"{found['events']:,} events, times the sum of the limits"
            ratios[name] = round(found["sqlseg"]["wall"] / sum(found["limits"]["seconds"].values()), 2)
            met = "met" if ratios[name] < OVER_LIMITS else "MISSED"
            print(f"- {name}: {ratios[name]:.2f}; the goal was under {OVER_LIMITS:g}: {met}.")
        if "failed" not in found.get("usual", {"failed": ""}):
            name = f"{found['events']:,} events, times faster than the usual way"
            ratios[name] = round(found["usual"]["wall"] / found["sqlseg"]["wall"], 2)
            met = "met" if ratios[name] >= OVER_USUAL else "MISSED"
            print(f"- {name}: {ratios[name]:.1f}; the goal was {OVER_USUAL:g}: {met}.")
    return ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=size, default=[size(name) for name in SIZES])
    parser.add_argument("--usual-up-to", type=number, default=number("10M"), help="events; 0 leaves it out")
    parser.add_argument("--memory-limit", help="of DuckDB, such as 500MB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, help="where events are kept, and found again")
    parser.add_argument("--name", default="scale", help="of the file in results/")
    parser.add_argument("--limits", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.limits:
        events, warehouse, users, report = options.limits
        measure_limits(Path(events), Path(warehouse), int(users), options.threads, Path(report))
        return 0
    results: dict[str, dict] = {}
    with tempfile.TemporaryDirectory(prefix="sqlseg-scale-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for one in options.sizes:
            usual = one.events <= options.usual_up_to
            results[one.name] = measured(one, folder, options.threads, options.memory_limit, usual=usual)
    limit = f", memory_limit {options.memory_limit}" if options.memory_limit else ""
    print(f"{options.threads} threads{limit}.\n\n{markdown(results)}\n")
    figures = {"memory_limit": options.memory_limit, "results": results, "ratios": verdicts(results)}
    keep_result(options.name, figures, options.threads)
    return 0 if all("failed" not in found["sqlseg"] for found in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
