"""Sources in SQLite and PostgreSQL, read through DuckDB's extensions under confinement; without them, a clear word."""

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from duckdb_libraries import NotInstallable, library_of, python_library
from postgres_server import postgres_server

VERSION = "1.5.5"
"""The newest DuckDB that sqlseg runs on whose extensions a package on PyPI holds."""

SETTINGS = """
[project]
name = "shop"

[warehouse]
published = "published/shop.duckdb"

[sources.crm]
type = "{kind}"
path = "{path}"

[features]
publish = ["rfm@1"]

[segmentations.value]
kind = "rules"
sql = "sql/segments/value.sql"
"""
EVENTS = (
    "select customer as user_id, placed_at::timestamp as event_time, 'purchase' as event_type, amount as price "
    "from crm.{table}"
)
RULE = "select user_id, if(spend > 50, 'High', 'Low') as segment_name from features.rfm"
ORDERS = [(f"u{n:02}", f"2025-01-{n + 1:02} 10:00:00", 10.0 * n) for n in range(20)]


def new_shop(directory: Path, kind: str, path: str, table: str = "orders") -> Path:
    (directory / "sql" / "segments").mkdir(parents=True)
    (directory / "sqlseg.toml").write_text(SETTINGS.format(kind=kind, path=path), encoding="utf-8")
    (directory / "sql" / "events.sql").write_text(EVENTS.format(table=table), encoding="utf-8")
    (directory / "sql" / "segments" / "value.sql").write_text(RULE, encoding="utf-8")
    return directory


def refresh(shop: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sqlseg", "refresh", "--project", str(shop), "--json"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def with_extensions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which DuckDB has both extensions, as after `install sqlite; install postgres`."""
    library = library_of(VERSION)
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("the extensions are looked for on Linux x86_64 only")
    home = tmp_path_factory.mktemp("home")
    place = home / ".duckdb" / "extensions" / f"v{VERSION}" / "linux_amd64"
    place.mkdir(parents=True)
    for name in ("sqlite_scanner", "postgres_scanner"):
        try:
            package = python_library(
                f"{name}-{VERSION}", "--no-deps", f"duckdb-extension-{name.replace('_', '-')}=={VERSION}"
            )
        except NotInstallable as error:
            pytest.skip(str(error))
        (file,) = package.rglob(f"{name}.duckdb_extension")
        shutil.copy(file, place)
    return {"HOME": str(home), "PYTHONPATH": f"{library}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    file = tmp_path / "crm.sqlite"
    with sqlite3.connect(file) as database:
        database.execute("create table orders (customer text, placed_at text, amount real)")
        database.executemany("insert into orders values (?, ?, ?)", ORDERS)
    database.close()
    return file


@pytest.mark.slow
def test_a_source_in_sqlite(crm: Path, with_extensions: dict[str, str], tmp_path: Path) -> None:
    shop = new_shop(tmp_path / "shop", "sqlite", "../crm.sqlite")
    run = refresh(shop, **with_extensions)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["users_total"] == 20
    with sqlite3.connect(crm) as database:
        database.execute("insert into orders values ('u99', '2025-01-20 12:00:00', 7.0)")
    database.close()
    run = refresh(shop, **with_extensions)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert (told["users_total"], told["events"]["new"]) == (21, 1)


@pytest.mark.slow
def test_a_source_in_postgres(with_extensions: dict[str, str], tmp_path: Path, server: str) -> None:
    shop = new_shop(tmp_path / "shop", "postgres", f"host={server} user=shop dbname=postgres", "public.orders")
    run = refresh(shop, **with_extensions)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["users_total"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("reach", ["sqlite_scan('{other}', 'orders')", "'{other}'", "read_text('{other}')"])
def test_what_is_no_declared_source_stays_out_of_reach(
    reach: str, crm: Path, with_extensions: dict[str, str], tmp_path: Path
) -> None:
    """Also with the extension that could read it loaded for the one that is declared."""
    other = shutil.copy(crm, tmp_path / "other.sqlite")
    shop = new_shop(tmp_path / "shop", "sqlite", "../crm.sqlite")
    secret = f"{EVENTS.format(table='orders')} where (select count(*) from {reach.format(other=other)}) > 0"
    (shop / "sql" / "events.sql").write_text(secret, encoding="utf-8")
    run = refresh(shop, **with_extensions)
    assert run.returncode == 1 and "Traceback" not in run.stderr, run.stderr
    assert "events.sql" in run.stderr
    assert not (shop / "published").exists()


def test_without_the_extension_it_is_said_what_to_install(crm: Path, tmp_path: Path) -> None:
    shop = new_shop(tmp_path / "shop", "sqlite", "../crm.sqlite")
    run = refresh(shop, HOME=str(tmp_path / "nobody"))
    assert run.returncode == 1, run.stdout
    said = " ".join(run.stderr.split())
    assert "Source 'crm' cannot be attached: DuckDB's extension 'sqlite' is not installed here." in said
    assert "duckdb.sql('install sqlite')" in said
    assert "http" not in said


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server with the orders; the folder of its socket."""
    rows = ", ".join(f"('{user}', '{at}', {amount})" for user, at, amount in ORDERS)
    with postgres_server() as postgres:
        postgres.sql(
            "create table orders (customer text, placed_at timestamp, amount double precision); "
            f"insert into orders values {rows}"
        )
        yield postgres.folder
