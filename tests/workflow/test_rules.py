"""The SQL of each segment of a rule gives its users on the published file, however the rule is written."""

import re

import pytest
from shops import RULES, bought, new_shop, viewed

from sqlseg.workflow.recording import SameName
from sqlseg.workflow.ruling import RuleFailed

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("bob", "2024-03-01 12:00", 50),
    bought("dan", "2024-03-02 12:00", 70),
    viewed("eve", "2024-03-03 09:00"),
]
CASE = "case when spend >= 100 then '{high}' when spend >= 60 then '{low}' end as segment_name"


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("rules") / "shop", EVENTS)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def rule(shop, text):
    shop.write("sql/segments/tier.sql", text)


def members(shop, segmentation="tier"):
    """The users of each segment by name, as the memberships have them."""
    found = {}
    rows = f"select user_id, segment_name from segments.membership where segmentation = '{segmentation}' order by 1"
    for user, name in shop.published(rows):
        found.setdefault(name, []).append(user)
    return found


def selected(shop, segmentation="tier"):
    """The users of each segment by name, as its SQL selects them; None where it has no SQL."""
    rows = shop.published(f"""
        select segment_name, rule_sql from segments.segment where segmentation = '{segmentation}' and retired_at is null
    """)
    return {name: sql and sorted(user for (user,) in shop.published(sql)) for name, sql in rows}


PLAIN = CASE.format(high="High", low="Low")
QUOTED = CASE.format(high="It''s; --", low='a "b" %')

RULES_OF_ALL_KINDS = {
    "plain": f"select user_id, {PLAIN} from features.rfm",
    "one version": f"select user_id, {PLAIN} from features.rfm_v1",
    "semicolon and comment": f"select user_id, {PLAIN} from features.rfm; -- the end",
    "comments all around": f"-- first\nselect user_id, {PLAIN} /* inside */ from features.rfm -- last\n;\n-- over\n",
    "spaces": f"select user_id, {CASE.format(high='  High ', low=' ')} from features.rfm",
    "other columns": f"select {PLAIN}, spend, User_ID from features.rfm order by spend desc",
    "with": f"with r as (select * from features.rfm) select r.user_id, {PLAIN} from r",
    "quotes": f"select user_id, {QUOTED} from features.rfm",
    "no text": "select user_id, floor(spend / 60) as segment_name from features.rfm",
    "a union": "select user_id, 'A' as segment_name from features.rfm where spend > 60 union all "
    "select user_id, ' B' from features.rfm where spend <= 60",
    "users without an event": f"select user_id, {PLAIN} from features.rfm union all select 'nobody', 'High'",
    "rows without a user": "select nullif(user_id, 'dan') as user_id, case when spend > 60 then 'A' else 'B' end "
    "as segment_name from features.rfm",
    "an enum": "select user_id, case when spend > 60 then 'A' else 'B' end::enum('A', 'B') as segment_name "
    "from features.rfm",
}


@pytest.fixture(scope="module")
def of_all_kinds(tmp_path_factory):
    """A shop with every kind of rule side by side."""
    names = [kind.replace(" ", "_") for kind in RULES_OF_ALL_KINDS]
    shop = new_shop(tmp_path_factory.mktemp("kinds") / "shop", EVENTS, "".join(RULES.replace("tier", n) for n in names))
    for name, text in zip(names, RULES_OF_ALL_KINDS.values(), strict=True):
        shop.write(f"sql/segments/{name}.sql", text)
    shop.refresh()
    return shop


@pytest.mark.parametrize("kind", RULES_OF_ALL_KINDS)
def test_the_sql_of_every_segment_gives_exactly_its_users(of_all_kinds, kind):
    name = kind.replace(" ", "_")
    expected = members(of_all_kinds, name)
    assert sorted(user for users in expected.values() for user in users) == ["ann", "bob", "dan", "eve"]
    assert len(expected) >= 2
    assert selected(of_all_kinds, name) == {**expected, **{name: None for name in expected if name == "Unassigned"}}


def test_a_rule_over_attributes_that_are_not_published_has_no_sql(shop):
    shop.write("sql/users.sql", "select * from (values ('ann', 'gold'), ('bob', 'tin')) as t(user_id, card)")
    joined = "features.rfm left join users using (user_id)"
    rule(shop, f"select user_id, coalesce(card, 'none') as segment_name from {joined}")
    shop.refresh()
    assert members(shop) == {"gold": ["ann"], "tin": ["bob"], "none": ["dan", "eve"]}
    assert selected(shop) == {"gold": None, "tin": None, "none": None}
    told = shop.sqlseg("segments", "explain", "ann").out
    assert "by the rule of this segmentation" in told


def test_unassigned_has_no_sql(shop):
    rule(shop, RULES_OF_ALL_KINDS["plain"])
    shop.refresh()
    assert members(shop) == {"High": ["ann"], "Low": ["dan"], "Unassigned": ["bob", "eve"]}
    assert selected(shop) == {"High": ["ann"], "Low": ["dan"], "Unassigned": None}


def test_the_sql_of_a_renamed_segment_still_gives_its_users(shop):
    assert shop.sqlseg("segments", "rename", "tier-2", "Our best").code == 0
    shop.events(*EVENTS, bought("bob", "2024-03-05 12:00", 90))
    shop.refresh()
    assert members(shop)["Our best"] == ["ann", "bob"]
    assert selected(shop) == members(shop)


@pytest.mark.parametrize(("one", "other"), [("High", "HIGH"), ("élite", "ÉLITE "), ("Unassigned", "unassigned")])
def test_names_that_differ_by_case_alone_are_refused(shop, one, other):
    before = members(shop)
    rule(shop, f"select user_id, {CASE.format(high=one, low=other)} from features.rfm")
    with pytest.raises(RuleFailed) as error:
        shop.refresh()
    assert "tier.sql" in error.value.message
    assert f"{one!r}" in error.value.message and f"{other.strip()!r}" in error.value.message
    assert members(shop) == before


@pytest.mark.parametrize("given", ["Aces", "zealots"])
def test_a_given_name_that_a_rule_comes_to_use_too(shop, given):
    segment = "tier-2"
    assert shop.published(f"select segment_name from segments.segment where segment_id = '{segment}'") == [("High",)]
    assert shop.sqlseg("segments", "rename", segment, given).code == 0
    rule(shop, f"select user_id, {CASE.format(high='High', low=given.title())} from features.rfm")
    with pytest.raises(SameName) as error:
        shop.refresh()
    assert sorted(re.findall(r"tier-\d", error.value.message)) in ([segment, "tier-4"], [segment, "tier-5"])
    assert f"sqlseg segments rename {segment} " in error.value.hint, "the one that a person named can be renamed"
    assert shop.sqlseg("segments", "rename", segment, "Somebody else").code == 0
    shop.refresh()
    assert members(shop) == {"Somebody else": ["ann"], given.title(): ["dan"], "Unassigned": ["bob", "eve"]}
