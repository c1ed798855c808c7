"""Sources that cannot be read, or whose rows make no events: which file, which column, and what to write instead."""

import contextlib
import gzip
import io

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken_projects import Broken, explains_itself, toml

HEAD = "user_id,event_time,event_type,price\n"
ROW = "ann,2024-03-01 10:00:00,purchase,5\n"
CRM = {
    "sqlseg.toml": toml('[sources.crm]\npath = "crm.duckdb"\n'),
    "sql/events.sql": "select * from crm.orders",
}


def reads(function, name="data/orders.csv"):
    return f"select * from {function}('{name}')"


def csv(content, function="read_csv"):
    return {"data/orders.csv": content, "sql/events.sql": reads(function)}


def events(columns, rest=""):
    return {"sql/events.sql": f"select {columns}\n{rest}"}


def parquet(table):
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


WHOLE = parquet(pa.table({"user_id": ["ann"] * 500, "event_time": ["2024-03-01"] * 500, "event_type": ["view"] * 500}))


def with_parquet(content):
    return {"data/orders.parquet": content, "sql/events.sql": reads("read_parquet", "data/orders.parquet")}


def two_schemas(shop):
    pq.write_table(
        pa.table({"user_id": ["a"], "event_time": ["2024-03-01"], "event_type": ["view"]}),
        shop.directory / "data/a.parquet",
    )
    pq.write_table(pa.table({"customer": ["a"], "at": ["2024-03-01"]}), shop.directory / "data/b.parquet")


def source_database(*statements, name="crm.duckdb"):
    def make(shop):
        with duckdb.connect(str(shop.directory / name)) as connection:
            for statement in statements:
                connection.execute(statement)

    return make


def of_a_later_duckdb(shop):
    source_database("create table orders (user_id varchar)")(shop)
    path = shop.directory / "crm.duckdb"
    content = bytearray(path.read_bytes())
    content[12:20] = (9999).to_bytes(8, "little")
    words = np.frombuffer(content[8:4096], dtype="<u8")
    checksum = np.bitwise_xor.reduce(words * np.uint64(0xBF58476D1CE4E5B9)) ^ np.uint64(5381)
    content[:8] = int(checksum).to_bytes(8, "little")
    path.write_bytes(content)


def encrypted(shop):
    with duckdb.connect() as connection:
        with contextlib.suppress(duckdb.Error):  # 2.0 has no other way to write one without an extension
            connection.execute("set force_mbedtls_unsafe = true")
        connection.execute(f"attach '{shop.directory / 'crm.duckdb'}' as crm (encryption_key 'secret')")
        connection.execute("create table crm.orders as select 1 as user_id")
        connection.execute("detach crm")


THREE = "'ann' as user_id, timestamp '2024-03-01' as event_time, 'view' as event_type"

CASES = [
    # -- Parquet
    Broken(
        "an empty Parquet file",
        ("{shop}/sql/events.sql, line 1: Invalid Input Error: File 'data/orders.parquet' too small to be a",),
        with_parquet(b""),
    ),
    Broken(
        "a Parquet file cut short",
        ("{shop}/sql/events.sql, line 1: Invalid Input Error: No magic bytes found at end of file",),
        with_parquet(WHOLE[:-200]),
    ),
    Broken(
        "a Parquet file damaged inside",
        ("{shop}/sql/events.sql, line 1: TProtocolException: Invalid data",),
        with_parquet(WHOLE[:10] + bytes(len(WHOLE) // 3) + WHOLE[10 + len(WHOLE) // 3 :]),
    ),
    Broken(
        "a CSV called Parquet",
        ("{shop}/sql/events.sql, line 1: Invalid Input Error: No magic bytes found at end of file",),
        with_parquet(HEAD + ROW),
    ),
    Broken(
        "a Parquet file without rows",
        ("{shop}/sql/events.sql returns no rows.", "Check the source it reads and its WHERE clause."),
        with_parquet(
            parquet(
                pa.table(
                    {
                        "user_id": pa.array([], pa.string()),
                        "event_time": pa.array([], pa.timestamp("us")),
                        "event_type": pa.array([], pa.string()),
                    }
                )
            )
        ),
    ),
    Broken(
        "Parquet files of two shapes",
        ('{shop}/sql/events.sql: Invalid Input Error: Failed to read file "data/b.parquet": schema mismatch',),
        {"sql/events.sql": "select * from read_parquet('data/?.parquet')"},
        breaks=two_schemas,
    ),
    Broken(
        "a pattern that matches nothing",
        ("{shop}/sql/events.sql, line 1: IO Error: No files found that match the pattern",),
        {"sql/events.sql": "select * from read_parquet('data/2024-*.parquet')"},
    ),
    # -- CSV
    Broken(
        "an empty CSV",
        (
            "{shop}/sql/events.sql has no column user_id, event_time, event_type; it returns: column0.",
            "Rename with `... as user_id`; user_id, event_time and event_type are required.",
        ),
        csv(""),
    ),
    Broken(
        "a CSV of a header alone",
        ("{shop}/sql/events.sql returns no rows.", "Check the source it reads and its WHERE clause."),
        csv(HEAD),
    ),
    Broken(
        "a CSV without header",
        (
            "{shop}/sql/events.sql has no column user_id, event_time, event_type; it returns: column0,",
            "Rename with `... as user_id`; user_id, event_time and event_type are required.",
        ),
        csv(ROW * 3),
    ),
    Broken(
        "a quote that is never closed",
        (
            "2 of 30 source rows cannot be used (duplicate: 1, unreadable time: 1).",
            "groups: 2 segments were asked for, but the users form 1 only.",
        ),
        csv(HEAD + "".join(ROW.replace("01 10", f"{n:02} 10") for n in range(1, 29)) + 'ann,"2024-03-01,view,\n' + ROW),
        code=0,
    ),
    Broken(
        "a row with too many columns",
        (
            '{shop}/sql/events.sql, line 1: Invalid Input Error: Error when sniffing file "data/orders.csv".',
            "* Set delimiter (e.g., delim",
        ),
        csv(HEAD + ROW * 3000 + "ann,2024-03-01 10:00:00,purchase,5,6,7\n"),
    ),
    Broken(
        "Latin-1",
        ("{shop}/sql/events.sql, line 1: Invalid Input Error: CSV Error on Line: 52",),
        csv((HEAD + ROW * 50 + ROW.replace("ann", "zoë")).encode("latin-1")),
    ),
    Broken(
        "UTF-16",
        ("{shop}/sql/events.sql, line 1: Invalid Input Error: CSV Error on Line: 1",),
        csv((HEAD + ROW * 5).encode("utf-16")),
    ),
    Broken(
        "text among the prices",
        (
            "{shop}/sql/events.sql: Conversion Error: CSV Error on Line: 30002",
            "* Check whether the null string value is set correctly (e.g., nullstr = 'N/A')",
        ),
        csv(HEAD + ROW * 30_000 + ROW.replace(",5", ",five")),
    ),
    Broken(
        "a gzip file cut short",
        ("{shop}/sql/events.sql, line 1: ", "data/orders.csv.gz"),
        {
            "data/orders.csv.gz": gzip.compress((HEAD + ROW * 5000).encode())[:-30],
            "sql/events.sql": reads("read_csv", "data/orders.csv.gz"),
        },
    ),
    Broken(
        "no gzip file",
        ("{shop}/sql/events.sql, line 1: IO Error: Input is not a GZIP stream: data/orders.csv.gz",),
        {"data/orders.csv.gz": HEAD + ROW, "sql/events.sql": reads("read_csv", "data/orders.csv.gz")},
    ),
    Broken(
        "JSON cut short",
        ('{shop}/sql/events.sql, line 1: Invalid Input Error: Malformed JSON in file "data/o.json", at byte',),
        {"data/o.json": '[{"user_id": "ann", "event_ti', "sql/events.sql": reads("read_json", "data/o.json")},
    ),
    # -- columns
    Broken(
        "a column of another name",
        (
            "{shop}/sql/events.sql has no column user_id; it returns: customer, event_time, event_type, price.",
            "Rename with `... as user_id`; user_id, event_time and event_type are required.",
        ),
        csv(HEAD.replace("user_id", "customer") + ROW),
    ),
    Broken(
        "a column twice",
        (
            "Columns of the source that no canonical event has: user_id_1.",
            "groups: 2 segments were asked for, but the users form 1 only.",
        ),
        events(THREE + ", 'bob' as user_id"),
        code=0,
    ),
    Broken(
        "Unix seconds for times",
        (
            "{shop}/sql/events.sql: event_time is INTEGER, not a time.",
            "Convert it, for instance `make_timestamp(event_time * 1000000) as event_time`",
        ),
        events("'ann' as user_id, 1709287200 as event_time, 'view' as event_type"),
    ),
    Broken(
        "Unix seconds as text",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (unreadable time: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("'ann' as user_id, '1709287200' as event_time, 'view' as event_type"),
    ),
    Broken(
        "times that are none",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (unreadable time: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("'ann' as user_id, 'last Friday' as event_time, 'view' as event_type"),
    ),
    Broken(
        "a time of day alone",
        (
            "{shop}/sql/events.sql: event_time is TIME, not a time.",
            "Add the day to it: `day + event_time as event_time`.",
        ),
        events("'ann' as user_id, time '10:00' as event_time, 'view' as event_type"),
    ),
    Broken(
        "times in the year 200000",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (time after exported_at: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("'ann' as user_id, timestamp '200000-01-01' as event_time, 'view' as event_type"),
    ),
    Broken(
        "endless times",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (unreadable time: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("'ann' as user_id, 'infinity'::timestamp as event_time, 'view' as event_type"),
    ),
    Broken(
        "nobody",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (no user: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("null as user_id, timestamp '2024-03-01' as event_time, 'view' as event_type"),
    ),
    Broken(
        "users of white space",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (no user: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("'  ' as user_id, timestamp '2024-03-01' as event_time, 'view' as event_type"),
    ),
    Broken(
        "no type",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (no event type: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("'ann' as user_id, timestamp '2024-03-01' as event_time, null as event_type"),
    ),
    Broken(
        "a price in words",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (unreadable price: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events(THREE + ", 'five' as price"),
    ),
    Broken(
        "a price with a comma",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (unreadable price: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events(THREE + ", '12,50' as price"),
    ),
    Broken(
        "an endless price",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (price is not finite: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events(THREE + ", 'inf'::double as price"),
    ),
    Broken(
        "a list of prices",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (unreadable price: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events(THREE + ", [1, 2] as price"),
    ),
    Broken(
        "a day in the calendar's last year",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (time after exported_at: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("'ann' as user_id, timestamp '9999-12-31 23:00' as event_time, 'view' as event_type"),
    ),
    Broken(
        "a day before the calendar",
        (
            "{shop}/sql/events.sql returns 1 rows, and none is usable (unreadable time: 1).",
            "Correct the columns in that file; `sqlseg init` shows how each canonical column",
        ),
        events("'ann' as user_id, timestamp '0044-03-15 (BC)' as event_time, 'view' as event_type"),
    ),
    # -- events.sql
    Broken(
        "an empty events.sql",
        ("{shop}/sql/events.sql: Expected exactly one SELECT, got: nothing.",),
        {"sql/events.sql": ""},
    ),
    Broken(
        "a comment alone",
        ("{shop}/sql/events.sql: Expected exactly one SELECT, got: nothing.",),
        {"sql/events.sql": "-- later\n"},
    ),
    Broken(
        "SQL in UTF-16",
        ("{shop}/sql/events.sql:1: this is not UTF-8 text.", "Save the file as UTF-8."),
        {"sql/events.sql": f"select {THREE}".encode("utf-16")},
    ),
    Broken(
        "SQL in Latin-1",
        ("{shop}/sql/events.sql:1: this is not UTF-8 text.", "Save the file as UTF-8."),
        {"sql/events.sql": f"select {THREE} -- für alle".encode("latin-1")},
    ),
    Broken(
        "a zero byte in SQL",
        ("{shop}/sql/events.sql:1: there is a zero byte in the text.", "Save the file as UTF-8 text."),
        {"sql/events.sql": f"select {THREE}\0"},
    ),
    Broken(
        "a question mark in SQL",
        ("{shop}/sql/events.sql: Invalid Input Error: Values were not provided for the following",),
        events(THREE + ", ? as price"),
    ),
    Broken(
        "SQL nested without end",
        ('{shop}/sql/events.sql: Parser Error: Max expression depth limit of 1000 exceeded. Use "SET',),
        events(THREE + ", " + "abs(" * 2000 + "1" + ")" * 2000 + " as price"),
    ),
    Broken(
        "a sum of 5,000 numbers",
        ('{shop}/sql/events.sql: Parser Error: Max expression depth limit of 1000 exceeded. Use "SET',),
        events(THREE + ", " + " + ".join(["1"] * 5000) + " + 'x' as price"),
    ),
    Broken(
        "a file of another folder",
        (
            "{shop}/sql/events.sql:1: '/etc/passwd' lies outside the folders that this project's SQL may read.",
            "Allowed: {shop}. Add its folder to paths under [events] in sqlseg.toml, such as",
        ),
        {"sql/events.sql": "select * from read_csv('/etc/passwd')"},
    ),
    Broken(
        "a file on the web",
        (
            "{shop}/sql/events.sql:1: 'https://example.com/orders.parquet' is not on this machine.",
            "Fetch the file first: sqlseg reads nothing over a network.",
        ),
        {"sql/events.sql": "select * from 'https://example.com/orders.parquet'"},
    ),
    Broken(
        "an error of its own",
        ("{shop}/sql/events.sql: Invalid Input Error: no orders today",),
        events("error('no orders today') as user_id, now()::timestamp as event_time, 'v' as event_type"),
    ),
    Broken(
        "an aggregate in WHERE",
        ("{shop}/sql/events.sql, line 2: Binder Error: WHERE clause cannot contain aggregates!",),
        events(THREE, "where sum(1) > 0"),
    ),
    Broken(
        "a division of texts",
        ("{shop}/sql/events.sql, line 1: Binder Error: Could not choose a best candidate function for the",),
        events(THREE + ", 'a' / 'b' as price"),
    ),
    # -- databases
    Broken(
        "no database",
        (
            "Source 'crm' cannot be attached: {shop}/crm.duckdb cannot be read as a DuckDB database: IO Error:",
            "Check that path names a DuckDB file that is whole; an SQLite file needs type =",
        ),
        {**CRM, "crm.duckdb": b"user_id,event_time\n" * 500},
    ),
    Broken(
        "an empty file for a database",
        (
            "Source 'crm' cannot be attached: {shop}/crm.duckdb cannot be read as a DuckDB database: IO Error:",
            "Check that path names a DuckDB file that is whole; an SQLite file needs type =",
        ),
        {**CRM, "crm.duckdb": b""},
    ),
    Broken(
        "SQLite declared as DuckDB",
        (
            "Source 'crm' cannot be attached: DuckDB's extension 'sqlite' is not installed here.",
            'Install it once, where there is a network: python -c "import duckdb;',
        ),
        {**CRM, "crm.duckdb": b"SQLite format 3\0" + bytes(8000)},
    ),
    Broken(
        "a database of a later DuckDB",
        (
            "Source 'crm' cannot be attached: {shop}/crm.duckdb cannot be read as a DuckDB database: ",
            "A later DuckDB wrote it: `pip install --upgrade duckdb`",
        ),
        CRM,
        breaks=of_a_later_duckdb,
    ),
    Broken(
        "an encrypted database",
        (
            "Source 'crm' cannot be attached: {shop}/crm.duckdb is encrypted.",
            "Sources are read without a key: write what is needed of it into a DuckDB or",
        ),
        CRM,
        breaks=encrypted,
    ),
    Broken(
        "a table that the source does not have",
        ("{shop}/sql/events.sql, line 1: Catalog Error: Table with name orders does not exist!",),
        CRM,
        breaks=source_database("create table order_lines (user_id varchar)"),
    ),
    Broken(
        "a source that is not declared",
        ('{shop}/sql/events.sql, line 1: Catalog Error: Table with name "crm.orders" does not exist because',),
        {"sql/events.sql": "select * from crm.orders"},
    ),
    Broken(
        "a server without its extension",
        (
            "Source 'pg' cannot be attached: DuckDB's extension 'postgres' is not installed here.",
            'Install it once, where there is a network: python -c "import duckdb;',
        ),
        {"sqlseg.toml": toml('[sources.pg]\ntype = "postgres"\npath = "host=127.0.0.1 port=1"\n')},
    ),
    # -- attributes
    Broken(
        "users without id",
        ("{shop}/sql/users.sql has no column user_id; it returns: customer.",),
        {"sql/users.sql": "select 'ann' as customer"},
    ),
    Broken(
        "users that cannot be parsed",
        ('{shop}/sql/users.sql, line 2: Parser Error: syntax error at or near "where"',),
        {"sql/users.sql": "select 'ann' as user_id,\nfrom where"},
    ),
    Broken(
        "users of an unknown file",
        ('{shop}/sql/users.sql, line 1: IO Error: No files found that match the pattern "data/users.csv"',),
        {"sql/users.sql": "select * from read_csv('data/users.csv')"},
    ),
    Broken(
        "items twice",
        (
            "{shop}/sql/items.sql returns item_id 'mug' 2 times.",
            "Return one row a item_id, for instance with `group by` or `distinct on",
        ),
        {"sql/items.sql": "select unnest(['mug', 'mug', 'cup']) as item_id"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_wrong_in_the_source_is_explained(case, sound_shops, tmp_path):
    explains_itself(case, sound_shops, tmp_path / "shop")
