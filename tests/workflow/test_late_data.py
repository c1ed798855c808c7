"""Late data as a cause: of those alone whose past has changed, whatever else a refresh does at once."""

import pytest
from shops import RULES, bought, new_shop, viewed

MONEY = """
-- What a user has spent.
-- grain: user_id
select
    user_id,            -- #unique #not_null the user
    sum(price) as spent -- #default(0) #high(rich) #low(poor) what was spent
from events
group by user_id
"""

WEALTH = '[segmentations.wealth]\nkind = "cluster"\ninputs = ["money@1"]\nk = 2\nrefit = "never"\n'
DEAR = '[segmentations.dear]\nkind = "cluster"\ninputs = ["price@1", "money@1"]\nk = 3\nrefit = "always"\n'


def lines(day, dear=1.0):
    """Twelve users buy on one day of March: the higher the number, the dearer."""
    return [
        bought(f"user{n:02}", f"2024-03-{day:02} {n:02}:00", dear * 3**n + day, category="abc"[n % 3], discount=n / 4)
        for n in range(12)
    ]


FIRST = [*lines(1), *lines(2)]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """Twelve users in a rule, in clusters that stay, and in clusters that every refresh fits anew."""
    shop = new_shop(tmp_path_factory.mktemp("late") / "shop", FIRST, RULES + WEALTH + DEAR)
    shop.write("sql/features/money__v1.sql", MONEY)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def causes(shop):
    """How many users moved for what cause in the last run that did something, by segmentation."""
    rows = shop.rows("""
        select segmentation, cause, sum(user_count) from segments.transition
        where run_id = (select max(run_id) from segments.run where kind <> 'noop') group by all order by all
    """)
    return {(segmentation, cause): int(count) for segmentation, cause, count in rows}


def late_movers(shop):
    return {
        user
        for (user,) in shop.rows("""
            select user_id from segments.membership_history
            where cause = 'late_data' and run_id = (select max(run_id) from segments.run where kind <> 'noop')
        """)
    }


# Those who were the cheapest buy dear things now, and the dear ones less: places swap.
TURN = [
    bought(f"user{n:02}", f"2024-03-{day:02} {n:02}:00", 90_000.0 * (n < 3) + day, category="abc"[n % 3])
    for n in range(12)
    for day in (5, 6)
]


def test_events_that_are_only_added_are_never_late(shop):
    """Every fit renews the shop's price levels; seen with those of today, the past looks different to everybody."""
    have = [*FIRST]
    for more in (TURN, lines(9, dear=7)):
        have += more
        shop.events(*have)
        outcome = shop.refresh()
        assert outcome.plan.renewed_statistics == {"stats.category_price_v1"}
        assert {one.name: one.action for one in outcome.plan.segmentations}["dear"] == "fit"
        assert outcome.plan.changes.events_late == 0
        assert "late_data" not in {cause for _, cause in causes(shop)}
    assert shop.rows("select count(*) from segments.transition where cause in ('behavior', 'model')")[0][0] > 0


def test_late_events_of_one_user_are_a_cause_for_that_user_alone(shop):
    shop.events(*FIRST, *TURN, bought("user01", "2024-03-01 23:00", 200_000, category="b"))
    outcome = shop.refresh()
    assert outcome.plan.changes.events_late == 1
    assert sum(causes(shop).values()) > 2, "others move too"
    assert late_movers(shop) == {"user01"}
    found = causes(shop)
    assert {name: count for (name, cause), count in found.items() if cause == "late_data"}.items() <= {
        "tier": 1,
        "wealth": 1,
        "dear": 1,
    }.items()
    assert found["wealth", "late_data"] == found["tier", "late_data"] == 1
    assert found["wealth", "behavior"] == 2


def test_what_one_segmentation_saw_before_is_not_late_to_the_other(shop):
    shop.events(*FIRST, *TURN)
    shop.refresh(segmentation="tier")
    assert {name for name, _ in causes(shop)} == {"tier"}
    # The other two have yet to see what happened; meanwhile somebody who moves nowhere gets a late event.
    shop.events(*FIRST, *TURN, viewed("user11", "2024-03-02 23:00"))
    outcome = shop.refresh()
    assert outcome.plan.changes.events_late == 1
    found = causes(shop)
    assert found["wealth", "behavior"] == 3
    assert "late_data" not in {cause for _, cause in found}
    # Caught up, they tell late data from behaviour again.
    shop.events(*FIRST, *TURN, viewed("user11", "2024-03-02 23:00"), bought("user04", "2024-03-02 22:00", 200_000))
    shop.refresh()
    assert causes(shop)["wealth", "late_data"] == 1
    assert late_movers(shop) == {"user04"}
