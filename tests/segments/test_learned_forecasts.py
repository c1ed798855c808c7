"""Heads that learn from earlier moments: what they optimise, what they may know, how they are measured."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from sqlseg.segments.blocks import UnusableInput, embedding_block, feature_block
from sqlseg.segments.forecasting import (
    MOMENTS,
    ForecastModel,
    Outcome,
    PastMoment,
    Refusal,
    calibration_error,
    chance_measures,
    fit_forecasts,
    past_days,
    rfm_rank_sum,
)
from sqlseg.segments.heads import HorizonHeads, fit_design, fit_head

DAY = datetime(2024, 1, 1)


def moment(days_back, users=400, level=0.0, seed=None, spend=True):
    """Users whose orders follow two features and an embedding; some have no recency, some no embedding."""
    random = np.random.default_rng(days_back if seed is None else seed)
    x = random.normal(size=(users, 3))
    embedding = random.normal(size=(users, 4))
    eta = -0.5 + level + x[:, 0] - 0.5 * x[:, 1] + 0.7 * embedding[:, 0]
    orders = random.poisson(np.exp(eta)).astype(float)
    x[random.random(users) < 0.1, 2] = np.nan
    embedding[random.random(users) < 0.05] = np.nan
    money = orders * random.gamma(2.0, 20.0, size=users) if spend else np.zeros(users)
    blocks = (
        feature_block("rfm@1", ["rfm__recency_days", "rfm__orders", "rfm__spend"], x),
        embedding_block("encoder:e@1", embedding),
    )
    return PastMoment(days_back, DAY, blocks, {30: Outcome(orders, money)})


MOMENTS_OF_SHOP = [moment(back) for back in (30, 60, 90, 120)]


@pytest.fixture(scope="module")
def fitted():
    return fit_forecasts(MOMENTS_OF_SHOP, {30: (30, 60, 90, 120)})


# -- heads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "power"), [("p_order", None), ("orders", 1.0), ("spend", 1.5)])
def test_a_head_is_where_its_penalised_likelihood_is_flat(target, power):
    """The gradient by each weight, worked out by hand, is what the penalty holds against it; C = 0.03."""
    shop = moment(30)
    inputs = fit_design([shop.blocks]).inputs(shop.blocks)
    actual = shop.outcomes[30].actual(target)
    unit = float(np.median(actual[actual > 0])) if target == "spend" else 1.0
    head = fit_head(target, inputs, actual, unit)
    mean = head.forecast(inputs) / unit
    residual = mean - actual / unit
    if power is not None:
        residual = residual * mean ** (1 - power)  # d deviance / d eta, with the log as link
    assert inputs.T @ residual == pytest.approx(-np.array(head.weights) / 0.03, abs=0.05)
    assert residual.sum() == pytest.approx(0, abs=0.05)


def test_a_design_marks_the_unknown_and_sets_users_without_an_embedding_to_the_mean():
    blocks = [
        feature_block("a@1", ["a__x", "a__same"], [[1, 5], [3, 5], [np.nan, 5], [5, 5]]),
        embedding_block("encoder:e@1", [[2.0], [4.0], [np.nan], [6.0]]),
    ]
    inputs = fit_design([blocks]).inputs(blocks)
    assert inputs.shape == (4, 3), "a constant column is of no use"
    assert inputs[2, 0] == 0, "the median, which is the mean here"
    assert inputs[:, 1].tolist() == [0, 0, 1, 0]
    deviation = np.sqrt(8 / 3)
    assert inputs[:, 2] == pytest.approx([-2 / deviation, 0, 0, 2 / deviation])


@pytest.mark.parametrize("target", ["p_order", "orders", "spend"])
def test_full_trust_in_a_moment_makes_the_mean_forecast_its_mean_and_half_goes_part_of_the_way(target):
    before, after = moment(60), moment(30, users=2_000, level=1.0)
    design = fit_design([before.blocks])
    head = fit_head(target, design.inputs(before.blocks), before.outcomes[30].actual(target))
    inputs, actual = design.inputs(after.blocks), after.outcomes[30].actual(target)
    gaps = [
        abs(float(head.recalibrated(inputs, actual, trust).forecast(inputs).mean() - actual.mean()))
        for trust in (0.0, 0.5, 1.0)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    if target != "spend":  # where the link is the canonical one, means agree exactly
        assert gaps[2] < 1e-2 * actual.mean()
    assert head.recalibrated(inputs, actual, 0.0) == head


def test_what_the_fit_knew_must_be_there(fitted):
    shop = MOMENTS_OF_SHOP[0]
    with pytest.raises(UnusableInput, match="encoder:e@1, which is not among"):
        fitted.model.forecasts(shop.blocks[:1])
    other = feature_block("rfm@1", ["rfm__orders"], shop.blocks[0].values[:, :1])
    with pytest.raises(UnusableInput, match="rfm__recency_days, which rfm@1 does not have"):
        fitted.model.forecasts((other, shop.blocks[1]))
    narrow = embedding_block("encoder:e@1", shop.blocks[1].values[:, :2])
    with pytest.raises(UnusableInput, match="2 dimensions, the forecasts know 4"):
        fitted.model.forecasts((shop.blocks[0], narrow))


def test_without_a_usable_column_a_head_is_the_rate():
    head = fit_head("p_order", np.empty((4, 0)), np.array([0.0, 0.0, 0.0, 1.0]))
    assert head.forecast(np.empty((2, 0))) == pytest.approx([0.25, 0.25])


# -- the model ---------------------------------------------------------------------------------------------------


def test_forecasts_find_who_orders_and_how_much(fitted):
    new = moment(0, users=2_000, seed=77)
    forecasts = fitted.model.forecasts(new.blocks)
    assert list(forecasts) == ["p_order_30d", "orders_30d", "spend_30d"]
    actual = {target: new.outcomes[30].actual(target) for target in ("p_order", "orders", "spend")}
    assert chance_measures(forecasts["p_order_30d"], actual["p_order"])["auc"] > 0.75
    assert calibration_error(forecasts["p_order_30d"], actual["p_order"]) < 0.05
    assert np.all((forecasts["p_order_30d"] >= 0) & (forecasts["p_order_30d"] <= 1))
    for target in ("orders", "spend"):
        column = forecasts[f"{target}_30d"]
        assert np.all(column >= 0)
        assert column.mean() == pytest.approx(actual[target].mean(), rel=0.2)


def test_a_stored_model_forecasts_the_same_and_a_fit_repeats_itself(fitted):
    again = ForecastModel.from_json(fitted.model.to_json())
    assert again == fitted.model
    assert fit_forecasts(MOMENTS_OF_SHOP, {30: (30, 60, 90, 120)}).model == fitted.model
    with pytest.raises(Exception, match="format 99"):
        ForecastModel.from_json('{"format": 99}')


def test_the_held_out_moment_is_measured_by_heads_that_have_not_seen_it(fitted):
    """What happened there changes the measured outcome, and no forecast that was made for it."""
    newest = MOMENTS_OF_SHOP[0]
    outcome = newest.outcomes[30]
    other = PastMoment(30, DAY, newest.blocks, {30: Outcome(outcome.orders[::-1].copy(), outcome.spend[::-1].copy())})
    again = fit_forecasts([other, *MOMENTS_OF_SHOP[1:]], {30: (30, 60, 90, 120)})
    before = {(m.target, m.measure): m.value for m in fitted.measures}
    after = {(m.target, m.measure): m.value for m in again.measures}
    assert before.keys() == after.keys()
    for target in ("p_order", "orders", "spend"):
        assert after[target, "mean_forecast"] == before[target, "mean_forecast"]
        assert after[target, "mean_actual"] == pytest.approx(before[target, "mean_actual"])
    assert abs(after["p_order", "auc"] - 0.5) < 0.1 < before["p_order", "auc"] - 0.5


def test_without_prices_there_is_no_spend_to_forecast():
    found = fit_forecasts([moment(back, spend=False) for back in (30, 60)], {30: (30, 60)})
    assert found.model.columns == ("p_order_30d", "orders_30d")


def test_too_few_buyers_are_refused_with_their_number():
    rare = [moment(back, users=60, level=-4.0) for back in (30, 60, 90)]
    found = fit_forecasts(rare, {30: (30, 60, 90)})
    bought = int((rare[0].outcomes[30].orders > 0).sum())
    assert found.model.horizons == ()
    assert found.refusals[0].reason.startswith(
        f"30 days ahead: of 60 users at the newest moment to learn from, {bought}"
    )


@given(st.integers(1, 400), st.integers(0, 2_000))
def test_the_past_is_looked_at_where_outcomes_are_known(horizon, history):
    days = past_days(horizon, history)
    if isinstance(days, Refusal):
        assert history < 2 * horizon + 30
        return
    assert days[0] == horizon, "the newest outcome that is known"
    assert any(back >= 2 * horizon for back in days), "one whose outcome was known by then"
    assert all(horizon <= back <= history - 30 for back in days)
    assert len(days) <= MOMENTS + 1


# -- measures ----------------------------------------------------------------------------------------------------


def test_measures_are_those_of_the_textbook():
    random = np.random.default_rng(0)
    forecast = random.random(300)
    happened = (random.random(300) < forecast).astype(float)
    measured = chance_measures(forecast, happened)
    u = mannwhitneyu(forecast[happened == 1], forecast[happened == 0]).statistic
    assert measured["auc"] == pytest.approx(u / (happened.sum() * (300 - happened.sum())))
    assert measured["brier"] == pytest.approx(np.mean((forecast - happened) ** 2))


def test_the_calibration_error_of_known_groups():
    forecast = np.array([0.1] * 5 + [0.5] * 5)
    happened = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0.0])
    # 0.1 against 1 of 5, 0.5 against 4 of 5
    assert calibration_error(forecast, happened, bins=2) == pytest.approx((0.1 + 0.3) / 2)


def test_rfm_ranks_add_up_and_put_those_without_a_purchase_last():
    block = feature_block(
        "rfm@1",
        ["rfm__recency_days", "rfm__orders", "rfm__spend"],
        [[10, 3, 50], [5, 1, 80], [np.nan, 0, np.nan]],
    )
    assert rfm_rank_sum([block]).tolist() == [2 + 3 + 2, 3 + 2 + 3, 1 + 1 + 1]
    assert rfm_rank_sum([feature_block("a@1", ["a__x"], [[1.0]])]) is None


def test_heads_of_a_horizon_name_their_columns(fitted):
    heads = fitted.model.horizons[0]
    assert HorizonHeads.from_dict(heads.to_dict()) == heads
    assert heads.columns == ("p_order_30d", "orders_30d", "spend_30d")
