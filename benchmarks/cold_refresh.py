"""Times a cold refresh of two million events against the same job written the usual way, and compares their results.

Usage: python benchmarks/cold_refresh.py [--rounds N] [--users N] [--events N] [--memory-limit 400MB]

Each run is a process of its own; the ways take turns. Prints a Markdown table and writes results/cold_refresh.json.
Exit 1 where the two did not compute the same features and embeddings.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from measuring import compile_sqlseg, machine

from sqlseg.synth import write_synthetic_events

HERE = Path(__file__).parent
RESULT = HERE / "results" / "cold_refresh.json"
STEPS = ("events", "features", "embeddings", "segments", "tables")
FASTER, LESS_MEMORY = 5.0, 0.5


@dataclass(frozen=True)
class Measured:
    """One run: seconds by step, of the whole process by the clock and by the processor, and its peak memory."""

    seconds: Mapping[str, float]
    wall: float
    cpu: float
    peak_mb: float
    segments: int


def measured(script: str, threads: int, *arguments: str | Path) -> Measured:
    """Run one way in a process of its own; the report path is its third argument."""
    report = Path(arguments[2])
    command = [sys.executable, "-W", "ignore", str(HERE / script), *(str(argument) for argument in arguments)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, stderr=subprocess.PIPE, text=True
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{script} failed:\n{done.stderr}")
    found = json.loads(report.read_text(encoding="utf-8"))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(found["seconds"], round(wall, 1), round(cpu, 1), round(found["peak_kb"] / 1024), found["segments"])


def typical(runs: list[Measured]) -> Measured:
    """The median of every figure."""
    return Measured(
        {name: round(statistics.median(run.seconds[name] for run in runs), 1) for name in STEPS},
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        statistics.median(run.peak_mb for run in runs),
        runs[-1].segments,
    )


def agreement(project: Path, usual: Path) -> dict[str, object]:
    """Compare every column of every feature view within 1e-6 of its size, and all embeddings within 1e-5."""
    agree, differ, users = 0, [], 0
    with duckdb.connect() as both:
        both.execute(f"attach '{project / 'published' / 'shop.duckdb'}' as ours (read_only)")
        both.execute(f"attach '{project / 'warehouse.duckdb'}' as warehouse (read_only)")
        both.execute(f"attach '{usual}' as usual (read_only)")
        views = both.execute(
            "select table_name from duckdb_tables() where database_name = 'ours' and schema_name = 'features' "
            "and regexp_matches(table_name, '_v[0-9]+$') order by 1"
        ).fetchall()
        for (view,) in views:
            for column, kind, *_ in both.execute(f"describe ours.features.{view}").fetchall():
                if column == "user_id":
                    continue
                a, b = f'a."{column}"', f'b."{column}"'
                same = f"{a} is not distinct from {b}"
                if kind != "VARCHAR":
                    b = f"(case when isnan({b}::double) then null else {b}::double end)"
                    same = (
                        f"({a} is null and {b} is null or abs({a} - {b}) <= 1e-6 * greatest(abs({a}), abs({b})) + 1e-9)"
                    )
                users, wrong = both.execute(
                    f"select count(*), count(*) filter (where not coalesce({same}, false)) "
                    f"from ours.features.{view} as a full join usual.{view} as b using (user_id)"
                ).fetchone()
                agree += wrong == 0
                if wrong:
                    differ.append(f"{view.rpartition('_v')[0]}__{column}: {wrong} users")
        pairs = both.execute(
            "select a.embedding::float[] as ours, b.embedding::float[] as usual from warehouse.embeddings.behavior_v3 "
            "as a full join usual.embeddings as b using (user_id)"
        ).fetchnumpy()
    apart = float("inf")
    if not np.ma.is_masked(pairs["ours"]) and not np.ma.is_masked(pairs["usual"]):
        apart = float(np.abs(np.stack(pairs["ours"]) - np.stack(pairs["usual"])).max())
    return {
        "users": users,
        "feature_columns_agree": agree,
        "feature_columns_differ": differ,
        "embeddings_apart_at_most": apart,
        "same": not differ and apart <= 1e-5,
    }


def markdown(usual: Measured, ours: Measured, limited: Measured, limit: str) -> str:
    """The table of the README; each ratio is sqlseg's figure, without a limit, against the usual way's."""
    names = {
        "events": "events read, cleaned",
        "features": "52 feature columns",
        "embeddings": "tokens, embeddings",
        "segments": "number of segments, segments",
        "tables": "tables, checks, published file",
    }
    rows = [(f"{names[name]}, s", *(way.seconds[name] for way in (usual, ours, limited))) for name in STEPS]
    rows += [
        ("**whole process, s**", usual.wall, ours.wall, limited.wall),
        ("processor time, s", usual.cpu, ours.cpu, limited.cpu),
        ("**peak memory, MB**", usual.peak_mb, ours.peak_mb, limited.peak_mb),
    ]
    lines = [f"| | the usual way | sqlseg | sqlseg, memory_limit {limit} | usual : sqlseg |", "|---|--:|--:|--:|--:|"]
    for name, a, b, c in rows:
        lines.append(f"| {name} | {a:,g} | {b:,g} | {c:,g} | {a / b:.1f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory-limit", default="400MB", help="of DuckDB, in the run that has one")
    options = parser.parse_args()
    threads, runs = options.threads, {"usual": [], "sqlseg": [], "limited": []}
    compile_sqlseg()
    with tempfile.TemporaryDirectory(prefix="sqlseg-benchmark-") as folder:
        work = Path(folder)
        events, usual, report = work / "events" / "events.parquet", work / "usual.duckdb", work / "report.json"
        events.parent.mkdir()
        write_synthetic_events(events, options.users, options.events, seed=0)
        for number in range(1, options.rounds + 1):
            project, small = work / f"project-{number}", work / f"limited-{number}"
            ways = {
                "sqlseg": ("sqlseg_way.py", threads, events, project, report, str(threads)),
                "usual": ("usual_way.py", threads, events, usual, report),
                "limited": ("sqlseg_way.py", threads, events, small, report, str(threads), options.memory_limit),
            }
            for name, call in ways.items():
                run = measured(*call)
                runs[name].append(run)
                print(f"round {number}: {name} {run.wall} s, {run.peak_mb:,} MB", file=sys.stderr)
            results = [agreement(directory, usual) for directory in (project, small)]
    ours, other, limited = typical(runs["sqlseg"]), typical(runs["usual"]), typical(runs["limited"])
    print(f"{options.events:,} events of {options.users:,} users, {threads} threads, {options.rounds} round(s).\n")
    print(markdown(other, ours, limited, options.memory_limit))
    same = results[0]
    columns = same["feature_columns_agree"] + len(same["feature_columns_differ"])
    print(
        f"\nThe same results: {same['feature_columns_agree']} of {columns} feature columns agree within 1e-6 for all "
        f"{same['users']:,} users; embeddings are at most {same['embeddings_apart_at_most']:.1e} apart."
    )
    for line in same["feature_columns_differ"]:
        print(f"- differs: {line}")
    for name, ratio, goal in (
        ("Speed", other.wall / ours.wall, FASTER),
        ("Memory without a limit", other.peak_mb / ours.peak_mb, 1 / LESS_MEMORY),
        ("Memory with the limit", other.peak_mb / limited.peak_mb, 1 / LESS_MEMORY),
    ):
        print(f"{name}: {ratio:.1f} times better, the goal was {goal:g}: {'met' if ratio >= goal else 'MISSED'}.")
    RESULT.parent.mkdir(exist_ok=True)
    figures = {
        "measured_at": time.strftime("%Y-%m-%d", time.gmtime()),
        "events": options.events,
        "users": options.users,
        "rounds": options.rounds,
        "memory_limit": options.memory_limit,
        "machine": machine(threads),
        "median": {"usual": vars(other), "sqlseg": vars(ours), "sqlseg_with_memory_limit": vars(limited)},
        "runs": {name: [vars(run) for run in of_way] for name, of_way in runs.items()},
        "agreement": same,
        "agreement_with_memory_limit": results[1],
    }
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["same"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
