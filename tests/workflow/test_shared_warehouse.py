"""A database file that sqlseg shares with the shop: what is the shop's stays as it is, and what clashes is refused."""

import duckdb
import pytest
from shops import CLUSTERS, RULES, TIERS, bought, new_shop, viewed

from sqlseg.engine.warehouse import SchemaTaken

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("bob", "2024-03-01 12:00", 50),
    bought("dan", "2024-03-02 12:00", 70),
    viewed("eve", "2024-03-03 09:00"),
]
PRICED = '[segmentations.priced]\nkind = "cluster"\ninputs = ["price@1"]\nk = 2\nrefit = "never"\n'
RHYTHM = CLUSTERS.replace("rfm@1", "encoder:behavior@1")

OWN = {
    "stats.daily_sales": "create schema stats; create table stats.daily_sales as select 1 as day, 2.5 as sales",
    "features.rfm": "create schema features; create view features.rfm as select 'mine' as what",
    "embeddings.vectors": "create schema embeddings; create table embeddings.vectors as select [1.0, 2.0] as v",
    "quality.audit": "create schema quality; create table quality.audit as select 'fine' as verdict",
    "segments.segment": "create schema segments; create table segments.segment as select 'north' as segment",
    "sqlseg.notes": "create schema sqlseg; create table sqlseg.notes as select 'mine' as what",
}


def everything(path):
    """Every schema, every relation with its text, and every row of a database that is the shop's alone."""
    with duckdb.connect(str(path), read_only=True) as connection:
        schemas = connection.execute(
            "select schema_name from duckdb_schemas() where database_name = current_database() and not internal "
            "order by all"
        ).fetchall()
        relations = connection.execute(
            "select schema_name, table_name, sql from duckdb_tables() where not internal union all "
            "select schema_name, view_name, sql from duckdb_views() where not internal order by all"
        ).fetchall()
        rows = {
            (schema, name): sorted(connection.execute(f'from {schema}."{name}"').fetchall())
            for schema, name, _ in relations
        }
    return schemas, relations, rows


# -- a database that was there before ----------------------------------------------------------------------------


@pytest.mark.parametrize("relation", OWN)
def test_a_relation_in_a_schema_of_sqlseg_is_refused_and_nothing_is_touched(make_shop, relation):
    shop = make_shop(EVENTS)
    shop.change(f"create table orders as select 'ann' as customer; {OWN[relation]}")
    before = everything(shop.warehouse_file)
    for attempt in (shop.plan, shop.refresh):
        with pytest.raises(SchemaTaken) as error:
            attempt()
        assert relation in error.value.message
        assert str(shop.warehouse_file) in error.value.message
        assert "[warehouse] path" in error.value.hint
        assert everything(shop.warehouse_file) == before
    assert not shop.published_file.exists()


def test_many_relations_are_named_by_the_first_ones(make_shop):
    shop = make_shop(EVENTS)
    shop.change("create schema stats; " + "; ".join(f"create table stats.t{n} as select {n} as n" for n in range(5)))
    with pytest.raises(SchemaTaken, match=r"stats\.t0, stats\.t1, stats\.t2, \.\.\., in a schema"):
        shop.refresh()


def test_tables_in_main_and_in_schemas_of_the_shop_stay_as_they_were(make_shop):
    shop = make_shop(EVENTS)
    shop.change("""
        create table daily_sales as select 1 as day, 2.5 as sales;
        create view segment as select 'mine' as what;
        create schema crm;
        create table crm.membership as select 'ann' as customer;
        create view crm.rfm as select * from crm.membership;
        create schema stats;
    """)
    _, relations, rows = everything(shop.warehouse_file)
    shop.refresh()
    shop.events(*EVENTS, bought("bob", "2024-03-05 10:00", 80))
    shop.refresh()
    assert shop.segments_of()["bob"] == "High"
    _, relations_after, rows_after = everything(shop.warehouse_file)
    assert set(relations) <= set(relations_after)
    assert {name: rows_after[name] for name in rows} == rows
    published = shop.published("select schema_name, table_name from duckdb_tables()")
    assert {schema for schema, _ in published} <= {"segments", "features", "stats", "quality", "embeddings"}
    assert not {name for _, name in published} & {"daily_sales", "crm"}


def test_a_plan_on_a_database_that_was_never_prepared_leaves_nothing_behind(make_shop):
    shop = make_shop(EVENTS)
    shop.change("create table orders as select 'ann' as customer")
    before = everything(shop.warehouse_file)
    planned = shop.plan()
    assert everything(shop.warehouse_file) == before
    assert planned.plan.kind == "cold"


# -- what the shop adds later ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A shop with statistics, features and embeddings, to whose schemas something of its own was added."""
    more = RULES + PRICED + RHYTHM
    shop = new_shop(tmp_path_factory.mktemp("shared") / "shop", EVENTS, more)
    shop.refresh()
    shop.change("""
        create table stats.daily_sales as select 1 as day, 2.5 as sales;
        create table features.wishlist as select 'ann' as user_id, 3 as wishes;
        create view features.wishes as select * from features.wishlist;
        create table embeddings.pictures as select 'ann' as user_id, [1.0, 2.0] as embedding;
    """)
    return shop


ADDED = ["stats.daily_sales", "features.wishlist", "features.wishes", "embeddings.pictures"]


def names(rows):
    return {f"{schema}.{name}" for schema, name in rows}


LISTED = (
    "select schema_name, table_name from duckdb_tables() union all select schema_name, view_name from duckdb_views()"
)


@pytest.mark.parametrize("settings", [RULES + PRICED + RHYTHM, RULES], ids=["as it was", "everything else dropped"])
def test_what_the_shop_adds_later_is_neither_dropped_nor_published(prepared, tmp_path, settings):
    shop = prepared.copy(tmp_path / "shop")
    rows = {name: shop.rows(f"from {name}") for name in ADDED}
    shop.settings(settings)
    shop.events(*EVENTS, viewed("eve", "2024-03-06 09:00"))
    shop.refresh()
    assert {name: shop.rows(f"from {name}") for name in ADDED} == rows
    published = names(shop.published(LISTED))
    assert not published & set(ADDED)
    # What the settings no longer need is gone, from the warehouse and from the published file.
    kept, there = "priced" in settings, names(shop.rows(LISTED))
    for name in ("stats.category_price_v1", "features.price_v1", "features.price", "embeddings.behavior_v1"):
        assert (name in there) is kept, name
    assert ("stats.category_price_v1" in published) is kept
    assert shop.refresh().plan.kind == "noop"
    assert {name: shop.rows(f"from {name}") for name in ADDED} == rows


def test_a_rename_publishes_nothing_of_the_shops(prepared, tmp_path):
    shop = prepared.copy(tmp_path / "shop")
    assert shop.sqlseg("segments", "rename", "tier-1", "Our best").code == 0
    assert not names(shop.published(LISTED)) & set(ADDED)


def test_the_shops_own_tables_do_not_stand_in_for_features(prepared, tmp_path):
    shop = prepared.copy(tmp_path / "shop")
    shop.write("sql/segments/tier.sql", TIERS.replace("features.rfm", "features.wishes"))
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert "cannot read 'features.wishes'" in ran.err
