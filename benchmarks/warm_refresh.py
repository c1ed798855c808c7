"""Times refreshes of a shop that has been refreshed before, against the cold one: what changed is what they may cost.

Usage: python benchmarks/warm_refresh.py [--events N] [--users N] [--threads N] [--folder DIR] [--keep]

One shop, in this order: a cold refresh; new events of 1% of the users on the same day; the events of a new day. Each is
a command: a process of its own, which counts what it imports, parses and reads. Then a watch goes on from there, one
process that keeps in memory what it has read: its first six rounds find 1,000 new events each, its seventh new events
of 1% of the users. Of the five rounds after the first the one of the median time counts; all of them are printed.
Prints seconds by step as a Markdown table, and writes it with the machine to results/warm_refresh.md and
results/warm_refresh.json.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import duckdb
from measuring import machine, run_process
from peak_memory import peak_kb
from sqlseg_way import SETTINGS

from sqlseg.cli.process import end_process
from sqlseg.synth import write_synthetic_events
from sqlseg.workflow.narration import Clock, Silence
from sqlseg.workflow.outcome import Options, Outcome
from sqlseg.workflow.refresh import refresh
from sqlseg.workflow.watching import Round, Tally, watch

RESULTS = Path(__file__).parent / "results"
STEPS = ("events", "features", "segments", "tables", "checks", "publish")
COLD, ONE_PERCENT, NEW_DAY = "a command, cold", "a command, new events of 1% of the users", "a command, a new day"
FIRST_ROUND, ROUND = "a watch's first round, 1,000 new events", "a watch's next round, 1,000 new events"
LARGER_ROUND = "a watch's next round, new events of 1% of the users"
NEXT_ROUNDS = {f"{ROUND} ({number})": f"round{number}" for number in range(2, 7)}
ROUNDS, ROUND_SECONDS = (FIRST_ROUND, *NEXT_ROUNDS, LARGER_ROUND), 2.0
BATCHES = {ONE_PERCENT: "same", NEW_DAY: "day", FIRST_ROUND: "round1", **NEXT_ROUNDS, LARGER_ROUND: "large"}
GOALS = {ONE_PERCENT: 0.05, LARGER_ROUND: 0.05, NEW_DAY: 0.30}
RULES = '\n[segmentations.value]\nkind = "rules"\nsql = "sql/value.sql"\n'
VALUE = """
select user_id, case when spend >= 100 then 'High' when spend > 0 then 'Low' else 'Browsers' end as segment_name
from features.rfm_v1
"""

# The shop up to noon of its last day.
BASE = """
copy (
    select * from '{whole}'
    where event_time < (select date_trunc('day', max(event_time)) from '{whole}') + interval 12 hour
) to '{folder}/base.parquet'
"""

# Events of some users once more, at another time: so many hours after noon of that day.
MORE = """
copy (
    with known as (
        select *, row_number() over (partition by user_id order by event_id) as number
        from '{folder}/base.parquet'
        where hash(user_id, '{batch}') % 10000 < {of_10000}
    ),
    noon as (select date_trunc('day', max(event_time)) + interval 12 hour as noon from '{folder}/base.parquet')
    select
        known.* exclude (number) replace (
            '{batch}-' || known.event_id as event_id,
            noon.noon + interval {hours} hour + to_microseconds(100 * row_number() over ()) as event_time,
            noon.noon + interval {hours} hour + interval 1 hour as ingested_at
        )
    from known, noon
    where number <= {each}
    limit {limit}
) to '{later}/{batch}.parquet'
"""


def make_project(directory: Path, folder: Path, threads: int, memory_limit: str | None) -> None:
    """Write the settings of a shop with a clustering on features and embeddings, and a rule."""
    (directory / "sql").mkdir(parents=True)
    limit = f'memory_limit = "{memory_limit}"\n' if memory_limit else ""
    settings = SETTINGS.format(threads=threads, memory_limit=limit, events=folder) + RULES
    (directory / "sqlseg.toml").write_text(settings, encoding="utf-8")
    (directory / "sql" / "value.sql").write_text(VALUE, encoding="utf-8")
    query = f"select * exclude (true_group) from read_parquet('{folder}/*.parquet')\n"
    (directory / "sql" / "events.sql").write_text(query, encoding="utf-8")


def make_events(folder: Path, later: Path, users: int, events: int) -> None:
    """Write the events that the shop begins with, and apart from them those that come in before each refresh."""
    duckdb.sql("set enable_progress_bar = false")
    folder.mkdir()
    later.mkdir()
    whole = later / "whole.parquet"
    write_synthetic_events(whole, users, events, seed=0)
    duckdb.sql(BASE.format(whole=whole, folder=folder))
    whole.unlink()
    a_day = min(10_000, max(events // 365 // 2, 1) * 10_000 // users)
    of_1_percent = {"each": 3, "of_10000": 100, "limit": events}
    thousand = {"each": 2, "of_10000": 10_000, "limit": 1_000}
    batches = {
        ONE_PERCENT: {"hours": 1, **of_1_percent},
        NEW_DAY: {"hours": 23, "each": 2, "of_10000": a_day, "limit": events},
        FIRST_ROUND: {"hours": 25, **thousand},
        **{name: {"hours": hours, **thousand} for hours, name in enumerate(NEXT_ROUNDS, start=26)},
        LARGER_ROUND: {"hours": 32, **of_1_percent},
    }
    for name, how in batches.items():
        duckdb.sql(MORE.format(folder=folder, later=later, batch=BATCHES[name], **how))


def command(directory: Path, report: Path) -> None:
    """Refresh once; write seconds by step, and what was done, to a file."""
    clock = Clock(lambda: datetime.now(UTC).replace(tzinfo=None), time.perf_counter)
    outcome = refresh(directory, Options(refit="never"), clock, Silence())
    told = {"seconds": by_step(outcome), "done": done(outcome), "peak_kb": peak_kb()}
    report.write_text(json.dumps(told), encoding="utf-8")


def rounds(directory: Path, report: Path) -> None:
    """Watch until every batch of events for a round has come in; write of each round what `command` does.

    A round is what people wait for: it ends with the new file in its place. What is made ready for the next one is not
    counted.
    """
    clock = Clock(lambda: datetime.now(UTC).replace(tzinfo=None), time.perf_counter)
    coming, told, worked = iter(ROUNDS), {}, [0.0]

    def before(seconds: float) -> None:
        name = next(coming, None)
        if name is None:
            raise KeyboardInterrupt
        comes_in(directory.parent, name)
        worked[0] = time.process_time()

    def hear(one: Round, tally: Tally) -> None:
        processor = time.process_time() - worked[0]
        assert one.outcome is not None, one.error
        seconds = {**by_step(one.outcome), "all": round(one.seconds, 2), "cpu": round(processor, 2)}
        told[ROUNDS[len(told)]] = {"seconds": seconds, "done": done(one.outcome), "peak_mb": round(peak_kb() / 1024)}

    before(0)
    watch(directory, Options(refit="never"), clock, Silence(), every=60, wait=before, tell=hear)
    report.write_text(json.dumps({"rounds": told, "peak_kb": peak_kb()}), encoding="utf-8")


def comes_in(work: Path, name: str) -> None:
    """Put a batch of events among those of the shop."""
    (work / "later" / f"{BATCHES[name]}.parquet").rename(work / "events" / f"{BATCHES[name]}.parquet")


def by_step(outcome: Outcome) -> dict[str, float]:
    """Return the seconds of each step."""
    return {step: round(outcome.seconds.get(step, 0.0), 2) for step in STEPS}


def done(outcome: Outcome) -> dict[str, str | int]:
    """Return the kind of a refresh, and how many users were touched and moved."""
    return {"kind": outcome.plan.kind, "touched": outcome.plan.changes.users_touched, "moved": outcome.users_moved}


@dataclass(frozen=True)
class Measured:
    """Seconds by step, in all and of the processor, what was done, and the peak memory of the process so far in MB."""

    seconds: dict[str, float]
    done: dict[str, str | int]
    peak_mb: int


def commanded(work: Path, threads: int) -> Measured:
    """Refresh once in a process of its own, from its start to its end."""
    report = work / "report.json"
    ran = run_process("warm_refresh.py", ["--command", work / "project", report], report, threads)
    seconds = {**ran.report["seconds"], "all": ran.wall, "cpu": ran.cpu}
    return Measured(seconds, ran.report["done"], round(ran.peak_mb))


def watched(work: Path, threads: int) -> dict[str, Measured]:
    """Watch in a process of its own; return the first round, the one of the median time of the next, the larger."""
    report = work / "report.json"
    ran = run_process("warm_refresh.py", ["--rounds", work / "project", report], report, threads)
    rounds = {name: Measured(**one) for name, one in ran.report["rounds"].items()}
    following = sorted((rounds[name] for name in NEXT_ROUNDS), key=lambda one: one.seconds["all"])
    told = ", ".join(f"{rounds[name].seconds['all']:.2f}" for name in NEXT_ROUNDS)
    print(f"{ROUND}, five times: {told} s", file=sys.stderr)
    return {
        FIRST_ROUND: rounds[FIRST_ROUND],
        ROUND: following[len(following) // 2],
        LARGER_ROUND: rounds[LARGER_ROUND],
    }


def markdown(measured: dict[str, Measured]) -> str:
    """The table: a row a refresh, seconds by step."""
    head = ("refresh", "kind", "users touched", "moved", *STEPS, "**seconds**", "of cold", "processor, s", "peak, MB")
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * (len(head) - 2)]
    for name, one in measured.items():
        told = [str(one.done["kind"]), f"{one.done['touched']:,}", f"{one.done['moved']:,}"]
        cells = [name, *told, *(f"{one.seconds[step]:,.2f}" for step in STEPS), f"**{one.seconds['all']:,.2f}**"]
        cells += [f"{one.seconds['all'] / measured[COLD].seconds['all']:.1%}", f"{one.seconds['cpu']:,.2f}"]
        lines.append("| " + " | ".join([*cells, f"{one.peak_mb:,}"]) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=None, help="default: one for every 20 events")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory-limit", default=None, help="of the warehouse, as 500MB")
    parser.add_argument("--folder", type=Path, default=None, help="where the shop is made; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="leave the shop there")
    parser.add_argument("--no-results", action="store_true", help="print only")
    for one in (command, rounds):  # what the processes are called with that are measured
        parser.add_argument(f"--{one.__name__}", type=Path, nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for one, given in ((command, options.command), (rounds, options.rounds)):
        if given:
            one(*given)
            end_process(0)  # as the command does
    users = options.users or options.events // 20
    work = Path(tempfile.mkdtemp(prefix="sqlseg-warm-", dir=options.folder))
    try:
        # Apart, since what a process has ever held counts in the peaks of those that it starts.
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            apart.submit(make_events, work / "events", work / "later", users, options.events).result()
        make_project(work / "project", work / "events", options.threads, options.memory_limit)
        measured: dict[str, Measured] = {}
        for name in (COLD, ONE_PERCENT, NEW_DAY):
            if name in BATCHES:
                comes_in(work, name)
            measured[name] = commanded(work, options.threads)
            print(f"{name}: {measured[name].seconds}", file=sys.stderr)
        measured.update(watched(work, options.threads))
    finally:
        if not options.keep:
            shutil.rmtree(work)
    table = markdown(measured)
    head = f"{options.events:,} events of {users:,} users, {options.threads} threads.\n\n"
    print(head + table)
    cold = measured[COLD].seconds["all"]
    goals = {name: (measured[name].seconds["all"] / cold, share) for name, share in GOALS.items()}
    for name, (share, goal) in goals.items():
        print(f"{name}: {share:.1%} of cold, the goal was {goal:.0%}: {'met' if share <= goal else 'MISSED'}.")
    seconds = measured[ROUND].seconds["all"]
    judged = "met" if seconds <= ROUND_SECONDS else "MISSED"
    print(f"A round: {seconds:.2f} s, the goal was {ROUND_SECONDS:g} s: {judged}.")
    if not options.no_results:
        described = machine(options.threads)
        RESULTS.mkdir(exist_ok=True)
        figures = {
            "measured_at": time.strftime("%Y-%m-%d", time.gmtime()),
            "events": options.events,
            "users": users,
            "machine": described,
            "refreshes": {name: asdict(one) for name, one in measured.items()},
        }
        (RESULTS / "warm_refresh.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        told = f"{described['cpu']}, {described['cores']} cores, commit {described['commit']}.\n"
        (RESULTS / "warm_refresh.md").write_text(f"{head}{told}\n{table}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
