"""What a refresh and `sqlseg check` check, what stops publishing, and what is told otherwise."""

import json
from datetime import timedelta

import pytest
from shops import CLUSTERS, RULES, bought, event

from sqlseg.settings import InvalidSettings
from sqlseg.workflow.checking import CheckFailed
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.rechecking import check_project

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("ann", "2024-03-03 10:00", 150),
    bought("bob", "2024-03-01 12:00", 50),
    event("eve", "2024-03-03 09:00", "view"),
]
TIERED = RULES + 'tiers = ["Low", "High"]\n'
WRONG = (
    "select user_id, case when spend >= 100 then 'Low' when spend > 0 then 'High' end as segment_name from features.rfm"
)
OLD = "\n[checks]\nmax_age_days = 30\n"


def found(shop, **changes):
    """Every check by name, as the command has it, at the shop's own time."""
    clock = Clock(now=lambda: shop.now + timedelta(**changes), seconds=lambda: 0.0)
    return {check.name: check for check in check_project(shop.directory, clock)[1]}


def failing(shop, **changes):
    return {name: check.failing_rows for name, check in found(shop, **changes).items() if not check.passed}


@pytest.fixture
def shop(make_shop):
    made = make_shop(EVENTS, TIERED)
    made.refresh()
    return made


def test_all_is_well(shop):
    checks = found(shop)
    assert failing(shop) == {}
    assert {
        "rfm@1.recency_days.range",
        "events_balance",
        "tier.monotonicity",
        "inputs_have_not_drifted",
    } <= checks.keys()
    ran = shop.sqlseg("check")
    assert (ran.code, "all passed" in ran.out) == (0, True)


def test_what_is_found_stands_in_quality_check(shop):
    shop.change("delete from quality.check")
    (run,) = shop.rows("select max(run_id) from segments.run where kind <> 'noop'")
    assert shop.sqlseg("check").code == 0
    told = json.loads(shop.sqlseg("check", "--json").out)
    assert told["run_id"] == run[0]
    rows = shop.rows("select distinct run_id, check_name, relation, severity, passed, failing_rows from quality.check")
    stored = [("run", *row[1:]) for row in rows]
    asked = [
        ("run", one["name"], one["relation"], one["severity"], one["passed"], one["failing_rows"])
        for one in told["checks"]
    ]
    assert sorted(stored) == sorted(asked)
    assert shop.rows("select count(*) from quality.check") == [(len(asked),)]


def test_tiers_against_value_stop_a_refresh(shop):
    published = shop.published_file.read_bytes()
    shop.write("sql/segments/tier.sql", WRONG)
    with pytest.raises(CheckFailed, match=r"tier\.monotonicity \(1 rows in segments.membership: users in a lower tier"):
        shop.refresh()
    assert shop.segments_of() == {"ann": "High", "bob": "Low", "eve": "Browsers"}
    assert shop.published_file.read_bytes() == published
    failed = (
        "select c.check_name, c.failing_rows from quality.check as c join segments.run as r on r.run_id = c.run_id "
    )
    assert shop.rows(failed + "where r.status = 'failed' and not c.passed") == [("tier.monotonicity", 1)]


def test_it_is_published_anyway_where_that_is_asked_for(shop):
    shop.write("sql/segments/tier.sql", WRONG)
    outcome = shop.refresh(publish_anyway=True)
    assert outcome.published == shop.published_file
    wrong = "select check_name, severity, failing_rows from quality.check where not passed"
    assert shop.published(wrong) == [("tier.monotonicity", "error", 1)]
    assert any(note.startswith("Check tier.monotonicity: 1 rows") for note in shop.notes)
    ran = shop.sqlseg("check")
    assert (ran.code, "tier.monotonicity" in ran.out) == (1, True)


def test_the_command_publishes_anyway(shop):
    shop.write("sql/segments/tier.sql", WRONG)
    ran = shop.sqlseg("refresh")
    assert (ran.code, "--publish-anyway" in ran.err) == (1, True)
    assert shop.sqlseg("refresh", "--publish-anyway").code == 0


def test_tiers_may_only_warn(shop):
    shop.settings(TIERED + "\n[checks]\nerrors = []\n")
    shop.write("sql/segments/tier.sql", WRONG)
    shop.refresh()
    ran = shop.sqlseg("check")
    assert (ran.code, "warning" in ran.out) == (0, True)


def test_tiers_need_the_view_that_they_are_judged_by(make_shop):
    shop = make_shop(EVENTS, RULES + 'tiers = ["All", "None"]\n')
    text = (shop.directory / "sqlseg.toml").read_text().replace('publish = ["rfm@1"]', "publish = []")
    shop.write("sqlseg.toml", text)
    shop.write("sql/segments/tier.sql", "select distinct user_id, 'All' as segment_name from features.trend")
    with pytest.raises(InvalidSettings, match=r"segmentations.tier.tiers: tiers are judged by rfm@1"):
        shop.refresh()


def test_old_events_are_told_and_refused(shop):
    shop.settings(TIERED + OLD)
    assert failing(shop) == {"events_are_fresh": 1}  # of March 2024, on a clock of January 2025
    assert "2024-03-03" in found(shop)["events_are_fresh"].detail
    shop.events(*EVENTS, bought("fay", "2024-12-15 10:00", 5))
    shop.refresh()
    assert failing(shop) == {}
    assert failing(shop, days=30) == {"events_are_fresh": 1}
    shop.events(*EVENTS)
    with pytest.raises(CheckFailed, match=r"events_are_fresh \(1 rows in sqlseg.events: 2024-03-03"):
        shop.refresh()


def test_shares_out_of_bounds_are_told(make_shop):
    many = [bought(f"u{number}", "2024-03-01 10:00", 150 if number else 5) for number in range(120)]
    shop = make_shop(many, RULES)
    shop.refresh()
    assert failing(shop) == {"segments_are_not_too_small": 1, "segments_are_not_too_large": 1}
    assert found(shop)["segments_are_not_too_small"].detail.endswith("0.8%")
    assert shop.sqlseg("check").code == 0
    shop.settings(RULES + '\n[checks]\nerrors = ["size"]\nmin_share = 0.005\nmax_share = 0.99\n')
    assert failing(shop) == {"segments_are_not_too_large": 1}
    ran = shop.sqlseg("check")
    assert (ran.code, "segments_are_not_too_large" in ran.out) == (1, True)


def test_drift_of_a_model_in_use_is_told_and_that_of_an_old_one_is_not(make_shop):
    shop = make_shop([bought(f"u{n}", "2024-03-01 10:00", 10 + n) for n in range(300)], CLUSTERS)
    shop.refresh()
    shop.events(*(bought(f"u{n}", "2024-03-01 10:00", 1000 + 7 * n) for n in range(300)))
    shop.refresh()
    assert failing(shop)["inputs_have_not_drifted"] >= 1
    shop.refresh(refit="always")
    assert "inputs_have_not_drifted" not in failing(shop)


def test_counts_that_do_not_add_up_are_told(shop):
    shop.change("delete from sqlseg.events where user_id = 'bob'")
    assert failing(shop)["events_balance"] == 1
    assert shop.sqlseg("check").code == 1


def test_a_tag_can_be_made_an_error(shop):
    shop.change("update sqlseg.feature_rfm_v1 set recency_days = -1 where user_id = 'bob'")
    assert found(shop)["rfm@1.recency_days.range"].severity == "warning"
    assert shop.sqlseg("check").code == 0
    shop.settings(TIERED + '\n[checks]\nerrors = ["range"]\n')
    assert shop.sqlseg("check").code == 1


def test_there_is_nothing_to_check_before_a_refresh(make_shop):
    ran = make_shop(EVENTS).sqlseg("check")
    assert (ran.code, "holds no refresh yet" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('errors = ["freshnes"]', "did you mean freshness"),
        ("min_share = 2", "less than"),
        ("max_age_days = 0", "at least 1"),
        ("tiers = []", "errors"),
    ],
)
def test_settings_of_checks_that_cannot_be_meant(shop, text, told):
    shop.settings(RULES + f"\n[checks]\n{text}\n")
    ran = shop.sqlseg("check")
    assert ran.code == 1
    assert told in ran.err or "at most" in ran.err


def test_tiers_that_cannot_be_meant(shop):
    shop.settings(RULES + 'tiers = ["Low", "Low"]\n')
    assert "two or more names of segments" in shop.sqlseg("check").err
