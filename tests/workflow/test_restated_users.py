"""Of whom something else is said than before, by comparing, where everybody had to be placed anew."""

from datetime import datetime
from unittest.mock import patch

import duckdb
import pytest
from shops import CLUSTERS, RULES, Shop, bought, call_sqlseg, viewed

from sqlseg.publish import patching
from sqlseg.resources import sql_text
from sqlseg.synth.writer import write_synthetic_events
from sqlseg.workflow import publishing

VALUE = '[segmentations.value]\nkind = "rules"\nsql = "sql/segments/value.sql"\n'
EVENTS = [
    one
    for number in range(40)
    for one in (
        bought(f"u{number:02d}", f"2024-05-{1 + number % 28:02d}T10:00", 10.0 + number, order_id=f"o{number}"),
        viewed(f"u{number:02d}", f"2024-05-{1 + number % 28:02d}T09:00"),
    )
]


@pytest.fixture
def patched():
    """Small files are patched too; the mock counts how often one was."""
    with (
        patch.multiple(patching, SMALLEST_BYTES=0, GROWS_AT_MOST=10),
        patch.object(publishing, "patch_copy", wraps=patching.patch_copy) as patched,
    ):
        yield patched


@pytest.fixture
def shop(make_shop):
    shop = make_shop(EVENTS, RULES + CLUSTERS + VALUE)
    shop.write("sql/segments/value.sql", sql_text("steps/init/value.sql"))
    shop.refresh()
    return shop


def contents(path):
    """Every row of every table and view but those that tell of the clock."""
    with duckdb.connect(str(path), read_only=True) as reader:
        names = reader.execute(
            "select distinct schema_name || '.' || table_name from duckdb_columns() where not internal"
        ).fetchall()
        left_out = ("segments.run", "quality.content")
        return {
            name: sorted(map(repr, reader.execute(f"from {name}").fetchall()))
            for (name,) in names
            if name not in left_out
        }


def assert_as_if_built_whole(shop):
    """What was published is what a file holds that is built whole from the warehouse as it stands."""
    found = contents(shop.published_file)
    shop.published_file.unlink()
    shop.refresh()
    whole = contents(shop.published_file)
    assert set(found) == set(whole)
    for name in whole:
        assert found[name] == whole[name], name


def test_the_file_of_a_new_project_is_patched_and_says_what_a_whole_one_does(tmp_path, patched):
    data = tmp_path / "events.parquet"
    write_synthetic_events(data, users=200, events=4000, seed=3)
    assert call_sqlseg("init", str(tmp_path / "shop"), "--events", str(data)).code == 0
    shop = Shop(tmp_path / "shop", now=datetime(2027, 1, 1))
    settings = (shop.directory / "sqlseg.toml").read_text(encoding="utf-8")
    assert "[segmentations.value]" in settings and "over (" in sql_text("steps/init/value.sql")
    shop.write("sqlseg.toml", settings.replace("published/customer_segments.duckdb", "published/shop.duckdb"))
    shop.refresh()
    before = shop.segments_of("value")
    # What five users of the lowest tier bought once more today, a hundred times as dear.
    chosen = sorted(user for user, segment in before.items() if segment.startswith("Lowest"))[:5]
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select * from '{data}' union all by name (select * replace (price * 100 as price, "
            f"event_id || '-more' as event_id, (select max(event_time) from '{data}') as event_time) from '{data}' "
            f"where user_id in {tuple(chosen)} and event_type = 'purchase')) to '{data}.new' (format parquet)"
        )
    data.with_name(f"{data.name}.new").replace(data)
    assert shop.refresh().plan.everyone_because is None
    assert patched.call_count == 1
    assert not [note for note in shop.notes if "built whole" in note]
    after = shop.segments_of("value")
    moved = {user for user in after if after[user] != before[user]}
    assert set(chosen) < moved, "others have moved on their account"
    assert_as_if_built_whole(shop)


def test_only_users_who_stand_otherwise_are_written_anew(shop, patched):
    before = shop.segments_of("value")
    shop.events(*EVENTS, bought("u00", "2024-05-28T20:00", 500.0))
    shop.refresh()
    after = shop.segments_of("value")
    moved = {user for user in after if after[user] != before[user]}
    assert moved == {"u00", "u08", "u16", "u24", "u32"}, "the lowest of each tier but their own"
    in_order = "select user_id from segments.membership where segmentation = 'value' order by rowid"
    assert {row[0] for row in shop.rows(in_order)[-5:]} == moved, "what is written again stands at the end"
    assert patched.call_count == 1
    assert not [note for note in shop.notes if "built whole" in note]
    assert_as_if_built_whole(shop)


def test_a_segmentation_that_was_left_out_is_compared_with_where_it_was_left(shop, patched):
    since = [bought("u03", "2024-05-28T19:00", 700.0)]
    shop.events(*EVENTS, *since)
    shop.refresh(segmentation="tier")
    assert shop.segments_of("value")["u03"] == "Lowest fifth by spend"
    # A user whom nothing touches, with a reason that only a comparison of reasons would correct.
    shop.change("update segments.user_reason set contribution = -1 where user_id = 'u05'")
    shop.events(*EVENTS, *since, bought("u39", "2024-05-28T20:00", 700.0))
    shop.refresh()
    assert patched.call_count == 2
    assert not [note for note in shop.notes if "built whole" in note]
    assert shop.segments_of("value")["u03"] == "Top fifth by spend"
    assert shop.rows("select min(contribution) > 0 from segments.user_reason") == [(True,)]
    assert_as_if_built_whole(shop)


def test_where_too_many_stand_otherwise_the_file_is_built_whole(make_shop, patched):
    shop = make_shop(EVENTS, VALUE)
    shop.write(
        "sql/segments/value.sql",
        "select user_id, if(max(spend) over () > 400, 'Dear', 'Cheap') as segment_name from features.rfm",
    )
    shop.refresh()
    shop.events(*EVENTS, bought("u00", "2024-05-28T20:00", 500.0))
    shop.refresh()
    assert patched.call_count == 0
    assert shop.published("select distinct segment_name from segments.membership") == [("Dear",)]
