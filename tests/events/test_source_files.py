"""Which files a query reads, and where something other than files decides what it returns."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.events.source_files import is_settled, kept_signature, signature_text, source_signature


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A connection whose working folder holds some files; `crm` is attached, the warehouse has a table of its own."""
    monkeypatch.chdir(tmp_path)
    with duckdb.connect("crm.duckdb") as crm:
        crm.execute("create table orders as select 1 as id; create view late as select now() as at")
        crm.execute("create schema mart; create table mart.visits as select 1 as id")
    with duckdb.connect() as files:
        for name in ("a.parquet", "b.parquet"):
            Path("data").mkdir(exist_ok=True)
            files.execute(f"copy (select 1 as id) to 'data/{name}'")
        files.execute("copy (select 1 as id) to 'items.csv'")
    with Engine.open(tmp_path / "warehouse.duckdb", threads=1) as engine:
        engine.execute("create table own as select 1 as id; create macro twice(x) as 2 * x")
        engine.attach(tmp_path / "crm.duckdb", "crm")
        yield engine


def read(engine: Engine, text: str) -> set[str] | None:
    signature = source_signature(engine, text)
    return None if signature is None else {Path(file.path).name for file in signature}


BOTH = {"a.parquet", "b.parquet"}


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("select * from read_parquet('data/*.parquet')", BOTH),
        ("select * from read_parquet('data/*.parquet');\n-- a comment", BOTH),
        ("select * from read_parquet(['data/a.parquet', 'data/b.parquet'], union_by_name = true)", BOTH),
        ("from 'data/a.parquet'", {"a.parquet"}),
        ("from 'data/?.parquet' as x", BOTH),
        ("select * from read_csv('items.csv', header = true, all_varchar = true)", {"items.csv"}),
        ("from crm.orders", {"crm.duckdb"}),
        ("from CRM.main.Orders", {"crm.duckdb"}),
        ("from crm.mart.visits", {"crm.duckdb"}),
        ("with x as (from 'data/a.parquet') select * from x join 'items.csv' using (id)", {"a.parquet", "items.csv"}),
        ("select 1 as id where 1 in (select id from 'data/a.parquet')", {"a.parquet"}),
        ("select unnest([1, 2]) as id from range(3) union all select id from 'items.csv'", {"items.csv"}),
        ("select 1 as id", set()),
        (
            "select nullif(trim(id::varchar), '') as id, row_number() over (order by id) as n, sum(id) over () as s, "
            "strptime('2024', '%Y') as t, coalesce(id, 1), split_part('a b', ' ', 1), timestamptz '2024-01-01' at time "
            "zone 'UTC', case when id > 1 then 2 end, list_transform([id], lambda x: x + 1), extract(year from t) "
            "from 'data/a.parquet'",
            {"a.parquet"},
        ),
    ],
)
def test_files_of_a_query(engine, text, files):
    assert read(engine, text) == files


@pytest.mark.parametrize(
    "text",
    [
        "from own",
        "from main.own",
        "from crm.late",  # a view may read anything
        "from nowhere",
        "from 'nowhere.parquet'",
        "from 'nowhere/*.parquet'",
        "from read_parquet('https://example.org/a.parquet')",
        "from read_parquet('data/' || 'a.parquet')",
        "from duckdb_tables()",
        "from glob('data/*')",
        "select random() as id from 'data/a.parquet'",
        "select uuid() as id from 'data/a.parquet'",
        "select * from 'data/a.parquet' where now() > timestamptz '2024-01-01'",
        "select * from 'data/a.parquet' where current_date > date '2024-01-01'",
        "select current_timestamp as at",
        "select localtimestamp as at",
        "select ago(interval 1 day) as at",
        "select today() as at",
        "select getvariable('x') as id from 'data/a.parquet'",
        "select twice(id) as id from 'data/a.parquet'",
        "select unheard_of(id) as id from 'data/a.parquet'",
        "select * from 'data/a.parquet' using sample 1",
        "select * from 'data/a.parquet' tablesample 10%",
        "with own as (select * from own) select * from own",
        "select * from (show tables)",
        "select 1; select 2",
        "create table x as select 1",
        "selec 1",
        "",
    ],
)
def test_more_than_files_decides(engine, text):
    assert source_signature(engine, text) is None


def test_a_signature_is_another_once_a_file_is(engine):
    text = "from read_parquet('data/*.parquet')"
    first = source_signature(engine, text)
    assert source_signature(engine, text) == first
    assert kept_signature(signature_text(first)) == first
    path = Path("data/a.parquet")
    status, content = path.stat(), path.read_bytes()

    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as long as before, and dated back
    second = source_signature(engine, text)
    assert second != first

    path.write_bytes(content + b"x")
    third = source_signature(engine, text)
    assert third != second

    Path("data/c.parquet").write_bytes(content)
    assert source_signature(engine, text) != third
    assert len(source_signature(engine, text)) == 3


def test_the_log_of_an_attached_database_counts(engine):
    before = source_signature(engine, "from crm.orders")
    Path("crm.duckdb.wal").write_bytes(b"")
    assert source_signature(engine, "from crm.orders") != before


def test_a_file_that_was_just_modified_is_not_trusted(engine):
    signature = source_signature(engine, "from 'items.csv'")
    written = datetime.fromtimestamp(signature[0].changed / 1e9, UTC).replace(tzinfo=None)
    assert not is_settled(signature, written)
    assert not is_settled(signature, written + timedelta(seconds=1))
    assert not is_settled(signature, written - timedelta(days=1))
    assert is_settled(signature, written + timedelta(seconds=3))
    assert is_settled((), written)
