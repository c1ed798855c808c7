"""Writes a regression that was learned from labels, and its calibration, as the steps of a query.

It does what `LogisticRegression.probabilities` and `calibrated` do. Its sums are not of whole numbers, as squared
distances are, so probabilities agree to about 1e-15; classes are ranked by them in steps of 1e-9, here as in Python.
"""

from collections.abc import Sequence
from functools import reduce

from sqlglot import exp

from sqlseg.segments.blocks import STEPS
from sqlseg.segments.calibration import SURE, Sigmoid
from sqlseg.segments.linear import LogisticRegression
from sqlseg.segments.sql_parts import (
    Steps,
    added,
    case,
    clipped,
    divided,
    function,
    least_two,
    number,
    numbered,
    plus,
    plus_times,
    text,
    times,
)

_BEYOND_EXP = 700.0
"""Beyond it PostgreSQL refuses to take the exponential; it is nothing beside 1 there, or 1 nothing beside it."""


def likeliest_class(
    regression: LogisticRegression, calibration: Sequence[Sigmoid], segment_ids: Sequence[str]
) -> Steps:
    """Return the steps from coordinates (x1, x2, ... in steps of 1e-6) to the likeliest and second likeliest class."""
    count = len(segment_ids)
    scores, probabilities, ranks = (numbered(noun, count) for noun in ("score", "probability", "rank"))
    if count == 2:
        (score,) = _scores(regression, scores[:1])
        second = _sigmoid(_log_odds(_sigmoid_of(exp.column(scores[0]))), calibration[0])
        steps = {
            "scores": exp.select("user_id", score).from_("coordinates"),
            "beliefs": exp.select("user_id", exp.alias_(second, "second")).from_("scores"),
            "probabilities": exp.select(
                "user_id",
                exp.alias_(exp.Sub(this=number(1.0), expression=exp.column("second")), probabilities[0]),
                exp.alias_(exp.column("second"), probabilities[1]),
            ).from_("beliefs"),
        }
    else:
        steps = _of_many(regression, calibration, scores, probabilities)
    rank = [
        exp.alias_(exp.Neg(this=exp.Floor(this=plus(times(exp.column(probability), number(1e9)), 0.5))), name)
        for probability, name in zip(probabilities, ranks, strict=True)
    ]
    steps["ranks"] = exp.select("*", *rank).from_("probabilities")
    own = {text(segment): exp.column(name) for segment, name in zip(segment_ids, probabilities, strict=True)}
    nowhere = exp.cast(exp.Null(), exp.DataType.Type.DOUBLE)
    return steps | least_two("rank", ranks, segment_ids, nowhere, case(exp.column("segment_id"), dict(own)))


def _of_many(
    regression: LogisticRegression, calibration: Sequence[Sigmoid], scores: Sequence[str], probabilities: Sequence[str]
) -> Steps:
    likelihoods, beliefs, sigmoids = (numbered(noun, len(scores)) for noun in ("likelihood", "belief", "sigmoid"))
    likelihood = [
        exp.Exp(
            this=function("GREATEST", exp.Sub(this=exp.column(one), expression=exp.column("top")), number(-_BEYOND_EXP))
        )
        for one in scores
    ]
    belief = [divided(exp.column(one), _sum(likelihoods)) for one in likelihoods]
    sigmoid = [_sigmoid(_log_odds(exp.column(one)), curve) for one, curve in zip(beliefs, calibration, strict=True)]
    probability = [divided(exp.column(one), _sum(sigmoids)) for one in sigmoids]
    return {
        "scores": exp.select("user_id", *_scores(regression, scores)).from_("coordinates"),
        "tops": exp.select("*", exp.alias_(function("GREATEST", *map(exp.column, scores)), "top")).from_("scores"),
        "likelihoods": exp.select("user_id", *_named(likelihood, likelihoods)).from_("tops"),
        "beliefs": exp.select("user_id", *_named(belief, beliefs)).from_("likelihoods"),
        "sigmoids": exp.select("user_id", *_named(sigmoid, sigmoids)).from_("beliefs"),
        "probabilities": exp.select("user_id", *_named(probability, probabilities)).from_("sigmoids"),
    }


def _scores(regression: LogisticRegression, names: Sequence[str]) -> list[exp.Expr]:
    columns = []
    for weights, intercept in zip(regression.weights.tolist(), regression.intercepts.tolist(), strict=True):
        score: exp.Expr = number(intercept)
        for axis, weight in enumerate(weights, start=1):
            score = plus_times(score, weight / STEPS, exp.column(f"x{axis}"))
        columns.append(score)
    return _named(columns, names)


def _named(expressions: Sequence[exp.Expr], names: Sequence[str]) -> list[exp.Expr]:
    return [exp.alias_(one, name) for one, name in zip(expressions, names, strict=True)]


def _sum(names: Sequence[str]) -> exp.Expr:
    columns: list[exp.Expr] = [exp.column(name) for name in names]
    return exp.paren(reduce(added, columns), copy=False)


def _log_odds(probability: exp.Expr) -> exp.Expr:
    p = clipped(probability, SURE, 1 - SURE)
    return exp.Ln(this=divided(p, exp.paren(exp.Sub(this=number(1.0), expression=p.copy()), copy=False)))


def _sigmoid(x: exp.Expr, sigmoid: Sigmoid) -> exp.Expr:
    return _sigmoid_of(plus(times(number(sigmoid.slope), x), sigmoid.intercept))


def _sigmoid_of(x: exp.Expr) -> exp.Expr:
    less = exp.Neg(this=exp.paren(x, copy=False))
    likelihood = exp.Exp(this=clipped(less, -_BEYOND_EXP, _BEYOND_EXP))
    return divided(number(1.0), exp.paren(exp.Add(this=number(1.0), expression=likelihood), copy=False))
