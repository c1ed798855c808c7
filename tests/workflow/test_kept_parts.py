"""What views keep for new days: followed for those who did something, made anew where it cannot be trusted."""

from datetime import datetime

import pytest
from shops import Shop, event

SETTINGS = """
[project]
name = "shop"

[warehouse]
published = "published/shop.duckdb"
threads = 1

[features]
publish = ["rfm@1", "cadence@1", "affinity@1", "trend@2"]

[segmentations.tier]
kind = "rules"
sql = "sql/segments/tier.sql"
"""

TIER = "select user_id, case when recency_days < 3 then 'new' else 'old' end as segment_name from features.rfm_v1"
VIEWS = ("rfm_v1", "cadence_v1", "affinity_v1", "trend_v2")


def bought(user: str, day: int, price: float = 5.0, **more: object) -> dict:
    known = {"event_id": f"{user}-{day}-{price}", "item_id": f"i{day % 3}", "category": "tea", "price": price}
    return event(user, datetime(2025, 3, day, 12), "purchase", **{**known, **more})


FIRST = [bought(f"u{number:02d}", 1 + (number + turn * 4) % 20) for number in range(30) for turn in range(3)]


@pytest.fixture(scope="module")
def first_shop(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("parts") / "shop", now=datetime(2026, 1, 1))
    shop.write("sqlseg.toml", SETTINGS)
    shop.write("sql/segments/tier.sql", TIER)
    shop.write("sql/events.sql", "select * from read_parquet('data/events.parquet')")
    shop.events(*FIRST)
    shop.refresh()
    return shop


def features(shop: Shop) -> list[list[tuple]]:
    return [shop.rows(f"select * from sqlseg.feature_{view} order by user_id") for view in VIEWS]


def behind(shop: Shop) -> list[str]:
    return [row[0] for row in shop.rows("select user_id from sqlseg.behind_part order by 1")]


def assert_as_computed_anew(shop: Shop, folder) -> None:
    anew = shop.copy(folder)
    anew.refresh(full=True)
    for rows, expected in zip(features(shop), features(anew), strict=True):
        assert len(rows) == len(expected) > 0
        for row, other in zip(rows, expected, strict=True):
            assert row == pytest.approx(other)


def test_who_did_something_is_behind_until_the_next_day(first_shop, tmp_path):
    shop = first_shop.copy(tmp_path / "shop")
    assert behind(shop) == []
    shop.events(*FIRST, bought("u03", 20, 9.0), bought("u04", 2, 3.0))
    shop.refresh()
    assert behind(shop) == ["u03", "u04"]
    shop.events(*FIRST, bought("u03", 20, 9.0), bought("u04", 2, 3.0), bought("u05", 22))
    shop.refresh()
    assert behind(shop) == []
    assert_as_computed_anew(shop, tmp_path / "anew")


def test_a_new_day_reads_what_is_kept(first_shop, tmp_path):
    shop = first_shop.copy(tmp_path / "shop")
    (table,) = [n for (n,) in shop.rows("select name from sqlseg.kept_part") if "rfm" in n]
    shop.change(f"update sqlseg.{table} set spend = 777 where user_id in ('u01', 'u02')")
    shop.events(*FIRST, bought("u02", 22))
    shop.refresh()
    spend = dict(shop.rows("select user_id, spend from sqlseg.feature_rfm_v1"))
    assert (spend["u01"], spend["u02"]) == (777, 20)  # one from the table, one computed again


def test_what_another_release_left_is_not_used(first_shop, tmp_path):
    shop = first_shop.copy(tmp_path / "shop")
    (table,) = [n for (n,) in shop.rows("select name from sqlseg.kept_part") if "rfm" in n]
    shop.change(f"update sqlseg.{table} set spend = 777")
    shop.change("update sqlseg.kept_part set run_id = 'one before'")
    shop.events(*FIRST, bought("u02", 22))
    shop.refresh()
    assert_as_computed_anew(shop, tmp_path / "anew")


def test_parts_of_views_that_are_gone_go_with_them(first_shop, tmp_path):
    shop = first_shop.copy(tmp_path / "shop")
    there = "select table_name from duckdb_tables() where starts_with(table_name, 'part_') order by 1"
    assert any("cadence" in name for (name,) in shop.rows(there))
    shop.write("sqlseg.toml", SETTINGS.replace(', "cadence@1"', ""))
    shop.refresh()
    assert shop.rows(there) == shop.rows("select name from sqlseg.kept_part order by 1")
    assert not any("cadence" in name for (name,) in shop.rows(there))
