"""A shop's SQL reads what the project declares and nothing else: told by its text first, by the database second."""

import os

import duckdb
import pytest
from shops import CLUSTERS, RULES, bought, call_sqlseg, new_shop

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import OutsideConfinement, QueryFailed
from sqlseg.errors import SqlsegError
from sqlseg.events.confinement import NotAllowedInShopSql, Readable, check_shop_select

EVENTS = [bought("ann", "2024-03-01 10:00", 150), bought("bob", "2024-03-01 12:00", 50)]

WRITES = [
    "copy (select 1) to 'data/out.csv'",
    "-- a comment\nattach 'data/x.duckdb' as x",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "set threads = 1",
    "set enable_external_access = true",
    "reset threads",
    "insert into t values (1)",
    "update t set a = 1",
    "delete from t",
    "create table t as select 1",
    "drop table t",
    "export database 'data/x'",
    "call pragma_version()",
    "select 1; select 2",
    "select 1;\n\ncopy t to 'x'",
    "with x as (insert into t values (1) returning a) select * from x",
    "select * from query('select 1')",
    "select * from query_table('t')",
    "select * from json_execute_serialized_sql('{}')",
    "select * from arrow_scan(1, 2, 3)",
    "select * from checkpoint()",
    "select 1 where exists (select * from force_checkpoint('warehouse'))",
]


@pytest.fixture
def outside(tmp_path):
    """A folder beside the project, with a secret in every form that DuckDB reads."""
    folder = tmp_path / "outside"
    folder.mkdir()
    with duckdb.connect() as connection:
        for form in ("parquet", "csv", "json"):
            connection.execute(f"copy (select 'secret' as user_id) to '{folder}/x.{form}'")
    with duckdb.connect(str(folder / "x.duckdb")) as connection:
        connection.execute("create table t as select 'secret' as user_id")
    return folder


def reads(outside) -> list[str]:
    return [
        f"select * from read_parquet('{outside}/x.parquet')",
        f"select * from read_parquet(['{outside}/x.parquet'])",
        f"select * from read_csv('{outside}/*.csv')",
        f"select * from '{outside}/x.csv'",
        f'select * from "{outside}/x.csv"',
        f"select * from read_json('{outside}/x.json')",
        f"select (select content from read_text('{outside}/x.csv'))",
        f"with t as (select * from read_blob('{outside}/x.csv')) select * from t",
        f"select * from glob('{outside}/*')",
        f"select * from sniff_csv('{outside}/x.csv')",
        f"select * from parquet_metadata('{outside}/x.parquet')",
        "select * from read_parquet('../outside/x.parquet')",
        "select * from read_parquet('data/../../outside/x.parquet')",
        "select * from read_parquet('data/*/../../outside/x.parquet')",
        "select * from read_parquet('data/link/x.parquet')",
        "select * from read_parquet('https://example.com/x.parquet')",
        "select * from 's3://bucket/x.parquet'",
        f"select * from read_parquet('file://{outside}/x.parquet')",
    ]


@pytest.fixture
def shop(tmp_path, outside):
    made = new_shop(tmp_path / "shop", EVENTS)
    made.settings(RULES + '\n[events]\npaths = ["data/"]\n')
    (made.directory / "data" / "link").symlink_to(outside)
    return made


@pytest.fixture
def confined(shop, monkeypatch):
    """A database confined as that of the shop is, for statements that no text check has seen."""
    monkeypatch.chdir(shop.directory)
    with Engine.open(shop.warehouse_file) as engine:
        engine.execute("create table t (a integer)")
        engine.confine([shop.directory / "data"])
        yield engine


@pytest.mark.parametrize("sql", WRITES)
def test_what_is_not_one_select_is_refused_by_its_text(shop, sql):
    readable = Readable((shop.directory / "data",), shop.directory)
    with pytest.raises(NotAllowedInShopSql) as refused:
        check_shop_select(sql, "sql/events.sql", readable)
    line = 3 if "\n\n" in sql else 2 if "\n" in sql else 1
    assert refused.value.message.startswith(f"sql/events.sql:{line}: ")


@pytest.mark.parametrize("number", range(18))
def test_what_lies_outside_is_refused_by_the_text_and_by_the_database(shop, outside, confined, number):
    sql = reads(outside)[number]
    readable = Readable((shop.directory / "data",), shop.directory)
    with pytest.raises(NotAllowedInShopSql) as refused:
        check_shop_select(f"-- what it reads\n{sql}", "sql/events.sql", readable)
    assert refused.value.message.startswith("sql/events.sql:2: ")
    with pytest.raises(SqlsegError) as refused_too:
        confined.rows(sql)
    assert "secret" not in refused_too.value.message
    assert isinstance(refused_too.value, QueryFailed)


def test_every_read_outside_is_tried(outside):
    assert len(reads(outside)) == 18


@pytest.mark.parametrize(
    "sql",
    [
        "select 'data/x.parquet' as path, '; drop table t' as note",
        "select * from read_parquet('data/events.parquet')",
        "select * from read_parquet(['data/events.parquet', './data/events.parquet'])",
        "from 'data/*.parquet'",
        "select * from read_csv('data/[ab]*.csv')",
        "with copy as (select 1 as a) select a from copy",
        "select * from range(3), unnest([1]) as t(x);  -- done\n",
        "select crm.orders.user_id from crm.orders",
        "values (1)",
    ],
)
def test_what_is_fine_passes(shop, sql):
    check_shop_select(sql, "sql/events.sql", Readable((shop.directory / "data",), shop.directory))


def test_the_database_refuses_what_no_text_shows(shop, outside, confined):
    for sql in (
        f"select * from read_parquet('{outside}' || '/x.parquet')",
        f"select * from read_text(concat('{outside}', '/x.csv'))",
        f"copy t to '{outside}/out.csv'",
        f"attach '{outside}/x.duckdb' as other",
        "install httpfs",
        "load httpfs",
    ):
        with pytest.raises(OutsideConfinement, match="lies outside of what this project's SQL may read"):
            confined.execute(sql)
    for sql in (
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "reset allowed_directories",
        "reset enable_external_access",
    ):
        with pytest.raises(QueryFailed):
            confined.execute(sql)
    assert not (outside / "out.csv").exists()


def test_a_view_cannot_hold_a_statement_that_writes(confined):
    for sql in ("copy t to 'data/x.csv'", "select 1; select 2", "insert into t values (1)", "pragma version"):
        with pytest.raises(QueryFailed):
            confined.create_temp_view("asked", sql)
    with pytest.raises(QueryFailed):
        confined.create_temp_view("asked", "with x as (insert into t values (1) returning a) select * from x")
    assert confined.rows("select * from t") == []


def test_a_confined_database_still_spills_checkpoints_and_builds(tmp_path):
    built = tmp_path / "published" / ".file.building"
    built.parent.mkdir()
    with Engine.open(tmp_path / "w.duckdb", memory_limit="64MB", threads=1) as engine:
        engine.confine([], [built])
        engine.execute("create table wide as select range as n, md5(range::varchar) as text from range(1000000)")
        engine.execute("create table sorted as select * from wide order by text")
        engine.attach(built, "built", read_only=False, storage_version="v1.0.0")
        with engine.transaction():
            engine.execute("create table built.wide as select * from wide")
        engine.detach("built")
        engine.execute("checkpoint")
        assert engine.value("select count(*) from sorted") == 1_000_000
    with Engine.open(built, read_only=True) as reader:
        assert reader.value("select count(*) from wide") == 1_000_000


def test_a_second_connection_is_as_confined_as_the_first(tmp_path):
    with Engine.open(tmp_path / "w.duckdb") as one, Engine.open(tmp_path / "w.duckdb") as other:
        one.confine([tmp_path])
        other.confine([])
        with pytest.raises(OutsideConfinement):
            other.rows("select * from read_text('/etc/hostname')")


SHOP_SQL = {
    "sql/events.sql": "select user_id, now() as event_time, 'view' as event_type from read_csv('../outside/x.csv')",
    "sql/users.sql": "select user_id from\nread_parquet('../outside/x.parquet')",
    "sql/items.sql": "select user_id as item_id from read_csv('../outside/x.csv')",
    "sql/segments/tier.sql": "select user_id, 'all' as segment_name from read_csv('../outside/x.csv')",
}


@pytest.mark.parametrize("file", SHOP_SQL)
@pytest.mark.parametrize("command", ["plan", "refresh", "backtest"])
def test_no_sql_of_the_shop_reads_outside(shop, file, command):
    shop.write(file, SHOP_SQL[file])
    ran = shop.sqlseg(command)
    line = 1 + SHOP_SQL[file].partition("read_")[0].count("\n")
    assert ran.code == 1
    assert f"{file}:{line}: '../outside/x." in ran.err
    assert "under [events] in sqlseg.toml" in ran.err
    assert not shop.warehouse_file.exists()


def test_no_view_reads_files_or_writes(shop):
    head = "-- A view.\n-- grain: user_id\n"
    shop.settings(RULES + CLUSTERS.replace("rfm", "own"))
    for body in (
        "select user_id, count(*) as x from read_csv('data/x.csv') group by user_id",
        "copy (select 1) to 'data/x.csv'",
        "select user_id, count(*) as x from events group by user_id; drop table events",
        "select user_id, count(*) as x from (select * from query('from events')) group by user_id",
    ):
        shop.write("sql/features/own__v1.sql", head + body)
        ran = shop.sqlseg("refresh")
        assert (ran.code, "own__v1.sql:3:" in ran.err) == (1, True), ran.err


def test_a_path_that_is_put_together_is_refused_while_it_is_read(shop, outside):
    shop.write("sql/users.sql", f"select user_id\nfrom read_parquet('{outside}/' || 'x.parquet')")
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert "sql/users.sql, line 2" in ran.err
    assert "lies outside of what this project's SQL may read" in ran.err


def test_sources_and_declared_folders_elsewhere_are_read(shop, outside):
    shop.settings(RULES + f'\n[sources.crm]\npath = "{outside}/x.duckdb"\n\n[events]\npaths = ["data/", "{outside}"]\n')
    shop.write("sql/users.sql", f"select user_id from crm.t union all from read_csv('{outside}/x.csv') limit 1")
    assert shop.sqlseg("plan").code == 0
    assert shop.sqlseg("refresh").code == 0
    assert shop.rows("select user_id from sqlseg.users") == [("secret",)]


def test_a_project_that_is_reached_over_a_link(shop, tmp_path):
    link = tmp_path / "by_another_name"
    link.symlink_to(shop.directory)
    ran = call_sqlseg("refresh", "--project", str(link))
    assert ran.code == 0, ran.err
    shop.events(*EVENTS, bought("eve", "2024-03-02 10:00", 5))
    ran = call_sqlseg("refresh", "--project", os.path.relpath(link))
    assert ran.code == 0, ran.err


def test_a_query_reads_declared_folders_and_nothing_else(shop, outside, monkeypatch):
    assert shop.sqlseg("refresh").code == 0
    monkeypatch.chdir(shop.directory)
    assert "2" in shop.sqlseg("query", "select count(*) from 'data/events.parquet'", "--csv").out
    for sql in reads(outside):
        ran = shop.sqlseg("query", sql)
        assert (ran.code, ran.out) == (1, "")
        assert "the query:1: " in ran.err
    ran = shop.sqlseg("query", f"select * from read_csv('{outside}' || '/x.csv')")
    assert (ran.code, ran.out) == (1, "")
    assert "lies outside" in ran.err
    shop.write("asked.sql", "select 1 as a\nfrom read_csv('/etc/passwd')")
    assert "asked.sql:2: '/etc/passwd' lies outside" in shop.sqlseg("query", "asked.sql").err


def test_a_new_project_declares_a_source_that_lies_elsewhere(tmp_path, shop):
    source = shop.directory / "data" / "events.parquet"
    made = tmp_path / "made"
    assert call_sqlseg("init", str(made), "--events", str(source)).code == 0
    assert f'paths = ["{shop.directory}/data/"]' in (made / "sqlseg.toml").read_text()
    ran = call_sqlseg("refresh", "--project", str(made))
    assert ran.code == 0, ran.err
