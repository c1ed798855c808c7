"""Times refreshes of a shop that has been refreshed before, against the cold one: what changed is what they may cost.

Usage: python benchmarks/warm_refresh.py [--events N] [--users N] [--threads N] [--folder DIR] [--keep]

One shop, in this order: a cold refresh; new events of 1% of the users on the same day; the events of a new day; and, of
a watch that goes on from there, the second round, which finds 1,000 new events. All in one process, so none but the
first counts what is imported and parsed once. Prints seconds by step as a Markdown table, and writes it with the
machine to results/warm_refresh.md and results/warm_refresh.json.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from measuring import machine
from sqlseg_way import SETTINGS

from sqlseg.synth import write_synthetic_events
from sqlseg.workflow.narration import Clock, Silence
from sqlseg.workflow.outcome import Options, Outcome
from sqlseg.workflow.refresh import refresh
from sqlseg.workflow.watching import Round, Tally, watch

RESULTS = Path(__file__).parent / "results"
STEPS = ("events", "features", "segments", "tables", "checks", "publish")
GOALS = {"new events of 1% of the users": 0.05, "a new day": 0.30}
ROUND, ROUND_SECONDS = "a round, 1,000 new events", 2.0
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
) to '{folder}/{batch}.parquet'
"""


def make_project(directory: Path, folder: Path, threads: int) -> None:
    """Write the settings of a shop with a clustering on features and embeddings, and a rule."""
    (directory / "sql").mkdir(parents=True)
    settings = SETTINGS.format(threads=threads, memory_limit="", events=folder) + RULES
    (directory / "sqlseg.toml").write_text(settings, encoding="utf-8")
    (directory / "sql" / "value.sql").write_text(VALUE, encoding="utf-8")
    query = f"select * exclude (true_group) from read_parquet('{folder}/*.parquet')\n"
    (directory / "sql" / "events.sql").write_text(query, encoding="utf-8")


def timed(directory: Path, options: Options) -> tuple[dict[str, float], Outcome]:
    """Refresh once; return seconds by step, in all, and of the processor."""
    clock = Clock(lambda: datetime.now(UTC).replace(tzinfo=None), time.perf_counter)
    started, worked = time.perf_counter(), time.process_time()
    outcome = refresh(directory, options, clock, Silence())
    seconds = {step: round(outcome.seconds.get(step, 0.0), 2) for step in STEPS}
    seconds["all"], seconds["cpu"] = time.perf_counter() - started, time.process_time() - worked
    return {step: round(value, 2) for step, value in seconds.items()}, outcome


def watched(directory: Path, prepare: Sequence[Callable[[], None]]) -> tuple[dict[str, float], Outcome]:
    """Watch for as many rounds as there is something to prepare before them; return the last as `timed` does.

    A round is what people wait for: it ends with the new file in its place. What is made ready for the next one is not
    counted.
    """
    clock = Clock(lambda: datetime.now(UTC).replace(tzinfo=None), time.perf_counter)
    steps, seen, worked = iter(prepare), [], [0.0]

    def before(seconds: float) -> None:
        try:
            next(steps)()
        except StopIteration:
            raise KeyboardInterrupt from None
        worked[0] = time.process_time()

    def hear(one: Round, tally: Tally) -> None:
        seen.append((one, time.process_time() - worked[0]))

    before(0)
    watch(directory, Options(refit="never"), clock, Silence(), every=60, wait=before, tell=hear)
    last, processor = seen[-1]
    assert last.outcome is not None, last.error
    seconds = {step: round(last.outcome.seconds.get(step, 0.0), 2) for step in STEPS}
    return {**seconds, "all": round(last.seconds, 2), "cpu": round(processor, 2)}, last.outcome


def rounds(folder: Path, users: int, events: int) -> dict[str, Callable[[], None]]:
    """Return what happens to the events before each refresh, by its name."""

    def more(**how: object) -> Callable[[], None]:
        return lambda: duckdb.sql(MORE.format(folder=folder, **how))

    a_day = max(events // 365 // 2, 1)
    return {
        "cold": lambda: None,
        "new events of 1% of the users": more(batch="same", hours=1, each=3, of_10000=100, limit=events),
        "a new day": more(batch="day", hours=23, each=2, of_10000=min(10_000, a_day * 10_000 // users), limit=events),
    }


def watch_rounds(folder: Path) -> list[Callable[[], None]]:
    """Return what comes in before each round of the watch."""

    def thousand(number: int) -> Callable[[], None]:
        how = {"batch": f"round{number}", "hours": 24 + number, "each": 2, "of_10000": 10_000, "limit": 1_000}
        return lambda: duckdb.sql(MORE.format(folder=folder, **how))

    return [thousand(1), thousand(2)]


def markdown(measured: dict[str, dict[str, float]], outcomes: dict[str, Outcome]) -> str:
    """The table: a row a refresh, seconds by step."""
    lines = [
        "| refresh | kind | users touched | moved | " + " | ".join(STEPS) + " | **seconds** | of cold | processor, s |"
    ]
    lines.append("|---|---|" + "--:|" * (len(STEPS) + 5))
    for name, seconds in measured.items():
        outcome = outcomes[name]
        told = [outcome.plan.kind, f"{outcome.plan.changes.users_touched:,}", f"{outcome.users_moved:,}"]
        cells = [name, *told, *(f"{seconds[step]:,.2f}" for step in STEPS), f"**{seconds['all']:,.2f}**"]
        cells += [f"{seconds['all'] / measured['cold']['all']:.1%}", f"{seconds['cpu']:,.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=None, help="default: one for every 20 events")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=None, help="where the shop is made; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="leave the shop there")
    parser.add_argument("--no-results", action="store_true", help="print only")
    options = parser.parse_args()
    users = options.users or options.events // 20
    work = Path(tempfile.mkdtemp(prefix="sqlseg-warm-", dir=options.folder))
    try:
        folder, project = work / "events", work / "project"
        folder.mkdir()
        write_synthetic_events(work / "whole.parquet", users, options.events, seed=0)
        duckdb.sql(BASE.format(whole=work / "whole.parquet", folder=folder))
        (work / "whole.parquet").unlink()
        make_project(project, folder, options.threads)
        measured: dict[str, dict[str, float]] = {}
        outcomes: dict[str, Outcome] = {}
        for name, prepare in rounds(folder, users, options.events).items():
            prepare()
            measured[name], outcomes[name] = timed(project, Options(refit="never"))
            print(f"{name}: {measured[name]}", file=sys.stderr)
        measured[ROUND], outcomes[ROUND] = watched(project, watch_rounds(folder))
        print(f"{ROUND}: {measured[ROUND]}", file=sys.stderr)
    finally:
        if not options.keep:
            shutil.rmtree(work)
    table = markdown(measured, outcomes)
    head = f"{options.events:,} events of {users:,} users, {options.threads} threads.\n\n"
    print(head + table)
    cold = measured["cold"]["all"]
    goals = {name: (measured[name]["all"] / cold, share) for name, share in GOALS.items()}
    for name, (share, goal) in goals.items():
        print(f"{name}: {share:.1%} of cold, the goal was {goal:.0%}: {'met' if share <= goal else 'MISSED'}.")
    seconds = measured[ROUND]["all"]
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
            "seconds": measured,
        }
        (RESULTS / "warm_refresh.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        told = f"{described['cpu']}, {described['cores']} cores, commit {described['commit']}.\n"
        (RESULTS / "warm_refresh.md").write_text(f"{head}{told}\n{table}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
