"""Forecasts as an input: learned from the shop's own past, kept for a month, refused with a reason."""

import json
from datetime import datetime, timedelta
from unittest.mock import patch

import numpy as np
import pytest
from shops import bought, new_shop

from sqlseg.segments.model import ClusterModel
from sqlseg.settings import InvalidSettings
from sqlseg.workflow import forecasting
from sqlseg.workflow.inputs import read_blocks, read_users
from sqlseg.workflow.outlook import segments_ahead
from sqlseg.workflow.project import open_project
from sqlseg.workflow.warehouse import open_warehouse

FORECASTS = """
[segmentations.groups]
kind = "cluster"
inputs = ["rfm@1", "forecast:behavior@1"]
k = 2
refit = "{refit}"

[forecasts]
horizons = [30]
features = ["rfm@1"]
"""
FIRST_DAY = datetime(2024, 1, 1, 9)
AS_OF = datetime(2024, 7, 1)
USERS = [*(f"regular{n:02d}" for n in range(40)), *(f"leaving{n:02d}" for n in range(40))]


def history(until=AS_OF):
    """Regular users order about every 25 days; leaving ones do for a while, and then no more."""
    random = np.random.default_rng(0)
    events = []
    for number, user in enumerate(USERS):
        stays = 400 if user.startswith("regular") else random.uniform(10, 170)
        day = random.uniform(0, 25)
        while day < stays:
            time = FIRST_DAY + timedelta(days=day)
            if time < until:
                events.append(bought(user, time.isoformat(), 20.0 + number % 7))
            day += random.exponential(25)
    newest = until - timedelta(hours=1)  # so that as_of is the day that is asked for
    return [*events, bought("regular00", newest.isoformat(), 20.0)]


BUYERS = sorted({event["user_id"] for event in history()})
"""Some of those who leave never come."""


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """A shop of half a year, refreshed once; each test changes a copy."""
    shop = new_shop(tmp_path_factory.mktemp("forecasts") / "shop", history(), FORECASTS.format(refit="drift"))
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def forecasts(shop):
    return dict(shop.rows("select user_id, p_order_30d from features.forecast_behavior_v1"))


def models(shop):
    rows = shop.rows("select model_version, inputs from segments.forecast_model order by 1")
    return {version: json.loads(inputs)["fitted_because"] for version, inputs in rows}


def test_every_user_has_forecasts_and_those_who_keep_ordering_have_higher_ones(refreshed):
    rows = refreshed.rows("select user_id, p_order_30d, orders_30d, spend_30d from features.forecast_behavior_v1")
    assert sorted(user for user, *_ in rows) == BUYERS
    assert all(0 <= chance <= 1 and orders >= 0 and spend >= 0 for _, chance, orders, spend in rows)
    mean = {kind: np.mean([r[1] for r in rows if r[0].startswith(kind)]) for kind in ("regular", "leaving")}
    assert mean["regular"] > mean["leaving"] + 0.1


def test_people_read_them_as_features_in_both_files(refreshed):
    published = "select * from features.forecast_behavior_v1 order by user_id"
    assert refreshed.published(published) == refreshed.rows(published)
    assert refreshed.published("select count(*) from features.forecast_behavior") == [(len(BUYERS),)]
    comments = dict(
        refreshed.published(
            "select column_name, comment from duckdb_columns() where table_name = 'forecast_behavior_v1'"
        )
    )
    assert comments["p_order_30d"] == "chance of an order within 30 days"
    profiled = {row[0] for row in refreshed.published("select feature from segments.profile")}
    beside = {row[0] for row in refreshed.published("describe segments.groups_users")}
    for feature in ("p_order_30d", "orders_30d", "spend_30d"):
        assert f"forecast_behavior__{feature}" in profiled & beside
    assert refreshed.published("select count(*) from quality.check where relation like '%forecast%' and passed")[0][0]


def test_the_model_and_how_it_did_are_on_record(refreshed):
    [(version, horizons, as_of, rows)] = refreshed.published(
        "select model_version, horizons, fitted_as_of, fit_row_count from segments.forecast_model"
    )
    assert (version, horizons, as_of) == (1, "[30]", AS_OF)
    assert rows > 2 * len(BUYERS)
    measures = dict(
        refreshed.published("select measure, value from segments.forecast_measure where target = 'p_order'")
    )
    assert measures["auc"] > 0.65
    assert {"auc_of_rfm", "brier", "calibration_error", "mean_forecast", "mean_actual"} <= set(measures)
    assert refreshed.published("select value from segments.metric where metric = 'block_share[forecast:behavior@1]'")


@pytest.mark.slow
def test_within_a_month_the_model_stays_and_after_it_it_is_learned_anew(shop):
    before = forecasts(shop)
    assert shop.refresh().plan.kind == "noop"
    shop.events(*history(AS_OF + timedelta(days=29)))
    outcome = shop.refresh()
    assert (outcome.plan.kind, models(shop)) == ("warm", {1: "it is new"})
    assert forecasts(shop) != before, "the same model, of users who have grown older"
    shop.events(*history(AS_OF + timedelta(days=30)))
    planned = shop.plan().plan
    assert planned.renewed_models == {"forecast:behavior@1": "its model is 30 days old"}
    outcome = shop.refresh()
    assert (outcome.plan.kind, models(shop)[2]) == ("refit", "its model is 30 days old")
    [one] = outcome.plan.segmentations
    assert one.reasons[0].startswith("forecast:behavior@1, stats.")
    causes = {row[0] for row in shop.rows("select distinct cause from segments.transition")}
    assert causes <= {"first_seen", "behavior", "model"}


def test_a_segmentation_that_is_never_fitted_anew_keeps_its_forecasts(shop):
    shop.settings(FORECASTS.format(refit="never"))
    shop.refresh()
    shop.events(*history(AS_OF + timedelta(days=60)))
    assert shop.refresh().plan.kind == "warm"
    assert list(models(shop)) == [1]


def test_a_changed_definition_is_learned_anew(shop):
    shop.settings(FORECASTS.format(refit="drift").replace('["rfm@1"]\n', '["rfm@1", "cadence@1"]\n'))
    outcome = shop.refresh()
    assert outcome.plan.segmentations[0].redefined
    assert "cadence@1" in models(shop)[2]


def test_taken_out_they_are_gone_and_their_models_stay_on_record(shop):
    shop.settings(FORECASTS.format(refit="drift").replace(', "forecast:behavior@1"', ""))
    shop.refresh()
    assert shop.rows("select view_name from duckdb_views() where view_name like 'forecast_behavior%'") == []
    assert shop.rows("select table_name from duckdb_tables() where table_name like 'feature_forecast%'") == []
    assert list(models(shop)) == [1]


# -- nothing from later ------------------------------------------------------------------------------------------


def what_was_learned_from(shop, **options):
    """The moments that the forecasts of a refresh are fitted to."""
    seen = []

    def fit(moments, horizons):
        seen.extend(moments)
        return real(moments, horizons)

    real = forecasting.fit_forecasts
    with patch.object(forecasting, "fit_forecasts", fit):
        shop.refresh(**options)
    return {moment.days_back: moment for moment in seen}


def test_no_moment_knows_what_came_after_it(tmp_path):
    """The same shop twice, in one of them with an uproar in its last 45 days: only outcomes from then on may differ."""
    uproar = AS_OF - timedelta(days=45)
    planted = [
        bought(user, (uproar + timedelta(days=n % 40, minutes=n)).isoformat(), 9_999.0, item_id="new", quantity=7)
        for n, user in enumerate(USERS)
    ]
    learned = []
    for name, events in (("calm", history()), ("uproar", [*history(), *planted])):
        settings = FORECASTS.format(refit="drift")
        learned.append(what_was_learned_from(new_shop(tmp_path / name, events, settings)))
    calm, loud = learned
    assert list(calm) == list(loud)
    assert min(calm) == 30
    for back in calm:
        then = AS_OF - timedelta(days=back)
        assert calm[back].as_of == then
        for one, other in zip(calm[back].blocks, loud[back].blocks, strict=True):
            same = np.array_equal(one.values, other.values, equal_nan=True)
            assert same == (then <= uproar), f"{one.name} {back} days back"
        one, other = (moments[back].outcomes[30].spend for moments in learned)
        assert np.array_equal(one, other) == (then + timedelta(days=30) <= uproar)


def test_events_at_and_after_as_of_change_no_forecast(tmp_path):
    settings = FORECASTS.format(refit="drift")
    later = [bought(user, (AS_OF + timedelta(days=n % 9)).isoformat(), 500.0) for n, user in enumerate(USERS)]
    plain, planted = (
        new_shop(tmp_path / "a", history(), settings),
        new_shop(tmp_path / "b", history() + later, settings),
    )
    plain.refresh(as_of=AS_OF.date().isoformat())
    planted.refresh(as_of=AS_OF.date().isoformat())
    assert forecasts(plain) == forecasts(planted)


def test_outcomes_are_orders_and_revenue_within_the_horizon(tmp_path):
    """By hand: an order of two lines, one at the very end, one that began before, and a return."""
    special = [
        bought("hand", "2024-05-31 09:00", 5.0, order_id="begun"),
        bought("hand", "2024-06-01 00:00", 5.0, order_id="begun"),
        bought("hand", "2024-06-01 00:00", 10.0, order_id="a", quantity=2),
        bought("hand", "2024-06-03 10:00", 1.0, order_id="a"),
        bought("hand", "2024-06-30 23:59:59", 4.0, order_id="b"),
    ]
    shop = new_shop(tmp_path / "shop", [*history(), *special], FORECASTS.format(refit="drift"))
    newest = what_was_learned_from(shop)[30]
    place = sorted([*BUYERS, "hand"]).index("hand")
    assert newest.outcomes[30].orders[place] == 2
    assert newest.outcomes[30].spend[place] == 5 + 20 + 1 + 4


# -- what cannot be learned --------------------------------------------------------------------------------------


def test_a_horizon_that_is_asked_for_and_cannot_be_learned_is_an_error_at_its_line(shop):
    shop.settings(FORECASTS.format(refit="drift").replace("[30]", "[30, 90]"))
    with pytest.raises(InvalidSettings) as caught:
        shop.refresh()
    assert "forecasts.horizons" in caught.value.message
    assert "90 days ahead want 210 days of purchases" in caught.value.message
    text = (shop.directory / "sqlseg.toml").read_text().splitlines()
    assert text[caught.value.problems[0].line - 1] == "horizons = [30, 90]"


def test_by_default_what_cannot_be_learned_is_left_out_with_a_note(shop):
    shop.settings(FORECASTS.format(refit="drift").replace("horizons = [30]\n", ""))
    shop.refresh()
    assert any("90 days ahead want 210 days" in note for note in shop.notes)
    assert [row[0] for row in shop.rows("describe features.forecast_behavior")][1:] == [
        *("p_order_30d", "orders_30d", "spend_30d"),
    ]


def test_a_shop_that_is_too_young_is_an_error_at_the_input(tmp_path):
    young = [event for event in history() if event["event_time"] > datetime(2024, 5, 1)]
    settings = FORECASTS.format(refit="drift").replace("horizons = [30]\n", "")
    shop = new_shop(tmp_path / "shop", young, settings)
    with pytest.raises(InvalidSettings, match=r"groups\.inputs\[1\].*forecast:behavior@1 cannot be learned"):
        shop.refresh()


def test_a_shop_where_nobody_orders_any_more_keeps_the_model_it_has(shop):
    shop.events(*history(), {**bought("regular00", "2024-09-15 10:00", 0.0), "event_type": "view"})
    shop.refresh()
    assert list(models(shop)) == [1]
    assert any("the model of 2024-07-01 00:00:00 stays" in note for note in shop.notes)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("horizons = []", "must be a list of different whole numbers of days"),
        ("horizons = [30, 30]", "must be a list of different whole numbers of days"),
        ("horizons = [0]", "must be a list of different whole numbers of days"),
        ('features = ["encoder:behavior@1"]', "must be a list of feature views"),
        ("days = 3", "unknown key; valid here: horizons, features"),
    ],
)
def test_settings_that_cannot_be_say_so(shop, line, told):
    before = FORECASTS.format(refit="drift").split("[forecasts]")[0]
    shop.settings(f"{before}[forecasts]\n{line}\n")
    with pytest.raises(InvalidSettings, match="forecasts") as caught:
        shop.refresh()
    assert told in caught.value.message


@pytest.mark.slow
def test_what_silence_does_is_what_a_later_refresh_says(tmp_path):
    """The segments that the outlook foretells, forecasts and all, are those that a refresh of that day gives."""
    days = 25
    shop = new_shop(tmp_path / "shop", history(), FORECASTS.format(refit="drift").replace("k = 2", "k = 6"))
    shop.refresh()
    project = open_project(shop.directory)
    segmentation = project.settings.segmentations["groups"]
    with open_warehouse(project) as warehouse:
        text = warehouse.value("select parameters from segments.model where segmentation = 'groups'")
        model = ClusterModel.from_json(text)
        users = read_users(warehouse)
        blocks = read_blocks(warehouse, project, segmentation)
        told = {}
        for position, user in enumerate(users):
            if position % 2 == 0:
                mine = [block.take(np.array([position])) for block in blocks]
                ahead = segments_ahead(warehouse, project, model, mine, user, AS_OF, days=days)
                told[user] = model.segment_ids[ahead[-1].segment if ahead else int(model.score(mine).labels[0])]
    members = "select user_id, segment_id from segments.membership where segmentation = 'groups'"
    before = dict(shop.rows(members))
    newest = AS_OF + timedelta(days=days, hours=-1)
    shop.events(*history(), bought("regular00", newest.isoformat(), 20.0))
    outcome = shop.refresh(refit="never")
    assert outcome.plan.as_of == AS_OF + timedelta(days=days)
    after = dict(shop.rows(members))
    assert {user: after[user] for user in told if user != "regular00"} == {
        user: segment for user, segment in told.items() if user != "regular00"
    }
    assert any(before[user] != after[user] for user in told)


def test_a_backtest_begins_where_forecasts_can_be_learned_and_says_where_they_cannot(shop):
    """Ninety days of purchases are wanted: there are as many on April 1st, but not a horizon before it."""
    told = shop.sqlseg("backtest", "--from", "2024-04-05", "--to", "2024-04-05", "--horizon", "30d", "--json")
    assert told.code == 0, told.err
    assert "groups" in told.out
    assert "2024-04-05" in told.out
    told = shop.sqlseg("backtest", "--from", "2024-03-01", "--to", "2024-04-05", "--every", "30d", "--horizon", "30d")
    assert told.code == 1
    assert "As of 2024-03-01, forecast:behavior@1 cannot be learned" in told.err
    assert "Begin later with --from" in told.err
    assert "/tmp" not in told.err.replace(str(shop.directory), "")
