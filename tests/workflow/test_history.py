"""Stays, transitions and daily activity of a small shop over several refreshes, worked out by hand."""

from datetime import datetime
from itertools import pairwise

import pytest
from shops import RULES, TIERS, bought, new_shop, returned, viewed

ANN = bought("ann", "2024-03-01 10:00", 150)
BOB = bought("bob", "2024-03-01 12:00", 50)
EVE = viewed("eve", "2024-03-02 09:00")

STAYS = """
select h.user_id, s.segment_name, h.valid_from, h.valid_to, h.cause
from segments.membership_history as h join segments.segment as s using (segment_id)
order by h.user_id, h.valid_from
"""

MOVES = """
select f.segment_name, s.segment_name, t.cause, t.user_count
from segments.transition as t
left join segments.segment as f on f.segment_id = t.from_segment_id
left join segments.segment as s on s.segment_id = t.to_segment_id
where t.run_id = (select max(run_id) from segments.transition) order by all
"""


def march(day: int, hour: int = 0) -> datetime:
    return datetime(2024, 3, day, hour)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """bob rises and falls, dan arrives, eve's events are taken out of the source and come back with a purchase."""
    shop = new_shop(tmp_path_factory.mktemp("story") / "shop", [ANN, BOB, EVE])
    shop.run_ids = [shop.refresh().run_id]
    rise = [bought("bob", "2024-03-04 08:00", 60), bought("dan", "2024-03-05 09:00", 20)]
    shop.events(ANN, BOB, EVE, *rise)
    shop.run_ids.append(shop.refresh().run_id)
    fall = returned("bob", "2024-03-06 10:00", 60)
    shop.events(ANN, BOB, *rise, fall)
    shop.run_ids.append(shop.refresh().run_id)
    shop.events(ANN, BOB, EVE, *rise, fall, bought("eve", "2024-03-08 11:00", 200))
    shop.run_ids.append(shop.refresh().run_id)
    return shop


def test_stays(story):
    assert story.rows(STAYS) == [
        ("ann", "High", march(2, 9), None, "first_seen"),
        ("bob", "Low", march(2, 9), march(5, 9), "first_seen"),
        ("bob", "High", march(5, 9), march(6, 10), "behavior"),
        ("bob", "Low", march(6, 10), None, "behavior"),
        ("dan", "Low", march(5, 9), None, "first_seen"),
        ("eve", "Browsers", march(2, 9), march(6, 10), "first_seen"),
        ("eve", "High", march(8, 11), None, "first_seen"),
    ]


def test_the_run_of_a_stay_is_the_one_that_began_it(story):
    first, second, third, fourth = story.run_ids
    assert story.rows("select user_id, run_id from segments.membership_history order by user_id, valid_from") == [
        ("ann", first),
        ("bob", first),
        ("bob", second),
        ("bob", third),
        ("dan", second),
        ("eve", first),
        ("eve", fourth),
    ]


def test_transitions(story):
    first, second, third, fourth = story.run_ids
    assert story.rows("""
        select run_id, from_segment_id, to_segment_id, cause, user_count, as_of from segments.transition order by all
    """) == [
        (first, None, "tier-1", "first_seen", 1, march(3)),
        (first, None, "tier-2", "first_seen", 1, march(3)),
        (first, None, "tier-3", "first_seen", 1, march(3)),
        (second, "tier-3", "tier-2", "behavior", 1, march(6)),
        (second, None, "tier-3", "first_seen", 1, march(6)),
        (third, "tier-1", None, "erased", 1, march(7)),
        (third, "tier-2", "tier-3", "behavior", 1, march(7)),
        (fourth, None, "tier-2", "first_seen", 1, march(9)),
    ]


def test_memberships_say_since_when(story):
    assert story.rows("""
        select user_id, segment_id, segment_name, member_since, as_of, confidence, distance, runner_up_segment_id
        from segments.membership order by user_id
    """) == [
        ("ann", "tier-2", "High", march(2, 9), march(9), 1.0, None, None),
        ("bob", "tier-3", "Low", march(6, 10), march(9), 1.0, None, None),
        ("dan", "tier-3", "Low", march(5, 9), march(9), 1.0, None, None),
        ("eve", "tier-2", "High", march(8, 11), march(9), 1.0, None, None),
    ]


def test_a_segment_without_users_is_retired_and_its_id_kept(story):
    assert story.rows("""
        select segment_id, segment_name, user_count, share, revenue, revenue_share, retired_at is not null
        from segments.segment order by segment_id
    """) == [
        ("tier-1", "Browsers", 0, 0.0, 0.0, 0.0, True),
        ("tier-2", "High", 2, 0.5, 350.0, 350 / 420, False),  # ann 150, eve 200
        ("tier-3", "Low", 2, 0.5, 70.0, 70 / 420, False),  # bob 50 + 60 - 60, dan 20
    ]


def test_daily_activity(story):
    # A user counts for the segment held at the end of the day; the first stay reaches back to the first event.
    assert story.rows("""
        select date, segment_name, user_count, buyers, orders, revenue from segments.daily order by date, segment_id
    """) == [
        (march(1).date(), "High", 1, 1, 1, 150.0),
        (march(1).date(), "Low", 1, 1, 1, 50.0),
        *[
            (march(day).date(), name, 1, sold, sold, 60.0 * sold)
            for day in (2, 3, 4)
            for name in ("Browsers", "High", "Low")
            for sold in [int(day == 4 and name == "Low")]
        ],
        (march(5).date(), "Browsers", 1, 0, 0, 0.0),
        (march(5).date(), "High", 2, 0, 0, 0.0),  # ann, and bob since 9:00
        (march(5).date(), "Low", 1, 1, 1, 20.0),  # dan
        (march(6).date(), "Browsers", 1, 0, 0, 0.0),  # eve: gone at the time, and known by now to have stayed
        (march(6).date(), "High", 1, 0, 0, 0.0),
        (march(6).date(), "Low", 2, 0, 0, -60.0),  # bob is back, with a return
        (march(7).date(), "Browsers", 1, 0, 0, 0.0),
        (march(7).date(), "High", 1, 0, 0, 0.0),
        (march(7).date(), "Low", 2, 0, 0, 0.0),
        (march(8).date(), "High", 2, 1, 1, 200.0),  # eve
        (march(8).date(), "Low", 2, 0, 0, 0.0),
    ]


def test_runs_are_on_record(story):
    columns = "kind, status, as_of, data_through, events_total, events_new, users_total, users_touched, users_moved"
    assert story.rows(f"select {columns} from segments.run order by run_id") == [
        ("cold", "done", march(3), march(2, 9), 3, 3, 3, 3, 0),
        ("warm", "done", march(6), march(5, 9), 5, 2, 3 + 1, 2, 1),
        ("warm", "done", march(7), march(6, 10), 5, 1, 3, 2, 1),  # bob's return is new, eve's view is gone
        ("warm", "done", march(9), march(8, 11), 7, 2, 4, 1, 0),
    ]


def test_the_published_file_holds_the_same_history(story):
    assert story.published(STAYS) == story.rows(STAYS)
    assert story.published("select * from segments.daily order by all") == story.rows(
        "select * from segments.daily order by all"
    )


# -- stays of no length ------------------------------------------------------------------------------------------

LOWER = TIERS.replace(">= 100", ">= 50")  # bob is High by this rule


def test_a_first_stay_of_no_length_is_replaced_and_stays_the_first(make_shop):
    shop = make_shop([ANN, BOB])
    shop.refresh()
    shop.write("sql/segments/tier.sql", LOWER)
    shop.refresh()
    assert shop.rows(STAYS) == [
        ("ann", "High", march(1, 12), None, "first_seen"),
        ("bob", "High", march(1, 12), None, "first_seen"),
    ]
    assert shop.rows(MOVES) == [("Low", "High", "definition", 1)]


def test_an_earlier_stay_goes_on_where_one_of_no_length_came_between(make_shop):
    shop = make_shop([ANN, BOB, EVE])
    shop.refresh()
    shop.events(ANN, BOB, EVE, viewed("ann", "2024-03-03 10:00"))
    shop.write("sql/segments/tier.sql", LOWER)
    shop.refresh()
    assert ("bob", "High", march(3, 10), None, "definition") in shop.rows(STAYS)
    shop.write("sql/segments/tier.sql", TIERS)
    shop.refresh()
    bobs = [stay for stay in shop.rows(STAYS) if stay[0] == "bob"]
    assert bobs == [("bob", "Low", march(2, 9), None, "first_seen")]


# -- sources that change their past ------------------------------------------------------------------------------


def test_a_user_who_comes_back_with_purchases_from_the_time_away(make_shop):
    shop = make_shop([ANN, BOB, EVE])
    shop.refresh()
    later = viewed("ann", "2024-03-06 10:00")
    shop.events(ANN, BOB, later)
    shop.refresh()
    # eve is gone from 6 March on; what she bought on the 7th arrives with the events of the 9th.
    shop.events(ANN, BOB, EVE, later, bought("eve", "2024-03-07 10:00", 30), viewed("ann", "2024-03-09 10:00"))
    shop.refresh()
    assert shop.segments_of() == {"ann": "High", "bob": "Low", "eve": "Low"}
    assert shop.rows("select sum(revenue) from segments.daily") == [(150.0 + 50 + 30,)]


def test_the_newest_events_are_taken_back(make_shop):
    shop = make_shop([ANN, BOB])
    shop.refresh()
    rise = bought("bob", "2024-03-05 08:00", 60)
    shop.events(ANN, BOB, rise)
    shop.refresh()
    # The purchase was a mistake, and the newest event is now one between the two refreshes.
    shop.events(ANN, BOB, viewed("ann", "2024-03-03 10:00"))
    outcome = shop.refresh()
    assert outcome.plan.as_of == march(6), "as_of never goes backwards"
    assert shop.segments_of() == {"ann": "High", "bob": "Low"}
    bobs = [stay for stay in shop.rows(STAYS) if stay[0] == "bob"]
    assert bobs[-1][1:2] + bobs[-1][3:4] == ("Low", None)
    assert all(end is None or start < end for _, _, start, end, _ in bobs)
    assert all(one[3] <= two[2] for one, two in pairwise(bobs))


def test_a_segmentation_that_is_taken_out_and_put_back(make_shop):
    """Its stays end, its segments retire; back again, they have their ids, and the days between are no riddle."""
    other = RULES.replace("tier", "other")
    shop = make_shop([ANN, BOB], RULES + other)
    shop.write("sql/segments/other.sql", TIERS)
    shop.refresh()
    shop.settings(RULES)
    shop.refresh()
    assert shop.rows("select segmentation from segments.segmentation") == [("tier",)]
    assert shop.rows("select count(*) from segments.membership where segmentation = 'other'") == [(0,)]
    assert shop.rows("select distinct retired_at is not null from segments.segment where segmentation = 'other'") == [
        (True,)
    ]
    assert shop.rows("select count(*) from duckdb_views() where view_name = 'other_users'") == [(0,)]
    assert any("'other' is no longer in sqlseg.toml" in note for note in shop.notes)
    shop.events(ANN, BOB, bought("ann", "2024-03-04 10:00", 5))
    shop.refresh()
    shop.events(ANN, BOB, bought("ann", "2024-03-04 10:00", 5), viewed("bob", "2024-03-09 10:00"))
    shop.settings(RULES + other)
    shop.refresh()
    assert shop.rows(
        "select segment_id, segment_name, user_count from segments.segment where segmentation = 'other' order by 1"
    ) == [("other-1", "High", 1), ("other-2", "Low", 1)]
    assert shop.rows("select sum(revenue) from segments.daily where segmentation = 'other'") == [(205.0,)]


def test_days_are_those_of_the_shop(make_shop):
    # 3:00 UTC on 2 March is still 1 March in New York.
    shop = make_shop([bought("ann", "2024-03-02 03:00", 10), BOB], timezone="America/New_York")
    outcome = shop.refresh()
    assert outcome.plan.as_of == march(2, 5)
    assert shop.rows("select date, segment_name, buyers, revenue from segments.daily") == [
        (march(1).date(), "Low", 2, 60.0)
    ]
