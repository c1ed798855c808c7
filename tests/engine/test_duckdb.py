"""The connection as the rest of sqlseg sees it: drained results, one family of errors, all or nothing."""

from unittest.mock import Mock

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sqlseg.engine.arrow import Lent
from sqlseg.engine.duckdb import ROW_GROUP_SIZE, Engine, quoted
from sqlseg.engine.errors import (
    DatabaseDamaged,
    DatabaseLocked,
    DiskFull,
    OutOfMemory,
    PathNotWritable,
    QueryFailed,
    explained,
)
from sqlseg.engine.warehouse import (
    MissingSource,
    NewerWarehouse,
    Source,
    attach_sources,
    comment_on,
    comments,
    prepare_warehouse,
)
from sqlseg.errors import SqlsegError
from sqlseg.names import PUBLISHED_TABLES, WAREHOUSE_TABLES


@pytest.fixture
def engine():
    with Engine.open(None, threads=1) as engine:
        yield engine


def test_results_in_every_shape(engine):
    assert engine.rows("select * from range(2)") == [(0,), (1,)]
    assert engine.row("select 1, 2") == (1, 2)
    assert engine.row("select 1 where false") is None
    assert engine.value("select $n + 1", {"n": 1}) == 2
    assert engine.value("select 1 where false") is None
    assert engine.table("select 1 as a, null::varchar as b").to_pylist() == [{"a": 1, "b": None}]
    assert engine.describe("select 1 as a, 'x' as b") == {"a": "INTEGER", "b": "VARCHAR"}


def test_a_statement_leaves_nothing_open(engine):
    # An undrained result would block the connection, or lose rows, by release.
    engine.execute("select * from range(100000)")
    engine.execute("create table t as select * from range(10); insert into t select * from range(10)")
    with engine.registered("arrow", pa.table({"x": [1, 2, 3]})):
        assert engine.value("select sum(x) from arrow") == 6
    with pytest.raises(QueryFailed):
        engine.rows("from arrow")
    assert engine.value("select count(*) from t") == 20


def test_user_text_is_bound_and_never_run(engine):
    engine.execute("create table t (x varchar)")
    engine.execute("insert into t values ($x)", {"x": "'); drop table t; --"})
    assert engine.rows("select x from t where x = $x", {"x": "'); drop table t; --"}) == [("'); drop table t; --",)]


def test_a_transaction_keeps_all_or_nothing(engine):
    engine.execute("create table t (x int)")
    with engine.transaction():
        engine.execute("insert into t values (1)")
    for failure in (ValueError, KeyboardInterrupt):
        with pytest.raises(failure), engine.transaction():
            engine.execute("insert into t values (2)")
            raise failure
    with pytest.raises(QueryFailed), engine.transaction():
        engine.execute("insert into t values (3)")
        engine.execute("select error('boom')")
    assert engine.rows("select x from t") == [(1,)]


def test_a_function_over_arrow(engine):
    engine.create_vector_function("twice", lambda x: pc.multiply(x, 2).combine_chunks(), ["BIGINT"], "BIGINT")
    assert engine.value("select sum(twice(range)) from range(5000)") == 2 * sum(range(5000))
    engine.drop_function("twice")
    with pytest.raises(QueryFailed):
        engine.rows("select twice(1)")


def test_what_breaks_a_transaction_is_told_and_not_what_it_leaves_behind(engine):
    broken = engine.transaction(), engine.registered("rows", pa.table({"n": [1]}))
    with pytest.raises(KeyboardInterrupt), broken[0], broken[1]:
        with pytest.raises(SqlsegError):
            engine.execute("select error('broken off') from rows")
        raise KeyboardInterrupt
    with engine.registered("rows", pa.table({"n": [2]})):
        assert engine.value("select n from rows") == 2


def test_a_ctrl_c_while_a_table_is_registered_is_one(engine, monkeypatch):
    text = "Invalid Input Error: counting the rows of the object registered as 'rows' failed: KeyboardInterrupt: "
    connection = Mock(**{"register.side_effect": duckdb.InvalidInputException(text)})
    monkeypatch.setattr(engine, "_connection", connection)
    with pytest.raises(KeyboardInterrupt), engine.registered("rows", pa.table({"n": [1]})):
        raise AssertionError("never reached")
    connection.register.side_effect = duckdb.InvalidInputException("Invalid Input Error: no such thing")
    with pytest.raises(SqlsegError, match="no such thing"), engine.registered("rows", pa.table({"n": [1]})):
        raise AssertionError("never reached")


@pytest.mark.parametrize("answered", [0, 1])
def test_a_ctrl_c_while_a_registered_table_is_read_is_one(engine, monkeypatch, answered):
    """DuckDB asks for it once for its columns, and again for its rows, and has other words for each."""
    answers, answer = iter(range(answered)), Lent.__arrow_c_stream__

    def stopped(table, schema=None):
        if next(answers, None) is None:
            raise KeyboardInterrupt
        return answer(table, schema)

    with pytest.raises(KeyboardInterrupt), engine.registered("rows", pa.table({"n": [1]}), large=True):
        monkeypatch.setattr(Lent, "__arrow_c_stream__", stopped)
        engine.rows("select n from rows")
    monkeypatch.undo()
    with engine.registered("others", pa.table({"n": [2]})):
        assert engine.value("select n from others") == 2


def test_a_ctrl_c_before_a_function_begins_is_one(engine, monkeypatch):
    """The function is called by a wrapper, in which it may come as well."""
    text = "Invalid Input Error: Python exception occurred while executing the UDF: KeyboardInterrupt: "
    monkeypatch.setattr(engine, "_connection", Mock(**{"execute.side_effect": duckdb.InvalidInputException(text)}))
    with pytest.raises(KeyboardInterrupt):
        engine.rows("select twice(1)")


def test_a_problem_inside_a_function_comes_out_as_it_is(engine):
    def refuse(x):
        raise SqlsegError("No.", hint="Ask again.")

    engine.create_vector_function("refuse", refuse, ["BIGINT"], "BIGINT")
    with pytest.raises(SqlsegError) as error:
        engine.rows("select refuse(range) from range(3)")
    assert (error.value.message, error.value.hint) == ("No.", "Ask again.")
    with pytest.raises(QueryFailed):
        engine.rows("selec")


@pytest.mark.parametrize("text", ["", "select 1; select 2", "delete from t", "set threads = 1"])
def test_a_view_is_exactly_one_select(engine, text):
    engine.execute("create table t as select 1 as x")
    with pytest.raises(QueryFailed, match="exactly one SELECT"):
        engine.create_temp_view("asked", text)
    assert engine.rows("from t") == [(1,)]


def test_the_line_of_an_error_is_that_of_the_text(engine):
    for text in ("select 1,\n  nothing", "select 1\nfrom where", "select 1\nfrom nowhere"):
        with pytest.raises(QueryFailed, match="LINE 2:"):
            engine.create_temp_view("asked", text)


def test_with_is_a_select_and_a_comment_may_end_it(engine):
    engine.create_temp_view("asked", "with x as (select 1 as y) select * from x -- done")
    assert engine.rows("from asked") == [(1,)]


@pytest.mark.parametrize("name", ["plain", 'a "b"', "select", "x; drop table t", "é☕"])
def test_any_text_can_be_a_name(engine, name):
    engine.execute(f"create table {quoted(name)} as select 1 as {quoted(name)}")
    assert engine.columns("main", name) == {name: "INTEGER"}
    assert engine.relation_exists("main", name)


@pytest.mark.parametrize(
    ("text", "kind", "fragment"),
    [
        (
            'IO Error: Could not set lock on file "/x/w.duckdb": Conflicting lock is held in /usr/bin/python (PID 12)',
            DatabaseLocked,
            "PID 12",
        ),
        ('IO Error: Could not set lock on file "/x/w.duckdb": other', DatabaseLocked, "/x/w.duckdb"),
        ("IO Error: Could not write file: No space left on device", DiskFull, "full"),
        ("Out of Memory Error: failed to allocate", OutOfMemory, "memory_limit"),
        ("IO Error: The file is not a valid DuckDB database file!", DatabaseDamaged, "backup"),
        ('IO Error: Cannot open file "x": Permission denied', PathNotWritable, "permissions"),
        ("Binder Error: no such column", QueryFailed, "no such column"),
    ],
)
def test_errors_of_the_database_are_explained(text, kind, fragment):
    error = explained(Exception(text))
    assert type(error) is kind
    assert fragment in f"{error.message} {error.hint}"


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "w.duckdb"
    path.write_text("not a database" * 500)
    with pytest.raises(DatabaseDamaged, match=r"w\.duckdb"):
        Engine.open(path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(SqlsegError, match="nowhere"):
        Engine.open(tmp_path / "nowhere" / "w.duckdb")


def test_a_connection_beside_sees_what_is_committed_and_its_own(tmp_path):
    with Engine.open(tmp_path / "a.duckdb") as engine:
        engine.execute("create table kept as select 1 as n")
        with engine.transaction(), engine.beside() as beside:
            engine.execute("insert into kept values (2)")
            beside.create_vector_function("doubled", lambda n: pc.multiply(n, 2), ["bigint"], "bigint")
            with beside.registered("given", pa.table({"n": [3, 4]})):
                assert beside.rows("select doubled(n) from given order by 1") == [(6,), (8,)]
            assert beside.rows("select n from kept") == [(1,)]
        assert engine.value("select count(*) from kept") == 2


def test_reading_only(tmp_path):
    path = tmp_path / "w.duckdb"
    Engine.open(path).close()
    with Engine.open(path, read_only=True) as engine, pytest.raises(SqlsegError):
        engine.execute("create table t (x int)")


GROUPS = (
    "select count from pragma_storage_info('{}') where column_id = 0 and segment_type <> 'VALIDITY' order by 1 desc"
)


def rows_of_groups(engine, table):
    return [count for (count,) in engine.rows(GROUPS.format(table))]


@pytest.mark.parametrize("name", ["shop", "memory", "main", "temp", "pg_catalog", "a b", "it's", ".hidden", "x.y"])
def test_a_file_is_opened_under_the_name_that_duckdb_gives_it(tmp_path, name):
    path = tmp_path / f"{name}.duckdb"
    with duckdb.connect(str(path)) as connection:
        (called,) = connection.execute("select current_database()").fetchone()
        connection.execute("create schema features; create table features.kept as select 1 as n")
    with Engine.open(path) as engine:
        databases = "select database_name from duckdb_databases() where not internal"
        assert engine.rows(f"{databases} union all select current_database()") == [(called,)] * 2
        assert engine.relation_exists("features", "kept")
        engine.execute("create table kept as select 2 as n")
        with engine.beside() as beside:
            assert beside.value("select current_database()") == called
            assert beside.value("from main.kept") == 2
        engine.confine([tmp_path / "data"])
        engine.execute("insert into kept values (3)")
        engine.checkpoint()
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("from kept order by n").fetchall() == [(2,), (3,)]


def test_a_file_may_be_opened_twice(tmp_path):
    path = tmp_path / "memory.duckdb"
    with Engine.open(path) as one, Engine.open(path) as other:
        one.execute("create table t as select 1 as n")
        assert other.value("from t") == 1
        one.close()
        other.execute("insert into t values (2)")
    with Engine.open(path, read_only=True) as reader:
        assert reader.value("select sum(n) from t") == 3


def test_what_is_written_is_compressed_in_small_groups_of_rows(tmp_path):
    path = tmp_path / "w.duckdb"
    with Engine.open(path) as engine:
        engine.execute(f"create table t as select range as n from range({2 * ROW_GROUP_SIZE + 7_600})")
        engine.checkpoint()
        assert rows_of_groups(engine, "t") == [ROW_GROUP_SIZE, ROW_GROUP_SIZE, 7_600]
    assert not path.with_name("w.duckdb.wal").exists()


def test_larger_groups_of_rows_in_a_file_stay(tmp_path):
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table t as select range as n, range as m from range(200_000)")
    with duckdb.connect(str(path)) as connection:
        # What is left in the log is taken over in groups of another size as well.
        connection.execute("pragma disable_checkpoint_on_shutdown")
        connection.execute(
            "delete from t where n % 1000 = 0; insert into t select range, 0 from range(200_000, 400_000)"
        )
    assert path.with_name("w.duckdb.wal").exists()
    with Engine.open(path) as engine:
        engine.execute("delete from t where n % 1000 = 1; update t set m = -1 where n % 1000 = 2")
        engine.execute("insert into t select range, 0 from range(400_000, 500_000)")
        engine.checkpoint()
        assert rows_of_groups(engine, "t")[0] == 122_880
    with duckdb.connect(str(path)) as connection:
        counts = "select count(*), count(distinct n), sum(n), count(*) filter (m = -1) from t"
        found = connection.execute(counts).fetchone()
        left = set(range(500_000)) - set(range(0, 200_000, 1000)) - set(range(1, 400_000, 1000))
        assert found == (len(left), len(left), sum(left), 400)


# -- the warehouse -----------------------------------------------------------------------------------------------


def test_a_warehouse_is_made_once(tmp_path):
    path = tmp_path / "w.duckdb"
    with Engine.open(path) as engine:
        prepare_warehouse(engine)
        engine.execute("insert into quality.rejection values ('run', 'reason', 1)")
    with Engine.open(path) as engine:
        prepare_warehouse(engine)
        assert engine.rows("from quality.rejection") == [("run", "reason", 1)]
        for relation in (*PUBLISHED_TABLES, *WAREHOUSE_TABLES):
            text, columns = comments(engine)[relation.schema, relation.name]
            assert text, relation
            assert columns.keys() == engine.columns(relation.schema, relation.name).keys(), relation
        engine.execute("update sqlseg.warehouse set format = format + 1")
        with pytest.raises(NewerWarehouse, match="newer sqlseg"):
            prepare_warehouse(engine)


def test_comments_hold_any_text(engine):
    engine.execute('create table t (x int, "a ""b""" int)')
    comment_on(engine, "table", "t", "It's 100% — done; --", {"x": "é '", 'a "b"': "quoted"})
    assert comments(engine)["main", "t"] == ("It's 100% — done; --", {"x": "é '", 'a "b"': "quoted"})


def test_sources_are_attached_for_reading_only(engine, tmp_path):
    path = tmp_path / "it's here.duckdb"
    with Engine.open(path) as other:
        other.execute("create table orders as select 7 as n")
    attach_sources(engine, {"crm": Source("crm", "duckdb", str(path))})
    assert engine.value("select n from crm.orders") == 7
    with pytest.raises(SqlsegError):
        engine.execute("delete from crm.orders")


def test_a_source_that_is_not_there_or_no_database(engine, tmp_path):
    (tmp_path / "text.duckdb").write_text("text" * 5000)
    for path, fragment in [("nowhere.duckdb", "[sources.crm]"), ("text.duckdb", "cannot be attached")]:
        with pytest.raises(MissingSource, match="'crm'") as error:
            attach_sources(engine, {"crm": Source("crm", "duckdb", str(tmp_path / path))})
        assert fragment in f"{error.value.message} {error.value.hint}"


def test_changes_may_be_written_at_once_and_into_no_log(tmp_path):
    path, log = tmp_path / "shop.duckdb", tmp_path / "shop.duckdb.wal"
    with Engine.open(path) as engine:
        limit = engine.value("select current_setting('wal_autocheckpoint')")
        with engine.transaction(logged=False):
            engine.execute("create table kept as select 1 as n")
        assert not log.exists()
        with pytest.raises(ZeroDivisionError), engine.transaction(logged=False):
            engine.execute("insert into kept values (2)")
            raise ZeroDivisionError
        assert engine.rows("from kept") == [(1,)]
        assert engine.value("select current_setting('wal_autocheckpoint')") == limit
        with engine.transaction():
            engine.execute("insert into kept values (3)")
        assert log.exists()
    with Engine.open(path, read_only=True) as engine:
        assert engine.rows("from kept order by n") == [(1,), (3,)]


def test_changes_may_wait_in_the_log_for_a_checkpoint_beside_other_work(tmp_path):
    path, log = tmp_path / "shop.duckdb", tmp_path / "shop.duckdb.wal"
    with Engine.open(path) as engine:
        limit = engine.value("select current_setting('wal_autocheckpoint')")
        with engine.transaction(checkpoint=False):
            engine.execute("create table t as select range as n, md5(range::varchar) as text from range(1_000_000)")
            engine.execute("create table small as select 1 as n")
        assert log.stat().st_size > 0
        assert engine.value("select current_setting('wal_autocheckpoint')") == limit
        with engine.beside() as other:
            other.checkpoint()
            assert engine.value("select count(*) from t") == 1_000_000
        assert not log.exists() or log.stat().st_size == 0
        with engine.transaction(checkpoint=False):
            engine.execute("insert into small values (2)")
    with Engine.open(path, read_only=True) as engine:
        assert engine.value("select sum(n) from small") == 3


def test_a_large_table_is_held_no_longer_than_it_is_registered(engine):
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    with engine.transaction():
        for large, held in ((True, 0), (False, 8_000_000)):
            rows = pa.table({"n": pa.array(range(1_000_000))})
            with engine.registered("rows", rows, large=large):
                del rows
                for _ in range(2):  # it is read as often as it is asked for
                    assert engine.row("select count(*), sum(n) from rows") == (1_000_000, 499_999_500_000)
                engine.execute("create or replace temp table kept as select * from rows")
            assert pool.bytes_allocated() - before == pytest.approx(held, abs=100_000)
        assert engine.value("select sum(n) from kept") == 499_999_500_000
    assert pool.bytes_allocated() == before
