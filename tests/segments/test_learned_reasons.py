"""Reasons and changes of learned segments: the sum they add up to, and a search that asks the model itself."""

from dataclasses import replace

import numpy as np
import pytest

from sqlseg.segments import boosting
from sqlseg.segments.blocks import STEPS, embedding_block, feature_block
from sqlseg.segments.learned_changes import single_changes_learned
from sqlseg.segments.learned_reasons import explain_learned, learned_reasons
from sqlseg.segments.preparation import Preparation
from sqlseg.segments.supervised import Labels, fit_supervised_model

NAMES = ("gold", "new", "silver")
EMBEDDING = "encoder:e@1"


@pytest.fixture(autouse=True, scope="module")
def few_rounds():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "ROUNDS", 12)
        yield


@pytest.fixture(scope="module", params=[2, 3])
def fitted(request):
    random = np.random.default_rng(request.param)
    y = random.integers(0, request.param, 600)
    values = np.column_stack(
        [random.gamma(1.0 + y, 50.0), random.poisson(2 + 3 * y), random.normal(y, 2.0), random.normal(size=600)]
    )
    values[::7, 2] = np.nan
    vectors = random.normal(size=(600, 4)) + y[:, None]
    blocks = [
        feature_block("a@1", ["a__money", "a__orders", "a__trend", "a__noise"], values),
        embedding_block(EMBEDDING, vectors),
    ]
    fit = fit_supervised_model(blocks, Labels(NAMES[: request.param], np.where(np.arange(600) < 400, y, -1)), seed=0)
    return fit, blocks


def margin(model, blocks, assignment):
    """How much likelier the own class is than the runner-up by the trees, as the log of the odds."""
    probability = model.trees.probabilities(model.matrix(blocks))
    users = np.arange(len(probability))
    return np.log(probability[users, assignment.labels] / probability[users, assignment.runner_up])


def one(blocks, user):
    return [block.take(np.array([user])) for block in blocks]


def test_contributions_add_up_to_the_log_odds_against_the_runner_up(fitted):
    fit, blocks = fitted
    said = margin(fit.model, blocks, fit.assignment)
    for user in range(0, 600, 17):
        mine = one(blocks, user)
        found = explain_learned(fit.model, mine, fit.model.score(mine))
        assert found.expected + sum(row.contribution for row in found.contributions) == pytest.approx(said[user])
        assert {row.feature for row in found.contributions} == {*blocks[0].columns, EMBEDDING}


def test_the_reasons_are_the_strongest_of_all_that_speak_for_the_segment(fitted):
    fit, blocks = fitted
    reasons = learned_reasons(fit.model, blocks, fit.assignment, count=2)
    assert reasons.features == (*blocks[0].columns, EMBEDDING)
    for user in range(0, 600, 23):
        mine = one(blocks, user)
        all_of_them = explain_learned(fit.model, mine, fit.model.score(mine)).contributions
        expected = sorted((row for row in all_of_them if row.contribution > 0), key=lambda row: -row.contribution)[:2]
        rows = np.flatnonzero(reasons.user == user)
        assert [reasons.features[f] for f in reasons.feature[rows]] == [row.feature for row in expected]
        assert reasons.contribution[rows] == pytest.approx([row.contribution for row in expected])
        assert reasons.rank[rows].tolist() == list(range(1, len(expected) + 1))
        for row in rows:
            name = reasons.features[reasons.feature[row]]
            known = np.nan if name == EMBEDDING else blocks[0].values[user, blocks[0].columns.index(name)]
            assert reasons.value[row] == pytest.approx(known, nan_ok=True)


def test_what_tells_the_classes_apart_counts_and_what_does_not_hardly_does(fitted):
    fit, blocks = fitted
    sure = np.flatnonzero(fit.assignment.confidence > np.quantile(fit.assignment.confidence, 0.7))
    sums = dict.fromkeys(blocks[0].columns, 0.0)
    for user in sure[:40]:
        mine = one(blocks, user)
        for row in explain_learned(fit.model, mine, fit.model.score(mine)).contributions:
            if row.feature in sums:
                sums[row.feature] += row.contribution
    assert sums["a__money"] + sums["a__orders"] > 5 * abs(sums["a__noise"])


def test_a_model_from_before_users_were_counted_gives_no_reasons(fitted):
    fit, blocks = fitted
    rounds = tuple(
        tuple(replace(tree, users=np.empty(0, dtype=np.int64)) for tree in each) for each in fit.model.trees.rounds
    )
    old = replace(fit.model, classifier=replace(fit.model.trees, rounds=rounds))
    assert learned_reasons(old, blocks, fit.assignment) is None
    assert explain_learned(old, one(blocks, 0), old.score(one(blocks, 0))) is None
    assert np.array_equal(old.score(blocks).labels, fit.assignment.labels)


def labels_with(model, mine, position, tried):
    values = np.repeat(mine[0].values, len(tried), axis=0)
    values[:, position] = tried
    others = [replace(other, values=np.repeat(other.values, len(tried), axis=0)) for other in mine[1:]]
    return model.score([replace(mine[0], values=values), *others]).labels


def test_changes_are_the_nearest_that_a_search_finds(fitted):
    fit, blocks = fitted
    model = fit.model
    scalings = {column.name: column for column in model.preprocessing.blocks[0].columns}
    found_any = 0
    for user in range(0, 600, 11):
        mine = one(blocks, user)
        own = fit.assignment.labels[user]
        found = {change.feature: change for change in single_changes_learned(model, mine)}
        for position, name in enumerate(blocks[0].columns):
            low, high = np.nanmin(blocks[0].values[:, position]), np.nanmax(blocks[0].values[:, position])
            tried = np.linspace(low, high, 10_001)
            elsewhere = tried[labels_with(model, mine, position, tried) != own]
            if name not in found:
                assert not elsewhere.size
                continue
            found_any += 1
            change, given = found[name], mine[0].values[0, position]
            assert change.given == (None if np.isnan(given) else given)
            assert labels_with(model, mine, position, [change.value])[0] == change.segment != own
            start = scalings[name].median if np.isnan(given) else given
            if change.effort > 0 and not np.isnan(given):
                before = change.value - np.sign(change.value - given) / STEPS
                assert labels_with(model, mine, position, [before])[0] == own
            z = lambda v, column=scalings[name]: (np.log1p(v) if column.log else v) / column.std  # noqa: E731
            assert change.effort == pytest.approx(abs(z(change.value) - z(start)), abs=1e-6)
            if elsewhere.size:
                assert change.effort <= np.abs(z(elsewhere) - z(start)).min() + 1e-6
    assert found_any > 15


def test_the_easiest_comes_first(fitted):
    fit, blocks = fitted
    for user in range(20):
        efforts = [change.effort for change in single_changes_learned(fit.model, one(blocks, user))]
        assert efforts == sorted(efforts)


@pytest.mark.parametrize("projection", ["none", "lda"])
def test_changes_of_a_regression_are_the_nearest_that_a_search_finds(fitted, projection):
    fit, blocks = fitted
    classes = len(fit.model.classes)
    truth = fit.assignment.labels
    labels = Labels(NAMES[:classes], np.where(np.arange(600) < 400, truth, -1))
    how = Preparation(projection=projection)
    model = fit_supervised_model(blocks, labels, 0, "logistic_regression", how).model
    scalings = {column.name: column for column in model.preprocessing.blocks[0].columns}
    placed, found_any = model.score(blocks), 0
    for user in range(0, 600, 13):
        mine, own = one(blocks, user), placed.labels[user]
        found = {change.feature: change for change in single_changes_learned(model, mine)}
        for position, name in enumerate(blocks[0].columns):
            scaling, given = scalings[name], mine[0].values[0, position]
            tried = np.linspace(scaling.low, scaling.high, 5_001)
            step = tried[1] - tried[0]
            elsewhere = tried[labels_with(model, mine, position, tried) != own]
            start = scaling.median if np.isnan(given) else given
            z = lambda v, column=scaling: (np.log1p(v) if column.log else v) / column.std  # noqa: E731
            if name not in found:
                assert not elsewhere.size
                continue
            found_any += 1
            change = found[name]
            assert labels_with(model, mine, position, [change.value])[0] == change.segment != own
            assert scaling.low <= change.value <= scaling.high
            assert change.effort == pytest.approx(abs(z(change.value) - z(start)), abs=1e-9)
            nearer = change.value + 2 * np.sign(start - change.value) / STEPS
            assert labels_with(model, mine, position, [nearer])[0] == own
            if elsewhere.size:
                assert change.effort <= np.abs(z(elsewhere) - z(start)).min() + 2 * step / scaling.std + 1e-6
    assert found_any > 15
    graph = fit_supervised_model(blocks, labels, 0, "label_spreading").model
    assert single_changes_learned(graph, one(blocks, 0)) == ()
