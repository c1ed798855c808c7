"""Refreshes a shop once a day for a year: what a refresh costs, and its files weigh, as history grows.

Usage: python benchmarks/history_growth.py [--users N] [--days N] [--threads N] [--refit never|drift] [--folder DIR]

The shop has a past of 20 events a user; every day brings as many more as a day of that past did, a file a day. All
refreshes run one after the other in this process, each on its own day by the shop's clock; Ctrl-C ends the year early.
Prints the tenth and the last refresh, each the median of five neighbours, and the size of the files against a new file
of the same rows; writes them with the machine to results/history_growth.md and results/history_growth.json.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from measuring import RESULTS, machine
from warm_refresh import STEPS, make_project

from sqlseg.synth import write_synthetic_events
from sqlseg.workflow.narration import Clock, Silence
from sqlseg.workflow.outcome import Options
from sqlseg.workflow.refresh import Interrupted, refresh

EVENTS_PER_USER = 20
SLOWER_AT_MOST, LARGER_AT_MOST = 1.2, 3.0
NEIGHBOURS = 2
WEIGHED = 50

# Ends today, so that by the shop's clock all its files are of the past, as they are where days pass.
THE_PAST = """
copy (
    with ahead as (select current_date::date - max(event_time)::date as days from '{whole}'),
    moved as (select * replace (event_time + to_days(days::integer) as event_time) from '{whole}', ahead)
    select * exclude (days) replace (event_time + interval 1 hour as ingested_at) from moved
) to '{folder}/past.parquet'
"""

# Day number `day` after the past: the events of one of its days once more, so many whole pasts later.
A_DAY = """
copy (
    with whole as (select *, date_trunc('day', event_time)::date as day from '{folder}/past.parquet'),
    past as (select min(day) as first, date_diff('day', min(day), max(day)) + 1 as days from whole)
    select
        whole.* exclude (day) replace (
            'later{day}-' || event_id as event_id,
            event_time + to_days(past.days::integer * turn) as event_time,
            event_time + to_days(past.days::integer * turn) + interval 1 hour as ingested_at
        )
    from whole, past, (select 1 + ({day} - 1) // days as turn from past)
    where whole.day = past.first + (({day} - 1) % past.days)::integer
) to '{folder}/day{day:04}.parquet'
"""


def weight(database: Path, folder: Path) -> tuple[int, int]:
    """Return the bytes of a database, and of a new one with the same rows."""
    copy = folder / "copy.duckdb"
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"attach '{database}' as original (read_only)")
        connection.execute(f"attach '{copy}' as fresh")
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'original' and not temporary"
        ).fetchall()
        for schema in sorted({schema for schema, _ in tables}):
            connection.execute(f"create schema if not exists fresh.{schema}")
        for schema, table in tables:
            connection.execute(f'create table fresh.{schema}."{table}" as from original.{schema}."{table}"')
        connection.execute("detach fresh")
    bytes_of_copy = copy.stat().st_size
    copy.unlink()
    return database.stat().st_size, bytes_of_copy


def refreshed(project: Path, now: datetime, refit: str) -> dict[str, float]:
    """Refresh the shop at a moment, and return what that took."""
    started, worked = time.perf_counter(), time.process_time()
    outcome = refresh(project, Options(refit=refit), Clock(lambda: now, time.perf_counter), Silence())
    wall, cpu = time.perf_counter() - started, time.process_time() - worked
    row = {"seconds": round(wall, 2), "processor, s": round(cpu, 2)}
    row |= {step: round(outcome.seconds.get(step, 0.0), 2) for step in STEPS}
    changes = outcome.plan.changes
    row |= {"events": outcome.plan.staged.accepted, "new": changes.events_new}
    return row | {"touched": changes.users_touched, "moved": outcome.users_moved}


def weights_of(project: Path, work: Path) -> dict[str, int]:
    """Return the bytes of both files, and of new ones with the same rows."""
    found = {}
    for name, file in (("warehouse", "warehouse.duckdb"), ("published", "published/shop.duckdb")):
        found[f"{name} file"], found[f"{name} live"] = weight(project / file, work)
    return found


def median_of(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    some = list(rows)
    return {name: round(statistics.median(row[name] for row in some), 2) for name in some[0]}


def around(rows: Sequence[Mapping[str, float]], day: int) -> dict[str, float]:
    """Return the medians of a refresh and of those before and after it; of the last five at the end."""
    end = min(day + NEIGHBOURS, len(rows))
    return median_of(rows[max(end - 2 * NEIGHBOURS - 1, 0) : end])


def markdown(early: int, last: int, first: Mapping[str, float], end: Mapping[str, float]) -> str:
    """The table: a row a figure."""
    lines = [f"| | refresh {early} | refresh {last} | times |", "|---|--:|--:|--:|"]
    for name, value in first.items():
        times = f"{end[name] / value:.2f}" if value else ""
        shown = f"| {value:,.2f} | {end[name]:,.2f} |" if value < 1000 else f"| {value:,.0f} | {end[name]:,.0f} |"
        lines.append(f"| {name} {shown} {times} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--refit", choices=("never", "drift"), default="never", help="of segments, day by day")
    parser.add_argument("--folder", type=Path, default=None, help="where the shop is made; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="leave the shop there")
    parser.add_argument("--no-results", action="store_true", help="print only")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="sqlseg-growth-", dir=options.folder))
    rows: list[dict[str, float]] = []
    weights: dict[int, dict[str, int]] = {}
    try:
        folder, project, whole = work / "events", work / "project", work / "whole.parquet"
        folder.mkdir()
        write_synthetic_events(whole, options.users, EVENTS_PER_USER * options.users, seed=0)
        duckdb.sql(THE_PAST.format(whole=whole, folder=folder))
        whole.unlink()
        [(newest,)] = duckdb.sql(f"select max(event_time) from '{folder}/past.parquet'").fetchall()
        midnight = newest.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        make_project(project, folder, options.threads, None)
        with suppress(KeyboardInterrupt, Interrupted):
            for day in range(options.days + 1):
                if day:
                    duckdb.sql(A_DAY.format(folder=folder, day=day))
                row = refreshed(project, midnight + timedelta(days=day, hours=2), options.refit)
                if day:
                    rows.append(row)
                if day % WEIGHED == 10:
                    weights[day] = weights_of(project, work)
                stamp = datetime.now(UTC).strftime("%H:%M:%S")
                print(f"{stamp} day {day}: {row} {weights.get(day, '')}", file=sys.stderr, flush=True)
        days = len(rows)
        if not days:
            print("Not even the second day has come.", file=sys.stderr)
            return 1
        weights.setdefault(days, weights_of(project, work))
    finally:
        if not options.keep:
            shutil.rmtree(work)
    early = min(10, days)
    first, end = around(rows, early), around(rows, days)
    for name in ("warehouse", "published"):
        for bag, day in ((first, early), (end, days)):
            at = min(weights, key=lambda known: abs(known - day))
            bag[f"{name} file, MB"] = round(weights[at][f"{name} file"] / 1e6, 1)
            bag[f"{name} file / its rows"] = round(weights[at][f"{name} file"] / weights[at][f"{name} live"], 2)
    head = f"{options.users:,} users, {days} days, refit {options.refit}, {options.threads} threads.\n\n"
    table = markdown(early, days, first, end)
    print(head + table)
    slower = end["processor, s"] / first["processor, s"]
    larger = max(bag / live for bag, live in _files(weights[days]))
    for told, value, most in (("Processor time", slower, SLOWER_AT_MOST), ("File size", larger, LARGER_AT_MOST)):
        print(f"{told}: {value:.2f} times, the goal was {most:g}: {'met' if value <= most else 'MISSED'}.")
    if not options.no_results:
        described = machine(options.threads)
        RESULTS.mkdir(exist_ok=True)
        figures = {
            "measured_at": time.strftime("%Y-%m-%d", time.gmtime()),
            "users": options.users,
            "days": days,
            "refit": options.refit,
            "machine": described,
            "refreshes": rows,
            "bytes": weights,
        }
        (RESULTS / "history_growth.json").write_text(json.dumps(figures) + "\n", encoding="utf-8")
        by = f"{described['cpu']}, {described['cores']} cores, commit {described['commit']}.\n"
        (RESULTS / "history_growth.md").write_text(f"{head}{by}\n{table}\n", encoding="utf-8")
    return 0


def _files(weights: Mapping[str, int]) -> list[tuple[int, int]]:
    return [(weights[f"{name} file"], weights[f"{name} live"]) for name in ("warehouse", "published")]


if __name__ == "__main__":
    sys.exit(main())
