"""Bound texts run in a DuckDB that knows nothing but the warehouse."""

from dataclasses import replace
from datetime import datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.features.binding import MATERIALIZED, WAREHOUSE, bound_sql, every_user_sql
from sqlseg.sqltext import parse_select, to_sql

AS_OF = datetime(2024, 1, 10)

RFM = """-- Recency and money.
select
    user_id,                                                                          -- #unique #not_null
    date_diff('day', max(local_time)::date, local_as_of()::date) as recency_days,     -- #range(0,) days
    nullif(sum(price * coalesce(quantity, 1)), 25) as spend,                          -- #default(0) money
    count(*) as "order"                                                               -- #default(0) orders
from events
where event_type = 'purchase'
group by user_id
"""


def test_no_view_sees_the_future(view_of, warehouse):
    rows = warehouse.execute(bound_sql(view_of(RFM), AS_OF, AS_OF)).fetchall()
    assert sorted(rows) == [("ann", 5, None, 2), ("bob", 8, 3.0, 1)]


def test_every_user_gets_a_row_and_defaults_fill_only_what_has_none(view_of, warehouse):
    sql = every_user_sql(view_of(RFM), AS_OF, AS_OF)
    warehouse.execute(f"create or replace view features.rfm_v1 as {sql}")
    rows = warehouse.execute('select user_id, recency_days, spend, "order" from features.rfm_v1').fetchall()
    assert sorted(rows) == [("ann", 5, None, 2), ("bob", 8, 3.0, 1), ("eve", None, 0.0, 0)]


def test_as_of_is_utc_and_local_as_of_local(view_of):
    view = view_of("select user_id, max(as_of()) as a, max(local_as_of()) as b from events group by user_id")
    sql = bound_sql(view, datetime(2024, 1, 9, 23), AS_OF, pretty=False)
    assert sql == (
        "SELECT user_id, MAX(CAST('2024-01-09 23:00:00' AS TIMESTAMP)) AS a, "
        "MAX(CAST('2024-01-10 00:00:00' AS TIMESTAMP)) AS b "
        "FROM (SELECT * FROM sqlseg.events WHERE event_time < CAST('2024-01-09 23:00:00' AS TIMESTAMP)) AS events "
        "GROUP BY user_id"
    )


READS_ALL = """select e.user_id, max(r.spend) as spend, max(u.country) as country, max(i.shelf) as shelf, max(b.p) as p
from events e
join features.rfm_v1 r using (user_id)
left join users u using (user_id)
left join items i using (item_id)
left join holidays h on h.date = e.local_time::date
cross join stats.price_v1 b
group by e.user_id"""


def test_the_warehouse_text_names_public_views_and_materializing_names_tables(view_of, warehouse):
    view = view_of(READS_ALL, name="all")
    public, tables = (bound_sql(view, AS_OF, AS_OF, source) for source in (WAREHOUSE, MATERIALIZED))
    assert "features.rfm_v1 AS r" in public and "stats.price_v1 AS b" in public and "sqlseg.holidays AS h" in public
    assert "sqlseg.feature_rfm_v1 AS r" in tables and "stats.price_v1 AS b" in tables
    warehouse.execute(f"create table sqlseg.feature_rfm_v1 as {every_user_sql(view_of(RFM), AS_OF, AS_OF)}")
    warehouse.execute("create or replace view features.rfm_v1 as from sqlseg.feature_rfm_v1")
    warehouse.execute("create table stats.price_v1 as select 7 as p")
    expected = [("ann", None, "GB", "kitchen", 7), ("bob", 3.0, None, None, 7), ("eve", 0.0, None, "kitchen", 7)]
    assert sorted(warehouse.execute(public).fetchall()) == expected
    assert sorted(warehouse.execute(tables).fetchall()) == expected


def test_events_and_single_views_can_be_replaced(view_of, warehouse):
    source = replace(WAREHOUSE, events="(select * from sqlseg.events where user_id = 'bob')")
    assert warehouse.execute(bound_sql(view_of(RFM), AS_OF, AS_OF, source)).fetchall() == [("bob", 8, 3.0, 1)]
    source = replace(MATERIALIZED, views={"features.rfm_v1": "(select 'ann' as user_id, 1.5 as spend)"})
    view = view_of("select user_id, spend from features.rfm_v1", name="copy")
    assert warehouse.execute(bound_sql(view, AS_OF, AS_OF, source)).fetchall() == [("ann", 1.5)]


def test_a_shops_own_table_named_events_does_no_harm(view_of, warehouse):
    warehouse.execute("create table events as select 'mallory' as user_id")
    assert "mallory" not in str(warehouse.execute(bound_sql(view_of(RFM), AS_OF, AS_OF)).fetchall())


@pytest.mark.parametrize("sql", [bound_sql, every_user_sql])
def test_the_text_can_be_pasted_into_another_shell(view_of, tmp_path, warehouse, sql):
    warehouse.execute(f"attach '{tmp_path / 'some.duckdb'}' as other")
    warehouse.execute("copy from database memory to other")
    warehouse.execute("detach other")
    with duckdb.connect(str(tmp_path / "some.duckdb"), read_only=True) as shell:
        assert shell.execute(sql(view_of(RFM), AS_OF, AS_OF)).fetchall()


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), st.sampled_from([RFM, READS_ALL]))
def test_binding_then_parsing_is_stable(view_of, as_of, text):
    bound = bound_sql(view_of(text), as_of, as_of)
    assert to_sql(parse_select(bound)) == bound
