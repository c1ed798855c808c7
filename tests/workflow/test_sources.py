"""Where events come from: attached databases, the warehouse itself, attributes, and real files."""

import os
from pathlib import Path

import duckdb
import pytest
from shops import RULES, bought, call_sqlseg, viewed

from sqlseg.settings import load_settings

EVENTS = [bought("ann", "2024-03-01 10:00", 150), viewed("eve", "2024-03-03 09:00")]


def test_the_warehouse_may_hold_the_shops_own_tables(make_shop):
    shop = make_shop(EVENTS)
    own = "select user_id, event_time, event_type, price from read_parquet('{}')".format(
        shop.directory / "data" / "events.parquet"
    )
    with duckdb.connect(str(shop.warehouse_file)) as connection:
        # Names that sqlseg uses itself, in the shop's own schema, with other columns.
        connection.execute(f"create table events as {own}")
        for table in ("users", "items", "holidays", "segment", "rfm"):
            connection.execute(f"create table {table} as select 'mine' as what")
    shop.write("sql/events.sql", "select * from events")
    shop.refresh()
    assert shop.segments_of() == {"ann": "High", "eve": "Browsers"}
    assert shop.refresh().plan.kind == "noop"
    assert shop.rows("select table_name from duckdb_tables() where schema_name = 'main' order by 1") == [
        ("events",),
        ("holidays",),
        ("items",),
        ("rfm",),
        ("segment",),
        ("users",),
    ]
    assert shop.rows("select * from users") == [("mine",)]
    assert shop.rows("select user_id from features.rfm order by 1") == [("ann",), ("eve",)]


def test_an_attached_database(make_shop):
    shop = make_shop(EVENTS)
    with duckdb.connect(str(shop.directory / "crm.duckdb")) as connection:
        connection.execute("create table orders as select 'bob' as customer, timestamp '2024-03-05' as t, 20.0 as paid")
    shop.settings('[sources.crm]\ntype = "duckdb"\npath = "crm.duckdb"\n' + RULES)
    shop.write(
        "sql/events.sql",
        "select customer as user_id, t as event_time, 'purchase' as event_type, paid as price from crm.orders",
    )
    shop.refresh()
    assert shop.segments_of() == {"bob": "Low"}
    assert "crm" not in {name for (name,) in shop.published("select database_name from duckdb_databases()")}


def test_attributes_reach_views_and_a_change_of_them_is_news(make_shop):
    shop = make_shop(EVENTS)
    shop.write("sql/users.sql", "select * from (values ('ann', 'gold'), ('bob', 'tin')) as t(user_id, card)")
    shop.write(
        "sql/segments/tier.sql",
        "select user_id, coalesce(card, 'none') as segment_name from features.rfm left join users using (user_id)",
    )
    shop.refresh()
    assert shop.segments_of() == {"ann": "gold", "eve": "none"}
    shop.write("sql/users.sql", "select 'ann' as user_id, 'tin' as card")
    outcome = shop.refresh()
    assert outcome.plan.kind == "warm"
    assert shop.segments_of() == {"ann": "tin", "eve": "none"}


def test_settings_bound_what_is_accepted(make_shop):
    shop = make_shop([*EVENTS, bought("bob", "2024-03-02 10:00", 1, quantity=101), viewed("fay", "2024-03-09 10:00")])
    shop.settings('[events]\nmax_quantity = 100\nexported_at = "2024-03-05T00:00:00"\n' + RULES)
    shop.refresh()
    assert shop.segments_of() == {"ann": "High", "eve": "Browsers"}
    assert shop.rows("select reason, row_count from quality.rejection order by 1") == [
        ("quantity over max_quantity", 1),
        ("time after exported_at", 1),
    ]


DATA = os.environ.get("SQLSEG_DATA")


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="SQLSEG_DATA names no folder of real data")
@pytest.mark.parametrize(
    ("file", "users"),
    [("online_retail_2011", 4_300), ("taobao_userbehavior", 900), ("eshop_clothing_2008", 24_000)],
)
def test_a_real_file_from_init_to_segments(tmp_path, file, users):
    source = Path(DATA or "") / f"{file}.parquet"
    ran = call_sqlseg("init", str(tmp_path / "shop"), "--events", str(source))
    assert ran.code == 0, ran.err
    ran = call_sqlseg("refresh", "--project", str(tmp_path / "shop"))
    assert ran.code == 0, ran.err
    with duckdb.connect(str(load_settings(tmp_path / "shop").warehouse.published), read_only=True) as published:
        for name, count in published.execute("select segmentation, user_count from segments.segmentation").fetchall():
            assert count >= users, name
        low, high = published.execute(
            "select min(segment_count), max(segment_count) from segments.segmentation where kind = 'cluster'"
        ).fetchone()
        assert 2 <= low <= high <= 12
        failed = published.execute("select count(*) from quality.check where severity = 'error' and not passed")
        assert failed.fetchone() == (0,)
        smallest = published.execute("select min(share) from segments.segment where retired_at is null").fetchone()
        assert smallest[0] > 0
