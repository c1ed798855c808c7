"""What forgotten users cost a cold refresh, and what pseudonyms and the rest of [privacy] cost the publishing.

    python benchmarks/privacy.py FOLDER [USERS] [EVENTS] [FORGOTTEN]

Prints processor seconds of one thread, so that other work on the machine does not count: all of the refresh, the search
for forgotten users in it, and its publishing without and with privacy settings.
"""

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlseg.cli.console import system_clock
from sqlseg.events.erasure import Erased
from sqlseg.settings import load_settings
from sqlseg.synth.writer import write_synthetic_events
from sqlseg.workflow import refresh as refreshing
from sqlseg.workflow.erasure_list import remember_erased
from sqlseg.workflow.narration import Silence
from sqlseg.workflow.outcome import Options

SETTINGS = """
[warehouse]
threads = 1

[segmentations.groups]
kind = "cluster"
inputs = ["rfm@1", "cadence@1"]
k = 4
refit = "never"
"""
PRIVACY = "\n[privacy]\npseudonyms = true\nsuppress = true\n"


def metered(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        begun = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            seconds.append(time.process_time() - begun)

    return run


def cold_refresh(shop: Path, settings: str) -> tuple[float, float, float]:
    """Refresh without a warehouse; return seconds in all, in the search for forgotten users, and in publishing."""
    (shop / "sqlseg.toml").write_text(settings, encoding="utf-8")
    for file in shop.glob("warehouse.duckdb*"):
        if "erased" not in file.name:
            file.unlink() if file.is_file() else shutil.rmtree(file)
    searching: list[float] = []
    publishing: list[float] = []
    begun = time.process_time()
    with (
        patch.object(Erased, "among", metered(Erased.among, searching)),
        patch.object(refreshing, "publish", metered(refreshing.publish, publishing)),
    ):
        refreshing.refresh(shop, Options(), system_clock(), Silence())
    return time.process_time() - begun, sum(searching), sum(publishing)


def main(folder: Path, users: int, events: int, forgotten: int) -> None:
    os.environ["SQLSEG_PSEUDONYM_KEY"] = secrets.token_hex(32)
    (folder / "sql").mkdir(parents=True, exist_ok=True)
    source = folder / "events.parquet"
    if not source.is_file():
        write_synthetic_events(source, users=users, events=events, seed=0)
    select = "select * exclude (true_group) from read_parquet('events.parquet')"
    (folder / "sql" / "events.sql").write_text(select, encoding="utf-8")
    for name, settings in (("as ever", SETTINGS), ("[privacy]", SETTINGS + PRIVACY)):
        whole, _, publishing = cold_refresh(folder, settings)
        print(f"{name}: {whole:.1f} s, of which {publishing:.1f} s publishing")
    (folder / "sqlseg.toml").write_text(SETTINGS, encoding="utf-8")
    remember_erased(load_settings(folder), [f"nobody-{number}" for number in range(forgotten)])
    whole, searching, _ = cold_refresh(folder, SETTINGS)
    print(f"{forgotten:,} forgotten: {whole:.1f} s, of which {searching:.4f} s looking for them")


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[2:]]
    main(Path(sys.argv[1]), *(*numbers, *(200_000, 2_000_000, 10_000)[len(numbers) :]))
