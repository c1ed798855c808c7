import pytest

from sqlseg.engine import memory
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.memory import give_back_memory

ROWS = 1_000_000


def held(engine, tag):
    return engine.value("select memory_usage_bytes from duckdb_memory() where tag = $tag", {"tag": tag})


@pytest.mark.parametrize("limit", ["300MB", None])
def test_what_lies_on_disk_is_let_go_of_and_nothing_else(tmp_path, limit):
    with Engine.open(tmp_path / "shop.duckdb", memory_limit=limit) as engine:
        columns = ", ".join(f"hash(range + {n}) as c{n}" for n in range(8))
        engine.execute(f"create table stored as select {columns} from range({ROWS})")
        sums = engine.row("select sum(c0), sum(c7) from stored")
        before = engine.value("select current_setting('memory_limit')")
        with engine.transaction():
            engine.execute("create table unfinished as select hash(range) as c from range(100000)")
            engine.execute("create temp table passing as select hash(range) as c from range(100000)")
            assert held(engine, "BASE_TABLE") > 50_000_000
            alive = held(engine, "IN_MEMORY_TABLE")
            assert alive > 1_000_000
            give_back_memory(engine, limit)
            assert held(engine, "BASE_TABLE") < 40_000_000
            assert held(engine, "IN_MEMORY_TABLE") == alive
            assert engine.rows("from duckdb_temporary_files()") == []
            assert engine.row("select count(*), count(distinct c) from unfinished natural join passing") == (
                100_000,
                100_000,
            )
            assert engine.row("select sum(c0), sum(c7) from stored") == sums
        assert engine.value("select current_setting('memory_limit')") == before


def test_what_cannot_be_let_go_of_stays(monkeypatch):
    monkeypatch.setattr(memory, "_BEING_WRITTEN", -1_000_000)
    with Engine.open(None, memory_limit="100MB") as engine:
        engine.execute("set temp_directory = ''")
        engine.execute(f"create table unfinished as select hash(range) as c from range({ROWS})")
        before = engine.value("select current_setting('memory_limit')")
        with engine.transaction():
            engine.execute("create table another as select 1 as c")
            give_back_memory(engine, "100MB")
        assert engine.row("select count(*) from unfinished, another") == (ROWS,)
        assert engine.value("select current_setting('memory_limit')") == before
