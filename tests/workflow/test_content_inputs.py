"""What users buy as an input of segmentations: from events to segments, and what sets them apart."""

import pytest
from shops import RULES, bought, event, new_shop, viewed

TASTE = '[segmentations.taste]\nkind = "cluster"\ninputs = ["content:category@1"]\nk = 2\n'


def shopping(categories, prefix, count=8, day=1):
    """Users who buy these categories, each order one of them."""
    return [
        bought(
            f"{prefix}{n}", f"2024-03-{day:02} {hour:02}:0{n}", 10.0, category=category, item_id=f"{category} {hour}"
        )
        for n in range(count)
        for hour, category in enumerate(categories, start=8)
    ]


EVENTS = [*shopping(["tea", "milk"], "drinker"), *shopping(["nails", "saws", "milk"], "builder")]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("content") / "shop", EVENTS, RULES + TASTE)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def segments(shop):
    rows = shop.rows("select user_id, segment_id from segments.membership where segmentation = 'taste'")
    return {user.rstrip("0123456789"): segment for user, segment in rows}, dict(rows)


def test_users_come_together_by_what_they_buy(shop):
    by_taste, by_user = segments(shop)
    assert by_taste["drinker"] != by_taste["builder"]
    assert all(by_user[user] == by_taste[user.rstrip("0123456789")] for user in by_user)


def test_the_profile_by_hand(shop):
    by_taste, _ = segments(shop)
    query = (
        "select segment_id, term, user_count, share, overall_share, lift, rank from segments.content_profile "
        "where segmentation = 'taste' and input = 'content:category@1' order by segment_id, rank"
    )
    # Drinkers: half tea, half milk; builders: a third each. Over all sixteen: tea 1/4, nails and saws 1/6, milk 5/12.
    drinkers = [("tea", 8, 1 / 2, 1 / 4, 2.0, 1), ("milk", 8, 1 / 2, 5 / 12, 1.2, 2)]
    builders = [("nails", 8, 1 / 3, 1 / 6, 2.0, 1), ("saws", 8, 1 / 3, 1 / 6, 2.0, 2)]
    expected = sorted(
        [(by_taste["drinker"], *row) for row in drinkers] + [(by_taste["builder"], *row) for row in builders],
        key=lambda row: (row[0], row[-1]),
    )
    assert [(*row[:3], *(pytest.approx(x, abs=1e-6) for x in row[3:])) for row in expected] == shop.rows(query)
    assert shop.published(query) == shop.rows(query)
    told = shop.sqlseg("segments", "show", "taste")
    assert "content:category@1, more than others: nails (2.0x), saws (2.0x)\n" in told.out
    of_rules = "select count(*) from segments.content_profile where segmentation = 'tier'"
    assert shop.rows(of_rules) == [(0,)], "all are in one tier, where nothing is bought more than by all"


def test_terms_of_few_users_are_left_out(tmp_path):
    few = [bought(f"drinker{n}", "2024-03-02 10:00", 5.0, category="caviar") for n in range(4)]
    shop = new_shop(tmp_path / "shop", [*EVENTS, *few], TASTE)
    shop.refresh()
    assert shop.rows("select count(*) from segments.content_profile where term = 'tea'") == [(1,)]
    assert shop.rows("select count(*) from segments.content_profile where term = 'caviar'") == [(0,)]


def test_new_users_are_placed_by_the_frozen_model(shop):
    by_taste, before = segments(shop)
    new = [*shopping(["tea"], "latecomer", 1, day=5), *shopping(["saws", "paint"], "painter", 1, day=5)]
    nobody = event("silent", "2024-03-05 09:00", "search", text="hello")
    shop.events(*EVENTS, *new, nobody)
    outcome = shop.refresh()
    assert outcome.plan.kind == "warm"
    assert {one.name: one.action for one in outcome.plan.segmentations}["taste"] == "assign"
    _, after = segments(shop)
    assert after["latecomer0"] == by_taste["drinker"] and after["painter0"] == by_taste["builder"]
    assert before.items() <= after.items() and "silent" in after
    assert shop.rows("select max(model_version) from segments.model where segmentation = 'taste'") == [(1,)]
    assert shop.refresh().plan.kind == "noop"


def test_a_user_whose_taste_changes_moves_by_behavior(shop):
    by_taste, _ = segments(shop)
    shop.events(*EVENTS, *[one for day in range(5, 15) for one in shopping(["nails", "saws"], "drinker", 1, day)])
    planned = shop.plan()
    outcome = shop.refresh()
    assert [(move.cause, move.user_count) for move in outcome.moves if move.segmentation == "taste"] == [
        ("behavior", 1)
    ]
    assert planned.moves == outcome.moves
    assert segments(shop)[1]["drinker0"] == by_taste["builder"]


def test_late_data_move_by_late_data(shop):
    by_taste, _ = segments(shop)
    late = [
        bought("drinker0", f"2024-02-{day:02} 10:00", 9.0, category=category, order_id=f"{day}")
        for day, category in enumerate(["nails", "saws", "nails", "saws", "nails", "saws", "nails"], start=1)
    ]
    shop.events(*EVENTS, *late)
    outcome = shop.refresh()
    assert [(move.cause, move.user_count) for move in outcome.moves if move.segmentation == "taste"] == [
        ("late_data", 1)
    ]
    assert segments(shop)[1]["drinker0"] == by_taste["builder"]


def test_a_refit_learns_new_terms(shop):
    gardeners = shopping(["seeds", "soil"], "gardener", 8, day=5)
    shop.events(*EVENTS, *gardeners)
    shop.refresh(refit="always")
    [(text,)] = shop.rows("select arg_max(parameters, model_version) from segments.model where segmentation = 'taste'")
    assert '"seeds"' in text
    assert shop.rows("select count(*) > 0 from segments.content_profile where term = 'seeds'") == [(True,)]


def test_an_input_that_is_taken_out_leaves_nothing(shop):
    tables = "select count(*) from duckdb_tables() where table_name = 'content_category_v1'"
    assert shop.rows(tables) == [(1,)]
    shop.settings(RULES + TASTE.replace("content:category@1", "rfm@1"))
    outcome = shop.refresh()
    assert outcome.plan.kind == "refit"
    assert shop.rows(tables) == [(0,)]
    assert shop.rows("select count(*) from segments.content_profile") == [(0,)]


def test_items_beside_categories_and_features(shop):
    shop.settings(RULES + TASTE.replace('"content:category@1"', '"rfm@1", "content:item@1", "content:category@1"'))
    shop.refresh()
    inputs = shop.rows("select distinct input from segments.content_profile order by 1")
    assert inputs == [("content:category@1",), ("content:item@1",)]
    by_taste, _ = segments(shop)
    assert by_taste["drinker"] != by_taste["builder"]
    told = shop.sqlseg("segments", "explain", "drinker1")
    assert told.code == 0 and "content:item@1" in told.out


def test_who_buys_nothing_counts_by_carts_then_by_views(shop):
    shop.events(
        *EVENTS,
        bought("ann", "2024-03-01 10:00", 1.0, category="tea", order_id="a"),
        bought("ann", "2024-03-01 10:00", 1.0, category="tea", order_id="a", item_id="other"),
        bought("ann", "2024-03-02 10:00", 1.0, category="tea", order_id="b"),
        viewed("ann", "2024-03-03 10:00", category="nails"),
        event("bob", "2024-03-01 10:00", "cart", category="tea"),
        event("bob", "2024-03-01 11:00", "favorite", category="tea"),
        viewed("bob", "2024-03-03 10:00", category="nails"),
        *[viewed("cid", f"2024-03-03 1{n}:00", category="nails") for n in range(3)],
        viewed("cid", "2024-03-03 10:00"),
    )
    shop.refresh()
    rows = shop.rows(
        "select user_id, term, weight from sqlseg.content_category_v1 where user_id in ('ann', 'bob', 'cid') order by 1"
    )
    assert rows == [("ann", "tea", 2), ("bob", "tea", 2), ("cid", "nails", 3)]


@pytest.mark.parametrize(("one", "column"), [("content:category@1", "category"), ("content:item@1", "item_id")])
def test_a_shop_without_the_column_is_told_where_and_what_to_do(tmp_path, one, column):
    shop = new_shop(tmp_path / "shop", [bought("ann", "2024-03-01", 5.0)], TASTE.replace("content:category@1", one))
    told = shop.sqlseg("refresh")
    assert told.code == 1
    line = next(
        number
        for number, text in enumerate((shop.directory / "sqlseg.toml").read_text().splitlines(), 1)
        if one in text
    )
    assert f"sqlseg.toml:{line}: segmentations.taste.inputs" in told.err.replace("\n", " ")
    assert f"{one} needs the column {column} of the events" in " ".join(told.err.split())
    assert "sql/events.sql" in told.err


def test_content_of_ones_own(shop):
    shop.write(
        "sql/contents/weekday__v1.sql",
        "-- Days of the week.\n-- grain: user_id, term\n"
        "select user_id, dayname(local_time) as term, count(*) as weight "
        "from events group by user_id, dayname(local_time)",
    )
    shop.settings(RULES + TASTE.replace("category@1", "weekday@1"))
    shop.refresh()
    assert shop.rows("select distinct term from sqlseg.content_weekday_v1") == [("Friday",)]
    shop.write("sql/contents/bad__v1.sql", "select user_id, item_id as term from events")
    told = shop.sqlseg("refresh")
    assert told.code == 1 and "a content view needs the column weight" in " ".join(told.err.split())


def test_unknown_content_is_named(shop):
    shop.settings(RULES + TASTE.replace("category@1", "categories@1"))
    told = shop.sqlseg("refresh")
    assert told.code == 1 and "No content view named 'categories'" in told.err and "category" in told.err
