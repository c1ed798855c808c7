"""`sqlseg segments diff`: what the runs between two recorded, summed and told."""

import json

import pytest
from shops import CLUSTERS, RULES, TIERS, bought, new_shop

POOR = [bought(f"poor{n}", f"2024-03-0{n} 10:00", 10 + n) for n in range(1, 7)]
RICH = [bought(f"rich{n}", f"2024-03-0{n} 11:00", 1000 + n) for n in range(1, 7)]
MIDDLE = [bought(f"middle{n}", f"2024-03-0{n} 12:00", 100 + n) for n in range(1, 7)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Four runs: everybody; poor1 grows rich and two users come; poor2 grows rich and poor6 is erased; k is 3."""
    shop = new_shop(tmp_path_factory.mktemp("diff") / "shop", [*POOR, *RICH], RULES + CLUSTERS)
    shop.refresh()
    second = [bought("poor1", "2024-03-10 10:00", 990), *(bought(f"new{n}", "2024-03-10 11:00", 5) for n in (1, 2))]
    shop.events(*POOR, *RICH, *second)
    shop.refresh()
    third = [*POOR[:-1], *RICH, *second, bought("poor2", "2024-03-12 10:00", 500), MIDDLE[0]]
    shop.events(*third)
    shop.refresh()
    shop.settings(RULES + CLUSTERS.replace("k = 2", "k = 3"))
    shop.write("sql/segments/tier.sql", TIERS.replace("'Low'", "'Small'"))
    shop.events(*third, *MIDDLE[1:])
    shop.refresh()
    assert shop.sqlseg("refresh").code == 0  # a noop is in nobody's way
    return shop


@pytest.fixture(scope="module")
def runs(shop):
    return [row[0] for row in shop.rows("select run_id from segments.run where kind <> 'noop' order by 1")]


def diff(shop, *arguments):
    ran = shop.sqlseg("segments", "diff", *arguments, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def moves(found, segmentation="tier"):
    return {
        (one["from_segment"], one["to_segment"], one["cause"]): (one["user_count"], one["revenue"])
        for one in found["moves"]
        if one["segmentation"] == segmentation
    }


def test_moves_of_one_run(shop, runs):
    found = diff(shop, "--from", runs[0], "--to", runs[1])
    assert found["runs"] == [runs[1]]
    # poor1 has spent 11 and 990; the two new ones 5 each.
    assert moves(found) == {("Low", "High", "behavior"): (1, 1001.0), (None, "Low", "first_seen"): (2, 10.0)}
    [tier] = [one for one in found["segmentations"] if one["segmentation"] == "tier"]
    assert tier == {"segmentation": "tier", "users_before": 12, "users_after": 14, "users_elsewhere": 1}


def test_moves_are_summed_over_runs(shop, runs):
    found = diff(shop, "--from", runs[0], "--to", runs[2], "--segmentation", "tier")
    # poor1 with 1,001 and poor2 with 12 + 500; new1, new2 with 5 each; middle1's past came late, with 101 for High.
    assert moves(found) == {
        ("Low", "High", "behavior"): (2, 1513.0),
        (None, "Low", "first_seen"): (2, 10.0),
        (None, "High", "first_seen"): (1, 101.0),
        ("Low", None, "erased"): (1, None),
    }
    assert {one["segmentation"] for one in found["moves"]} == {"tier"}
    # The next run is over the same data, so the history no longer says how this one left things.
    assert found["segmentations"] == []


def test_users_at_both_ends(shop, runs):
    # poor1 and poor2 grew rich, and three more are Small who were Low; eight came, poor6 is gone.
    assert diff(shop, "--from", runs[0], "--segmentation", "tier")["segmentations"] == [
        {"segmentation": "tier", "users_before": 12, "users_after": 19, "users_elsewhere": 5}
    ]


def test_the_sum_is_that_of_the_table(shop, runs):
    found = diff(shop, "--from", runs[0], "--to", runs[3])
    assert (
        sum(one["user_count"] for one in found["moves"])
        == shop.rows(f"select sum(user_count) from segments.transition where run_id > '{runs[0]}'")[0][0]
    )


def test_segments_that_come_and_go(shop, runs):
    found = diff(shop, "--from", runs[2], "--to", runs[3])
    told = {(one["segmentation"], one["relation"]): one for one in found["lineage"]}
    # The rule calls Low by another name; of the clusters one is new, and told as the lineage tells it.
    assert told["tier", "born"]["to_segment"] == "Small"
    assert told["tier", "retired"]["from_segment"] == "Low"
    [(relation, old, new, overlap)] = shop.rows(
        "select relation, from_segment_id, to_segment_id, overlap from segments.lineage "
        "where model_version = 2 and relation <> 'kept'"
    )
    one = told["groups", relation]
    assert (one["from_segment_id"], one["to_segment_id"], one["overlap"]) == (old, new, pytest.approx(overlap))
    assert len(found["lineage"]) == 3


def test_the_last_run_is_the_default(shop, runs):
    found = diff(shop)
    assert (found["from"]["run_id"], found["to"]["run_id"]) == (runs[2], runs[3])
    found = diff(shop, "--to", runs[1])
    assert (found["from"]["run_id"], found["to"]["run_id"]) == (runs[0], runs[1])


def test_a_run_by_date_or_by_the_beginning_of_its_id(shop, runs):
    # The first two runs are as of 7 and of 11 March, the last two as of 13 March.
    found = diff(shop, "--from", "2024-03-10", "--to", "2024-03-12T12:00")
    assert (found["from"]["run_id"], found["to"]["run_id"]) == (runs[0], runs[1])
    found = diff(shop, "--from", runs[0][:-4], "--to", runs[1][:-1])
    assert (found["from"]["run_id"], found["to"]["run_id"]) == (runs[0], runs[1])


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--from", "2024-03-01"], "No run speaks of 2024-03-01 or before"),
        (["--from", "yesterday"], "'yesterday' is no run"),
        (["--from", "2025"], "runs begin with '2025'"),
        (["--from", ""], "'' is no run"),
        (["--from", "2024-03-20"], "are one run"),
        (["--from", "2024-03-20", "--to", "2024-03-10"], "is later than --to"),
        (["--to", "2024-03-08"], "There is no run before"),
        (["--segmentation", "nothing"], "Choose one of: groups, tier"),
    ],
)
def test_runs_that_cannot_be_compared(shop, arguments, fragment):
    ran = shop.sqlseg("segments", "diff", *arguments)
    assert ran.code == 1
    assert fragment in " ".join(ran.err.split())


def test_what_people_read(shop, runs):
    ran = shop.sqlseg("segments", "diff", "--from", runs[0])
    assert "3 runs." in ran.out
    assert "tier: 12 users then, 19 now; " in ran.out
    assert "(new)" in ran.out and "(gone)" in ran.out and "erased" in ran.out
    assert "tier: Low (tier-2) is retired." in ran.out


def test_a_warehouse_of_before_gets_the_column(shop, tmp_path):
    old = shop.copy(tmp_path / "old")
    old.change("alter table segments.transition drop column revenue")
    old.events(*POOR, *RICH, bought("poor1", "2024-04-10 10:00", 990))
    old.refresh()
    assert old.rows("select count(revenue) > 0, count(*) > count(revenue) from segments.transition") == [(True, True)]
    [(comment,)] = old.rows(
        "select comment from duckdb_columns() where table_name = 'transition' and column_name = 'revenue'"
    )
    assert comment.startswith("What these users had brought")
    found = diff(old, "--from", "20250101T000100-001")
    assert None in {one["revenue"] for one in found["moves"]}


def test_a_warehouse_of_before_gets_the_intervals_of_profiles(shop, tmp_path):
    old = shop.copy(tmp_path / "old")
    for column in ("mean_low", "mean_high", "effect_size", "effect_low", "effect_high"):
        old.change(f"alter table segments.profile drop column {column}")
    old.events(*POOR, *RICH, bought("poor1", "2024-04-10 10:00", 990))
    old.refresh()
    assert old.rows("select count(effect_size) > 0, count(mean_low) > 0 from segments.profile") == [(True, True)]
    columns = "select column_name, comment from duckdb_columns() where table_name = 'profile' order by column_index"
    assert old.rows(columns) == shop.rows(columns)


def test_models_of_before_tell_no_probability_until_they_are_fitted_again(shop, tmp_path):
    old = shop.copy(tmp_path / "old")
    old.change("alter table segments.membership drop column assignment_probability")
    old.change("update segments.model set parameters = json_merge_patch(parameters, '{\"refits\": null}')")
    old.events(*POOR, *RICH, bought("poor1", "2024-04-10 10:00", 990))
    old.refresh()
    known = "select count(*) > 0, count(assignment_probability) from segments.membership where segmentation = "
    assert old.rows(known + "'groups'") == [(True, 0)]
    old.events(*POOR, *RICH, *MIDDLE, bought("poor1", "2024-04-10 10:00", 990))
    old.refresh(refit="always")
    [(users, told)] = old.rows(known.replace(" > 0", "") + "'groups'")
    assert told == users > 0
    assert old.rows(known + "'tier'") == [(True, 0)]
    columns = "select column_name, comment from duckdb_columns() where table_name = 'membership' order by column_index"
    assert old.rows(columns) == shop.rows(columns)
