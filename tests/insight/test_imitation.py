import duckdb
import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import precision_score, recall_score

from sqlseg.insight.rules import Condition, imitate, readable_rule


def shop(users, seed=0):
    random = np.random.default_rng(seed)
    return {
        "rfm__recency_days": random.integers(0, 400, users).astype(float),
        "rfm__orders": random.integers(1, 30, users).astype(float),
        "price__level": random.normal(size=users),
        "cadence__gap": np.where(random.random(users) < 0.3, np.nan, random.gamma(2.0, 10.0, users)),
    }


def found_by_sql(columns, condition):
    table = pa.table(
        {
            "row": np.arange(len(next(iter(columns.values())))),
            **{n: pa.array(v, mask=np.isnan(v)) for n, v in columns.items()},
        }
    )
    connection = duckdb.connect()
    connection.register("users", table)
    return {row for (row,) in connection.execute(f'select "row" from users where {condition}').fetchall()}


def test_conditions_that_are_there_are_found():
    columns = shop(4000)
    labels = np.where(columns["rfm__recency_days"] > 180, 0, np.where(columns["rfm__orders"] > 7, 1, 2))
    found = imitate(columns, labels, 3, seed=0)
    assert found.fidelity == 1.0
    assert [readable_rule(rule.ways) for rule in found.rules] == [
        "rfm__recency_days > 180",
        "rfm__recency_days <= 180 and rfm__orders > 7",
        "rfm__recency_days <= 180 and rfm__orders <= 7",
    ]
    assert [(rule.precision, rule.recall) for rule in found.rules] == [(1.0, 1.0)] * 3


def test_users_without_a_value_are_told_apart():
    columns = shop(2000)
    labels = np.isnan(columns["cadence__gap"]).astype(int)
    found = imitate(columns, labels, 2, seed=0)
    assert [readable_rule(rule.ways) for rule in found.rules] == ["cadence__gap is not null", "cadence__gap is null"]


def test_a_rule_in_sql_finds_whom_it_is_measured_on():
    columns = shop(3000, seed=4)
    score = (
        columns["rfm__orders"] / 30 - columns["rfm__recency_days"] / 400 + np.nan_to_num(columns["cadence__gap"]) / 40
    )
    labels = np.digitize(score, np.quantile(score, [0.25, 0.5, 0.75]))
    found = imitate(columns, labels, 4, seed=1)
    assert 0.6 < found.fidelity < 1.0
    drawn = np.random.default_rng(1).permutation(3000)
    held_out = drawn[2100:]
    told = np.full(3000, -1)
    for rule in found.rules:
        rows = found_by_sql(columns, readable_rule(rule.ways))
        assert all(told[row] == -1 for row in rows)  # nobody is in two
        told[sorted(rows)] = rule.segment
    assert np.mean(told[held_out] == labels[held_out]) == pytest.approx(found.fidelity)
    precision = precision_score(labels[held_out], told[held_out], labels=range(4), average=None, zero_division=0)
    recall = recall_score(labels[held_out], told[held_out], labels=range(4), average=None)
    assert [rule.precision for rule in found.rules] == pytest.approx(precision)
    assert [rule.recall for rule in found.rules] == pytest.approx(recall)


def test_no_way_asks_for_more_than_three_features():
    random = np.random.default_rng(2)
    columns = {f"a__{i}": random.normal(size=3000) for i in range(8)}
    labels = (sum(columns.values()) > 0).astype(int)
    found = imitate(columns, labels, 2, seed=0)
    ways = [way for rule in found.rules for way in rule.ways]
    assert max(len(way) for way in ways) == 3
    assert all(len({condition.feature for condition in way}) == len(way) for way in ways)


def test_it_is_repeatable_and_made_from_some_users_only():
    columns = shop(3000)
    labels = (columns["price__level"] > 0.123456).astype(int)
    assert imitate(columns, labels, 2, seed=7) == imitate(columns, labels, 2, seed=7)
    # what the held-out users are labelled cannot change the rule
    held_out = np.random.default_rng(7).permutation(3000)[2100:]
    other = labels.copy()
    other[held_out] = 1 - other[held_out]
    again = imitate(columns, other, 2, seed=7)
    assert [rule.ways for rule in again.rules] == [rule.ways for rule in imitate(columns, labels, 2, seed=7).rules]
    assert again.fidelity < 0.05


@pytest.mark.parametrize(("count", "columns"), [(1, shop(50)), (2, {})])
def test_nothing_to_tell(count, columns):
    assert imitate(columns, np.zeros(50, dtype=int), count, seed=0) is None


def test_one_feature_the_same_for_all_gives_one_rule():
    found = imitate({"a__x": np.ones(100)}, np.arange(100) % 2, 2, seed=0)
    assert sorted(readable_rule(rule.ways) for rule in found.rules) == ["", "true"]


def test_odd_names_are_quoted():
    assert readable_rule([[Condition('my view__"x"', high=1.5, unknown=True)]]) == (
        '("my view__""x""" <= 1.5 or "my view__""x""" is null)'
    )


def test_infinite_values_do_no_harm():
    values = np.array([1e100, -1e100, 1e-12, 2e-12] * 25)
    found = imitate({"a__x": values}, (values > 0).astype(int), 2, seed=0)
    assert found.fidelity > 0.4
