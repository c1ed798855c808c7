"""`sqlseg doctor --bi`: whether BI tools can read the published file, and what to paste to open it in each."""

import json
import os
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from shops import bought, new_shop

from sqlseg.engine.filesystems import file_system
from sqlseg.publish.connecting import connections
from sqlseg.publish.fileformat import OLDEST_CLIENT, file_format
from sqlseg.workflow.bi_readiness import examine_for_bi
from sqlseg.workflow.narration import Clock

OPEN = """
import sys
import duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("open", flush=True)
sys.stdin.readline()
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not tell")


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("refreshed"), [bought(f"u{n}", "2024-01-02T10:00", n) for n in range(9)])
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "the shop")


def looked_at(shop, **later):
    clock = Clock(now=lambda: shop.now + timedelta(**later), seconds=lambda: 0.0)
    return {finding.what: finding for finding in examine_for_bi(shop.directory, clock).findings}


def opened(file, how):
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(file), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "open\n"
    return process


def replace_published(shop, sql, version="v1.0.0"):
    """Put another file in the place of the published one."""
    other = shop.directory / "other.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"attach '{other}' as other (storage_version '{version}')")
        connection.execute(f"attach '{shop.published_file}' as published (read_only)")
        connection.execute("copy from database published to other; use other")
        connection.execute(sql)
        connection.execute("use memory; detach other")
    other.replace(shop.published_file)


def test_a_published_file_is_fine(shop):
    found = looked_at(shop, hours=5)
    # Folders of tests are shut to others.
    assert [what for what, finding in found.items() if finding.fine is not True] == ["who may read it"]
    assert found["storage version"].found.startswith("v1.0.0 (opens in DuckDB 0.10.3 and later); written by DuckDB ")
    assert found["snapshot"].found.startswith("5.0 hours old: ")
    assert found["comments"].found.endswith(" of columns")
    ran = shop.sqlseg("doctor", "--bi")
    assert ran.code == 0, ran.out
    assert f"duckdb -readonly '{shop.published_file}'" in ran.out


def test_the_warehouse_is_not_touched(shop):
    shop.warehouse_file.write_bytes(b"not a database")
    assert all(finding.fine is not False for finding in looked_at(shop).values())


def test_what_machines_are_told(shop):
    ran = shop.sqlseg("doctor", "--bi", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["published"]) == (0, str(shop.published_file))
    assert {tuple(finding) for finding in told["findings"]} == {("what", "found", "fine", "advice")}
    assert [one["tool"] for one in told["connections"]] == [one.tool for one in connections(shop.published_file)]


def test_an_old_snapshot_is_said_to_be_old(shop):
    finding = looked_at(shop, days=3)["snapshot"]
    assert finding.found.startswith("3 days old: ") and finding.fine is None
    assert "sqlseg refresh" in finding.advice


def test_nothing_published(shop):
    shop.published_file.unlink()
    assert looked_at(shop)["published file"].fine is False
    ran = shop.sqlseg("doctor", "--bi")
    assert ran.code == 1 and "Run `sqlseg refresh`." in ran.out


def test_what_is_no_database(shop):
    shop.published_file.unlink()
    shop.published_file.write_bytes(b"segments\n" * 30)
    assert looked_at(shop)["storage version"].found == "it is no DuckDB file"
    assert shop.sqlseg("doctor", "--bi").code == 1


@pytest.mark.parametrize(("version", "client"), [("v1.2.0", "1.2.0"), ("v1.4.0", "1.4.0"), ("v1.5.0", "1.5.0")])
def test_a_newer_storage_version_says_which_clients_open_it(shop, version, client):
    replace_published(shop, "select 1", version)
    finding = looked_at(shop)["storage version"]
    assert f"opens in DuckDB {client} and later" in finding.found
    assert finding.fine is False


def test_every_storage_version_that_this_duckdb_writes_is_known(tmp_path):
    duckdb.connect(str(tmp_path / "newest.duckdb")).close()
    found = file_format(tmp_path / "newest.duckdb")
    assert found.storage in OLDEST_CLIENT and found.written_by == f"v{duckdb.__version__}"


@pytest.mark.parametrize(
    ("sql", "what", "said"),
    [
        ("create table t as select json('{}') as j", "column types", "main.t.j is JSON"),
        ("create table t as select now() as at", "column types", "main.t.at is TIMESTAMP WITH TIME ZONE"),
        ("create table t (id varchar primary key)", "keys and indexes", "1"),
        ("update segments.run set status = 'failed'", "snapshot", "it holds no finished refresh"),
    ],
)
def test_what_keeps_old_clients_from_reading(shop, sql, what, said):
    replace_published(shop, sql)
    finding = looked_at(shop)[what]
    assert finding.fine is False and finding.found.startswith(said)
    assert "sqlseg refresh --full" in finding.advice


def test_missing_comments_are_counted(shop):
    replace_published(shop, "create table t as select 1 as a")
    finding = looked_at(shop)["comments"]
    assert finding.found.endswith("; 2 are missing") and finding.fine is None


def test_a_log_beside_the_file(shop):
    log = shop.published_file.with_name(f"{shop.published_file.name}.wal")
    log.write_bytes(b"")
    finding = looked_at(shop)["log beside it"]
    assert (finding.found, finding.fine) == (str(log), False)
    assert "Delete it" in finding.advice


@needs_proc
def test_who_reads_it(shop):
    with opened(shop.published_file, "reading") as reader:
        found = looked_at(shop)
        assert f"(process {reader.pid} of " in found["read by"].found
        assert found["read by"].fine and "old snapshots" not in found
        replace_published(shop, "select 1")
        old = looked_at(shop)["old snapshots"]
        assert f"process {reader.pid}" in old.found and old.fine is None
        reader.communicate("\n")


@needs_proc
def test_who_writes_it(shop):
    shop.published_file.chmod(0o644)
    with opened(shop.published_file, "writing") as writer:
        found = looked_at(shop)
        assert f"process {writer.pid}" in found["written by"].found and found["written by"].fine is False
        assert found["opens"].fine is False and str(writer.pid) in found["opens"].found
        writer.communicate("\n")


@needs_proc
def test_a_tool_that_has_the_warehouse_open(shop):
    with opened(shop.warehouse_file, "reading") as tool:
        finding = looked_at(shop)["warehouse"]
        assert f"process {tool.pid}" in finding.found and finding.fine is None
        assert f"Open {shop.published_file} instead." in finding.advice
        tool.communicate("\n")


@pytest.mark.skipif(os.name == "nt", reason="other permissions there")
def test_a_folder_that_is_shut_to_others(shop):
    shop.published_file.parent.chmod(0o700)
    finding = looked_at(shop)["who may read it"]
    assert str(shop.published_file.parent) in finding.found and finding.fine is None


def test_which_file_system_a_path_lies_on():
    mounts = (
        "22 1 0:21 / / rw,relatime - ext4 /dev/vda rw\n"
        "30 22 0:40 / /mnt/bi\\040share rw,relatime shared:7 - nfs4 host:/bi rw,vers=4.2\n"
        "31 30 0:41 / /mnt/bi\\040share/local rw - tmpfs tmpfs rw\n"
    )
    places = {"/srv/x": "ext4", "/mnt/bi share/x": "nfs4", "/mnt/bi share/local/x": "tmpfs", "/mnt/bi": "ext4"}
    assert {place: file_system(Path(place), mounts) for place in places} == places
    assert file_system(Path("/srv"), "") is None


def test_a_network_file_system_is_told(shop, monkeypatch):
    monkeypatch.setattr("sqlseg.workflow.bi_readiness.file_system", lambda path: "nfs4")
    finding = looked_at(shop)["file system"]
    assert (finding.found, finding.fine) == ("nfs4, over a network", None)


def test_what_is_pasted_into_a_shell_and_into_python_works(shop):
    """The other snippets run in tests/clients."""
    pasted = {one.tool: one.text for one in connections(shop.published_file)}
    assert shlex.split(pasted["DuckDB CLI"]) == ["duckdb", "-readonly", str(shop.published_file)]
    run = subprocess.run([sys.executable, "-c", pasted["Python"]], capture_output=True, text=True)
    assert run.returncode == 0 and "segment_name" in run.stdout, run.stderr
