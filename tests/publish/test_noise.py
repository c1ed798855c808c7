"""The noise is what its theory says, and what it is added to changes with one user by no more than is declared."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

pytest.importorskip("opendp", reason="needs the extra sqlseg[privacy]")

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.publish.noise import discrete_laplace_width, noisy_integers
from sqlseg.resources import sql_text

ONE_IN_A_MILLION = 1e-7
"""The draws cannot be seeded: ten tests at this level fail by chance less than once in a million runs."""

DRAWS = 20_000


def noise(value, sensitivity, epsilon, draws=DRAWS):
    return np.array(noisy_integers([value] * draws, sensitivity, epsilon).values) - value


def epsilon_for(sensitivity, scale):
    return sensitivity / scale


@pytest.mark.parametrize(("value", "scale"), [(1000, 2.0), (0, 7.5), (-5, 0.5)])
def test_counts_have_discrete_laplace_noise(value, scale):
    drawn = noise(value, 1, epsilon_for(1, scale))
    law = stats.dlaplace(1 / scale)
    edge = int(law.ppf(0.999))
    found = Counter(np.clip(drawn, -edge, edge).tolist())
    places = list(range(-edge, edge + 1))
    expected = np.array([law.cdf(-edge), *law.pmf(places[1:-1]), law.sf(edge - 1)]) * DRAWS
    assert stats.chisquare([found[place] for place in places], expected).pvalue > ONE_IN_A_MILLION


def test_sums_have_discrete_laplace_noise_too():
    scale = 40_000.0  # of steps so fine that it is as good as continuous
    drawn = noise(123_456_789, 50_000, epsilon_for(50_000, scale))
    assert stats.kstest(
        drawn + np.random.default_rng(0).uniform(-0.5, 0.5, DRAWS), stats.laplace(scale=scale).cdf
    ).pvalue > (ONE_IN_A_MILLION)


def test_the_test_would_find_another_scale():
    drawn = noise(0, 50_000, epsilon_for(50_000, 40_000.0 * 1.2))
    assert stats.kstest(drawn, stats.laplace(scale=40_000.0).cdf).pvalue < ONE_IN_A_MILLION


def test_draws_do_not_depend_on_each_other():
    drawn = noise(0, 1, 0.1)
    assert abs(stats.spearmanr(drawn[:-1], drawn[1:]).statistic) < 6 / math.sqrt(DRAWS)
    assert len(set(noisy_integers([0] * 20, 1, 0.001).values)) > 10


def test_neighbours_are_told_apart_no_better_than_epsilon_allows():
    epsilon, at_most = 0.5, 12
    near, other = (Counter((noise(0, 1, epsilon, 50_000) + value).tolist()) for value in (100, 101))
    for outcome in range(100 - at_most, 101 + at_most):
        one, two = near[outcome], other[outcome]
        # Given one + two outcomes, those of the one are at most a part e^eps / (1 + e^eps) of them.
        bound = math.exp(epsilon) / (1 + math.exp(epsilon))
        for count in (one, two):
            assert stats.binom.sf(count - 1, one + two, bound) > ONE_IN_A_MILLION / 50


@given(scale=st.floats(0.05, 1e6), alpha=st.sampled_from([0.05, 0.025, 0.01]))
def test_intervals_hold_in_the_share_of_cases_that_they_say(scale, alpha):
    width = discrete_laplace_width(scale, alpha)
    law = stats.dlaplace(1 / scale)
    assert 2 * law.sf(width) <= alpha * (1 + 1e-6)
    assert width == 0 or 2 * law.sf(width - 1) > alpha * (1 - 1e-6)


@given(sensitivity=st.integers(1, 10**9), epsilon=st.floats(0.001, 20))
def test_no_more_is_spent_than_was_asked_for(sensitivity, epsilon):
    made = noisy_integers([5], sensitivity, epsilon)
    assert epsilon * (1 - 1e-9) <= made.epsilon <= epsilon
    assert made.scale == pytest.approx(sensitivity / epsilon)


LOW, HIGH = -20.0, 150.0


@pytest.fixture(scope="module")
def engine():
    with Engine.open(None) as opened:
        prepare_warehouse(opened)
        opened.execute("create table sqlseg.user_revenue (user_id varchar, revenue double)")
        yield opened


def aggregates(engine, users):
    for table in ("segments.segment", "segments.membership", "sqlseg.user_revenue"):
        engine.execute(f"delete from {table}")
    for segment in range(3):
        engine.execute(f"insert into segments.segment (segment_id, segmentation) values ('a-{segment}', 'a')")
    for number, (segment, revenue) in enumerate(users):
        values = {"user": f"u{number}", "segment": f"a-{segment}", "revenue": revenue}
        engine.execute(
            "insert into segments.membership (user_id, segmentation, segment_id) values ($user, 'a', $segment)",
            {name: values[name] for name in ("user", "segment")},
        )
        if revenue is not None:
            engine.execute(
                "insert into sqlseg.user_revenue values ($user, $revenue)",
                {name: values[name] for name in ("user", "revenue")},
            )
    rows = engine.rows(
        sql_text("steps/publish/private_aggregates.sql"), {"low": LOW, "high": HIGH, "segmentations": ["a"]}
    )
    return {row[1]: (row[3], row[4]) for row in rows}


REVENUE = st.one_of(
    st.none(), st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), st.sampled_from([math.inf, -math.inf, math.nan, 1e300])
)
USERS = st.lists(st.tuples(st.integers(0, 2), REVENUE), min_size=1, max_size=8)


@given(users=USERS, data=st.data())
def test_one_user_changes_one_row_and_no_more_of_it_than_declared(engine, users, data):
    gone = data.draw(st.integers(0, len(users) - 1))
    full, without = aggregates(engine, users), aggregates(engine, users[:gone] + users[gone + 1 :])
    assert full.keys() == without.keys()
    changes = [(abs(full[one][0] - without[one][0]), abs(full[one][1] - without[one][1])) for one in full]
    assert sum(change[0] for change in changes) == 1
    assert sum(change[1] for change in changes) <= round(max(abs(LOW), abs(HIGH)) * 100)


def test_revenue_is_taken_into_the_bounds(engine):
    found = aggregates(engine, [(0, 500.0), (0, -70.0), (0, 10.005), (1, None), (1, math.inf)])
    assert found == {"a-0": (3, 15_000 - 2_000 + 1_001), "a-1": (2, 0), "a-2": (0, 0)}
