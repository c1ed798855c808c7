"""The benchmark's job by sqlseg: a cold refresh of a new project over the same events.

Usage: python sqlseg_way.py EVENTS.parquet PROJECT_DIR REPORT.json THREADS [MEMORY_LIMIT]
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peak_memory import peak_kb

from sqlseg.cli.process import end_process, quick_imports

with quick_imports():  # and pandas left out, and the process ended, as by the command
    from sqlseg.engine.arrow import leave_pandas_out
    from sqlseg.engine.duckdb import Engine
    from sqlseg.workflow.narration import Clock, Silence
    from sqlseg.workflow.outcome import Options
    from sqlseg.workflow.refresh import refresh
    from sqlseg.workflow.time_left import NOTHING_KNOWN, Outlook

SETTINGS = """\
[project]
name = "benchmark"
country = "GB"

[warehouse]
published = "published/shop.duckdb"
threads = {threads}
{memory_limit}
[events]
sql = "sql/events.sql"
paths = ["{events}"]

[segmentations.behavior]
kind = "cluster"
inputs = ["rfm@1", "cadence@1", "basket@1", "price@1", "trend@1", "encoder:behavior@3"]
"""


class TimedEmbedding(Silence):
    """Says nothing, and takes the time of embedding, which a refresh counts with the features as one step."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def step(self, title: str, outlook: Outlook = NOTHING_KNOWN) -> AbstractContextManager[None]:
        if title == "Computing features and embeddings":  # by now the refresh has imported what it embeds with
            from sqlseg.workflow import embedding

            embedding.embed = self._timed(embedding.embed)
        return super().step(title, outlook)

    def _timed(self, embed: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            meanwhile, elsewhere = options.pop("meanwhile", None), 0.0

            def timed_meanwhile() -> None:
                nonlocal elsewhere
                started = time.perf_counter()
                if meanwhile is not None:
                    meanwhile()
                elsewhere = time.perf_counter() - started

            started = time.perf_counter()
            result = embed(*arguments, **options, meanwhile=timed_meanwhile)
            self.seconds += time.perf_counter() - started - elsewhere
            return result

        return timed


def make_project(directory: Path, events: Path, threads: int, memory_limit: str | None) -> None:
    (directory / "sql").mkdir(parents=True)
    limit = f'memory_limit = "{memory_limit}"\n' if memory_limit else ""
    settings = SETTINGS.format(threads=threads, memory_limit=limit, events=events.parent)
    (directory / "sqlseg.toml").write_text(settings, encoding="utf-8")
    query = f"select * exclude (true_group) from read_parquet('{events}')\n"
    (directory / "sql" / "events.sql").write_text(query, encoding="utf-8")


def main(events: Path, directory: Path, report: Path, threads: int, memory_limit: str | None) -> None:
    make_project(directory, events, threads, memory_limit)
    clock, narrator = Clock(lambda: datetime.now(UTC).replace(tzinfo=None), time.perf_counter), TimedEmbedding()
    outcome = refresh(directory, Options(), clock, narrator)
    seconds = dict(outcome.seconds)
    found = {
        "events": seconds["events"],
        "features": seconds["features"] - narrator.seconds,
        "embeddings": narrator.seconds,
        "segments": seconds["segments"],
        "tables": seconds["tables"] + seconds["checks"] + seconds["publish"],
    }
    report.write_text(
        json.dumps(
            {
                "seconds": {name: round(value, 2) for name, value in found.items()},
                "segments": segment_count(directory),
                "peak_kb": peak_kb(),
            }
        ),
        encoding="utf-8",
    )


def segment_count(directory: Path) -> int:
    with Engine.open(directory / "published" / "shop.duckdb", read_only=True) as engine:
        return int(engine.value("select segment_count from segments.segmentation"))


if __name__ == "__main__":
    leave_pandas_out()
    limit = sys.argv[5] if len(sys.argv) > 5 else None
    main(*(Path(argument) for argument in sys.argv[1:4]), int(sys.argv[4]), limit)
    end_process(0)
