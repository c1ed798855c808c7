"""Why users move: each cause constructed alone, with segments of clusters and of rules."""

import pytest
from shops import RULES, TIERS, bought, new_shop, viewed

MONEY = """
-- What a user has spent.
-- grain: user_id
select
    user_id,            -- #unique #not_null the user
    sum(price) as spent -- #default(0) #high(rich) #low(poor) what was spent
from events
group by user_id
"""

CLUSTERS = '[segmentations.wealth]\nkind = "cluster"\ninputs = ["money@1"]\nk = {k}\nrefit = "never"\n'

POOR = [bought(f"poor{n}", f"2024-03-0{n} 10:00", 10 + n) for n in range(1, 6)]
RICH = [bought(f"rich{n}", f"2024-03-0{n} 11:00", 1000 + n) for n in range(1, 6)]
LATER = viewed("rich1", "2024-03-20 10:00")

MOVES = """
select h.user_id, h.cause from segments.membership_history as h
where h.segmentation = '{name}' and h.run_id = (select max(run_id) from segments.run where status = 'done')
order by h.user_id
"""


def make(directory, events=(), k=2):
    shop = new_shop(directory, [*POOR, *RICH, *events], RULES + CLUSTERS.format(k=k))
    shop.write("sql/features/money__v1.sql", MONEY)
    shop.refresh()
    return shop


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """Five poor and five rich users, refreshed once; each test changes a copy."""
    return make(tmp_path_factory.mktemp("causes") / "shop")


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def moves(shop, name="wealth"):
    return dict(shop.rows(MOVES.format(name=name)))


def grouped(shop, name="wealth"):
    """The users of each segment, by its id."""
    rows = shop.rows(f"select segment_id, user_id from segments.membership where segmentation = '{name}' order by all")
    return {segment: {user for s, user in rows if s == segment} for segment, _ in rows}


def test_poor_and_rich_are_two_segments(refreshed):
    assert sorted(sorted(users) for users in grouped(refreshed).values()) == [
        [f"poor{n}" for n in range(1, 6)],
        [f"rich{n}" for n in range(1, 6)],
    ]
    assert set(moves(refreshed).values()) == {"first_seen"}


def test_behavior_and_first_seen(shop):
    before = grouped(shop)
    shop.events(*POOR, *RICH, bought("poor3", "2024-03-10 10:00", 990), bought("new", "2024-03-11 10:00", 12))
    outcome = shop.refresh()
    assert outcome.plan.kind == "warm"
    assert moves(shop) == {"poor3": "behavior", "new": "first_seen"}
    assert grouped(shop).keys() == before.keys()
    # The rule sees the same: poor3 goes from Low to High.
    assert moves(shop, "tier") == {"poor3": "behavior", "new": "first_seen"}


def test_the_passing_of_time_is_behavior(shop):
    shop.write("sql/segments/tier.sql", TIERS.replace("spend >= 100", "recency_days >= 10"))
    shop.refresh()
    shop.refresh(as_of="2024-06-01")
    causes = shop.rows("select cause, sum(user_count) from segments.transition where as_of = '2024-06-01' group by 1")
    assert causes == [("behavior", 10)]


def test_late_data(shop):
    # An event of 4 March arrives after those up to 5 March have been used.
    shop.events(*POOR, *RICH, bought("poor3", "2024-03-04 10:00", 990))
    shop.refresh()
    assert moves(shop) == {"poor3": "first_seen"}, "a stay of no length was replaced: it is still the first one"
    assert shop.rows("""
        select segmentation, cause, user_count from segments.transition
        where run_id = (select max(run_id) from segments.run) order by 1
    """) == [("tier", "late_data", 1), ("wealth", "late_data", 1)]


def test_late_data_and_behavior_at_once(shop):
    shop.events(*POOR, *RICH, bought("poor3", "2024-03-04 10:00", 990), bought("poor4", "2024-03-10 10:00", 990), LATER)
    shop.refresh()
    assert moves(shop) == {"poor3": "late_data", "poor4": "behavior"}
    assert moves(shop, "tier") == {"poor3": "late_data", "poor4": "behavior"}


def test_events_that_are_taken_out_are_late_data(shop):
    gone = [one for one in RICH if one["user_id"] != "rich3"]
    shop.events(*POOR, *gone, viewed("rich3", "2024-03-03 11:00"), LATER)
    shop.refresh()
    assert moves(shop) == {"rich3": "late_data"}
    assert moves(shop, "tier") == {"rich3": "late_data"}


def test_definition_by_the_number_of_segments(tmp_path):
    middle = [bought(f"middle{n}", f"2024-03-0{n} 12:00", 100 + n) for n in range(1, 4)]
    shop = make(tmp_path / "shop", middle)
    before = grouped(shop)
    home = next(segment for segment, users in before.items() if "middle1" in users)
    shop.events(*POOR, *RICH, *middle, bought("poor1", "2024-03-10 10:00", 1000))
    shop.settings(RULES + CLUSTERS.format(k=3))
    outcome = shop.refresh()
    assert outcome.plan.kind == "refit"
    assert outcome.plan.segmentations[1].reasons == ("k is 3, was 2",)
    after = grouped(shop)
    assert len(after) == 3
    moved = moves(shop)
    assert moved.pop("poor1") == "behavior"
    assert moved and set(moved.values()) == {"definition"}
    # Of the segment that was split, the larger part keeps the id.
    assert set(moved) <= before[home]
    assert before.keys() < after.keys()
    assert set(after) - set(before) == {"wealth-3"}


def test_definition_by_the_text_of_a_rule(shop):
    shop.events(*POOR, *RICH, LATER)
    shop.write("sql/segments/tier.sql", TIERS.replace("spend >= 100", "spend >= 14"))
    shop.refresh()
    assert moves(shop, "tier") == {"poor4": "definition", "poor5": "definition"}
    assert moves(shop) == {}


def test_a_changed_rule_and_behavior_at_once(shop):
    shop.events(*POOR, *RICH, bought("poor1", "2024-03-10 10:00", 500))
    shop.write("sql/segments/tier.sql", TIERS.replace("spend >= 100", "spend >= 15"))
    shop.refresh()
    # poor5 (15) is High by the new rule as things stood; poor1 would not have been.
    assert moves(shop, "tier") == {"poor1": "behavior", "poor5": "definition"}


def test_model_by_a_refit(shop):
    giants = [bought(f"giant{n}", f"2024-03-1{n} 10:00", 10_000_000 + n) for n in range(1, 6)]
    shop.events(*POOR, *RICH, *giants)
    shop.refresh()
    assert sorted(len(users) for users in grouped(shop).values()) == [5, 10]
    shop.events(*POOR, *RICH, *giants, LATER)
    outcome = shop.refresh(refit="always")
    assert outcome.plan.kind == "refit"
    assert outcome.plan.segmentations[1].reasons == ("refit is always",)
    moved = moves(shop)
    assert moved and set(moved.values()) == {"model"}
    assert shop.rows("select model_version, fit_user_count from segments.model where segmentation = 'wealth'") == [
        (1, 10),
        (2, 15),
    ]
    assert shop.rows("select distinct model_version from segments.membership where segmentation = 'wealth'") == [(2,)]


def test_late_data_comes_before_the_model(shop):
    # poor3's late purchase would have moved it without the refit as well; nobody else moves.
    shop.events(*POOR, *RICH, bought("poor3", "2024-03-04 10:00", 990), LATER)
    shop.refresh(refit="always")
    assert moves(shop) == {"poor3": "late_data"}


# -- together ----------------------------------------------------------------------------------------------------

MIDDLE = [bought(f"middle{n}", f"2024-03-0{n} 12:00", 100 + n) for n in range(1, 4)]
LATE = bought("poor3", "2024-03-04 10:00", 990)
HIGH = TIERS.replace("spend >= 100", "spend >= 15")


def all_at_once(shop):
    """Late data of poor3, behaviour of poor4, somebody new, and rich5 erased, beside what the test changes."""
    stay = [one for one in [*POOR, *RICH, *MIDDLE] if one["user_id"] != "rich5"]
    shop.events(*stay, LATE, bought("poor4", "2024-03-10 10:00", 990), bought("new", "2024-03-10 12:00", 12))
    return shop.refresh()


def counted(shop, name="wealth"):
    rows = shop.rows(
        "select cause, sum(user_count)::int from segments.transition where run_id = (select max(run_id) from "
        f"segments.transition) and segmentation = '{name}' group by 1 order by 1"
    )
    return dict(rows)


@pytest.fixture
def with_middle(tmp_path):
    return make(tmp_path / "shop", MIDDLE)


def test_every_cause_at_once_under_a_new_number_of_segments(with_middle):
    shop = with_middle
    shop.settings(RULES + CLUSTERS.format(k=3))
    shop.write("sql/segments/tier.sql", HIGH)
    outcome = all_at_once(shop)
    assert outcome.plan.segmentations[1].reasons == ("k is 3, was 2",)
    moved = moves(shop)
    # One of the three groups is new; those who are in it moved by definition.
    [fresh] = {segment for segment in grouped(shop) if segment == "wealth-3"}
    assert {user for user, cause in moved.items() if cause == "definition"} == grouped(shop)[fresh]
    assert (moved["poor4"], moved["new"]) == ("behavior", "first_seen")
    # poor3 joins the rich: with the late purchase it would have under two segments as well.
    found = counted(shop)
    assert found == {
        "behavior": 1,
        "definition": len(grouped(shop)[fresh]),
        "erased": 1,
        "first_seen": 1,
        "late_data": 1,
    }
    # By the rule, too: 15 instead of 100 takes poor5 along.
    assert counted(shop, "tier") == {"behavior": 1, "definition": 1, "erased": 1, "first_seen": 1, "late_data": 1}
    assert moves(shop, "tier")["poor5"] == "definition"


def test_every_cause_at_once_under_a_new_model(with_middle):
    shop = with_middle
    giants = [bought(f"giant{n}", f"2024-03-05 1{n}:00", 10_000_000 + n) for n in range(1, 6)]
    stay = [one for one in [*POOR, *RICH, *MIDDLE] if one["user_id"] != "rich5"]
    shop.events(*POOR, *RICH, *MIDDLE, *giants)
    shop.refresh()
    home = {user: segment for segment, users in grouped(shop).items() for user in users}
    assert home["rich1"] == home["giant1"] != home["poor1"]
    shop.events(
        *stay,
        *giants,
        bought("poor3", "2024-03-04 10:00", 9_000_000),
        bought("poor4", "2024-03-10 10:00", 9_000_000),
        bought("new", "2024-03-10 12:00", 12),
    )
    shop.refresh(refit="always")
    moved = moves(shop)
    assert (moved["poor4"], moved["new"]) == ("behavior", "first_seen")
    assert {user for user, cause in moved.items() if cause == "model"} == {f"rich{n}" for n in range(1, 5)}
    assert counted(shop) == {"behavior": 1, "erased": 1, "first_seen": 1, "late_data": 1, "model": 4}


@pytest.mark.parametrize("kept", [True, False], ids=["the old version is kept", "the old version is gone"])
def test_late_data_under_a_new_version_of_an_input(shop, kept):
    # The second version counts in hundreds: the division stays, but the segments are found anew in it.
    shop.write("sql/features/money__v2.sql", MONEY.replace("sum(price) as", "sum(price) / 100 as"))
    if not kept:
        (shop.directory / "sql" / "features" / "money__v1.sql").unlink()
    shop.settings(RULES + CLUSTERS.format(k=2).replace("money@1", "money@2"))
    shop.events(*POOR, *RICH, LATE, LATER)
    outcome = shop.refresh()
    assert "features money@2 is new" in outcome.plan.segmentations[1].reasons
    assert moves(shop) == {"poor3": "late_data" if kept else "definition"}
    # Nothing is left of the old version.
    assert shop.rows("select count(*) from duckdb_tables() where table_name like '%money_v1'") == [(0,)]


def test_who_would_not_be_there_by_the_old_rule_moved_by_definition(shop):
    shop.write("sql/segments/tier.sql", "select user_id, 'All' as segment_name from features.money")
    shop.events(*POOR, *RICH, LATE)
    shop.refresh()
    # The old rule would have moved poor3 to High, but in the end nobody is anywhere but in All.
    assert set(counted(shop, "tier")) == {"definition"}
