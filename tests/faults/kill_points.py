"""Kills a command at chosen moments of its life: as it is about to do its n-th thing, or some time into it.

A thing is a statement, a step of a refresh, or what is done to a file; so a moment is the same however busy the machine
is. Processes are forked from one that has imported sqlseg already, in which nothing of a project is done yet.
"""

import functools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from refresh_process import Shop, Stage, left_behind

from sqlseg.engine.duckdb import Engine
from sqlseg.publish import content_hash, patching

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["sqlseg.cli.main", "sqlseg.workflow.refresh", "sqlseg.workflow.carrying_out"])

FATEFUL = ("commit", "checkpoint", "attach", "detach", "close", "copy from")
"""Statements that write files, of which every one is a moment to be killed at, and in the middle of."""


@dataclass(frozen=True)
class Moment:
    """The n-th thing that a command does, as `what` says, or so many seconds into it."""

    number: int
    what: str
    seconds: float = 0.0

    def __str__(self) -> str:
        into = f"{self.seconds * 1000:.0f} ms into" if self.seconds else "before"
        return f"{into} thing {self.number}, {self.what!r}"


class _Life:
    """Counts what a process does, and ends it at a moment."""

    def __init__(self, end: Moment | None) -> None:
        self.end = end
        self.things: list[tuple[str, float]] = []
        self.counting = threading.Lock()

    def about_to(self, what: str) -> None:
        with self.counting:
            self.things.append((what, time.perf_counter()))
            due = self.end is not None and len(self.things) - 1 == self.end.number
        if due and self.end is not None:
            if self.end.seconds:
                threading.Thread(target=self._later, args=(self.end.seconds,), daemon=True).start()
            else:
                os.kill(os.getpid(), signal.SIGKILL)

    def _later(self, seconds: float) -> None:
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    def told_of(self, owner: Any, name: str, what: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def telling(*arguments: Any, **options: Any) -> Any:
            self.about_to(what.format(*[str(one)[:60] for one in arguments]))
            return original(*arguments, **options)

        setattr(owner, name, telling)

    def listen(self) -> None:
        from sqlseg.workflow.narration import Stopwatch

        self.told_of(Engine, "_run", "sql {1}")
        self.told_of(Engine, "close", "close")
        for name in ("replace", "unlink", "chmod", "rename"):
            self.told_of(Path, name, f"file {name} {{0}}")
        self.told_of(os, "fsync", "file fsync")
        self.told_of(os, "link", "file link {0}")
        self.told_of(shutil, "copyfile", "file copy {0}")
        step = Stopwatch.step
        life = self

        @contextmanager
        def telling(watch: Stopwatch, key: str, title: str) -> Iterator[None]:
            life.about_to(f"step {title}")
            with step(watch, key, title):
                yield

        Stopwatch.step = telling  # type: ignore[method-assign, assignment]


@contextmanager
def uncompressed() -> Iterator[None]:
    """Store every table uncompressed, so that ids stand in the files as they are."""
    opened = Engine.open

    def opening(*arguments: Any, **options: Any) -> Engine:
        engine = opened(*arguments, **options)
        engine.execute("set force_compression = 'uncompressed'")
        return engine

    with patch.object(Engine, "open", opening):
        yield


@contextmanager
def patching_small_files() -> Iterator[None]:
    """Patch a published file however small it is, and however much a patch adds to so little."""
    with patch.multiple(patching, SMALLEST_BYTES=0, GROWS_AT_MOST=9.0):
        yield


Under = Callable[[], AbstractContextManager[None]]


def _live(arguments: Sequence[str], log: Path, trace: Path | None, end: Moment | None, under: Under) -> None:
    """Run sqlseg in this process, which is a new one."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    life = _Life(end)
    life.listen()
    from sqlseg.cli.main import main

    sys.argv = ["sqlseg", *arguments]
    code: Any = 0
    try:
        with under():
            main()
    except SystemExit as stop:
        code = stop.code or 0
    if trace is not None:
        trace.write_text(json.dumps([*life.things, ("end", time.perf_counter())]), encoding="utf-8")
    os._exit(int(code))


def run_to_end(
    shop: Shop, arguments: Sequence[str], scratch: Path, *, under: Under = nullcontext
) -> list[tuple[str, float]]:
    """Run a command undisturbed; return what it does, with the moments of it in seconds."""
    trace, log = scratch / "trace.json", scratch / "log.txt"
    command = [*arguments, "--project", str(shop.directory)]
    process = _FORKS.Process(target=_live, args=(command, log, trace, None, under))
    process.start()
    process.join(300)
    assert process.exitcode == 0, log.read_text("utf-8")
    return [(what, at) for what, at in json.loads(trace.read_text("utf-8"))]


def kill_at(shop: Shop, arguments: Sequence[str], moment: Moment, scratch: Path, *, under: Under = nullcontext) -> None:
    """Run a command and kill it at a moment; where it is done by then, it has ended by itself."""
    log = scratch / "log.txt"
    command = [*arguments, "--project", str(shop.directory)]
    process = _FORKS.Process(target=_live, args=(command, log, None, moment, under))
    process.start()
    process.join(300)
    assert process.exitcode in (0, -signal.SIGKILL), log.read_text("utf-8")


def moments(things: Sequence[tuple[str, float]], count: int, seed: int) -> list[Moment]:
    """Choose moments of a life: each step, whatever is done to files and in the middle of it, the rest spread evenly.

    Half of the rest by what is done, half by time.
    """
    rng = random.Random(seed)
    chosen = []
    for number, (what, at) in enumerate(things[:-1]):
        kind, _, rest = what.partition(" ")
        if kind in ("step", "file") or what == "close" or (kind == "sql" and rest.lower().startswith(FATEFUL)):
            chosen.append(Moment(number, what))
            lasts = things[number + 1][1] - at
            if kind != "step" and lasts > 0.002:
                chosen.append(Moment(number, what, lasts * rng.uniform(0.1, 0.9)))
    if len(chosen) > count * 2 // 3:
        chosen = sorted(rng.sample(chosen, count * 2 // 3), key=lambda one: (one.number, one.seconds))
    left = count - len(chosen)
    for place in range(left // 2):
        number = (len(things) - 1) * place // (left // 2)
        chosen.append(Moment(number, things[number][0]))
    begin, end = things[0][1], things[-1][1]
    for place in range(left - left // 2):
        at = begin + (end - begin) * (place + 0.5) / (left - left // 2)
        number = max(n for n, (_, then) in enumerate(things) if then <= at)
        chosen.append(Moment(number, things[number][0], at - things[number][1]))
    return chosen


def assert_whole(published: Path) -> None:
    """The file opens, and holds exactly one complete refresh: its content hash, computed again, is the recorded one."""
    with Engine.open(published, read_only=True) as reader:
        found = content_hash.file_content(reader)
    assert found.whole, found
    assert published.read_bytes()[12:20] == (64).to_bytes(8, "little"), "storage v1.0.0"
    assert not published.with_name(published.name + ".wal").exists()


def check_killed_refresh(stage: Stage, shop: Shop) -> None:
    """What a killed refresh leaves: an old or new published file, whole; and the next refresh makes all good."""
    assert shop.published.exists() or not stage.shop.published.exists()
    if shop.published.exists():
        assert_whole(shop.published)
    shop.refresh_here()
    assert_whole(shop.published)
    stage.assert_finished(shop)
    assert left_behind(shop) == []
    with Engine.open(shop.warehouse, read_only=True) as warehouse:
        assert warehouse.value("select count(*) from segments.run where status = 'running'") == 0


def kill_and_check(stage: Stage, moment: Moment, place: Path) -> None:
    """Kill a refresh of a copy of a shop at a moment, and see what is left."""
    shop = stage.shop.copy(place / "shop")
    sys.stdout.write(f"killed {moment}\n")  # shown where the test fails; its own id repeats it
    kill_at(shop, ["refresh"], moment, place)
    check_killed_refresh(stage, shop)
