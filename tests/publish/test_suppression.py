"""Aggregates without figures of few users, and without what would let them be found by subtracting."""

from collections import defaultdict
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shops import bought, new_shop, returned

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.names import PUBLISHED_TABLES
from sqlseg.publish.snapshot import PublishedRelation
from sqlseg.publish.suppression import suppressed_relations

K = 10


@pytest.fixture(scope="module")
def engine():
    with Engine.open(None) as opened:
        prepare_warehouse(opened)
        yield opened


def fill(engine, sizes, days=(), moves=()):
    """Two segmentations of the same users: `a` of these sizes, `b` of one segment."""
    for table in ("segment", "daily", "transition", "profile", "metric"):
        engine.execute(f"delete from segments.{table}")
    for number, size in enumerate(sizes):
        engine.execute(
            "insert into segments.segment (segment_id, segmentation, user_count, revenue) values ($id, 'a', $n, $n)",
            {"id": f"a-{number}", "n": size},
        )
        engine.execute(
            "insert into segments.profile (segmentation, segment_id, feature, user_count, mean, overall_mean) "
            "values ('a', $id, 'rfm__spend', $n, 1, 2)",
            {"id": f"a-{number}", "n": size},
        )
    for number, (users, buyers, revenue) in enumerate(days):
        engine.execute(
            "insert into segments.daily values ($day, 'a', $id, 'name', $users, $buyers, $buyers, $revenue)",
            {
                "day": date(2024, 3, 1 + number // len(sizes)),
                "id": f"a-{number % len(sizes)}",
                "users": users,
                "buyers": buyers,
                "revenue": revenue,
            },
        )
    for number, users in enumerate(moves):
        engine.execute(
            "insert into segments.transition (run_id, segmentation, from_segment_id, to_segment_id, cause, user_count) "
            "values ('r', 'a', $a, $b, 'behavior', $n)",
            {"a": f"a-{number % len(sizes)}", "b": f"a-{(number + 1) % len(sizes)}", "n": users},
        )


def suppressed(engine, name, columns, order="all"):
    relations = [PublishedRelation(one, str(one)) for one in PUBLISHED_TABLES if one.name == name]
    (found,) = suppressed_relations(engine, relations, K)
    return engine.rows(f"select {columns} from {found.source} order by {order}")


def check_group(counts, hidden):
    """Nothing of few users is visible, and of what is hidden the total less the visible tells of K users at least.

    Where that is one figure, it is of K users by itself: hidden beside another of nobody, which is not told either.
    """
    assert all(count == 0 or count >= K for count, is_hidden in zip(counts, hidden, strict=True) if not is_hidden)
    withheld = [count for count, is_hidden in zip(counts, hidden, strict=True) if is_hidden and count > 0]
    total = sum(counts)
    assert not withheld or total < K or sum(withheld) >= K
    assert total < K or len(withheld) != 1 or (withheld[0] >= K and sum(hidden) >= 2)


SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=6)


@given(sizes=SIZES)
def test_small_segments_cannot_be_found_by_subtracting(engine, sizes):
    fill(engine, sizes)
    for table in ("segment", "profile"):
        rows = suppressed(engine, table, "segment_id, suppressed, user_count")
        hidden = {row[0]: row[1] for row in rows}
        assert all((row[2] is None) == row[1] for row in rows)
        check_group(sizes, [hidden[f"a-{number}"] for number in range(len(sizes))])
    if all(size == 0 or size >= K for size in sizes):
        assert not any(hidden.values())


@given(data=st.data())
def test_days_cannot_be_found_by_subtracting(engine, data):
    sizes = data.draw(st.lists(st.integers(10, 40), min_size=2, max_size=4))
    cells = st.tuples(st.integers(0, 25), st.integers(0, 25), st.sampled_from([-5.0, 0.0, 7.0]))
    days = [
        (users, min(users, buyers), revenue if users else 0.0)
        for users, buyers, revenue in data.draw(st.lists(cells, min_size=len(sizes), max_size=3 * len(sizes)))
    ]
    days = days[: len(days) // len(sizes) * len(sizes)]
    fill(engine, sizes, days)
    rows = suppressed(engine, "daily", "date, segment_id, user_count, buyers, revenue, orders, suppressed", "1, 2")
    by_day = defaultdict(list)
    for given_row, row in zip(days, rows, strict=True):
        by_day[row[0]].append((given_row, row))
    for found in by_day.values():
        check_group([one[0][0] for one in found], [one[1][2] is None for one in found])
        weights = [max(one[0][1], int(one[0][1] > 0 or one[0][2] != 0)) for one in found]
        check_group(weights, [one[1][3] is None for one in found])
        for (users, buyers, revenue), row in found:
            assert row[2] in (None, users)
            assert row[3:6] in ((None, None, None), (buyers, revenue, buyers))
            assert row[6] == (row[3] is None)
            assert row[2] is not None or row[3] is None


def test_buyers_are_hidden_with_their_users_also_beside_a_segment_where_nobody_bought(engine):
    fill(engine, [10, 10], [(1, 0, 0.0), (10, 10, -5.0)])
    # The day's total, 10 buyers, is of both or of either.
    assert suppressed(engine, "daily", "user_count, buyers, revenue, suppressed") == [(None, None, None, True)] * 2


@example(sizes=[0], moves=[1, 10, 10])  # rows of one and the same move
@given(sizes=SIZES, moves=st.lists(st.integers(1, 30), max_size=8))
def test_moves_cannot_be_found_by_subtracting(engine, sizes, moves):
    fill(engine, sizes, moves=moves)
    hidden_segments = {row[0] for row in suppressed(engine, "segment", "segment_id, suppressed") if row[1]}
    rows = suppressed(engine, "transition", "from_segment_id, to_segment_id, user_count, suppressed")
    assert len(rows) == len(moves)
    assert all((row[2] is None) == row[3] for row in rows)
    assert all(row[3] for row in rows if hidden_segments & {row[0], row[1]})
    assert all(row[2] is None or row[2] >= K for row in rows)
    withheld = sum(moves) - sum(row[2] or 0 for row in rows)
    assert withheld == 0 or withheld >= K or sum(moves) < K


def test_a_segment_that_is_hidden_is_so_on_every_day_and_the_next_smallest_with_it(engine):
    fill(engine, [3, 12, 40], [(3, 0, 0.0), (12, 0, 0.0), (40, 15, 9.0), (20, 12, 1.0), (14, 0, 0.0), (40, 15, 9.0)])
    assert suppressed(engine, "segment", "segment_id, user_count, suppressed") == [
        ("a-0", None, True), ("a-1", None, True), ("a-2", 40, False)
    ]  # fmt: skip
    assert suppressed(engine, "daily", "user_count, buyers", "date, segment_id") == [
        # On the second day the buyers of the third would tell those of the first, since nobody else bought.
        (None, None), (None, None), (40, 15), (None, None), (None, None), (40, None)
    ]  # fmt: skip


def test_measures_of_hidden_segments(engine):
    fill(engine, [3, 12, 40])
    engine.execute(
        "insert into segments.metric values ('r', null, 'a', 'smallest_share', 0.05), "
        "('r', null, 'a', 'recall[a-0]', 1), ('r', null, 'a', 'recall[a-2]', 1), "
        "('r', null, 'b', 'smallest_share', 0.5)"
    )
    assert suppressed(engine, "metric", "metric, segmentation, value") == [
        ("recall[a-0]", "a", None), ("recall[a-2]", "a", 1.0), ("smallest_share", "a", None),
        ("smallest_share", "b", 0.5),
    ]  # fmt: skip


TIERS = """
select user_id, case when spend > 900 then 'Whales' when spend > 100 then 'High' else 'Low' end as segment_name
from features.rfm
"""
SETTINGS = '[segmentations.{0}]\nkind = "rules"\nsql = "sql/segments/{0}.sql"\n'
CLUSTERS = '[segmentations.groups]\nkind = "cluster"\ninputs = ["rfm@1"]\nk = 2\nrefit = "never"\n'
WHALES = [bought(f"w{n}", f"2024-03-0{n + 1} 10:00", 1000.0 + n) for n in range(3)]
REST = [bought(f"u{n:02}", f"2024-03-{1 + n % 5:02} 11:00", 20.0 if n % 4 else 300.0) for n in range(60)]
EVERYTHING = f"{SETTINGS.format('tier')}{SETTINGS.format('half')}{CLUSTERS}"


ON = "[privacy]\nsuppress = true\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    shop = new_shop(
        tmp_path_factory.mktemp("small") / "shop", [*WHALES, *REST], f"{EVERYTHING}[privacy]\nsuppress=true"
    )
    shop.write("sql/segments/tier.sql", TIERS)
    shop.write(
        "sql/segments/half.sql",
        "select user_id, case when spend > 50 then 'More' else 'Less' end as segment_name from features.rfm",
    )
    shop.refresh()
    shop.events(*WHALES, *REST, returned("w1", "2024-03-06 09:00", 1001.0), bought("u01", "2024-03-06 10:00", 500.0))
    shop.refresh()
    return shop


def test_the_published_file_does_not_tell_what_three_users_spent(made):
    (total,) = made.published("select sum(revenue), sum(user_count) from segments.segment where segmentation = 'half'")
    assert total[1] == 63
    rows = made.published(
        "select segment_name, user_count, revenue, share, revenue_share, description, suppressed "
        "from segments.segment where segmentation = 'tier' order by 1"
    )
    assert [row[0] for row in rows if row[6]] == ["High", "Whales"]
    assert all(value is None for row in rows if row[6] for value in row[1:6])
    visible = [row for row in rows if not row[6]]
    # What subtracting tells is of Whales and High together.
    assert (
        63 - sum(row[1] for row in visible)
        == made.rows(
            "select sum(user_count) from segments.segment where segmentation = 'tier' and segment_name <> 'Low'"
        )[0][0]
        >= K
    )
    # On the sixth one user bought and one returned: nothing of that day is told, by any segmentation.
    assert set(
        made.published("select buyers, orders, revenue from segments.daily where date = '2024-03-06' and suppressed")
    ) == {(None, None, None)}
    assert made.published("select count(*) from segments.daily where date = '2024-03-06' and revenue <> 0") == [(0,)]
    assert made.published("select min(user_count) from segments.transition where user_count is not null")[0][0] >= K
    assert made.published("select min(user_count) from segments.profile where user_count > 0")[0][0] >= K
    assert made.published(
        "select count(*) from segments.profile where suppressed and (mean is not null or p10 is not "
        "null or rank is not null)"
    ) == [(0,)]
    assert made.published(
        "select distinct segment_mean is null from segments.reason r join segments.membership m "
        "using (user_id, segmentation) join segments.segment s using (segment_id) where s.suppressed"
    ) in ([], [(True,)])
    assert made.published("select distinct parameters from segments.model") == [(None,)]
    assert made.published("select measure, value from segments.privacy") == [("min_users", "10")]
    # The warehouse is as ever.
    assert made.rows("select user_count, revenue from segments.segment where segment_name = 'Whales'") == [(2, 2002.0)]


def test_every_figure_is_either_that_of_the_warehouse_or_withheld(made):
    for table, key in [
        ("segment", "segment_id"), ("profile", "segment_id, feature"), ("daily", "date, segment_id"),
        ("transition", "run_id, from_segment_id, to_segment_id, cause"), ("rule", "segment_id"),
    ]:  # fmt: skip
        shown = made.published(f"select * exclude (suppressed) from segments.{table} order by segmentation, {key}")
        there = made.rows(f"select * from segments.{table} order by segmentation, {key}")
        assert len(shown) == len(there), table
        for row, full in zip(shown, there, strict=True):
            assert all(a is None or a == b for a, b in zip(row, full, strict=True)), table


def test_commands_read_what_is_withheld(made, tmp_path):
    shop = made.copy(tmp_path / "shop")
    for arguments in (
        ["segments", "list"],
        ["segments", "show", "tier"],
        ["segments", "show", "groups"],
        ["segments", "diff"],
        ["doctor"],
    ):
        for more in ([], ["--json"]):
            ran = shop.sqlseg(*arguments, *more)
            assert ran.code == 0, (arguments, ran.err)
    assert "Whales" in shop.sqlseg("segments", "list").out
    ran = shop.sqlseg("segments", "show", "groups", "--sql")
    assert ran.code == 1
    assert "[privacy]" in ran.err


def test_by_default_nothing_is_withheld_and_the_bound_can_be_set(made, tmp_path):
    shop = made.copy(tmp_path / "shop")
    shop.settings(f"{EVERYTHING}[privacy]\nsuppress = true\nmin_users = 2")
    shop.refresh()
    assert shop.published("select count(*) from segments.segment where suppressed") == [(0,)]
    shop.settings(EVERYTHING)
    shop.refresh()
    assert ("suppressed",) not in shop.published("select column_name from (describe segments.segment)")
    assert shop.published("select user_count from segments.segment where segment_name = 'Whales'") == [(2,)]
    shop.settings(f"{EVERYTHING}[privacy]\nsuppress = true\nmin_users = 1")
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert "at least 2" in ran.err
