"""Which model places users: numbers that count up, models that are never mixed up, and when one is fitted anew."""

import json
from datetime import datetime, timedelta
from unittest.mock import patch

import numpy as np
import pytest
from shops import CLUSTERS, RULES, bought, new_shop, viewed, views_read_once

from sqlseg.errors import OtherModelFormat
from sqlseg.features.registry import Registry
from sqlseg.resources import resource_root
from sqlseg.segments.model import ClusterModel
from sqlseg.workflow import steps
from sqlseg.workflow.inputs import read_blocks, read_users
from sqlseg.workflow.project import open_project
from sqlseg.workflow.warehouse import open_warehouse

POOR = [bought(f"poor{n}", f"2024-03-0{n} 10:00", 10 + n) for n in range(1, 7)]
RICH = [bought(f"rich{n}", f"2024-03-0{n} 11:00", 1000 + n) for n in range(1, 7)]
EVENTS = [*POOR, *RICH]
LATER = viewed("rich1", "2024-03-20 10:00")
ALWAYS = CLUSTERS.replace('"never"', '"always"')
ON_DRIFT = CLUSTERS.replace('"never"', '"drift"')


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """Six poor and six rich users in two clusters, refreshed once; each test changes a copy."""
    shop = new_shop(tmp_path_factory.mktemp("models") / "shop", EVENTS, RULES + CLUSTERS)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def members(shop, name="groups"):
    return dict(
        shop.rows(f"select user_id, segment_id from segments.membership where segmentation = '{name}' order by 1")
    )


def by_the_model_in_use(shop, name="groups"):
    """Where the model with the highest number puts every user, by the features in the warehouse."""
    [(text,)] = shop.rows(
        f"select arg_max(parameters, model_version) from segments.model where segmentation = '{name}'"
    )
    with views_read_once():
        project = open_project(shop.directory)
    with open_warehouse(project) as engine:
        users, blocks = read_users(engine), read_blocks(engine, project, project.settings.segmentations[name])
    model = ClusterModel.from_json(text)
    ids = np.array(model.segment_ids, dtype=object)
    return dict(zip(users, ids[model.score(blocks).labels], strict=True))


def versions(shop, name="groups"):
    rows = shop.rows(f"select model_version from segments.model where segmentation = '{name}' order by 1")
    return [version for (version,) in rows]


def reasons(shop, version, name="groups"):
    [(text,)] = shop.rows(
        f"select inputs from segments.model where segmentation = '{name}' and model_version = {version}"
    )
    return json.loads(text)["fitted_because"]


# -- taken out and put back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", ["rfm@1", "cadence@1"], ids=["same inputs", "other inputs"])
def test_clusters_that_are_taken_out_and_put_back_begin_anew(shop, back):
    before = set(members(shop).values())
    shop.settings(RULES)
    shop.refresh()
    assert members(shop) == {}
    assert versions(shop) == [1], "what there was stays on record"
    shop.settings(RULES + CLUSTERS.replace("rfm@1", back))
    outcome = shop.refresh()
    assert {one.name: one.reasons for one in outcome.plan.segmentations}["groups"] == ("it is new",)
    assert versions(shop) == [1, 2]
    assert reasons(shop, 2) == ["it is new"]
    again = members(shop)
    assert not set(again.values()) & before, "no retired id comes back"
    assert again == by_the_model_in_use(shop)
    moved = bought("poor1", "2024-03-21 10:00", 5000)
    shop.events(*EVENTS, LATER, moved, *[bought("new", f"2024-03-2{n} 12:00", 900) for n in range(3)])
    outcome = shop.refresh()
    assert {one.name: one.action for one in outcome.plan.segmentations} == {"groups": "assign", "tier": "rules"}
    assert members(shop) == by_the_model_in_use(shop)
    assert "new" in members(shop)
    assert set(members(shop).values()) <= set(again.values())
    assert versions(shop) == [1, 2]
    everywhere = """
        select model_version from segments.membership where segmentation = 'groups'
        union select model_version from segments.segmentation where segmentation = 'groups'
    """
    assert shop.rows(everywhere) == shop.published(everywhere) == [(2,)]
    retired = "select segment_id from segments.segment where segmentation = 'groups' and retired_at is not null"
    assert {segment for (segment,) in shop.rows(retired)} >= before


def test_numbers_of_models_count_up(shop):
    shop.refresh(refit="always")
    shop.settings(RULES + CLUSTERS.replace("k = 2", "k = 3"))
    shop.refresh()
    assert versions(shop) == [1, 2, 3]
    assert [reasons(shop, version) for version in (1, 2, 3)] == [["it is new"], ["refit is always"], ["k is 3, was 2"]]
    assert members(shop) == by_the_model_in_use(shop)


# -- refit = "always" --------------------------------------------------------------------------------------------


def test_always_in_the_settings_waits_for_something_new_and_on_the_command_line_does_not(shop):
    shop.settings(RULES + ALWAYS)
    assert shop.refresh().plan.kind == "noop"
    assert versions(shop) == [1]
    shop.settings(RULES + CLUSTERS)
    assert shop.refresh(refit="always").plan.kind == "refit"
    assert versions(shop) == [1, 2]
    shop.settings(RULES + ALWAYS)
    shop.events(*EVENTS, LATER)
    assert shop.refresh().plan.kind == "refit"
    assert reasons(shop, 3) == ["refit is always"]
    assert shop.refresh().plan.kind == "noop"


# -- drift -------------------------------------------------------------------------------------------------------


def crowd(day, price):
    """Sixty users who buy something for about that price, each on one of six days."""
    start = datetime(2024, 3, 1) + timedelta(days=day)
    return [bought(f"user{n:03}", (start + timedelta(days=n % 6)).isoformat(), price + n) for n in range(60)]


BEGINNING = [*crowd(0, 10), *crowd(10, 10)[::2], *crowd(17, 10)[::3]]


def test_a_refit_after_drift_says_why_and_keeps_what_was_measured(tmp_path):
    shop = new_shop(tmp_path / "shop", BEGINNING, ON_DRIFT)
    shop.refresh()
    # Everybody orders again and again, for a hundred times as much.
    more = [event for day in range(20, 40, 5) for event in crowd(day, 5000)]
    shop.events(*BEGINNING, *more)
    planned = shop.plan()
    outcome = shop.refresh()
    assert planned.plan.kind == outcome.plan.kind == "refit"
    reason, far = outcome.plan.segmentations[0].reasons
    assert "inputs have shifted since the fit, most of all rfm__" in reason
    assert "users are farther from every segment than 99% were at the fit" in far
    assert reasons(shop, 2) == [reason, far]
    drift = f"select feature, status, psi, ks from segments.drift where run_id = '{outcome.run_id}' order by feature"
    rows = shop.rows(drift)
    assert [feature for feature, *_ in rows] == [
        f"rfm__{column}" for column in ("average_order_value", "orders", "recency_days", "spend", "tenure_days")
    ]
    shifted = {feature: (psi, ks) for feature, status, psi, ks in rows if status == "shift"}
    assert reason.startswith(f"{len(shifted)} of 5 inputs")
    assert all(psi >= 0.25 or ks >= 0.2 for psi, ks in shifted.values())
    assert shop.published(drift) == rows
    # The next refresh measures against the new model.
    shop.events(*BEGINNING, *more, LATER)
    outcome = shop.refresh()
    assert (outcome.plan.kind, versions(shop)) == ("warm", [1, 2])


def test_a_model_that_stays_says_what_was_looked_at(tmp_path):
    shop = new_shop(tmp_path / "shop", BEGINNING, ON_DRIFT)
    shop.refresh()
    shop.events(*BEGINNING, viewed("user001", "2024-03-22 10:00"))
    planned, outcome = shop.plan(), shop.refresh()
    assert planned.plan.segmentations == outcome.plan.segmentations
    [one] = outcome.plan.segmentations
    assert one.action == "assign"
    assert one.reasons[0] == "the model in use still fits its definition"
    assert " of 5 inputs have shifted (limit 2), " in one.reasons[1]
    assert one.reasons[1].endswith("the model is 1 days old (limit 365)")
    metrics = dict(shop.rows(f"select metric, value from segments.metric where run_id = '{outcome.run_id}'"))
    assert metrics["model_age_days"] == 1
    assert 0 <= metrics["far_share"] <= 0.05


def test_a_model_that_is_old_or_far_from_users_is_fitted_anew(tmp_path):
    shop = new_shop(tmp_path / "shop", BEGINNING, ON_DRIFT)
    shop.refresh()
    wide = "\n[segmentations.groups.drift]\npsi = 100\nks = 1\nshare = 1\n"
    shop.settings(ON_DRIFT + wide + "days = 9\n")
    shop.events(*BEGINNING, viewed("user001", "2024-04-01 10:00"))
    outcome = shop.plan()
    [one] = outcome.plan.segmentations
    assert (one.action, one.reasons) == ("fit", ("the model is 11 days old (limit 9)",))
    # Half of the users of then are a hundred times as rich, and twice as many.
    shop.settings(ON_DRIFT + wide + "days = 10000\nfar = 0.2\n")
    shop.events(*BEGINNING, *[event for day in (24, 25, 26) for event in crowd(day, 50_000)[::2]])
    outcome = shop.plan()
    [one] = outcome.plan.segmentations
    assert one.action == "fit" and "users are farther from every segment than 99% were at the fit" in one.reasons[0]
    assert shop.refresh().plan.segmentations == outcome.plan.segmentations
    # The limits are no part of what the segments are made of: changing them is no reason by itself.
    shop.settings(ON_DRIFT + wide + "days = 10001\nfar = 0.3\n")
    assert shop.refresh().plan.kind == "noop"


def test_only_what_has_drifted_is_fitted_anew(tmp_path):
    other = ON_DRIFT.replace("groups", "others").replace("rfm@1", "cadence@1")
    shop = new_shop(tmp_path / "shop", BEGINNING, ON_DRIFT + other)
    shop.refresh()
    shop.events(*BEGINNING, LATER)

    def moved(evidence, limits):
        return ("told so",) if any(row.feature.startswith("rfm__") for row in evidence.drift) else ()

    with patch.object(steps, "reasons_to_refit", moved):
        outcome = shop.refresh()
    assert outcome.plan.kind == "refit"
    assert (versions(shop), versions(shop, "others")) == ([1, 2], [1])
    assert reasons(shop, 2) == ["told so"]
    measured = shop.rows("""
        select segmentation, run_id, count(*) = count(distinct feature) from segments.drift group by all order by all
    """)
    assert measured == [("groups", outcome.run_id, True), ("others", outcome.run_id, True)]
    assert members(shop) == by_the_model_in_use(shop)


# -- two versions of one view ------------------------------------------------------------------------------------


def test_each_segmentation_shows_its_own_version_of_a_view(tmp_path):
    cents = CLUSTERS.replace("groups", "cents").replace("@1", "@2")
    shop = new_shop(tmp_path / "shop", EVENTS, RULES + CLUSTERS + cents)
    [shipped] = [v for v in Registry.load([resource_root("sql")]).all("features") if v.ref == "rfm@1"]
    spend = "sum(case when event_type = 'purchase' then value else -value end), 6"
    assert shipped.text.count(spend) == 1
    shop.write("sql/features/rfm__v2.sql", shipped.text.replace(spend, f"100 * {spend}"))
    shop.refresh()
    for name, factor in (("groups", 1), ("cents", 100)):
        expected = [(row["user_id"], factor * row["price"]) for row in sorted(EVENTS, key=lambda row: row["user_id"])]
        users = f"select user_id, rfm__spend from segments.{name}_users order by 1"
        assert shop.rows(users) == shop.published(users) == expected, name
        profile = f"""
            select sum(user_count * mean) from segments.profile where segmentation = '{name}' and feature = 'rfm__spend'
        """
        total = pytest.approx(sum(spent for _, spent in expected))
        assert shop.rows(profile)[0][0] == shop.published(profile)[0][0] == total, name
    for relation, factor in (("rfm_v1", 1), ("rfm_v2", 100), ("rfm", 100)):
        query = f"select max(spend) from features.{relation}"
        assert shop.rows(query) == shop.published(query) == [(factor * 1006,)], relation
    assert shop.rows("select distinct feature from segments.profile where feature like '%spend'") == [("rfm__spend",)]


# -- who and what goes -------------------------------------------------------------------------------------------


def test_a_user_whose_events_are_all_taken_back_is_erased(shop):
    before = members(shop)
    shop.events(*[one for one in EVENTS if one["user_id"] != "rich3"], LATER)
    outcome = shop.refresh()
    moves = "select segmentation, from_segment_id, to_segment_id, cause, user_count from segments.transition"
    assert shop.rows(f"{moves} where run_id = '{outcome.run_id}' order by 1") == [
        ("groups", before["rich3"], None, "erased", 1),
        ("tier", "tier-1", None, "erased", 1),
    ]
    assert "rich3" not in members(shop)
    stays = "select bool_and(valid_to is not null) from segments.membership_history where user_id = 'rich3'"
    assert shop.rows(stays) == [(True,)]


def test_a_segment_without_users_that_retires_at_a_refit_has_its_line_of_descent(shop):
    segment = members(shop)["rich1"]
    other = members(shop)["poor1"]
    shop.events(*POOR, viewed("poor1", "2024-03-20 10:00"))
    shop.refresh()
    row = f"select user_count, retired_at is null from segments.segment where segment_id = '{segment}'"
    assert shop.rows(row) == [(0, True)], "it waits for users as long as its model is in use"
    shop.refresh(refit="always")
    lines = shop.rows(f"""
        select model_version, to_segment_id, relation from segments.lineage where from_segment_id = '{segment}'
    """)
    assert lines == [(2, None, "retired")]
    assert shop.rows(row) == [(0, False)]
    assert other in members(shop).values()
    assert segment not in members(shop).values()


# -- written by another release ----------------------------------------------------------------------------------


@pytest.fixture
def of_another_release(shop):
    shop.change("update segments.model set parameters = replace(parameters, '\"format\": 1,', '\"format\": 99,')")
    shop.events(*EVENTS, LATER)
    return shop


def test_a_model_of_another_format_says_how_to_go_on(of_another_release):
    with pytest.raises(OtherModelFormat, match="format 99") as problem:
        of_another_release.refresh()
    assert problem.value.hint == "Fit it anew: sqlseg refresh --refit always."


def test_a_model_of_another_format_is_fitted_anew_and_ids_go_on(of_another_release):
    shop = of_another_release
    before = members(shop)
    late = bought(
        "poor2", "2024-03-01 09:00", 20
    )  # what came late is placed by the old model too, where it can be read
    shop.events(*EVENTS, LATER, late)
    shop.refresh(refit="always")
    assert versions(shop) == [1, 2]
    assert members(shop) == before == by_the_model_in_use(shop)
