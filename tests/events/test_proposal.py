"""A source in, sql/events.sql out: the proposed SQL runs and its rows are the ones worked out by hand."""

import os
from collections.abc import Iterator
from contextlib import chdir
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.events.inspection import find_source, inspect_source
from sqlseg.events.project_files import ProjectExists, default_inputs, project_files, write_project
from sqlseg.events.proposal import Proposal, UnrecognisedSource, propose_events
from sqlseg.names import EVENT_COLUMNS
from sqlseg.settings import load_settings

TYPES = {column.name: column.type for column in EVENT_COLUMNS}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine.open(None) as engine:
        yield engine


def propose(engine: Engine, source: str, directory: Path, cwd: Path | None = None) -> Proposal:
    return propose_events(inspect_source(engine, find_source(engine, source, cwd or directory)), directory)


def rows(engine: Engine, proposal: Proposal, directory: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    """Run the proposed SQL as a refresh does: from the project's folder. Its columns are canonical, name and type."""
    with chdir(directory):
        found = engine.describe(proposal.sql)
        assert found == {name: TYPES[name] for name in found}
        assert list(found)[:3] == ["user_id", "event_time", "event_type"]
        return engine.rows(f"select {columns} from ({proposal.sql}) order by all")


def guess(proposal: Proposal, target: str) -> tuple[str, bool]:
    [found] = [guess for guess in proposal.guesses if guess.target == target]
    return found.column, found.certain


def csv(directory: Path, text: str, name: str = "shop.csv") -> str:
    (directory / name).write_text(text, encoding="utf-8")
    return name


# --- other conventions -----------------------------------------------------------------------------------------------


def test_a_clickstream_with_camel_case_and_zone_offsets(engine: Engine, tmp_path: Path) -> None:
    source = csv(
        tmp_path,
        "eventTime,eventType,productId,categoryCode,price,userId,userSession\n"
        "2019-10-01T02:00:00+02:00,view,p1,shoes,10.5,u1,s1\n"
        "2019-10-01T00:05:00Z,addToCart,p1,shoes,10.5,u1,s1\n"
        "2019-10-01T00:06:00Z,remove_from_cart,p1,shoes,10.5,u1,s1\n"
        "2019-10-01T00:07:00Z,purchase,p1,shoes,10.5,u1,s1\n",
    )
    proposal = propose(engine, source, tmp_path)
    assert rows(engine, proposal, tmp_path) == [
        ("u1", datetime(2019, 10, 1, 0, 0), "view", "p1", "shoes", "s1", 10.5),
        ("u1", datetime(2019, 10, 1, 0, 5), "cart", "p1", "shoes", "s1", 10.5),
        ("u1", datetime(2019, 10, 1, 0, 6), "remove_from_cart", "p1", "shoes", "s1", 10.5),
        ("u1", datetime(2019, 10, 1, 0, 7), "purchase", "p1", "shoes", "s1", 10.5),
    ]
    assert set(proposal.event_types) == {"view", "cart", "purchase", "remove_from_cart"}
    assert all(one.certain for one in proposal.guesses) and "please check" not in proposal.sql.split("select", 1)[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1575158400", datetime(2019, 12, 1)),
        ("1575158400123", datetime(2019, 12, 1, 0, 0, 0, 123000)),
        ("1575158400123456", datetime(2019, 12, 1, 0, 0, 0, 123456)),
        ("2019-12-01 10:11:12 UTC", datetime(2019, 12, 1, 10, 11, 12)),
        ("2019-12-01T10:11:12.5+0530", datetime(2019, 12, 1, 4, 41, 12, 500000)),
        ("2019/12/01 10:11", datetime(2019, 12, 1, 10, 11)),
        ("31.12.2019 10:11", datetime(2019, 12, 31, 10, 11)),
        ("12/31/2019 9:05", datetime(2019, 12, 31, 9, 5)),
        ("31/12/2019 9:05", datetime(2019, 12, 31, 9, 5)),
        ("20191231", datetime(2019, 12, 31)),
        ("31-Dec-2019", datetime(2019, 12, 31)),
    ],
)
def test_ways_to_write_a_time(engine: Engine, tmp_path: Path, value: str, expected: datetime) -> None:
    source = csv(tmp_path, f"timestamp,visitorid,event,itemid\n{value},a,view,1\n{value},b,transaction,2\n")
    proposal = propose(engine, source, tmp_path)
    assert rows(engine, proposal, tmp_path, "event_time, event_type, user_id") == [
        (expected, "purchase", "b"),
        (expected, "view", "a"),
    ]


def test_a_day_that_could_be_a_month_is_marked(engine: Engine, tmp_path: Path) -> None:
    source = csv(tmp_path, "order_id,customer_id,order_date\n1,a,03/04/2024\n2,b,05/06/2024\n")
    proposal = propose(engine, source, tmp_path)
    assert guess(proposal, "event_time") == ("order_date", False)
    assert "%d/%m/%Y would fit as well" in " ".join(proposal.sql.split())


def test_typed_times_and_integers(engine: Engine, tmp_path: Path) -> None:
    engine.execute(
        'copy (select 17850.0 as "CustomerID", 1322735160000 as ts, now() as created_at, '
        f"'P' as sku, 3 as qty, 2.5 as \"Unit Price\") to '{tmp_path}/sales.parquet'"
    )
    proposal = propose(engine, "sales.parquet", tmp_path)
    assert rows(engine, proposal, tmp_path) == [("17850", datetime(2011, 12, 1, 10, 26), "purchase", "P", 2.5, 3.0)]


def test_date_and_time_in_two_columns(engine: Engine, tmp_path: Path) -> None:
    source = csv(tmp_path, "Datum;Uhrzeit;Kunden-Nr.;Artikelnummer;Menge;Einzelpreis;Stück Größe\n"
                           "03.02.2024;14:05:09;K1;A1;2;1.234,50;L\n31.12.2024;09:00:00;K2;A2;1;3,00;M\n")  # fmt: skip
    proposal = propose(engine, source, tmp_path)
    assert rows(engine, proposal, tmp_path) == [
        ("K1", datetime(2024, 2, 3, 14, 5, 9), "purchase", "A1", 1234.5, 2.0),
        ("K2", datetime(2024, 12, 31, 9), "purchase", "A2", 3.0, 1.0),
    ]
    assert proposal.unused == ("Stück Größe",) and "Stück Größe VARCHAR: L, M" in proposal.sql
    assert '"Kunden-Nr." as user_id' in proposal.sql


def test_year_month_day_and_click_order(engine: Engine, tmp_path: Path) -> None:
    source = csv(
        tmp_path,
        "year;month;day;order;country;session ID;page 1 (main category);page 2 (clothing model);price\n"
        "2008;4;1;1;29;7;1;A13;28\n2008;4;1;2;29;7;1;A16;33\n",
        "clicks.csv",
    )
    proposal = propose(engine, source, tmp_path)
    assert rows(engine, proposal, tmp_path, "user_id, event_time, event_type, session_id, price") == [
        ("7", datetime(2008, 4, 1, 0, 0, 0, 1), "view", "7", 28.0),
        ("7", datetime(2008, 4, 1, 0, 0, 0, 2), "view", "7", 33.0),
    ]
    assert guess(proposal, "user_id") == ("session ID", False)
    assert not proposal.has_clock and not proposal.has_revenue


def test_line_totals_discounts_and_hhmm(engine: Engine, tmp_path: Path) -> None:
    engine.execute(
        "copy (select * from (values (1, 'b1', 1631, 10, 5.0, 2.0, 1.0, -0.5, date '2017-03-04'), "
        "(2, 'b2', 905, 11, 3.0, 0.0, 0.0, 0.0, date '2017-03-05')) t(household_id, basket_id, trans_time, product_id, "
        f"sales_value, quantity, retail_disc, coupon_disc, date)) to '{tmp_path}/transactions.parquet'"
    )
    proposal = propose(engine, "transactions.parquet", tmp_path)
    columns = "user_id, event_time, event_type, order_id, item_id, price, discount, quantity"
    assert rows(engine, proposal, tmp_path, columns) == [
        ("1", datetime(2017, 3, 4, 16, 31), "purchase", "b1", "10", 2.5, 1.5, 2.0),
        ("2", datetime(2017, 3, 5, 9, 5), "purchase", "b2", "11", 3.0, 0.0, None),
    ]


def test_a_discount_rate_becomes_an_amount_and_is_marked(engine: Engine, tmp_path: Path) -> None:
    source = csv(tmp_path, "Order ID,Order Date,Customer ID,Product ID,Sales,Quantity,Discount\n"
                           "o1,2016-11-08,c1,p1,90,3,0.1\no2,2016-11-09,c2,p2,40,1,0\n")  # fmt: skip
    proposal = propose(engine, source, tmp_path)
    assert rows(engine, proposal, tmp_path, "order_id, price, round(discount, 9), quantity") == [
        ("o1", 30.0, 10.0, 3.0),
        ("o2", 40.0, 0.0, 1.0),
    ]
    assert not guess(proposal, "discount")[1] and not guess(proposal, "price")[1]


def test_refunds_by_a_negative_amount(engine: Engine, tmp_path: Path) -> None:
    source = csv(
        tmp_path, "receipt_no,member_id,purchase_date,amount\nr1,m1,2024-01-01,$20.00\nr2,m1,2024-01-02,-$5.50\n"
    )
    proposal = propose(engine, source, tmp_path)
    assert rows(engine, proposal, tmp_path, "order_id, event_type, price") == [
        ("r1", "purchase", 20.0),
        ("r2", "return", 5.5),
    ]


def test_refunds_among_typed_events(engine: Engine, tmp_path: Path) -> None:
    source = csv(tmp_path, "uid,ts,action,sku,qty,price\na,2024-01-01 10:00,PV,x,,\na,2024-01-01 10:01,buy,x,2,5\n"
                           "a,2024-01-02 10:00,buy,x,-1,5\na,2024-01-03 10:00,refund,x,1,5\n")  # fmt: skip
    proposal = propose(engine, source, tmp_path)
    assert rows(engine, proposal, tmp_path, "event_time::date::varchar, event_type, quantity") == [
        ("2024-01-01", "purchase", 2.0),
        ("2024-01-01", "view", None),
        ("2024-01-02", "return", 1.0),
        ("2024-01-03", "return", 1.0),
    ]


def test_numbered_events_are_a_marked_guess(engine: Engine, tmp_path: Path) -> None:
    lines = "".join(f"u{i},{1 + i % 4},i{i},2014-12-0{1 + i % 9} 0{i % 9}:30\n" for i in range(12))
    proposal = propose(engine, csv(tmp_path, "user_id,behavior_type,item_id,time\n" + lines), tmp_path)
    assert {kind for (kind,) in rows(engine, proposal, tmp_path, "event_type")} == {
        "view",
        "favorite",
        "cart",
        "purchase",
    }
    assert not guess(proposal, "event_type")[1]


def test_reviews(engine: Engine, tmp_path: Path) -> None:
    source = csv(
        tmp_path,
        "reviewerID,asin,overall,reviewText,unixReviewTime\nA1,B1,5,very nice,1252800000\nA2,B1,3,so so,1363392000\n",
    )
    proposal = propose(engine, source, tmp_path)
    assert rows(engine, proposal, tmp_path) == [
        ("A1", datetime(2009, 9, 13), "review", "B1", "very nice"),
        ("A2", datetime(2013, 3, 16), "review", "B1", "so so"),
    ]


def test_the_event_type_is_found_by_its_values(engine: Engine, tmp_path: Path) -> None:
    source = csv(tmp_path, "customer,when_at,what\nc1,2024-01-01 10:00:00,page_view\nc1,2024-01-01 11:00:00,wishlist\n")
    proposal = propose(engine, source, tmp_path)
    assert proposal.event_types == ("view", "favorite")
    assert guess(proposal, "event_type") == ("what", False) and guess(proposal, "event_time") == ("when_at", False)


def test_what_is_missing_is_left_to_fill_in(engine: Engine, tmp_path: Path) -> None:
    proposal = propose(engine, csv(tmp_path, "order_date,total\n2024-01-01,3\n2024-01-02,4\n"), tmp_path)
    assert rows(engine, proposal, tmp_path, "user_id") == [(None,), (None,)]
    assert guess(proposal, "user_id") == ("", False) and "fill in" in proposal.sql


def test_nothing_recognisable_is_an_error_that_lists_the_columns(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UnrecognisedSource) as caught:
        propose(engine, csv(tmp_path, "alpha,beta\n1,x\n2,y\n"), tmp_path)
    assert "alpha VARCHAR: 1, 2" in caught.value.message and "without --events" in (caught.value.hint or "")


def test_hostile_names_and_values_stay_in_their_comments(engine: Engine, tmp_path: Path) -> None:
    engine.execute(
        "copy (select 'u' as user_id, now()::timestamp as ts, 'it''s' as event_type, "
        f"'\n; drop table x; --' as \"a\"\"b\nc\") to '{tmp_path}/odd.parquet'"
    )
    proposal = propose(engine, "odd.parquet", tmp_path)
    assert rows(engine, proposal, tmp_path, "event_type") == [("it's",)]


# --- where the source stays ------------------------------------------------------------------------------------------


def test_a_file_within_the_project_is_read_by_a_relative_path(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    csv(tmp_path / "data", "user_id,ts\nu,2024-01-01 10:00\n")
    inside = propose(engine, "data/shop.csv", tmp_path)
    assert "read_csv('data/shop.csv'" in inside.sql and inside.paths == ("data/",)
    outside = propose(engine, "../data/shop.csv", tmp_path / "shop", tmp_path / "data")
    assert f"read_csv('{tmp_path.as_posix()}/data/shop.csv'" in outside.sql
    assert outside.paths == (f"{tmp_path.as_posix()}/data/",)


def test_a_table_of_a_database(engine: Engine, tmp_path: Path) -> None:
    engine.execute(
        f"attach '{tmp_path}/My Shop.duckdb' as target; create table target.\"order\" as "
        "select 1 as customer_id, timestamp '2024-01-01 10:00' as ordered_at, 5.0 as price, 2 as quantity; "
        "detach target"
    )
    proposal = propose(engine, "My Shop.duckdb::order", tmp_path / "project", tmp_path)
    assert proposal.database == ("myshop", "duckdb", (tmp_path / "My Shop.duckdb").as_posix())
    assert 'from myshop.main."order"' in proposal.sql and proposal.paths == ()
    engine.attach(tmp_path / "My Shop.duckdb", "myshop")
    assert rows(engine, proposal, tmp_path) == [("1", datetime(2024, 1, 1, 10), "purchase", 5.0, 2.0)]


def test_a_table_in_the_warehouse_itself_needs_no_source(engine: Engine, tmp_path: Path) -> None:
    engine.execute(
        f"attach '{tmp_path}/warehouse.duckdb' as target; create table target.clicks as "
        "select 1 as visitor_id, timestamp '2024-01-01 10:00' as ts; detach target"
    )
    proposal = propose(engine, "warehouse.duckdb", tmp_path)
    assert proposal.database is None and "from main.clicks" in proposal.sql


# --- the project -----------------------------------------------------------------------------------------------------


def test_a_new_project_has_settings_that_load(engine: Engine, tmp_path: Path) -> None:
    engine.execute(
        f"attach '{tmp_path}/crm.duckdb' as target; create table target.orders as "
        "select 1 as customer_id, 'o' as order_id, timestamp '2024-01-01 10:00' as ordered_at, 5.0 as price, "
        "'x' as sku, 'Chair' as product_name; "
        "detach target"
    )
    shop = tmp_path / 'My "shop" ü'
    write_project(shop, project_files(shop.name, propose(engine, "crm.duckdb", shop, tmp_path)))
    settings = load_settings(shop)
    assert settings.project.name == shop.name and settings.sources["crm"].path == str(tmp_path / "crm.duckdb")
    assert set(settings.segmentations) == {"behavior", "value"}
    with pytest.raises(ProjectExists, match=r"sqlseg.toml, sql/events.sql.*nothing was written"):
        write_project(shop, project_files("shop", None))


def test_the_template_loads_and_its_sql_runs(engine: Engine, tmp_path: Path) -> None:
    write_project(tmp_path, project_files("shop", None))
    assert set(load_settings(tmp_path).segmentations) == {"behavior", "value"}
    (tmp_path / "data").mkdir()
    engine.execute(
        "copy (select 1 as customer_id, timestamp '2024-01-01' as ordered_at, 1 as line_id, 2 as product_id, 'd' as "
        f"department, 3 as order_id, 9.5 as unit_price, -2 as quantity) to '{tmp_path}/data/orders.parquet'"
    )
    with chdir(tmp_path):
        select = (tmp_path / "sql/events.sql").read_text()
        assert engine.describe(select) == {name: kind for name, kind in TYPES.items() if name != "ingested_at"}
        assert len(engine.rows(select)) == 1


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/events.sql").write_text("mine")
    with pytest.raises(ProjectExists):
        write_project(tmp_path, project_files("shop", None))
    assert (tmp_path / "sql/events.sql").read_text() == "mine" and not (tmp_path / "sqlseg.toml").exists()


def test_value_tiers(engine: Engine) -> None:
    engine.execute(
        "create schema features; create table features.rfm_v1 (user_id varchar, orders bigint, spend double)"
    )
    engine.execute("insert into features.rfm_v1 select 'u' || i, 1, 10 * i from range(1, 11) t(i)")
    engine.execute("insert into features.rfm_v1 values ('new', 0, 0)")
    select = project_files("shop", None)[Path("sql/segments/value.sql")]
    assert engine.rows(f"select segment_name, count(*), min(user_id) from ({select}) group by all order by all") == [
        ("Fourth fifth by spend", 2, "u3"),
        ("Lowest fifth by spend", 2, "u1"),
        ("Middle fifth by spend", 2, "u5"),
        ("No purchase yet", 1, "new"),
        ("Second fifth by spend", 2, "u7"),
        ("Top fifth by spend", 2, "u10"),
    ]


# --- real shops ------------------------------------------------------------------------------------------------------

DATA = Path(os.environ.get("SQLSEG_DATA", "/nowhere"))
real = pytest.mark.skipif(not DATA.is_dir(), reason="SQLSEG_DATA is not set")


@real
def test_online_retail(engine: Engine, tmp_path: Path) -> None:
    source = DATA / "online_retail_2011.parquet"
    proposal = propose(engine, str(source), tmp_path)
    rows(engine, proposal, tmp_path, "count(*)")
    lines = engine.row(f"select count(*), count(customer_id) from '{source}'")
    assert engine.row(f"select count(*), count(user_id) from ({proposal.sql})") == lines == (541_909, 406_829)
    assert (
        engine.value(f"select count(*) from ({proposal.sql}) where event_type = 'return' and order_id like 'C%'")
        == 9_288
    )
    assert engine.value(f"select count(distinct user_id) from ({proposal.sql})") == 4_372
    revenue = (
        "select round(sum(case event_type when 'purchase' then price * quantity else -price * quantity end), 2) "
        f"from ({proposal.sql}) where user_id is not null and price >= 0"
    )
    direct = (
        f"select round(sum(quantity * unit_price), 2) from '{source}' where customer_id is not null and unit_price >= 0"
    )
    assert engine.value(revenue) == engine.value(direct)
    assert not engine.value(f"select bool_or(quantity < 0) from ({proposal.sql})")
    assert "'POST', 'DOT', 'M', 'D'" in proposal.sql
    assert {one.target for one in proposal.guesses if not one.certain} == {"event_time"}
    assert default_inputs(proposal) == ("rfm@1", "cadence@1", "basket@1", "trend@2", "encoder:behavior@3")
    assert proposal.items_sql is not None
    named = "any_value(name) filter (item_id = '22423')"
    items = f"select count(*), count(distinct item_id), {named} from ({proposal.items_sql})"
    assert engine.row(items) == (3_958, 3_958, "REGENCY CAKESTAND 3 TIER")


@real
def test_taobao(engine: Engine, tmp_path: Path) -> None:
    source = DATA / "taobao_userbehavior.parquet"
    proposal = propose(engine, str(source), tmp_path)
    rows(engine, proposal, tmp_path, "count(*)")
    words = {"view": "pv", "cart": "cart", "favorite": "fav", "purchase": "buy"}
    counts = dict(engine.rows(f"select event_type, count(*) from ({proposal.sql}) group by all"))
    given = dict(engine.rows(f"select event_type, count(*) from '{source}' group by all"))
    assert counts == {kind: given[word] for kind, word in words.items()}
    assert engine.row(f"select count(distinct user_id), count(distinct category) from ({proposal.sql})") == engine.row(
        f"select count(distinct user_id), count(distinct category_id) from '{source}'"
    )
    assert default_inputs(proposal) == (
        "sessions@1", "cadence@1", "funnel@1", "rhythm@1", "affinity@1", "encoder:behavior@3",
    )  # fmt: skip


@real
def test_eshop(engine: Engine, tmp_path: Path) -> None:
    source = DATA / "eshop_clothing_2008.parquet"
    proposal = propose(engine, str(source), tmp_path)
    rows(engine, proposal, tmp_path, "count(*)")
    assert engine.row(
        "select count(*), count(distinct user_id), min(event_type), count(distinct item_id), sum(price) "
        f"from ({proposal.sql})"
    ) == engine.row(
        "select count(*), count(distinct session_id), 'view', count(distinct clothing_model), sum(price) "
        f"from '{source}'"
    )
    # The order of clicks survives, and so does their day.
    assert not engine.rows(
        f"select user_id from (select user_id, event_time from ({proposal.sql})) group by user_id "
        "having count(distinct event_time::date) > 1 or count(distinct event_time) < count(*)"
    )
    assert {one.target for one in proposal.guesses if not one.certain} == {"user_id", "event_type", "item_id"}
    assert default_inputs(proposal) == ("sessions@1", "affinity@1", "encoder:behavior@3")
