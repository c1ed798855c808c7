"""One process at a time works on a project: the others wait, or are told who it is, since when and what to do."""

import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shops import RULES, bought, new_shop

from sqlseg.engine.filelock import FileLock, LockTaken, lock_holder
from sqlseg.engine.processes import processes_with
from sqlseg.settings import load_settings
from sqlseg.workflow.holding import lock_path

HOLD = """
import sys
from pathlib import Path
from sqlseg.engine.filelock import FileLock
lock = FileLock.acquire(Path(sys.argv[1]), "sqlseg refresh")
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.readline()
"""

EVENTS = [bought(f"u{n}", f"2024-01-{n:02}T10:00", 10.0 * n) for n in range(1, 25)]
LATER = bought("u30", "2024-01-24T12:00", 5.0)

OPEN = """
import sys
import duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def another_process(program, *arguments):
    """Run a program until it says that it holds what it is to hold."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("refreshed"), EVENTS)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def lock_of(shop):
    return lock_path(load_settings(shop.directory))


COMMANDS = [
    ("refresh",),
    ("plan",),
    ("check",),
    ("forget", "u3"),
    ("segments", "rename", "tier-1", "Another name"),
    ("segments", "explain", "u3"),
    ("features", "check"),
    ("features", "show", "rfm@1", "--sql"),
    ("encoders", "tokens", "behavior@1", "--output", "tokens.parquet"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_project_at_work_says_who_and_since_when(shop, command):
    before = shop.published_file.read_bytes()
    with another_process(HOLD, lock_of(shop)) as holder:
        ran = shop.sqlseg(*command)
    assert ran.code == 1
    said = " ".join(ran.err.split())
    assert f"{shop.directory / 'warehouse.duckdb'} is held by `sqlseg refresh`" in said
    since = re.search(rf"\(process {holder.pid} on \S+, since (\S+ \S+) UTC\)", said)
    assert abs(datetime.fromisoformat(since[1]) - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)
    assert f"It ends by itself. Queries and BI tools wait for nothing: they read {shop.published_file}." in said
    assert "--wait SECONDS" in said
    assert shop.published_file.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [("query", "select count(*) as n from segments.segment"), ("segments", "list"), ("segments", "show", "tier")],
)
def test_what_reads_the_published_file_waits_for_nothing(shop, command):
    with another_process(HOLD, lock_of(shop)):
        assert shop.sqlseg(*command).out


def test_a_refresh_waits_until_the_project_is_free(shop):
    shop.events(*EVENTS, LATER)
    with another_process(HOLD, lock_of(shop)) as holder:
        release = threading.Timer(1.0, lambda: (holder.stdin.write("\n"), holder.stdin.flush()))
        release.start()
        started = time.monotonic()
        ran = shop.sqlseg("refresh", "--wait", "60")
        assert ran.code == 0, ran.err
        assert time.monotonic() - started >= 0.9
        release.join()
    assert f"process {holder.pid}" in ran.err and "Waiting for it, 60 s at most." in " ".join(ran.err.split())
    assert shop.published("select count(*) from segments.membership") == [(25,)]


def test_a_wait_has_an_end(shop):
    with another_process(HOLD, lock_of(shop)):
        started = time.monotonic()
        ran = shop.sqlseg("check", "--wait", "0.5")
        assert ran.code == 1
        assert 0.4 <= time.monotonic() - started < 30
    assert "It was waited for" in ran.err


@pytest.mark.parametrize(
    "command",
    [("privacy", "user", 32 * "f"), ("privacy", "encrypt"), COMMANDS[-1]],
    ids=lambda words: " ".join(words[:2]),
)
def test_who_asks_for_pseudonyms_encryption_or_tokens_can_wait_too(shop, monkeypatch, command):
    shop.settings(RULES + "[privacy]\npseudonyms = true\nencrypt_warehouse = true\n")
    monkeypatch.setenv("SQLSEG_PSEUDONYM_KEY", "c4d1f6ab2e9077b35d8842efa1906c3bd7e2")
    monkeypatch.setenv("SQLSEG_WAREHOUSE_KEY", "00112233445566778899aabbccddeeff0011")
    with another_process(HOLD, lock_of(shop)):
        ran = shop.sqlseg(*command, "--wait", "0.3")
    assert ran.code == 1
    assert "It was waited for" in ran.err, ran.err


@pytest.mark.parametrize("how", ["reading", "writing"])
def test_a_bi_tool_that_holds_the_warehouse_is_named_and_told_what_to_open(shop, how):
    shop.events(*EVENTS, LATER)
    with another_process(OPEN, shop.directory / "warehouse.duckdb", how) as tool:
        ran = shop.sqlseg("refresh")
    assert ran.code == 1
    said = " ".join(ran.err.split())
    assert f"is held by {Path(sys.executable).name} (process {tool.pid} of " in said and "running since 20" in said
    assert f"let people and BI tools open {shop.published_file} instead" in said
    shop.refresh()
    assert shop.published("select count(*) from segments.membership") == [(25,)]


def test_the_lock_of_a_killed_process_is_in_nobodys_way(shop):
    with another_process(HOLD, lock_of(shop)) as holder:
        holder.kill()
        holder.wait()
        assert lock_holder(lock_of(shop)).pid == holder.pid
        assert shop.sqlseg("refresh").code == 0
    assert not lock_of(shop).exists()


def wait_for_lock(path):
    deadline = time.monotonic() + 300
    while True:
        try:
            return FileLock.acquire(path, "test")
        except LockTaken:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_a_lock_goes_to_one_of_many(tmp_path):
    """Also where the file is taken away by the one that held it while others have it open already."""
    path, inside, seen, taken = tmp_path / "x.lock", [], [], threading.Barrier(8)

    def work():
        taken.wait()
        for _ in range(10):
            lock = wait_for_lock(path)
            inside.append(1)
            seen.append(len(inside))
            time.sleep(0.0005)
            inside.pop()
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 80
    assert not path.exists()


def test_where_no_lock_can_be_made_the_database_sees_to_itself(tmp_path):
    lock = FileLock.acquire(tmp_path / "no_such_folder" / "x.lock", "test")
    lock.release()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not tell")
def test_who_has_a_file_open(tmp_path):
    file = tmp_path / "x.duckdb"
    with another_process(OPEN, file, "writing") as writer:
        (found,) = processes_with(file)
        assert (found.pid, found.writes, found.outdated) == (writer.pid, True, False)
        assert found.started_at is not None and found.user
    with another_process(OPEN, file, "reading") as reader:
        other = tmp_path / "y.duckdb"
        other.write_bytes(file.read_bytes())
        other.replace(file)
        (found,) = processes_with(file)
        assert (found.pid, found.writes, found.outdated) == (reader.pid, False, True)
    assert processes_with(file) == []
