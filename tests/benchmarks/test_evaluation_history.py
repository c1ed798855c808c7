"""Snapshots are of the past alone, and outcomes of the days after."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from evaluation.encoders import random_encoder, shipped_encoders
from evaluation.evaluation import TooShort, days_back, horizon, look, with_recency
from evaluation.forecasts import adapted, forecast_input
from evaluation.history import ShopHistory
from evaluation.learning import Moment, control_forecasts, forecast
from evaluation.segments import product_segments
from shops import Shop, bought, new_shop, returned, viewed

from sqlseg.segments.forecasting import Outcome
from sqlseg.workflow.creating import create_project

NOW = datetime(2026, 6, 1)
AS_OF = datetime(2025, 10, 1)


def written(folder, events_sql, simulated_events):
    create_project(folder, str(simulated_events), folder.parent)
    (folder / "sql" / "events.sql").write_text(events_sql.format(path=simulated_events), encoding="utf-8")
    return folder


KNOWN = "select * exclude (true_group) from read_parquet('{path}') where event_time < timestamp '2025-10-01'"
AGAIN = (
    "select * exclude (true_group) replace (event_time + interval 268 days as event_time, 100 * price as price, "
    "'later-' || event_id as event_id, 'later-' || order_id as order_id) "
    "from read_parquet('{path}') where event_time < timestamp '2025-10-01'"
)
NEWCOMER = "select 'newcomer' as user_id, timestamp '2025-10-01' as event_time, 'purchase' as event_type, 5.0 as price"
PLANTED = f"({KNOWN}) union all by name ({AGAIN}) union all by name ({NEWCOMER})"


@pytest.fixture(scope="module")
def two_shops(tmp_path_factory, simulated_events):
    """The same shop known until October, and with everything once more, at other prices, from October on."""
    folder = tmp_path_factory.mktemp("shops")
    with (
        ShopHistory(written(folder / "known", KNOWN, simulated_events), NOW) as known,
        ShopHistory(written(folder / "planted", PLANTED, simulated_events), datetime(2028, 1, 1)) as planted,
    ):
        yield known, planted


def dense(block):
    return block.values.toarray() if block.kind == "content" else block.values


def moments_of(shop, *, ahead=30):
    encoder = shipped_encoders("behavior")[0]
    found = []
    for back in (0, 2 * ahead, 3 * ahead):
        snapshot = with_recency(shop.snapshot(AS_OF - timedelta(days=back), [encoder]))
        outcome = shop.outcome(snapshot, ahead)
        found.append(Moment(snapshot, outcome, np.flatnonzero(outcome.buyer)))
    return found[0], found[1:], f"encoder:{encoder.ref}"


@pytest.mark.slow
def test_what_comes_later_changes_nothing_before(two_shops):
    known, planted = two_shops
    (now, past, encoder), (now_again, past_again, _) = moments_of(known), moments_of(planted)
    assert now.outcome.bought.sum() == 0 < now_again.outcome.bought.sum() < len(now_again.outcome.bought)
    assert now.snapshot.users.tolist() == now_again.snapshot.users.tolist()
    for name, block in now.snapshot.blocks.items():
        again = now_again.snapshot.blocks[name]
        assert block.terms == again.terms
        np.testing.assert_array_equal(dense(block), dense(again), err_msg=name)
    rich = [name for name in now.snapshot.blocks if ":" not in name and "/" not in name]
    for names in (["rfm@1"], [encoder]):
        one, other = (forecast(p, n, names, "logistic, C=0.03", 0) for p, n in ((past, now), (past_again, now_again)))
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        control_forecasts(past, now, rich, 0), control_forecasts(past_again, now_again, rich, 0)
    )
    labels = [product_segments([n.snapshot.blocks["rfm@1"]], seed=0).labels for n in (now, now_again)]
    np.testing.assert_array_equal(*labels)


@pytest.mark.slow
def test_a_snapshot_is_what_a_refresh_computes(two_shops):
    known, _ = two_shops
    shop = Shop(known.project.directory, NOW)
    shop.refresh(as_of="2025-10-01")
    snapshot = known.snapshot(AS_OF, shipped_encoders("behavior")[:1])
    block = snapshot.blocks["rfm@1"]
    columns = ", ".join(name.partition("__")[2] for name in block.columns)
    rows = shop.rows(f"select {columns} from sqlseg.feature_rfm_v1 order by user_id")
    np.testing.assert_allclose(np.array(rows, dtype=float), block.values)


def test_outcomes_by_hand(tmp_path):
    shop = new_shop(
        tmp_path / "shop",
        [
            bought("ann", "2024-01-05 10:00", 10.0),
            bought("ann", "2024-03-01 00:00", 20.0, quantity=2.0),
            returned("ann", "2024-03-02 00:00", 15.0),
            bought("bea", "2024-01-05 10:00", 10.0),
            bought("bea", "2024-03-31 00:00", 99.0),
            viewed("cat", "2024-02-01 10:00"),
            bought("cat", "2024-03-30 23:59", 7.0),
            bought("new", "2024-03-10 10:00", 7.0),
        ],
    )
    with ShopHistory(shop.directory, NOW) as history:
        snapshot = history.snapshot(datetime(2024, 3, 1), [])
        outcome = history.outcome(snapshot, 30)
    assert snapshot.users.tolist() == ["ann", "bea", "cat"]
    assert outcome.bought.tolist() == [True, False, True]
    assert outcome.spend.tolist() == [25.0, 0.0, 7.0]
    assert outcome.buyer.tolist() == [True, True, False]


def test_midnights_are_the_shops(tmp_path):
    events = [bought("ann", "2024-03-01 10:00", 1.0), bought("ann", "2024-04-10 10:00", 1.0)]
    shop = new_shop(tmp_path / "shop", events, timezone="Europe/London")
    with ShopHistory(shop.directory, NOW) as history:
        assert history.end == datetime(2024, 4, 10, 23)
        assert history.before_end(20) == datetime(2024, 3, 22)  # before the clocks went forward


def test_how_far_is_looked_ahead_and_back():
    assert [horizon(days) for days in (373, 269, 90, 10, 3)] == [90, 30, 30, 2, 1]
    assert days_back(283, 90) == {30: (30, 60, 90, 120, 150, 180), 90: (90, 120, 150, 180, 210, 240)}
    assert days_back(8, 2) == {2: (2, 3, 4)}
    with pytest.raises(TooShort, match="3 days are too few"):
        days_back(1, 2)


@pytest.mark.slow
def test_every_moment_looked_at_lies_before_the_asked_one_by_its_horizon(two_shops):
    known, _ = two_shops
    looked = look(known, shipped_encoders("behavior")[:1], [], everyone=False)
    asked_at = looked.now.snapshot.as_of
    assert asked_at == known.before_end(looked.ahead)
    for moment in looked.past:
        assert moment.snapshot.as_of <= known.before_end(2 * looked.ahead)
    for back in looked.backs:
        assert all((asked_at - back.snapshot.as_of).days >= days for days in back.outcomes)
        for days, outcome in back.outcomes.items():
            same = known.outcome(back.snapshot, days)
            np.testing.assert_array_equal(outcome.orders > 0, same.bought)
            np.testing.assert_allclose(np.maximum(outcome.spend, 0), same.spend)


@pytest.mark.slow
def test_forecasts_are_those_of_a_refresh(two_shops, tmp_path, simulated_events):
    known, _ = two_shops
    shop = Shop(written(tmp_path / "shop", KNOWN, simulated_events), NOW)
    settings = (shop.directory / "sqlseg.toml").read_text(encoding="utf-8")
    encoder = shipped_encoders("behavior")[0]
    kind = f"forecast:{encoder.ref}"
    inputs = next(line for line in settings.splitlines() if line.startswith("inputs"))
    weights = "".join(f"{line}\n" for line in settings.splitlines() if line.startswith("weights"))
    shop.write("sqlseg.toml", settings.replace(inputs, f'inputs = ["rfm@1", "{kind}"]').replace(weights, ""))
    looked = look(known, [encoder], [], everyone=False)
    now = looked.now.snapshot
    found = forecast_input(looked.backs, now, looked.learnable, kind)
    shop.refresh(as_of=f"{now.as_of:%Y-%m-%d}")
    columns = ", ".join(name.partition("__")[2] for name in found.columns)
    rows = shop.rows(f"select {columns} from sqlseg.feature_forecast_{encoder.table} order by user_id")
    np.testing.assert_allclose(found.values, np.array(rows, dtype=float), atol=1e-5)


@pytest.mark.slow
def test_nobodys_own_past_adapts_the_forecast_of_them(two_shops):
    known, _ = two_shops
    encoder = shipped_encoders("behavior")[0]
    looked = look(known, [encoder], [], everyone=False)
    days = looked.learnable[looked.ahead]
    before = adapted(looked.backs, looked.now, looked.ahead, days, seed=0, encoder=encoder.ref)
    user = next(one for one in looked.backs[-1].snapshot.users if one in looked.now.users)
    place = looked.now.users.tolist().index(user)
    changed = []
    for back in looked.backs:
        other = {
            ahead: Outcome(np.where(back.snapshot.users == user, 3.0 * (one.orders == 0), one.orders), one.spend)
            for ahead, one in back.outcomes.items()
        }
        changed.append(replace(back, outcomes=other))
    after = adapted(changed, looked.now, looked.ahead, days, seed=0, encoder=encoder.ref)
    assert before[place] == after[place]
    assert (before != after).any()


def test_a_random_encoder_has_the_same_weights_elsewhere(tmp_path):
    import onnx
    from onnx import numpy_helper

    encoder = shipped_encoders("behavior")[0]
    shuffled = [random_encoder(encoder, tmp_path / str(turn), seed) for turn, seed in enumerate((3, 3, 4))]
    assert shuffled[0].manifest.sha256 == shuffled[1].manifest.sha256 != shuffled[2].manifest.sha256
    weights = [
        {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(one.model_path)).graph.initializer}
        for one in (encoder, shuffled[0])
    ]
    assert weights[0].keys() == weights[1].keys()
    moved = [name for name in weights[0] if not np.array_equal(weights[0][name], weights[1][name])]
    assert moved and all(weights[0][name].ndim >= 2 for name in moved)
    for name in moved:
        np.testing.assert_array_equal(np.sort(weights[0][name].ravel()), np.sort(weights[1][name].ravel()))
