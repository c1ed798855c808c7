"""Finding a source and looking at its columns."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.events.column_names import KEYWORDS, plain_identifier
from sqlseg.events.inspection import SourceProfile, UnusableEventSource, find_source, inspect_source


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine.open(None) as engine:
        yield engine


def look(engine: Engine, source: str, cwd: Path) -> SourceProfile:
    return inspect_source(engine, find_source(engine, source, cwd))


def write_table(engine: Engine, path: Path, name: str, select: str) -> None:
    engine.execute(f"attach '{path}' as target; create schema if not exists target.crm")
    engine.execute(f"create or replace table target.{name} as {select}; detach target")


def test_what_a_column_holds(engine: Engine, tmp_path: Path) -> None:
    engine.execute(
        "copy (select 'U' || (i % 7) as who, case when i % 4 = 0 then null else i - 5 end as quantity, "
        "['view', 'buy'][i % 2 + 1] as kind, timestamp '2026-01-01' + to_hours(i) as at, i::double as code "
        f"from range(100) t(i)) to '{tmp_path}/events.parquet'"
    )
    profile = look(engine, "events.parquet", tmp_path)
    assert profile.row_count == 100
    assert [(column.name, column.type) for column in profile.columns] == [
        ("who", "VARCHAR"), ("quantity", "BIGINT"), ("kind", "VARCHAR"), ("at", "TIMESTAMP"), ("code", "DOUBLE"),
    ]  # fmt: skip
    quantity, kind, at = profile.column("quantity"), profile.column("kind"), profile.column("at")
    assert (quantity.filled_share, quantity.minimum, quantity.maximum) == (0.75, -4, 94)
    assert quantity.negative_share == pytest.approx(3 / 75) and quantity.is_whole
    assert kind.choices == (("buy", 50), ("view", 50))
    assert at.day_share == pytest.approx(5 / 100) and not at.is_number
    assert profile.column("code").point_zero_share == 1


def test_looking_leaves_nothing_behind(engine: Engine, tmp_path: Path) -> None:
    write_table(engine, tmp_path / "crm.duckdb", "orders", "select 1 as user_id, now() as ts")
    look(engine, "crm.duckdb::orders", tmp_path)
    assert engine.rows("select table_name from duckdb_tables() union all select view_name from duckdb_views() "
                       "where not internal") == []  # fmt: skip
    assert engine.value("select count(*) from duckdb_databases() where not internal") == 1


def test_csv_is_read_as_text_with_its_own_delimiter(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("id;price\n007;12,50\n008;1.234,00\n")
    profile = look(engine, "shop.csv", tmp_path)
    assert "delim=';'" in profile.csv_options and "all_varchar=true" in profile.csv_options
    assert set(profile.column("id").examples) == {"007", "008"}
    price = profile.column("price")
    assert price.is_number and price.comma_share == 1 and (price.minimum, price.maximum) == (12.5, 1234)


def test_compressed_and_tab_separated(engine: Engine, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "shop.csv.gz", "wt") as file:
        file.write("user\ttime\n" + "a\t2026-01-01 10:00\n" * 5)
    assert [column.name for column in look(engine, "shop.csv.gz", tmp_path).columns] == ["user", "time"]


def test_latin_1(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_bytes("Käufer;Stück\nJörg;1\nAnna;2\n".encode("latin-1"))
    profile = look(engine, "shop.csv", tmp_path)
    assert [column.name for column in profile.columns] == ["Käufer", "Stück"]
    assert set(profile.column("Käufer").examples) == {"Jörg", "Anna"}


def test_folders_and_patterns(engine: Engine, tmp_path: Path) -> None:
    for month in ("01", "02"):
        (tmp_path / "data" / month).mkdir(parents=True)
        engine.execute(f"copy (select '{month}' as user_id) to '{tmp_path}/data/{month}/part.parquet'")
    for source in ("data", "data/*/*.parquet"):
        profile = look(engine, source, tmp_path)
        assert profile.row_count == 2
        assert profile.source.folder == tmp_path / "data"
    (tmp_path / "data" / "note.csv").write_text("a\n1\n")
    with pytest.raises(UnusableEventSource, match="several kinds"):
        find_source(engine, "data", tmp_path)


def test_tables(engine: Engine, tmp_path: Path) -> None:
    crm = tmp_path / "crm.duckdb"
    write_table(engine, crm, "orders", "select 1 as user_id")
    assert find_source(engine, "crm.duckdb", tmp_path).table == ("main", "orders")
    write_table(engine, crm, "crm.clicks", "select 2 as visitor")
    assert find_source(engine, "crm.duckdb::crm.clicks", tmp_path).table == ("crm", "clicks")
    assert [column.name for column in look(engine, "crm.duckdb::ORDERS", tmp_path).columns] == ["user_id"]
    for source in ("crm.duckdb", "crm.duckdb::sales"):
        with pytest.raises(UnusableEventSource) as caught:
            find_source(engine, source, tmp_path)
        assert caught.value.hint == "Choose one of: crm.duckdb::crm.clicks, crm.duckdb::orders."


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.parquet", "There is no file"),
        ("missing.duckdb::orders", "There is no database file"),
        ("data/*.parquet", "No file matches"),
        ("empty", "no Parquet or CSV file"),
        ("notes.docx", "no file that events can be read from"),
        ("broken.parquet", "cannot be read"),
        ("norows.csv", "has no rows"),
        ("empty.duckdb", "holds no tables"),
    ],
)
def test_unusable_sources_are_explained(engine: Engine, tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.docx").write_text("notes")
    (tmp_path / "broken.parquet").write_text("this is no parquet file")
    (tmp_path / "norows.csv").write_text("user_id,event_time\n")
    engine.execute(f"attach '{tmp_path}/empty.duckdb' as target; detach target")
    with pytest.raises(UnusableEventSource, match=message):
        look(engine, source, tmp_path)


def test_a_missing_file_lists_its_neighbours(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("a\n1\n")
    with pytest.raises(UnusableEventSource) as caught:
        find_source(engine, "order.csv", tmp_path)
    assert "orders.csv" in (caught.value.hint or "")


def test_every_reserved_word_of_the_installed_duckdb_is_quoted(engine: Engine) -> None:
    words = "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function')"
    assert {word for (word,) in engine.rows(words)} <= KEYWORDS
    for name in ["order", "user", "time", "Stück", 'a "b"', "2nd", "InvoiceNo", "group by"]:
        quoted = '"' + name.replace('"', '""') + '"'
        assert engine.value(f"select {plain_identifier(name)} from (select 7 as {quoted})") == 7
