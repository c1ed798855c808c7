import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from sqlseg.segments import parts
from sqlseg.segments.drift import (
    KS_LIMIT,
    PSI_LIMIT,
    Drift,
    Reference,
    drift,
    drift_by_feature,
    kolmogorov_smirnov,
    population_stability_index,
    psi_of_proportions,
    reference,
    references,
    worst_by_feature,
)

random = np.random.default_rng(0)
normal = random.normal(size=5_000)

samples = st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(float("nan"))), max_size=40).map(np.array)


def test_psi_by_hand():
    # Quarters 0.25 each, then 0.4, 0.3, 0.2, 0.1: sum of (q - p) ln(q / p).
    q = np.array([0.4, 0.3, 0.2, 0.1])
    assert psi_of_proportions([0.25] * 4, q) == pytest.approx(np.sum((q - 0.25) * np.log(q / 0.25)))
    assert psi_of_proportions([1.0, 0.0], [0.0, 1.0]) == pytest.approx(2 * 0.9999 * np.log(1e4))


@given(samples, samples)
def test_psi_is_never_negative_and_nothing_against_itself(expected, actual):
    assert population_stability_index(expected, actual) >= 0
    assert population_stability_index(expected, expected) == 0


@pytest.mark.filterwarnings("ignore:divide by zero")  # of SciPy's p-value for samples of one
@given(samples, samples)
def test_ks_is_that_of_scipy(first, second):
    a, b = first[~np.isnan(first)], second[~np.isnan(second)]
    if a.size and b.size:
        assert kolmogorov_smirnov(first, second) == pytest.approx(ks_2samp(a, b, method="asymp").statistic)
    else:
        assert kolmogorov_smirnov(first, second) == (0.0 if a.size == b.size else 1.0)


def scipy_ks(first, second):
    """The two-sample distance where a missing value stands above all others."""
    return ks_2samp(*(np.nan_to_num(x, nan=np.inf) for x in (first, second)), method="asymp").statistic


@pytest.mark.filterwarnings("ignore:divide by zero")
@given(samples, samples)
def test_ks_from_the_reference_is_that_of_the_samples_of_up_to_100_values(first, second):
    if first.size and second.size and not np.isnan(first).all():
        assert drift(reference("a__x", first), second).ks == pytest.approx(scipy_ks(first, second))


@pytest.mark.parametrize("shape", ["moved", "wider", "half zero", "half missing", "below all", "above all"])
def test_ks_from_the_reference_is_within_a_hundredth_of_that_of_many_values(shape):
    first = np.random.default_rng(1).lognormal(size=3_000)
    second = np.random.default_rng(2).lognormal(size=2_000)
    half = np.arange(second.size) % 2 == 0
    if shape == "moved":
        second = second + 0.3
    elif shape == "wider":
        second = second**2
    elif shape == "half zero":
        first[: first.size // 3], second[half] = 0.0, 0.0
    elif shape == "half missing":
        second[half] = np.nan
    elif shape == "below all":
        first[: first.size // 3], second[half] = 0.0, -1.0
    else:
        second[half] = 1e9
    assert drift(reference("a__x", first), second).ks == pytest.approx(scipy_ks(first, second), abs=0.01)


def test_ks_alone_can_be_a_shift():
    known = reference("a__x", normal)
    moved = drift(known, random.normal(size=5_000) + 0.45, psi_limit=9.0, ks_limit=0.15)
    assert moved.psi < 0.4 < 9.0 and moved.ks > 0.15 and moved.status == "shift"
    assert drift(known, random.normal(size=5_000) + 0.45, psi_limit=9.0, ks_limit=0.9).status == "ok"


def test_a_model_of_the_first_release_has_no_percentiles():
    known = reference("a__x", normal)
    old = {key: value for key, value in known.to_dict().items() if key not in ("knots", "at_most")}
    found = drift(Reference.from_dict(old), normal + 1)
    assert 0 < found.ks <= drift(known, normal + 1).ks + 0.01


def test_deciles_hold_a_tenth_each():
    known = reference("a__x", np.arange(1_000.0))
    assert known.edges == tuple(np.arange(100, 1_000, 100) - 1.0)
    assert known.proportions == pytest.approx([0.1] * 10 + [0.0])
    assert known.user_count == 1_000


@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_a_flag_has_a_bin_for_either_value(share):
    values = (np.arange(1_000) < 1_000 * share).astype(float)
    known = reference("a__flag", values)
    assert known.edges == (0.0,)
    assert known.proportions == pytest.approx([1 - share, share, 0.0])
    assert drift(known, 1 - values).status == ("ok" if share == 0.5 else "shift")


def test_a_feature_that_stops_arriving_is_a_shift():
    half = normal.copy()
    half[::2] = np.nan
    assert drift(reference("a__x", normal), half).status == "shift"


def test_status_follows_the_size_of_the_change():
    known = reference("a__x", normal)
    fresh = random.normal(size=5_000)
    assert [drift(known, fresh + by).status for by in (0.0, 0.4, 1.0)] == ["ok", "watch", "shift"]


def test_few_users_do_not_cry_wolf():
    known = reference("a__x", normal)
    few = [drift(known, random.normal(size=40)) for _ in range(200)]
    assert max(row.psi for row in few) > 0.25 and max(row.ks for row in few) > 0.2  # by luck alone
    assert np.mean([row.status != "ok" for row in few]) < 0.02
    assert drift(known, random.normal(size=40) + 3).status == "shift"


def test_a_constant_and_an_empty_reference():
    same = reference("a__x", np.ones(50))
    assert same.edges == () and drift(same, np.ones(9)) == Drift("a__x", 0.0, 0.0, "ok")
    never = reference("a__x", np.full(50, np.nan))
    assert drift(never, np.full(5, np.nan)).status == "ok"
    assert drift(reference("a__x", normal), np.empty(0)).status == "ok"


def plain_proportions(values, edges):
    bins = np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values, side="left"))
    return np.bincount(bins, minlength=edges.size + 2) / values.size


lognormal = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).lognormal(size=500))


@given(samples | lognormal)
def test_a_reference_is_what_numpy_makes_of_the_values(values):
    known = values[~np.isnan(values)]
    if not known.size:
        return
    kept = reference("a__x", values)
    edges = np.unique(np.quantile(known, np.arange(1, 10) / 10, method="lower"))
    if edges[-1] == known.max():  # nothing would lie above it: the next smaller value, where there is one
        edges = np.unique(np.append(edges[:-1], known[known < known.max()].max(initial=-np.inf)))
        edges = edges[np.isfinite(edges)]
    knots = np.unique(known)
    if knots.size > 100:
        knots = np.unique(np.quantile(known, np.arange(1, 101) / 100, method="inverted_cdf"))
    assert (kept.edges, kept.knots) == (tuple(edges), tuple(knots))
    assert kept.at_most == tuple(int((known <= knot).sum()) for knot in knots)
    assert kept.proportions == tuple(plain_proportions(values, edges))


@given(samples | lognormal, samples | lognormal)
def test_psi_from_the_reference_is_that_of_the_samples(first, second):
    if not first.size or not second.size:
        return
    kept = reference("a__x", first)
    edges, floor = np.array(kept.edges), max(1e-4, 0.5 / min(first.size, second.size))
    expected = psi_of_proportions(plain_proportions(first, edges), plain_proportions(second, edges), floor)
    assert drift(kept, second).psi == expected == population_stability_index(first, second)


def test_columns_of_many_users_are_looked_at_side_by_side_with_the_same_result(monkeypatch):
    columns = {("a__x", 0): normal, ("e", 0): normal**2, ("e", 1): np.floor(normal)}
    later = [column + 0.4 for column in columns.values()]
    alone = tuple(reference(feature, values) for (feature, _), values in columns.items())
    monkeypatch.setattr(parts, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(parts.os, "cpu_count", lambda: 4)
    assert references(columns) == alone
    rows = [drift(known, values) for known, values in zip(alone, later, strict=True)]
    limits = {"psi_limit": PSI_LIMIT, "ks_limit": KS_LIMIT}
    assert drift_by_feature(alone, later, **limits) == worst_by_feature(rows)


def test_a_reference_survives_json():
    known = reference("a__x", normal)
    assert Reference.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def test_an_embedding_has_moved_as_far_as_its_worst_axis():
    rows = [Drift("e", 0.1, 0.3, "watch"), Drift("x", 0.0, 0.0, "ok"), Drift("e", 0.4, 0.2, "shift")]
    assert worst_by_feature(rows) == (rows[2], rows[1])
