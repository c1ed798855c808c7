"""When a model has served its time: each reason alone, and what chance explains."""

import numpy as np
import pytest
from scipy.stats import binom

from sqlseg.segments.drift import Drift
from sqlseg.segments.refit import Evidence, far_distance, reasons_to_refit, told_in_brief
from sqlseg.settings import DriftLimits

LIMITS = DriftLimits()


def evidence(shifted=0, inputs=8, far=10, users=1_000, fitted_on=1_000, age=30):
    rows = [Drift(f"a__{n}", 0.3 + n / 100, 0.25, "shift") for n in range(shifted)]
    rows += [Drift(f"b__{n}", 0.01, 0.02, "ok") for n in range(inputs - shifted)]
    return Evidence(tuple(rows), far, users, fitted_on, age)


def test_nothing_speaks_for_a_refit():
    assert reasons_to_refit(evidence(), LIMITS) == ()
    assert told_in_brief(evidence(), LIMITS) == (
        "0 of 8 inputs have shifted (limit 2), 1.0% of users are far from every segment (limit 5%), "
        "the model is 30 days old (limit 365)"
    )


def test_a_quarter_of_the_inputs():
    assert reasons_to_refit(evidence(shifted=1), LIMITS) == ()
    [reason] = reasons_to_refit(evidence(shifted=2), LIMITS)
    assert reason == (
        "2 of 8 inputs have shifted since the fit, most of all a__1 (PSI 0.31, KS 0.25), a__0 (PSI 0.30, KS 0.25)"
    )
    assert reasons_to_refit(evidence(shifted=1), DriftLimits(share=0.125))
    # Of three inputs, one is enough.
    assert reasons_to_refit(evidence(shifted=1, inputs=3), LIMITS)


def test_users_far_from_every_segment():
    assert reasons_to_refit(evidence(far=49), LIMITS) == ()
    [reason] = reasons_to_refit(evidence(far=50), LIMITS)
    assert reason == "5.0% of users are farther from every segment than 99% were at the fit (limit 5%)"
    assert reasons_to_refit(evidence(far=30), DriftLimits(far=0.02))
    assert reasons_to_refit(evidence(far=None), DriftLimits(far=1e-9)) == ()


@pytest.mark.parametrize(("users", "fitted_on"), [(20, 20), (100, 1_000), (1_000, 50)])
def test_few_users_are_far_by_chance(users, fitted_on):
    # More than once in a thousand draws, by the binomial distribution.
    rate = 0.01 + 1 / (fitted_on + 1)
    limits = DriftLimits(far=1e-6)
    for far in range(users + 1):
        by_chance = binom.sf(far - 1, users, rate) >= 0.001
        assert bool(reasons_to_refit(evidence(far=far, users=users, fitted_on=fitted_on), limits)) != by_chance


def test_a_model_grows_old():
    assert reasons_to_refit(evidence(age=364), LIMITS) == ()
    assert reasons_to_refit(evidence(age=365), LIMITS) == ("the model is 365 days old (limit 365)",)
    assert reasons_to_refit(evidence(age=30), DriftLimits(days=30))


def test_all_reasons_are_told():
    assert len(reasons_to_refit(evidence(shifted=8, far=900, age=1_000), LIMITS)) == 3


def test_one_in_a_hundred_was_far_at_the_fit():
    distances = np.random.default_rng(0).random(10_000)
    assert (distances > far_distance(distances)).mean() == pytest.approx(0.01)
    assert far_distance(np.full(3, np.nan)) is None
