"""Where new files alone say what is new, and where they do not."""

from pathlib import Path

import duckdb
import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.events.appended import appended_sql
from sqlseg.events.source_files import source_signature


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A connection whose working folder has two files of a log."""
    monkeypatch.chdir(tmp_path)
    Path("log").mkdir()
    for name in ("b", "c"):
        write(f"log/{name}.parquet")
    with Engine.open(None, threads=1) as engine:
        yield engine


def write(path: str, select: str = "select 'ann' as who, 1.5 as price") -> None:
    with duckdb.connect() as files:
        files.execute(f"copy ({select}) to '{path}'")


def appended(engine: Engine, text: str, *names: str, select: str = "select 'bob' as who, 2.5 as price") -> str | None:
    """Return what is read of the files that come now."""
    before = source_signature(engine, text)
    for name in names:
        write(f"log/{name}.parquet", select)
    now = source_signature(engine, text)
    assert before is not None and now is not None
    return appended_sql(engine, text, before, now)


@pytest.mark.parametrize(
    "text",
    [
        "select * from read_parquet('log/*.parquet')",
        "-- Käufe\nselect who, price * 2 as twice from parquet_scan('log/*.parquet') where price > 1;\n-- end",
        "with all_of_them as (from read_parquet('log/*.parquet')) select nullif(who, '') as who from all_of_them",
        "select who, case when price > 2 then 'dear' end as class from (from read_parquet('log/*.parquet')) as l",
        "select who, filename, file_row_number from read_parquet('log/*.parquet')",
    ],
)
def test_rows_of_new_files_are_all_that_is_new(engine, text):
    rows = engine.rows(text)
    query = appended(engine, text, "d", "a")
    assert query is not None
    new = engine.rows(query)
    assert len(new) == 2
    assert sorted(rows + new) == sorted(engine.rows(text))


@pytest.mark.parametrize(
    "text",
    [
        "select distinct * from read_parquet('log/*.parquet')",
        "select who, sum(price) as price from read_parquet('log/*.parquet') group by who",
        "select count(*) as n from read_parquet('log/*.parquet')",
        "select *, row_number() over () as n from read_parquet('log/*.parquet')",
        "select * from read_parquet('log/*.parquet') qualify row_number() over (partition by who order by price) = 1",
        "select * from read_parquet('log/*.parquet') limit 10",
        "select * from read_parquet('log/*.parquet') order by price",
        "select who, geomean(price) as price from read_parquet('log/*.parquet') group by all",
        "select *, (select max(price) from read_parquet('log/*.parquet')) as most from read_parquet('log/*.parquet')",
        "select * from read_parquet('log/*.parquet') union all select * from read_parquet('log/*.parquet')",
        "select a.* from read_parquet('log/*.parquet') as a, range(2)",
        "select *, file_index from read_parquet('log/*.parquet')",
        "select * from read_parquet('log/*.parquet', union_by_name = true)",
        "select * from 'log/*.parquet'",
    ],
)
def test_a_query_of_more_than_single_rows_is_not_known(engine, text):
    assert appended(engine, text, "d") is None


LOG = "select * from read_parquet('log/*.parquet')"


def test_a_list_of_files_does_not_grow(engine):
    assert appended(engine, "select * from read_parquet(['log/b.parquet', 'log/c.parquet'])", "d") is None


def test_nothing_new(engine):
    assert appended(engine, LOG) is None


@pytest.mark.parametrize("change", ["written again", "gone"])
def test_an_old_file_is_not_as_it_was(engine, change):
    before = source_signature(engine, LOG)
    write("log/d.parquet")
    write("log/b.parquet") if change == "written again" else Path("log/b.parquet").unlink()
    assert appended_sql(engine, LOG, before, source_signature(engine, LOG)) is None


def test_a_file_that_comes_meanwhile(engine):
    before = source_signature(engine, LOG)
    write("log/d.parquet")
    now = source_signature(engine, LOG)
    write("log/e.parquet")
    assert appended_sql(engine, LOG, before, now) is None


@pytest.mark.parametrize(
    "select",
    [
        "select 'bob' as who, 2 as price",  # would be cast to the price of the first file
        "select 2.5 as price, 'bob' as who",
        "select 'bob' as who, 2.5 as price, 1 as more",
    ],
)
@pytest.mark.parametrize("name", ["a", "d"])  # the first file decides for all of them
def test_files_of_other_columns(engine, name, select):
    assert appended(engine, LOG, name, select=select) is None
