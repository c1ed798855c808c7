"""`segments.<name>_live`: the membership as any DuckDB client works it out from the features, without Python."""

import json
from datetime import datetime

import duckdb
import pytest
from shops import CLUSTERS, RULES, Shop, bought, viewed

from sqlseg.synth.writer import write_synthetic_events

SETTINGS = """
[project]
name = "live"
timezone = "Europe/London"

[warehouse]
published = "published/shop.duckdb"
threads = 1

[segmentations.plain]
kind = "cluster"
inputs = ["rfm@1", "cadence@1", "sessions@1", "vip@1"]
k = 5

[segmentations.one]
kind = "cluster"
inputs = ["basket@1"]
k = 1

[segmentations.embedded]
kind = "cluster"
inputs = ["rfm@1", "encoder:behavior@1"]
k = 3

[segmentations.tier]
kind = "rules"
sql = "sql/segments/tier.sql"
"""

VIP = """-- Who is a good customer.
-- grain: user_id
select
    user_id,                                          -- #unique #not_null the user
    count(*) > 25 as often_here,                      -- #default(false) whether there are many events
    sum(price)::decimal(18, 2) as "order"               -- what was seen and bought
from events
group by user_id
"""

COMPARED = """
select
    count(*),
    count(l.user_id),
    count(*) filter (m.segment_id is distinct from l.segment_id),
    count(*) filter (m.segment_name is distinct from l.segment_name),
    count(*) filter (m.segmentation is distinct from l.segmentation),
    count(*) filter (m.runner_up_segment_id is distinct from l.runner_up_segment_id),
    max(abs(m.confidence - l.confidence)) <= 1e-6,
    max(abs(m.distance - l.distance)) <= 1e-6
from segments.membership as m full join segments.{name}_live as l using (user_id)
where m.segmentation = '{name}'
"""

LIVE_VIEWS = (
    "select view_name from duckdb_views() where schema_name = 'segments' and view_name like '%\\_live' escape '\\' "
    "order by 1"
)


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("live") / "shop", now=datetime(2026, 6, 1))
    shop.write("sqlseg.toml", SETTINGS)
    shop.write("sql/features/vip__v1.sql", VIP)
    shop.write("sql/segments/tier.sql", "select user_id, 'All' as segment_name from features.rfm")
    (shop.directory / "data").mkdir()
    write_synthetic_events(shop.directory / "data" / "events.parquet", users=400, events=9000, seed=3)
    shop.write("sql/events.sql", "select * exclude (true_group) from read_parquet('data/events.parquet')")
    shop.refresh()
    return shop


@pytest.fixture
def small(make_shop):
    """Two users who buy much and two who buy little, divided by k-means."""
    events = [bought(user, "2024-03-01", price) for user, price in [("a", 5), ("b", 6), ("c", 500), ("d", 510)]]
    return make_shop(events, CLUSTERS)


@pytest.mark.parametrize("name", ["plain", "one"])
def test_everyone_is_placed_as_the_refresh_did(refreshed, name):
    for ask in (refreshed.published, refreshed.rows):
        assert ask(COMPARED.format(name=name)) == [(400, 400, 0, 0, 0, 0, True, True)]


def test_what_has_no_formula_has_no_view(refreshed):
    for ask in (refreshed.published, refreshed.rows):
        assert ask(LIVE_VIEWS) == [("one_live",), ("plain_live",)]


def test_the_view_has_the_columns_it_promises(refreshed):
    columns = refreshed.published("select column_name, column_type from (describe segments.plain_live)")
    text = ["user_id", "segmentation", "segment_id", "segment_name"]
    assert columns == [
        *((name, "VARCHAR") for name in text),
        ("distance", "DOUBLE"),
        ("confidence", "DOUBLE"),
        ("runner_up_segment_id", "VARCHAR"),
    ]


def test_every_column_says_what_it_is(refreshed):
    for ask in (refreshed.published, refreshed.rows):
        comments = ask("select comment from duckdb_columns() where table_name in ('plain_live', 'one_live')")
        assert len(comments) == 14 and all(comment for (comment,) in comments)
        assert all(text for (text,) in ask("select comment from duckdb_views() where view_name like '%_live'"))


def test_no_database_is_named(refreshed):
    for ask in (refreshed.published, refreshed.rows):
        for (sql,) in ask("select sql from duckdb_views() where view_name like '%_live'"):
            assert "shop." not in sql and "warehouse." not in sql and "sqlseg" not in sql, sql


def test_the_printed_sql_gives_the_rows_of_the_view(refreshed):
    ran = refreshed.sqlseg("segments", "show", "plain", "--sql")
    assert ran.code == 0 and ran.err == ""
    view = refreshed.published("from segments.plain_live order by user_id")
    assert len(view) == 400
    assert refreshed.published(f"from ({ran.out.rstrip().removesuffix(';')}) order by user_id") == view
    for dialect in ("postgres", "spark", "bigquery", "snowflake"):
        other = refreshed.sqlseg("segments", "show", "plain", "--sql", "--dialect", dialect, "--json")
        found = json.loads(other.out)
        assert found["dialect"] == dialect
        assert "segments.segment" not in found["sql"] and view[0][3] in found["sql"]


@pytest.mark.parametrize(
    ("name", "words"), [("embedded", "encoder:behavior@1 is an embedding"), ("tier", "this is of kind rules")]
)
def test_what_cannot_be_written_as_sql_says_why(refreshed, name, words):
    ran = refreshed.sqlseg("segments", "show", name, "--sql")
    assert (ran.code, ran.out) == (1, "")
    assert f"'{name}' cannot be written as SQL" in ran.err and words in ran.err
    assert "segments.membership" in ran.err


def test_wrong_usage_is_explained(refreshed):
    assert refreshed.sqlseg("segments", "show", "plain", "--sql", "--dialect", "oracle").code == 2
    ran = refreshed.sqlseg("segments", "show", "plain", "--dialect", "spark")
    assert ran.code == 2 and "--sql" in ran.err
    assert "Choose one of" in refreshed.sqlseg("segments", "show", "nothing", "--sql").err


def test_a_rename_shows(small):
    small.refresh()
    (segment,) = small.published("select segment_id from segments.groups_live where user_id = 'a'")[0]
    assert small.sqlseg("segments", "rename", segment, "Sunday people").code == 0
    for ask in (small.published, small.rows):
        names = ask("select user_id, segment_name from segments.groups_live where segment_name = 'Sunday people'")
        assert names == [("a", "Sunday people"), ("b", "Sunday people")]


def test_new_users_are_in_it_after_the_next_refresh(small):
    small.refresh()
    before = small.rows("select sql from duckdb_views() where view_name = 'groups_live'")
    events = [("a", 5), ("b", 6), ("c", 500), ("d", 510), ("e", 505)]
    small.events(*(bought(user, "2024-03-01", price) for user, price in events), viewed("f", "2024-03-01"))
    small.refresh()
    assert small.rows("select sql from duckdb_views() where view_name = 'groups_live'") == before
    for ask in (small.published, small.rows):
        assert ask(COMPARED.format(name="groups")) == [(6, 6, 0, 0, 0, 0, True, True)]


def test_a_new_model_is_in_the_view(small):
    small.refresh()
    small.settings(CLUSTERS.replace("k = 2", "k = 3"))
    small.refresh()
    assert len(small.published("select distinct segment_id from segments.groups_live")) == 3
    assert small.published(COMPARED.format(name="groups")) == [(4, 4, 0, 0, 0, 0, True, True)]


def test_a_dropped_segmentation_takes_its_view_along(small):
    small.refresh()
    small.settings(RULES)
    small.refresh()
    assert small.rows(LIVE_VIEWS) == small.published(LIVE_VIEWS) == []


def test_a_segmentation_that_becomes_a_rule_loses_its_view(small):
    small.refresh()
    small.settings(RULES.replace("tier]", "groups]"))
    small.refresh()
    assert small.rows(LIVE_VIEWS) == small.published(LIVE_VIEWS) == []


def test_the_view_follows_the_features_between_refreshes(small, tmp_path):
    """Whoever has fresher features puts them in the place of the published ones."""
    small.refresh()
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(small.published_file.read_bytes())
    copy.chmod(0o644)
    with duckdb.connect(str(copy)) as connection:
        connection.execute("update features.rfm_v1 set spend = 505, average_order_value = 505 where user_id = 'a'")
        moved = connection.execute(
            "select l.segment_id = c.segment_id from segments.groups_live as l, segments.groups_live as c "
            "where l.user_id = 'a' and c.user_id = 'c'"
        ).fetchone()
    assert moved == (True,)
