"""Times the ten shipped feature views against the same results by hand-written SQL, pandas and polars.

Usage: python benchmarks/features.py [--events N] [--users N] [--ways sqlseg hand ...] [--threads N] [--folder DIR]

Events are simulated and taken in once; from there every way computes all 52 columns of every user, each in a process of
its own, one after the other, the best of `--rounds`. DuckDB reads the events from the warehouse, pandas and polars from
memory, ready-made. Every way's results are compared with the views'. Prints a table, writes results/features.json.
Exit 1 where results differ.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from measuring import ProcessRun, ProgramFailed, keep_result, run_process
from peak_memory import peak_kb

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.events.staging import drop_staged, keep_events, stage_events
from sqlseg.features.binding import bound_sql
from sqlseg.features.holidays import holiday_table
from sqlseg.features.registry import Registry
from sqlseg.features.view import View
from sqlseg.resources import resource_root
from sqlseg.synth import write_synthetic_events
from sqlseg.workflow.materialise import Moment, compute_features, compute_statistics, keep_population

COUNTRY = "GB"
BY_HAND, PANDAS = 1.2, 10.0
TITLES = {
    "sqlseg": "the views, as a refresh computes them",
    "alone": "their SELECTs alone, one after the other",
    "hand": "one script by hand, with steps that views share",
    "polars": "polars",
    "pandas": "pandas",
}


def take_in(events: Path, folder: Path, threads: int) -> None:
    """Make folder/shop.duckdb with the events in use, the holidays and the statistics, and tell as_of beside it."""
    sql = folder / "events.sql"
    sql.write_text(f"select * exclude (true_group) from read_parquet('{events}')\n", encoding="utf-8")
    now = datetime.now(UTC).replace(tzinfo=None)
    with Engine.open(folder / "shop.duckdb", threads=threads) as engine:
        prepare_warehouse(engine)
        staged = stage_events(engine, sql, folder, exported_at=now, max_quantity=None)
        keep_events(engine, run_id="benchmark", timezone="UTC")
        drop_staged(engine)
        as_of = datetime.combine(staged.newest.date() + timedelta(days=1), datetime.min.time())
        years = [row[0] for row in engine.rows("select distinct year(local_time) from sqlseg.events order by 1")]
        with engine.registered("public_holidays", holiday_table(COUNTRY, years)):
            engine.execute("create or replace table sqlseg.holidays as select * from public_holidays")
        for kind, key in (("users", "user_id"), ("items", "item_id")):
            engine.execute(f"create or replace table sqlseg.{kind} ({key} varchar)")
        registry = Registry.load([resource_root("sql")])
        compute_statistics(engine, registry.view("statistics", "category_price@1"), Moment(as_of, as_of))
    (folder / "as_of").write_text(as_of.isoformat(), encoding="utf-8")


# -- the ways: each returns its seconds, and leaves <view>.parquet in `out` ----------------------------------------


def shipped_views() -> list[View]:
    """Return the first versions of the shipped views, which the other ways compute too, in an order that works."""
    registry = Registry.load([resource_root("sql")])
    first = [view for view in registry.all("features") if view.version == 1]
    return [view for view in registry.closure(first) if view.kind == "features"]


def in_the_warehouse(folder: Path, threads: int, out: Path, compute: Callable[[Engine, datetime], str]) -> float:
    """Time what `compute` does within a transaction that is taken back; it returns the prefix of its tables."""
    as_of = datetime.fromisoformat((folder / "as_of").read_text(encoding="utf-8"))
    with Engine.open(folder / "shop.duckdb", threads=threads) as engine:
        engine.execute("begin transaction")
        started = time.perf_counter()
        prefix = compute(engine, as_of)
        seconds = time.perf_counter() - started
        for view in shipped_views():
            table = prefix.format(name=view.name, version=view.version)
            engine.execute(f"copy {table} to '{out / view.name}.parquet'")
        engine.execute("rollback")
    return seconds


def sqlseg_way(engine: Engine, as_of: datetime) -> str:
    moment = Moment(as_of, as_of)
    users = keep_population(engine, moment)
    for view in shipped_views():
        compute_features(engine, view, moment, users)
    return "sqlseg.feature_{name}_v{version}"


def alone(engine: Engine, as_of: datetime) -> str:
    engine.execute("create schema alone")
    source = Moment(as_of, as_of).source
    for view in shipped_views():
        engine.execute(f"create table alone.{view.name} as {bound_sql(view, as_of, as_of, source, pretty=False)}")
    return "alone.{name}"


def by_hand(engine: Engine, as_of: datetime) -> str:
    script = Path(__file__).with_name("features_by_hand.sql").read_text(encoding="utf-8")
    engine.execute("create schema by_hand; " + script.replace("$as_of", f"timestamp '{as_of}'"))
    return "by_hand.{name}"


def in_polars(folder: Path, out: Path) -> float:
    import features_in_polars
    import polars as pl

    as_of = datetime.fromisoformat((folder / "as_of").read_text(encoding="utf-8"))
    with duckdb.connect(str(folder / "shop.duckdb"), read_only=True) as connection:
        cuts = connection.sql("select * exclude (computed_as_of) from stats.category_price_v1").pl()
        days = [row[0] for row in connection.execute("select distinct date from sqlseg.holidays").fetchall()]
    columns = ["user_id", "event_time", "event_type", "item_id", "category", "order_id", "session_id"]
    events = pl.read_parquet(folder / "events.parquet", columns=[*columns, "price", "discount", "quantity", "duration"])
    started = time.perf_counter()
    views = features_in_polars.all_features(events, cuts, days, as_of)
    seconds = time.perf_counter() - started
    for name, view in views.items():
        view.write_parquet(out / f"{name}.parquet")
    return seconds


def in_pandas(folder: Path, out: Path) -> float:
    import usual_way

    events = usual_way.read_events(folder / "events.parquet")
    as_of = events["event_time"].max().normalize() + usual_way.pd.Timedelta(days=1)
    started = time.perf_counter()
    views = usual_way.all_features(events, as_of)
    seconds = time.perf_counter() - started
    for name, view in views.items():
        view.index = view.index.astype(object)
        view.rename_axis("user_id").reset_index().to_parquet(out / f"{name}.parquet")
    return seconds


def run_way(way: str, folder: Path, report: Path, threads: int) -> None:
    """Run one way in this process and report on it."""
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    out = folder / way
    out.mkdir(exist_ok=True)
    computed = {"sqlseg": sqlseg_way, "alone": alone, "hand": by_hand}
    if way in computed:
        seconds = in_the_warehouse(folder, threads, out, computed[way])
    else:
        seconds = {"polars": in_polars, "pandas": in_pandas}[way](folder, out)
    report.write_text(json.dumps({"seconds": round(seconds, 2), "peak_kb": peak_kb()}), encoding="utf-8")


# -- comparing -----------------------------------------------------------------------------------------------------


def differences(folder: Path, way: str) -> dict[str, int]:
    """Return in how many users each column differs from the views', beyond 1e-6 of its size.

    A user without a row of a view has NULLs there, or 0, by what its columns declare.
    """
    differ = {}
    with duckdb.connect() as both:
        for view in shipped_views():
            ours, other = (f"read_parquet('{folder / one / view.name}.parquet')" for one in ("sqlseg", way))
            columns = both.execute(f"describe select * exclude (user_id) from {ours}").fetchall()
            wrong = []
            for column, kind, *_ in columns:
                a, b = f'a."{column}"', f'b."{column}"'
                if kind == "VARCHAR":
                    same = f"{a} is not distinct from {b}"
                else:
                    a, b = f"{a}::double", f"(case when isnan({b}::double) then null else {b}::double end)"
                    same = (
                        f"case when b.user_id is null then coalesce({a}, 0) = 0 else {a} is null and {b} is null "
                        f"or coalesce(abs({a} - {b}) <= 1e-6 * greatest(abs({a}), abs({b})) + 1e-9, false) end"
                    )
                wrong.append(f"count(*) filter (where a.user_id is null or not coalesce({same}, false))")
            counts = both.execute(
                f"select {', '.join(wrong)} from {ours} as a full join {other} as b on a.user_id = b.user_id::varchar"
            ).fetchone()
            found = zip(columns, counts, strict=True)
            differ |= {f"{view.name}__{column}": count for (column, *_), count in found if count}
    return differ


def markdown(best: Mapping[str, ProcessRun]) -> str:
    """A table with one row a way."""
    ours = best["sqlseg"].report["seconds"]
    lines = ["| way | seconds | times the views' | peak memory, MB |", "|---|--:|--:|--:|"]
    for way, run in best.items():
        seconds = run.report["seconds"]
        lines.append(f"| {TITLES[way]} | {seconds:,.1f} | {seconds / ours:.2f} | {run.peak_mb:,.0f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", nargs="*", choices=list(TITLES), default=list(TITLES))
    parser.add_argument("--folder", type=Path, help="where events and results are kept, and found again")
    parser.add_argument("--run", choices=list(TITLES), help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_way(options.run, options.folder, options.report, options.threads)
        return 0
    with tempfile.TemporaryDirectory(prefix="sqlseg-features-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "events.parquet").is_file():
            write_synthetic_events(folder / "events.parquet", options.users, options.events, seed=0)
        if not (folder / "as_of").is_file():
            take_in(folder / "events.parquet", folder, options.threads)
        best: dict[str, ProcessRun] = {}
        failed, differ = {}, {}
        for _ in range(options.rounds):
            for way in dict.fromkeys(["sqlseg", *options.ways]):
                report = folder / "report.json"
                call = ["--run", way, "--folder", folder, "--report", report, "--threads", options.threads]
                try:
                    run = run_process("features.py", call, report, options.threads)
                except ProgramFailed as error:
                    failed[way] = str(error).splitlines()[-1]
                    print(f"{way}: {error}", file=sys.stderr)
                    continue
                print(f"{way}: {run.report['seconds']} s, {run.peak_mb:,.0f} MB", file=sys.stderr)
                if way not in best or run.report["seconds"] < best[way].report["seconds"]:
                    best[way] = run
        for way in best:
            if way != "sqlseg":
                differ[way] = differences(folder, way)
    print(f"{options.events:,} events of {options.users:,} users, {options.threads} threads.\n")
    print(markdown(best))
    print()
    for way, columns in differ.items():
        told = ", ".join(f"{column} ({users:,} users)" for column, users in columns.items())
        print(f"- {TITLES[way]}: {f'DIFFERS in {told}' if columns else 'the same results'}.")
    for way, told in failed.items():
        print(f"- {TITLES[way]}: did not end well: {told}")
    ours = best["sqlseg"].report["seconds"]
    for way, ratio, goal, met in (
        ("hand", lambda seconds: ours / seconds, BY_HAND, lambda found: found <= BY_HAND),
        ("pandas", lambda seconds: seconds / ours, PANDAS, lambda found: found >= PANDAS),
    ):
        if way in best:
            found = ratio(best[way].report["seconds"])
            told = "times the script's seconds" if way == "hand" else "times faster than pandas"
            print(f"{found:.2f} {told}; the goal was {goal:g}: {'met' if met(found) else 'MISSED'}.")
    figures = {
        "events": options.events,
        "users": options.users,
        "seconds": {way: run.report["seconds"] for way, run in best.items()},
        "peak_mb": {way: run.peak_mb for way, run in best.items()},
        "differ": differ,
        "failed": failed,
    }
    keep_result("features", figures, options.threads)
    return 1 if any(differ.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
