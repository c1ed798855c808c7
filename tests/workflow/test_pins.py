"""Users whom an analyst pins to a segment, from the settings to the tables."""

import json

import pytest
from shops import RULES, bought, new_shop, viewed

from sqlseg.errors import SqlsegError
from sqlseg.settings import InvalidSettings

MONEY = """
-- What a user has spent.
-- grain: user_id
select
    user_id,            -- #unique #not_null the user
    sum(price) as spent -- #default(0) #high(rich) #low(poor) what was spent
from events
group by user_id
"""

PINNED = """
[segmentations.worth]
kind = "cluster"
inputs = ["money@1"]
k = {k}
refit = "never"
pins = "sql/segments/pins.sql"
"""
POOR = [bought(f"poor{n}", f"2024-03-0{n} 10:00", 10 + n) for n in range(1, 8)]
MIDDLE = [bought(f"middle{n}", f"2024-03-0{n} 12:00", 400 + n) for n in range(1, 8)]
RICH = [bought(f"rich{n}", f"2024-03-0{n} 11:00", 1000 + n) for n in range(1, 8)]
EVENTS = [*POOR, *MIDDLE, *RICH]
LATER = viewed("rich1", "2024-03-20 10:00")
# poor1 is held among the rich, against all that is known of them.
PINS = {**{f"rich{n}": "VIP" for n in range(1, 6)}, "poor1": "VIP"}

CAUSES = """
select user_id, cause from segments.membership_history
where segmentation = 'worth' and run_id = (select max(run_id) from segments.run where status = 'done') order by 1
"""
SAME = """
select count(*), count(l.user_id), count(*) filter (m.segment_id is distinct from l.segment_id),
    count(*) filter (m.segment_name is distinct from l.segment_name),
    count(*) filter (m.runner_up_segment_id is distinct from l.runner_up_segment_id),
    max(abs(m.confidence - l.confidence)) <= 1e-6, max(abs(m.distance - l.distance)) <= 1e-6
from segments.membership as m full join segments.worth_live as l using (user_id) where m.segmentation = 'worth'
"""


def pin(shop, pins):
    rows = ", ".join(f"('{user}', '{segment}')" for user, segment in pins.items())
    shop.write("sql/segments/pins.sql", f"select * from (values {rows}) as pins (user_id, segment_name)\n")


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("pins") / "shop", EVENTS, RULES + PINNED.format(k=3))
    shop.write("sql/features/money__v1.sql", MONEY)
    pin(shop, PINS)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def groups(shop):
    """The users of each segment, by its id."""
    rows = shop.rows("select segment_id, user_id from segments.membership where segmentation = 'worth' order by all")
    return {segment: {user for one, user in rows if one == segment} for segment, _ in rows}


def vip(shop):
    [(segment,)] = shop.rows(
        "select segment_id from segments.segment where segmentation = 'worth' and segment_name = 'VIP' "
        "and retired_at is null"
    )
    return segment


def moves(shop):
    return dict(shop.rows(CAUSES))


def test_pinned_users_are_held_and_their_segment_is_called_by_its_name(shop):
    found = groups(shop)
    assert sorted(map(sorted, found.values())) == sorted(
        [
            sorted({"poor1", *(f"rich{n}" for n in range(1, 8))}),
            [f"middle{n}" for n in range(1, 8)],
            [f"poor{n}" for n in range(2, 8)],
        ]
    )
    assert found[vip(shop)] >= set(PINS)
    rows = {
        user: rest
        for user, *rest in shop.published(
            "select user_id, confidence, runner_up_segment_id, distance, assignment_probability "
            "from segments.membership where segmentation = 'worth'"
        )
    }
    assert rows["rich1"][0] > 0.5 > rows["poor1"][0] and rows["poor1"][2] > rows["rich1"][2]
    poor = next(segment for segment, users in found.items() if "poor2" in users)
    assert rows["poor1"][1] == poor
    assert all(rows[user][3] == 1.0 for user in PINS)
    assert sorted(shop.published("select * from segments.pin")) == sorted((user, "worth", vip(shop)) for user in PINS)
    text = shop.rows("select parameters from segments.model where segmentation = 'worth'")[0][0]
    assert json.loads(text)["pinned"].keys() == {"VIP"} and "poor1" not in text


def test_reasons_and_explain_say_that_a_user_is_pinned(shop):
    reasons = "select rank, feature, contribution from segments.reason where segmentation = 'worth' and user_id = "
    found = shop.published(f"{reasons} 'poor1' order by rank")
    assert found[0] == (1, "pinned", 0.0)
    assert shop.published(f"{reasons} 'rich1' order by rank")[1][1] == "money__spent"
    assert "pinned" not in {row[1] for row in shop.published(f"{reasons} 'rich6'")}
    told = shop.sqlseg("segments", "explain", "poor1")
    assert "Pinned to this segment by hand; by the inputs alone it would be" in told.out
    assert "Nothing that the user does changes that." in told.out and "What would move" not in told.out
    assert "by the inputs alone" not in shop.sqlseg("segments", "explain", "rich1").out
    assert "Pinned" not in shop.sqlseg("segments", "explain", "rich6").out
    places = json.loads(shop.sqlseg("segments", "explain", "poor1", "--json").out)
    place = next(place for place in places if place["segmentation"] == "worth")
    assert place["pinned"] is True and place["reasons"][0]["feature"] == "pinned" and place["moves"] == []


def test_the_live_view_holds_pinned_users_too(shop):
    for rows in (shop.rows(SAME), shop.published(SAME)):
        assert rows == [(21, 21, 0, 0, 0, True, True)]
    told = shop.sqlseg("segments", "show", "worth", "--sql", "--dialect", "postgres")
    assert told.code == 0 and "segments.pin" in told.out
    shop.settings(RULES + PINNED.format(k=1))
    shop.refresh()
    assert shop.rows(SAME) == [(21, 21, 0, 0, 0, True, True)]


def test_later_users_are_placed_and_pinned_ones_stay_by_the_frozen_model(shop):
    before = groups(shop)
    shop.events(*EVENTS, bought("new", "2024-03-19 10:00", 1020), bought("rich1", "2024-03-20 10:00", -0.0), LATER)
    outcome = shop.refresh()
    assert outcome.plan.kind == "warm"
    after = groups(shop)
    assert {segment: users - {"new"} for segment, users in after.items()} == before
    assert "new" in after[vip(shop)] and moves(shop) == {"new": "first_seen"}
    assert shop.rows(SAME) == [(22, 22, 0, 0, 0, True, True)]
    assert shop.refresh().plan.kind == "noop"


def test_a_changed_pin_is_a_definition_for_plan_diff_and_causes(shop):
    before = groups(shop)
    pin(shop, {**PINS, "middle1": "VIP"})
    planned = shop.plan()
    assert planned.plan.kind == "refit"
    assert planned.plan.segmentations[1].reasons == ("pins changed",)
    assert [(move.cause, move.user_count) for move in planned.moves] == [("definition", 1)]
    shop.refresh()
    assert moves(shop) == {"middle1": "first_seen"} or moves(shop) == {"middle1": "definition"}
    causes = "select cause, user_count from segments.transition where segmentation = 'worth' and cause <> 'first_seen'"
    assert shop.rows(causes) == [("definition", 1)]
    assert groups(shop).keys() == before.keys() and "middle1" in groups(shop)[vip(shop)]
    assert "definition" in shop.sqlseg("segments", "diff").out
    assert shop.refresh().plan.kind == "noop"


def test_a_changed_pin_late_data_and_behavior_at_once(shop):
    shop.events(*EVENTS, bought("middle2", "2024-03-04 10:00", 600), bought("middle3", "2024-03-10 10:00", 600), LATER)
    pin(shop, {**PINS, "middle1": "VIP"})
    shop.refresh()
    found = moves(shop)
    assert {user: found[user] for user in ("middle1", "middle2", "middle3")} == {
        "middle1": "definition",
        "middle2": "late_data",
        "middle3": "behavior",
    }


def test_pins_that_are_worded_otherwise_change_nothing(shop):
    rows = " union all ".join(
        f"select '{segment}' as segment_name, '{user}' as user_id" for user, segment in PINS.items()
    )
    shop.write("sql/segments/pins.sql", f"-- the same\n{rows}")
    assert shop.refresh().plan.kind == "noop"


def test_a_pinned_segment_keeps_its_id_through_refits_and_when_it_comes_back(shop):
    segment = vip(shop)
    shop.refresh(refit="always")
    assert vip(shop) == segment
    shop.settings(RULES + PINNED.format(k=4))
    shop.refresh()
    assert vip(shop) == segment and groups(shop)[segment] >= set(PINS)
    # The pins name another segment, and the first comes back: by its id.
    pin(shop, {"poor2": "Thrifty", "poor3": "Thrifty"})
    shop.refresh()
    names = dict(shop.rows("select segment_name, segment_id from segments.segment where segmentation = 'worth'"))
    assert names["Thrifty"] != segment
    pin(shop, {**PINS, "poor2": "Thrifty"})
    shop.refresh()
    assert vip(shop) == segment
    lineage = "select count(*) from segments.lineage where segmentation = 'worth' and to_segment_id = "
    assert shop.rows(f"{lineage} '{names['Thrifty']}'")[0][0] > 0
    assert len(set(groups(shop))) == 4


def test_a_pin_by_the_name_of_a_segment_there_is_holds_the_user_in_that_one(shop):
    found = groups(shop)
    middle = next(segment for segment, users in found.items() if "middle2" in users)
    [(name,)] = shop.rows(f"select segment_name from segments.segment where segment_id = '{middle}'")
    pin(shop, {**PINS, "middle2": name.upper()})
    shop.refresh()
    after = groups(shop)
    assert after[middle] == found[middle]
    assert shop.rows(f"select segment_name from segments.segment where segment_id = '{middle}'") == [(name.upper(),)]


def test_a_name_by_hand_wins_over_that_of_the_pins(shop):
    segment = vip(shop)
    assert shop.sqlseg("segments", "rename", segment, "Our best").code == 0
    shop.refresh(refit="always")
    assert shop.rows(f"select segment_name from segments.segment where segment_id = '{segment}'") == [("Our best",)]
    assert groups(shop)[segment] >= set(PINS)


def test_pins_can_be_taken_up_and_given_up(shop):
    shop.settings(RULES + PINNED.format(k=3).replace('pins = "sql/segments/pins.sql"\n', ""))
    shop.refresh()
    assert shop.rows("select count(*) from segments.pin") == [(0,)]
    assert all(not {"poor1", "rich1"} <= users for users in groups(shop).values())
    assert moves(shop)["poor1"] in ("definition", "first_seen")
    shop.settings(RULES + PINNED.format(k=3))
    shop.refresh()
    assert groups(shop)[vip(shop)] >= set(PINS)
    shop.settings(RULES)
    shop.refresh()
    assert shop.rows("select count(*) from segments.pin") == [(0,)]


def test_unknown_users_are_told_and_pinned_once_they_come(shop):
    pin(shop, {**PINS, "ghost": "VIP", "spirit": "Ghosts"})
    shop.settings(RULES + PINNED.format(k=3).replace('"never"', '"drift"'))
    shop.refresh()
    told = [note for note in shop.notes if note.startswith("worth:")]
    assert "worth: pins.sql pins 2 users without an event, such as 'ghost': left out." in told
    assert "worth: There is no segment 'Ghosts': no user whom pins.sql pins to it has an event." in told
    shop.events(*EVENTS, bought("ghost", "2024-03-21 10:00", 11))
    outcome = shop.refresh(refit="never")
    assert outcome.plan.kind == "warm" and "ghost" in groups(shop)[vip(shop)]
    shop.events(*EVENTS, bought("ghost", "2024-03-21 10:00", 11), bought("spirit", "2024-03-22 10:00", 12))
    shop.refresh(refit="never")
    assert any("pinned to a segment that is not there yet" in note for note in shop.notes)
    shop.events(*EVENTS, bought("ghost", "2024-03-21 10:00", 11), bought("spirit", "2024-03-22 10:00", 12), LATER)
    outcome = shop.refresh()
    assert "users have come who are pinned" in outcome.plan.segmentations[1].reasons[0]
    names = dict(shop.rows("select user_id, segment_name from segments.membership where segmentation = 'worth'"))
    assert names["spirit"] == "Ghosts"


def test_pins_of_nobody_here_leave_all_segments_free(shop):
    pin(shop, {"ghost": "VIP"})
    shop.refresh()
    assert any("pins none of the users" in note for note in shop.notes)
    assert shop.rows("select count(*) from segments.pin") == [(0,)]


def test_an_erased_user_leaves_no_pin(shop):
    shop.events(*(one for one in EVENTS if one["user_id"] != "rich2"), LATER)
    shop.refresh()
    assert {user for (user,) in shop.rows("select user_id from segments.pin")} == {*PINS} - {"rich2"}
    assert shop.rows("select count(*) from segments.model where parameters like '%rich2%'") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select 'rich1' as user_id", "Return two columns"),
        ("select 'rich1' as user_id, 'VIP' as segment_name, 1 as weight", "returns user_id, segment_name, weight"),
        ("select 'rich1' as user_id, unnest(['VIP', 'Poor']) as segment_name", "pins user 'rich1' twice"),
        ("select unnest(['rich1', null]) as user_id, 'VIP' as segment_name", "without user_id to 'VIP'"),
        ("select unnest(['a', 'b']) as user_id, unnest(['VIP', 'Vip']) as segment_name", "'VIP' and 'Vip'"),
        ("select user_id, 'VIP' as segment_name from features.rfm", "cannot read 'features.rfm'"),
        ("select user_id, 'VIP' as segment_name from users", "cannot read 'users'"),
        ("select user_id, 'VIP' as segment_name from nowhere", "pins.sql"),
    ],
)
def test_pins_that_cannot_be_read_are_refused(shop, sql, told):
    shop.write("sql/segments/pins.sql", sql)
    with pytest.raises(SqlsegError) as caught:
        shop.plan()
    assert told in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (PINNED.format(k=1), r"worth\.pins: pins name 2 segments, and k allows 1"),
        (PINNED.format(k='"auto"\nk_min = 1\nk_max = 1'), r"worth\.pins: pins name 2 segments, and k_max allows 1"),
        (PINNED.format(k='2\nalgorithm = "birch"'), r'worth\.pins: users can be pinned with algorithm = "kmeans" only'),
        (PINNED.format(k=2).replace("pins.sql", "none.sql"), r"worth\.pins"),
    ],
)
def test_settings_that_cannot_be_met_are_refused_at_their_line(shop, more, told):
    pin(shop, {"rich1": "VIP", "poor1": "Thrifty"})
    shop.settings(RULES + more)
    with pytest.raises(InvalidSettings, match=r"sqlseg\.toml:\d+: segmentations\." + told):
        shop.plan()


def test_pins_come_from_files_and_null_pins_nobody_and_the_number_may_be_auto(shop):
    shop.write("data/pins.csv", "user_id,segment_name\nrich1,VIP\npoor1,VIP\nrich2,\n")
    shop.write("sql/segments/pins.sql", "select * from read_csv('data/pins.csv', header = true)")
    shop.settings(RULES + PINNED.format(k='"auto"\nk_min = 2\nk_max = 4'))
    shop.refresh()
    assert {user for (user,) in shop.rows("select user_id from segments.pin")} == {"rich1", "poor1"}
    shop.write("data/pins.csv", "user_id,segment_name\nrich1,VIP\n")
    assert "pins changed" in shop.plan().plan.segmentations[1].reasons[0] or "pins is" in str(
        shop.plan().plan.segmentations[1].reasons
    )


def test_pins_are_of_today_and_cannot_be_replayed(shop):
    told = shop.sqlseg("backtest", "--segmentation", "worth")
    assert told.code == 1 and "so are pins" in told.err
