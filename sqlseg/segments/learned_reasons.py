"""Says why a learned model puts a user in one segment and not in the next one: what each input adds to the log-odds.

Trees and regressions give each class a score; the difference of two scores is the log of how many times likelier one
is, before calibration. Shapley values split it exactly:

    score(own) - score(runner-up) = what it is for nobody in particular + sum over inputs of their contributions

Of a regression they are what each input adds beyond that of the average user, who is at 0 in every input. An
embedding's axes are summed into one, which keeps the sum. A graph of users has no such split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.assignment import Assignment
from sqlseg.segments.blocks import Block, FloatArray, IntArray
from sqlseg.segments.explain import Contribution, UserReasons, strongest, summed_by_feature
from sqlseg.segments.shapley import expected_scores, score_parts
from sqlseg.segments.supervised import SupervisedModel


@dataclass(frozen=True)
class LearnedReasons:
    """The log-odds of the own segment against the runner-up: what they start from, and what each feature adds."""

    expected: float
    contributions: tuple[Contribution, ...]


def learned_reasons(
    model: SupervisedModel, blocks: Sequence[Block], assignment: Assignment, count: int = 3
) -> UserReasons | None:
    """Return for each user the `count` inputs that speak most for the own segment; None where the model cannot tell."""
    if not _can_tell(model):
        return None
    inputs = model.preprocessing.inputs

    def split(some: Sequence[Block], own: IntArray, other: IntArray) -> FloatArray:
        return summed_by_feature(_against(_split(model, some)[0], own, other), inputs)[1]

    return strongest(inputs, blocks, assignment, split, count)


def explain_learned(model: SupervisedModel, blocks: Sequence[Block], assignment: Assignment) -> LearnedReasons | None:
    """Return what each feature adds for one user (blocks of one row), the strongest first; None as above."""
    if not _can_tell(model):
        return None
    parts, expected = _split(model, blocks)
    features, values = summed_by_feature(
        _against(parts, assignment.labels, assignment.runner_up), model.preprocessing.inputs
    )
    rows = [Contribution(feature, float(value)) for feature, value in zip(features, values[0], strict=True)]
    return LearnedReasons(
        float(_against(expected[None, None, :], assignment.labels, assignment.runner_up)[0, 0]),
        tuple(sorted(rows, key=lambda row: -abs(row.contribution))),
    )


def _can_tell(model: SupervisedModel) -> bool:
    return model.regression is not None or (model.trees is not None and model.trees.knows_users)


def _split(model: SupervisedModel, blocks: Sequence[Block]) -> tuple[FloatArray, FloatArray]:
    """Return users x inputs x scores, what each input adds, and what each score is for nobody in particular."""
    X = model.matrix(blocks)
    if (regression := model.regression) is not None:
        return X[:, :, None] * regression.weights.T, regression.intercepts
    assert model.trees is not None
    return score_parts(model.trees, X), expected_scores(model.trees)


def _against(parts: FloatArray, own: IntArray, other: IntArray) -> FloatArray:
    """Return users x inputs: parts (users x inputs x scores) of the own class less those of the other.

    Of two classes there is one score, the log-odds of the second.
    """
    if parts.shape[2] == 1:
        return parts[:, :, 0] * (own - other)[:, None]
    users = np.arange(parts.shape[0])
    difference: FloatArray = parts[users, :, own] - parts[users, :, other]
    return difference
