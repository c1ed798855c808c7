"""Choosing inputs and turning them onto axes before segments are learned: nothing of held-out users leaks in."""

import numpy as np
import pytest

from sqlseg.segments import boosting, preparation
from sqlseg.segments.blocks import embedding_block, feature_block
from sqlseg.segments.learned_reasons import explain_learned
from sqlseg.segments.preparation import Preparation
from sqlseg.segments.selection import Selection, feature_scores
from sqlseg.segments.supervised import Labels, SupervisedModel, fit_supervised_model
from sqlseg.segments.used_inputs import used_axes, used_inputs

NAMES = ("gold", "new", "silver")


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(boosting, "ROUNDS", 10)


def shop(classes=3, noise=6, seed=0):
    """Two columns and an embedding that tell the classes, columns of noise, one that labelled users never have."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, 500)
    known = np.arange(500) < 320
    values = np.column_stack(
        [random.normal(size=500) + 1.5 * y, random.gamma(1.0 + y, 10.0), random.normal(size=(500, noise))]
    )
    values[::6, 1] = np.nan
    never = np.where(known, np.nan, random.normal(size=500))
    names = ["f__a", "f__b", *(f"f__noise{number}" for number in range(noise)), "f__never"]
    blocks = [
        feature_block("f@1", names, np.column_stack([values, never])),
        embedding_block("encoder:e@1", random.normal(size=(500, 3)) + (y == 1)[:, None]),
    ]
    return blocks, Labels(NAMES[:classes], np.where(known, y, -1), np.where(known, np.arange(500.0), np.nan)), y


@pytest.mark.parametrize("by", ["mutual_information", "chi_squared"])
@pytest.mark.parametrize("algorithm", ["gradient_boosting", "logistic_regression", "label_spreading"])
def test_what_tells_of_the_labels_is_kept_and_the_rest_is_on_record(by, algorithm):
    blocks, labels, _ = shop()
    fit = fit_supervised_model(blocks, labels, 0, algorithm, Preparation(Selection(by, 3)))
    assert set(fit.model.preprocessing.inputs) == {"f__a", "f__b", "encoder:e@1"}
    rows = used_inputs(fit.model.preprocessing)
    assert [row.kept for row in rows] == [True] * 3 + [False] * 7
    assert [row.rank for row in rows] == [*range(1, 10), None]
    assert rows[-1].feature == "f__never" and rows[-1].reason == "missing for every labelled user"
    assert rows[5].reason == f"rank 6 of 9 by {by.replace('_', ' ')}; 3 are kept"
    assert f"{rows[5].feature} is not used: {rows[5].reason}." in fit.notes
    whole = fit_supervised_model(blocks, labels, 0, algorithm).model
    some = [block.take(labels.of_users >= 0) for block in blocks]
    scores = feature_scores(whole.matrix(some), labels.of_users[:320], whole.preprocessing.inputs, by)
    assert {row.feature: row.score for row in rows[:-1]} == pytest.approx(scores)
    again = SupervisedModel.from_json(fit.model.to_json())
    assert again.to_json() == fit.model.to_json()
    assert np.array_equal(again.score(blocks).labels, fit.assignment.labels)
    assert len(fit.model.references) == len(fit.model.preprocessing.inputs)
    # What was left out can be anything by now, even gone.
    reduced = feature_block("f@1", ["f__a", "f__b"], blocks[0].values[:, :2])
    assert np.array_equal(again.score([reduced, blocks[1]]).labels, fit.assignment.labels)


def test_users_held_out_are_not_seen_when_inputs_are_chosen_or_turned(monkeypatch):
    blocks, labels, _ = shop()
    number = feature_block("n@1", ["n__user"], np.arange(500.0)[:, None])
    seen, turned = [], []

    def watched(X, y, inputs, by):
        seen.append(X[:, list(inputs).index("n__user")])
        return feature_scores(X, y, inputs, by)

    def turning(X, y, original=preparation.discriminant_axes):
        turned.append(len(X))
        return original(X, y)

    monkeypatch.setattr(preparation, "feature_scores", watched)
    monkeypatch.setattr(preparation, "discriminant_axes", turning)
    how = Preparation(Selection("chi_squared", 11), projection="lda")
    fit = fit_supervised_model([number, *blocks], labels, 0, "logistic_regression", how)
    # Four fits for the measures (three folds and all), then four of the final model; the newest 80 are held out.
    assert len(seen) == len(turned) == 8 and turned[3] == 240 and turned[7] == 320
    everybody = np.sort(seen[7])
    newest = everybody[240:]
    assert fit.metrics["held_out_users"] == 80
    for users in seen[:4]:
        assert not np.isin(users, newest).any()
    assert np.array_equal(np.sort(seen[3]), everybody[:240])


def test_choosing_among_many_inputs_of_noise_does_not_look_like_knowledge():
    random = np.random.default_rng(3)
    values = random.normal(size=(160, 300))
    block = feature_block("f@1", [f"f__{number}" for number in range(300)], values)
    labels = Labels(NAMES[:2], np.arange(160) % 2)
    how = Preparation(Selection("mutual_information", 5))
    fit = fit_supervised_model([block], labels, 0, preparation=how)
    assert fit.metrics["auc"] < 0.7
    # Chosen by the labels of all, the same five look as if they knew.
    kept = [row.feature for row in used_inputs(fit.model.preprocessing) if row.kept]
    leaked = feature_block("f@1", kept, values[:, [int(name.removeprefix("f__")) for name in kept]])
    assert fit_supervised_model([leaked], labels, 0).metrics["auc"] > fit.metrics["auc"] + 0.1


@pytest.mark.parametrize("kind", ["pca", "lda"])
@pytest.mark.parametrize("algorithm", ["logistic_regression", "self_training", "label_spreading"])
def test_a_model_along_axes_survives_json_and_says_what_the_axes_hold(kind, algorithm):
    blocks, labels, y = shop()
    fit = fit_supervised_model(blocks, labels, 0, algorithm, Preparation(projection=kind))
    again = SupervisedModel.from_json(fit.model.to_json())
    assert np.array_equal(again.probabilities(blocks), fit.model.probabilities(blocks))
    rows = used_axes(again.projection)
    shares = [float(row.reason.split()[1].rstrip("%")) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=0.5) and shares == sorted(shares, reverse=True)
    kept = [row for row in rows if row.kept]
    if kind == "lda":
        assert len(kept) == len(rows) == 2
    else:
        assert len(rows) == len(again.preprocessing.inputs) > len(kept)
        assert sum(shares[: len(kept)]) >= 89.9 and "beyond the 90% to keep" in rows[-1].reason
    assert np.mean(fit.assignment.labels[320:] == y[320:]) > 0.6


@pytest.mark.parametrize("kind", ["pca", "lda"])
@pytest.mark.parametrize("classes", [2, 3])
def test_reasons_of_a_model_along_axes_speak_of_the_inputs_and_add_up(kind, classes):
    blocks, labels, _ = shop(classes)
    model = fit_supervised_model(blocks, labels, 0, "logistic_regression", Preparation(projection=kind)).model
    along = model.projection.along(model.matrix(blocks))
    assert model.regression.scores(model.matrix(blocks)) == pytest.approx(model.classifier.scores(along))
    probability = model.classifier.probabilities(along)
    assignment = model.score(blocks)
    for user in range(0, 500, 31):
        mine = [block.take(np.array([user])) for block in blocks]
        found = explain_learned(model, mine, model.score(mine))
        own, other = probability[user, assignment.labels[user]], probability[user, assignment.runner_up[user]]
        total = found.expected + sum(row.contribution for row in found.contributions)
        assert total == pytest.approx(np.log(own / other), abs=1e-9)
        assert {row.feature for row in found.contributions} == set(model.preprocessing.inputs)
