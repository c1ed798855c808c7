import numpy as np
import pytest

from sqlseg.insight.profile import segment_profile, segment_standing

NAN = float("nan")


def test_figures_worked_out_by_hand():
    columns = {
        "rfm__orders": np.array([1.0, 2.0, 3.0, 10.0, NAN]),
        "rfm__balance": np.array([-1.0, 1.0, 0.0, 0.0, 0.0]),
        "rfm__same": np.full(5, 0.1),
        "rfm__never": np.full(5, NAN),
    }
    rows = segment_profile(columns, np.array([0, 0, 0, 1, 1]), 2)
    assert [(row.segment, row.feature) for row in rows] == [(s, f) for s in (0, 1) for f in columns]
    orders, balance, same, never = rows[:4]
    assert (orders.user_count, orders.mean, orders.median, orders.overall_mean, orders.lift) == (3, 2.0, 2.0, 4.0, 0.5)
    assert (orders.p10, orders.p90) == (pytest.approx(1.2), pytest.approx(2.8))
    assert orders.z == pytest.approx(-2 / np.std([1, 2, 3, 10]))
    assert (balance.overall_mean, balance.lift, balance.z) == (0.0, None, 0.0)
    assert same.lift == pytest.approx(1) and same.z is None
    assert (never.user_count, never.mean, never.median, never.overall_mean, never.z) == (0, None, None, None, None)
    assert [row.rank for row in rows[:4]] == [1, 2, 3, 4]
    assert (rows[4].user_count, rows[4].mean, rows[4].p10) == (1, 10.0, 10.0)


def test_it_agrees_with_numpy_user_by_user():
    random = np.random.default_rng(0)
    values = random.normal(size=(500, 3))
    values[random.random(values.shape) < 0.3] = NAN
    labels = random.integers(-1, 4, 500)
    rows = segment_profile({f"a__{i}": values[:, i] for i in range(3)}, labels, 4)
    for row in rows:
        own = values[labels == row.segment, int(row.feature[-1])]
        assert row.user_count == np.sum(~np.isnan(own))
        assert (row.mean, row.median) == (pytest.approx(np.nanmean(own)), pytest.approx(np.nanmedian(own)))
        assert (row.p10, row.p90) == tuple(pytest.approx(q) for q in np.nanquantile(own, [0.1, 0.9]))
    for segment in range(4):
        mine = sorted((row for row in rows if row.segment == segment), key=lambda row: row.rank)
        assert [row.rank for row in mine] == [1, 2, 3]
        assert [abs(row.z) for row in mine] == sorted((abs(row.z) for row in mine), reverse=True)


def test_a_segment_that_nobody_is_in_has_empty_figures():
    row = segment_profile({"a__x": np.array([1.0, 2.0])}, np.array([0, 0]), 2)[1]
    assert (row.user_count, row.mean, row.overall_mean, row.lift, row.rank) == (0, None, 1.5, None, 1)


def test_one_extreme_user_does_not_move_a_standing():
    random = np.random.default_rng(0)
    spend = np.exp(random.normal(size=1_000))
    labels = np.arange(1_000) % 2
    spend[0] = 1e7
    columns = {"rfm__spend": spend}
    assert segment_profile(columns, labels, 2)[0].lift > 1.9
    standing = segment_standing(columns, labels, 2)
    assert np.abs(standing.z).max() < 0.1


def test_standings_are_in_standard_units_and_know_what_goes_together():
    random = np.random.default_rng(0)
    x = random.normal(size=2_000)
    labels = (x > 0).astype(int)
    standing = segment_standing({"a__x": x, "a__minus": -x, "b__same": np.ones(2_000)}, labels, 2)
    assert standing.z[:, 0] == pytest.approx([-0.8, 0.8], abs=0.05)  # E|x| of a normal is 0.798
    assert standing.z[:, 2].tolist() == [0, 0]
    assert standing.correlation[0, 1] == pytest.approx(-1)
    assert standing.correlation[2].tolist() == [0, 0, 0]
