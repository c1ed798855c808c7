"""sqlseg in a process of its own: pipes that nobody reads to the end, full disks, closed streams, other terminals."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from broken_projects import EVENTS
from shops import CLUSTERS, RULES, TIERS, bought, new_shop

ROOT = Path(__file__).parents[2]
SQLSEG = [sys.executable, "-m", "sqlseg"]
COFFEE = "Höchste ☕"
MANY_ROWS = ("query", "select * from range(200000)", "--csv")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A published shop with a user and a segment that ASCII cannot write."""
    made = new_shop(
        tmp_path_factory.mktemp("streams") / "shop", [*EVENTS, bought("zoë", "2024-03-01", 500)], RULES + CLUSTERS
    )
    made.write("sql/segments/tier.sql", TIERS.replace("High", COFFEE))
    made.refresh()
    return made


def run(shop, *arguments, **options):
    """Call sqlseg on the shop; `environment` adds variables."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("environment", {})}
    command = [*SQLSEG, *arguments, "--project", str(shop.directory)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, env=environment, check=False, **options)


def test_who_reads_may_stop(shop):
    """As `sqlseg query ... | head -1` does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*SQLSEG, *MANY_ROWS, "--project", str(shop.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as started:
        assert started.stdout is not None and started.stderr is not None
        assert started.stdout.readline() == b"range\n"
        started.stdout.close()
        told = started.stderr.read()
    assert (started.returncode, told) == (0, b"")


def test_a_few_lines_that_nobody_reads(shop):
    """They are written when the program ends, which is where others complain of it."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        ran = run(shop, "query", "select 1 as x", "--csv", stdout=nobody)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
@pytest.mark.parametrize("arguments", [("segments", "list"), ("segments", "list", "--json")], ids=["table", "JSON"])
def test_a_full_disk_is_told(shop, arguments):
    with Path("/dev/full").open("wb") as full:
        ran = run(shop, *arguments, stdout=full)
    told = ran.stderr.decode()
    assert ran.returncode == 1
    assert "Standard output cannot be written: No space left on device." in told and "Traceback" not in told


def test_closed_streams_do_no_harm(shop):
    """A file that was opened in the place of a closed stream would be written to by whoever prints."""
    before = shop.published_file.read_bytes()
    command = f"'{sys.executable}' -m sqlseg segments list --json"
    ran = subprocess.run(
        f"{command} --project '{shop.directory}' >&- 2>&- <&-",
        shell=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0
    assert shop.published_file.read_bytes() == before


def test_letters_that_a_terminal_lacks_are_spelled_out(shop):
    ascii_only = {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    table = run(shop, "segments", "list", environment=ascii_only)
    assert table.returncode == 0 and rb"H\xf6chste \u2615" in table.stdout
    plain = run(shop, "segments", "list", "--json", environment=ascii_only)
    assert COFFEE in {segment["name"] for segment in json.loads(plain.stdout)["tier"]}


def test_data_are_not_written_with_other_letters_than_they_have(shop):
    ran = run(shop, "query", "select 'zoë' as x", "--csv", environment={"PYTHONIOENCODING": "ascii"})
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"PYTHONIOENCODING=utf-8" in ran.stderr and b"Traceback" not in ran.stderr


def test_an_argument_that_is_no_text(shop):
    ran = run(shop, "segments", "explain", b"zo\xeb")
    assert ran.returncode == 2
    assert rb"not UTF-8 text: b'zo\xeb'" in ran.stderr and b"Traceback" not in ran.stderr


@pytest.mark.parametrize("terminal", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["without colour", "dumb"])
def test_a_narrow_terminal(shop, terminal):
    """Of 12 columns, as of a telephone on its side."""
    ours, theirs = pty.openpty()
    ran = run(
        shop, "segments", "list", stdout=theirs, stderr=subprocess.STDOUT, environment={"COLUMNS": "12", **terminal}
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux tells that nobody writes any more
        pass
    finally:
        os.close(ours)
    assert ran.returncode == 0
    assert not re.search(rb"\x1b\[[0-9;]*(3|9)[0-7]m", shown), "no colour was asked for"
    assert b"tier" in shown and b"Traceback" not in shown
