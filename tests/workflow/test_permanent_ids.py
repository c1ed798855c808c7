"""Ids of segments are permanent, and names that people give survive; rules keep an id for as long as a name."""

import pytest
from shops import CLUSTERS, RULES, bought, call_sqlseg, new_shop, viewed

from sqlseg.workflow.ruling import RuleFailed

POOR = [bought(f"poor{n}", f"2024-03-0{n} 10:00", 10 + n) for n in range(1, 7)]
RICH = [bought(f"rich{n}", f"2024-03-0{n} 11:00", 1000 + n) for n in range(1, 7)]
MIDDLE = [bought(f"middle{n}", f"2024-03-0{n} 12:00", 100 + n) for n in range(1, 7)]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("identity") / "shop", [*POOR, *RICH], RULES + CLUSTERS)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def ids(shop, segmentation="groups"):
    return dict(shop.rows(f"select user_id, segment_id from segments.membership where segmentation = '{segmentation}'"))


def with_k(shop, k):
    shop.settings(RULES + CLUSTERS.replace("k = 2", f"k = {k}"))


def test_a_refit_of_the_same_users_changes_no_id_and_no_name(shop):
    before, names = ids(shop), shop.segments_of("groups")
    outcome = shop.refresh(refit="always")
    assert outcome.plan.kind == "refit"
    assert outcome.moves == ()
    assert (ids(shop), shop.segments_of("groups")) == (before, names)
    assert shop.rows(
        "select model_version, from_segment_id, to_segment_id, relation, overlap from segments.lineage "
        "where from_segment_id is not null order by all"
    ) == [
        (2, "groups-1", "groups-1", "kept", 1.0),
        (2, "groups-2", "groups-2", "kept", 1.0),
    ]


def machine_names(shop):
    return dict(
        shop.rows("select segment_id, segment_name from segments.segment where segmentation = 'groups' order by 1")
    )


def test_a_name_that_is_still_true_survives_a_refit(shop):
    """Who spends much has large orders here: the other name would do as well."""
    other_words = {"Low-spending": "Small-ticket", "High-spending": "Big-ticket"}
    named = {segment: other_words[name] for segment, name in machine_names(shop).items()}
    for segment, name in named.items():
        shop.change(f"update segments.segment set segment_name = '{name}' where segment_id = '{segment}'")
    shop.refresh(refit="always")
    assert machine_names(shop) == named


def test_a_name_that_is_no_longer_true_is_made_anew_at_a_refit(shop):
    """As if each segment had been what the other one is."""
    made = machine_names(shop)
    one, other = made
    for segment, name in ((one, made[other]), (other, made[one])):
        shop.change(f"update segments.segment set segment_name = '{name}' where segment_id = '{segment}'")
    shop.refresh(refit="always")
    assert machine_names(shop) == made


def test_ids_are_never_used_again(shop):
    shop.events(*POOR, *RICH, *MIDDLE)
    with_k(shop, 3)
    shop.refresh()
    assert set(ids(shop).values()) == {"groups-1", "groups-2", "groups-3"}
    with_k(shop, 1)
    shop.refresh()
    [last] = set(ids(shop).values())
    with_k(shop, 4)
    shop.refresh()
    four = set(ids(shop).values())
    assert len(four) == 4
    # The one that was left goes on; the other three are new, and none of the retired comes back.
    assert last in four
    assert four - {last} == {"groups-4", "groups-5", "groups-6"}
    assert shop.rows(
        "select segment_id, retired_at is not null from segments.segment where segmentation = 'groups' order by 1"
    ) == [(f"groups-{n}", f"groups-{n}" not in four) for n in range(1, 7)]
    relations = shop.rows("select model_version, relation, count(*) from segments.lineage group by all order by all")
    # Three segments became one, and later one became four.
    gone = [relation for version, relation, _ in relations if version == 3 and relation in ("merged", "retired")]
    assert gone
    assert {relation for version, relation, _ in relations if version == 4} <= {"split", "kept", "born"}


def test_a_given_name_survives_refresh_and_refit(shop):
    segment = ids(shop)["rich1"]
    made = shop.segments_of("groups")["rich1"]
    ran = shop.sqlseg("segments", "rename", segment, "Our best")
    assert ran.code == 0
    everywhere = f"""
        select segment_name from segments.segment where segment_id = '{segment}'
        union all select distinct segment_name from segments.membership where segment_id = '{segment}'
        union all select distinct segment_name from segments.daily where segment_id = '{segment}'
        union all select distinct segment_name from segments.groups_users where segment_id = '{segment}'
    """
    assert shop.rows(everywhere) == shop.published(everywhere) == [("Our best",)] * 4
    shop.events(*POOR, *RICH, viewed("rich1", "2024-03-20 10:00"))
    shop.refresh()
    assert shop.published(everywhere) == [("Our best",)] * 4
    shop.refresh(refit="always")
    assert shop.published(everywhere) == [("Our best",)] * 4
    # Taken back, the next fit names it again.
    assert shop.sqlseg("segments", "rename", segment, "").code == 0
    shop.refresh(refit="always")
    assert shop.segments_of("groups")["rich1"] == made


def test_what_cannot_be_a_name(shop):
    one, two = sorted(set(ids(shop).values()))
    other = shop.rows(f"select segment_name from segments.segment where segment_id = '{two}'")[0][0]
    for segment, text, fragment in [
        ("groups-9", "Best", "Segments in use: groups-1"),
        (one, other.upper(), f"{two} is called"),
        (one, "x" * 201, "at most 200 printable characters"),
        (one, "two\nlines", "one line"),
    ]:
        ran = shop.sqlseg("segments", "rename", segment, text)
        assert ran.code == 1
        assert fragment in ran.err
    assert call_sqlseg("segments", "rename", one).code == 2


# -- rules -------------------------------------------------------------------------------------------------------


def rule(shop, text):
    shop.write("sql/segments/tier.sql", text)


def test_a_rule_keeps_the_id_of_a_name_that_goes_and_comes_back(shop):
    assert {user[:4]: segment for user, segment in ids(shop, "tier").items()} == {"poor": "tier-2", "rich": "tier-1"}
    rule(shop, "select user_id, case when spend > 500 then 'Whales' else 'Low' end as segment_name from features.rfm")
    shop.refresh()
    assert {user[:4]: segment for user, segment in ids(shop, "tier").items()} == {"poor": "tier-2", "rich": "tier-3"}
    assert shop.rows(
        "select segment_name, retired_at is not null from segments.segment "
        "where segmentation = 'tier' order by segment_id"
    ) == [("High", True), ("Low", False), ("Whales", False)]
    rule(shop, "select user_id, case when spend > 500 then 'High' else 'Low' end as segment_name from features.rfm")
    shop.refresh()
    assert {user[:4]: segment for user, segment in ids(shop, "tier").items()} == {"poor": "tier-2", "rich": "tier-1"}
    assert shop.rows(
        "select segment_name, retired_at is not null from segments.segment "
        "where segmentation = 'tier' order by segment_id"
    ) == [("High", False), ("Low", False), ("Whales", True)]


def test_users_that_a_rule_leaves_out_are_unassigned(shop):
    rule(
        shop,
        """
        select user_id, case when spend > 500 then 'High' when spend > 15 then '  ' end as segment_name
        from features.rfm where spend > 12
        union all select 'nobody', 'High'
    """,
    )
    shop.refresh()
    named = shop.segments_of("tier")
    assert {user for user, name in named.items() if name == "Unassigned"} == {f"poor{n}" for n in range(1, 7)}
    assert len(named) == 12
    assert any("says nothing about 6 of 12 users" in note for note in shop.notes)
    assert any("names 1 users without an event, such as 'nobody'" in note for note in shop.notes)


def test_two_rows_for_a_user_are_refused(shop):
    rule(shop, "select user_id, 'A' as segment_name from features.rfm union all select 'rich1', 'B'")
    with pytest.raises(RuleFailed) as error:
        shop.refresh()
    assert "tier.sql puts user 'rich1' in two segments: 'A' and 'B'" in error.value.message


def test_the_sql_of_a_rule_segment_gives_its_members(shop):
    [(sql,)] = shop.published("select rule_sql from segments.segment where segment_id = 'tier-1'")
    # It reads features.rfm, which the published file has.
    assert sorted(shop.published(sql)) == [(f"rich{n}",) for n in range(1, 7)]
