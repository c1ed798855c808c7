"""Parts of the SQL that places users: expressions that every dialect understands alike, and the choice of a segment."""

from collections.abc import Mapping, Sequence
from typing import Literal

from sqlglot import exp

Dialect = Literal["duckdb", "postgres", "spark", "bigquery", "snowflake"]

Steps = dict[str, exp.Select]
"""Queries by name, each reading the one before."""

_MORE_THAN_ANY = 1e300


def least_two(
    noun: str,
    scores: Sequence[str],
    segment_ids: Sequence[str],
    distance: exp.Expr,
    confidence: exp.Expr,
    pinned_in: str | None = None,
) -> Steps:
    """Return the steps from a score of each segment, in `<noun>s`, to the least, the next, and what follows from them.

    The first of equal scores is taken. With one segment there is no next one, and no doubt. Users who are pinned in
    the segmentation `pinned_in` have the score of their segment for the least.
    """
    least, following = f"least_{noun}", f"next_{noun}"
    segments: dict[exp.Expr, exp.Expr] = {
        exp.column(score): text(segment) for score, segment in zip(scores, segment_ids, strict=True)
    }
    own = exp.column("segment_id")
    steps = {
        f"{least}s": exp.select("*", exp.alias_(function("LEAST", *segments), least)).from_(f"{noun}s"),
        "nearest": exp.select("*", exp.alias_(case(exp.column(least), segments), "segment_id")).from_(f"{least}s"),
    }
    if pinned_in is not None:
        steps = _pinned(noun, segments, pinned_in)
    last = "nearest"
    runner_up: exp.Expr = exp.cast(exp.Null(), exp.DataType.Type.VARCHAR)
    if len(segments) == 1:
        confidence = number(1.0)
    else:
        others = [
            exp.Case(ifs=[exp.If(this=equal(own, segment), true=number(_MORE_THAN_ANY))], default=score.copy())
            for score, segment in segments.items()
        ]
        last = f"{following}s"
        steps[last] = exp.select("*", exp.alias_(function("LEAST", *others), following)).from_("nearest")
        is_next = [
            exp.and_(equal(exp.column(following), score), exp.NEQ(this=own.copy(), expression=segment.copy()))
            for score, segment in segments.items()
        ]
        runner_up = exp.Case(
            ifs=[exp.If(this=when, true=then.copy()) for when, then in zip(is_next, segments.values(), strict=True)]
        )
    placed = exp.select(
        "user_id",
        "segment_id",
        exp.alias_(distance, "distance"),
        exp.alias_(confidence, "confidence"),
        exp.alias_(runner_up, "runner_up_segment_id"),
    )
    return steps | {"placed": placed.from_(last)}


def _pinned(noun: str, segments: Mapping[exp.Expr, exp.Expr], segmentation: str) -> Steps:
    """Return the steps from scores to `nearest` where some users are pinned: their segment, and its score."""
    least, own = f"least_{noun}", exp.column("segment_id")
    same_user = equal_column("user_id", "pin", f"{noun}s")
    pin = exp.and_(same_user, equal(exp.column("segmentation", table="pin"), text(segmentation)))
    pins = exp.Table(this=exp.to_identifier("pin"), db=exp.to_identifier("segments"))
    star = exp.Column(this=exp.Star(), table=exp.to_identifier(f"{noun}s"))
    held = exp.alias_(exp.column("segment_id", table="pin"), "pinned_id")
    found = exp.alias_(function("LEAST", *segments), f"{least}_of_all")
    place = exp.Coalesce(
        this=exp.column("pinned_id"), expressions=[case(exp.column(f"{least}_of_all"), dict(segments))]
    )
    scores = {segment: score for score, segment in segments.items()}
    return {
        "pinned": exp.select(star, held)
        .from_(f"{noun}s")
        .join(exp.alias_(pins, "pin", table=True), on=pin, join_type="left"),
        f"{least}s": exp.select("*", found).from_("pinned"),
        "held": exp.select("*", exp.alias_(place, "segment_id")).from_(f"{least}s"),
        "nearest": exp.select("*", exp.alias_(case(own, scores), least)).from_("held"),
    }


def numbered(noun: str, count: int) -> list[str]:
    """Return noun1, noun2, ..."""
    return [f"{noun}{number}" for number in range(1, count + 1)]


def number(value: float) -> exp.Expr:
    """Return a number as a double in every dialect: 0.1 alone is a decimal in some."""
    value = float(value)
    digits = str(int(abs(value))) if value.is_integer() and abs(value) < 2**53 else repr(abs(value))
    literal = exp.Literal.number(digits if "e" in digits else f"{digits}e0")
    return exp.Neg(this=literal) if value < 0 else literal


def text(value: str) -> exp.Expr:
    """Return a text."""
    return exp.Literal.string(value)


def function(name: str, *values: exp.Expr) -> exp.Expr:
    """Return a function by its name; of one value alone, that value."""
    # sqlglot's own LEAST and GREATEST are rewritten for what databases make of NULL; here there is none.
    copies = [value.copy() for value in values]
    return exp.Anonymous(this=name, expressions=copies) if len(copies) > 1 else copies[0]


def clipped(x: exp.Expr, low: float, high: float) -> exp.Expr:
    """Return a number held between two others."""
    return function("GREATEST", function("LEAST", x, number(high)), number(low))


def case(this: exp.Expr, results: Mapping[exp.Expr, exp.Expr]) -> exp.Expr:
    """Return CASE this WHEN .. THEN .."""
    return exp.Case(this=this, ifs=[exp.If(this=when.copy(), true=then.copy()) for when, then in results.items()])


def equal(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """Return whether two are equal."""
    return exp.EQ(this=left.copy(), expression=right.copy())


def equal_column(name: str, left: str, right: str) -> exp.Expr:
    """Return whether a column is the same in two tables."""
    return equal(exp.column(name, table=left), exp.column(name, table=right))


def added(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """Return left + right."""
    return exp.Add(this=left, expression=right)


def plus(x: exp.Expr, value: float) -> exp.Expr:
    """Return x + value."""
    kind = exp.Sub if value < 0 else exp.Add
    return kind(this=x, expression=number(abs(value)))


def plus_times(x: exp.Expr, factor: float, y: exp.Expr) -> exp.Expr:
    """Return x + factor * y."""
    kind = exp.Sub if factor < 0 else exp.Add
    return kind(this=x, expression=times(number(abs(factor)), y.copy()))


def times(x: exp.Expr, y: exp.Expr) -> exp.Expr:
    """Return x * y."""
    return exp.Mul(this=x, expression=y)


def divided(x: exp.Expr, y: exp.Expr) -> exp.Expr:
    """Return x / y, of doubles of which y is never 0."""
    # Both are doubles and y is never 0: to be written as it is.
    return exp.Div(this=x, expression=y, typed=True, safe=False)
