"""Writes a fitted cluster model as one SELECT over feature views, which a database runs without Python.

It does what `Preprocessing.transform` and `assign` do, operation by operation in the same order. Coordinates end as
whole numbers of steps of 1e-6 in both, so squared distances are whole numbers too, and everyone comes to the same
segment. Only the logarithm may differ in its last digit between machines, which the rounding hides but for about one
value in 1e9.

The SQL keeps to what DuckDB, PostgreSQL, Spark, BigQuery and Snowflake understand alike: numbers have an exponent (0.1
alone is a decimal in some), LEAST and GREATEST never see a NULL, and each step stands in a CTE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, get_args

import numpy as np
from sqlglot import exp

from sqlseg import sqltext
from sqlseg.errors import SqlsegError
from sqlseg.segments.blocks import STEPS, FloatArray
from sqlseg.segments.categories import Category
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.preprocessing import FeatureScaling
from sqlseg.segments.scaling import CAP, ColumnScaling
from sqlseg.segments.shapes import Centroids, Mixture

Dialect = Literal["duckdb", "postgres", "spark", "bigquery", "snowflake"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

Steps = dict[str, exp.Select]
"""Queries by name, each reading the one before."""

_MATERIALIZED: Mapping[str, bool] = {
    "duckdb": False,  # a question for one user then computes one user
    "postgres": True,  # or it writes a CTE's columns out wherever they are read, many thousand times in the end
}
_MORE_THAN_ANY = 1e300


class CannotCompile(SqlsegError):
    """A segmentation has no formula that a database could compute."""

    def __init__(self, segmentation: str, reason: str) -> None:
        super().__init__(
            f"{segmentation!r} cannot be written as SQL: {reason}.",
            hint="Its users stand in segments.membership, which each refresh brings up to date.",
        )


@dataclass(frozen=True)
class InputTable:
    """Where a block's columns are read: a relation with one row a user, and which columns are true or false."""

    relation: str
    booleans: frozenset[str] = frozenset()


def scoring_query(
    model: ClusterModel,
    segmentation: str,
    tables: Mapping[str, InputTable],
    *,
    names: Mapping[str, str] | None = None,
    dialect: Dialect = "duckdb",
) -> exp.Select:
    """Return a query for the membership of every user of the model's inputs; `tables` are keyed by block name.

    Its columns are user_id, segmentation, segment_id, segment_name, distance, confidence and runner_up_segment_id, as
    in segments.membership. Names come from segments.segment, or are written in where `names` has them by segment id.
    Raises CannotCompile.
    """
    for block in model.preprocessing.blocks:
        if not isinstance(block, FeatureScaling):
            kind = "an embedding, which a neural network computes"
            if block.name.startswith("content:"):
                kind = "what users buy, of which features.* know nothing"
            raise CannotCompile(segmentation, f"{block.name} is {kind}")
    if not tables:
        raise CannotCompile(segmentation, "it has no features, and its inputs are the same for all users")
    match model.shape:
        case Centroids() as centroids:
            placed = _nearest_centroids(centroids, model.segment_ids)
        case Mixture() as mixture:
            placed = _likeliest_component(mixture, model.segment_ids)
        case _:
            raise CannotCompile(
                segmentation, f"{model.algorithm} places users by those they resemble, not by a formula"
            )
    steps = _coordinates(model, tables) | placed
    name: exp.Expr = exp.column("segment_name", table="segment")
    if names is not None:
        name = _case(exp.column("segment_id", table="placed"), {_text(s): _text(names[s]) for s in model.segment_ids})
    query = exp.select(
        exp.column("user_id", table="placed"),
        exp.alias_(_text(segmentation), "segmentation"),
        exp.column("segment_id", table="placed"),
        exp.alias_(name, "segment_name"),
        *(exp.column(column, table="placed") for column in ("distance", "confidence", "runner_up_segment_id")),
    ).from_("placed")
    if names is None:
        query = query.join(
            _table("segments.segment"), on=_equal_column("segment_id", "segment", "placed"), join_type="left"
        )
    for step, select in steps.items():
        query = query.with_(step, as_=select, materialized=_MATERIALIZED.get(dialect), copy=False)
    return query


def scoring_sql(query: exp.Select, dialect: Dialect = "duckdb", *, pretty: bool = True) -> str:
    """Return a scoring query as text for the kind of database it was made for."""
    return sqltext.to_sql(query, pretty=pretty, dialect=dialect)


def _coordinates(model: ClusterModel, tables: Mapping[str, InputTable]) -> Steps:
    """Return where each user stands in the model's space, in steps: user_id, x1, x2, ..."""
    blocks = [block for block in model.preprocessing.blocks if isinstance(block, FeatureScaling)]
    read = [tables[block.name] for block in blocks] or list(tables.values())[:1]
    columns: list[exp.Expr] = [exp.column("user_id", table="f1")]
    levels = {name: (c, i) for c in model.preprocessing.categories for i, name in enumerate(c.names)}
    for number, (block, table) in enumerate(zip(blocks, read, strict=False), start=1):
        for column in block.columns:
            level = levels.get(column.name)
            known = _known(column, table, f"f{number}") if level is None else _level(*level, f"f{number}")
            steps = _scaled(known, column, block.scale)
            columns.append(exp.alias_(steps, f"x{len(columns)}"))
    query = exp.select(*columns).from_(exp.alias_(_table(read[0].relation), "f1", table=True))
    for number, table in enumerate(read[1:], start=2):
        aliased = exp.alias_(_table(table.relation), f"f{number}", table=True)
        query = query.join(aliased, on=_equal_column("user_id", f"f{number}", "f1"), join_type="left")
    return {"coordinates": query}


def _known(scaling: ColumnScaling, table: InputTable, alias: str) -> exp.Expr:
    """Return a column as a number, the median where it is NULL."""
    name = scaling.name.partition("__")[2]
    column = exp.column(exp.to_identifier(name), table=alias)
    number: exp.Expr = exp.cast(column, exp.DataType.Type.DOUBLE)
    if name in table.booleans:
        number = exp.Case(
            ifs=[
                exp.If(this=column, true=_number(1.0)),
                exp.If(this=exp.Not(this=column.copy()), true=_number(0.0)),
            ]
        )
    return exp.Coalesce(this=number, expressions=[_number(scaling.median)])


def _level(category: Category, position: int, alias: str) -> exp.Expr:
    """Return 1 for users who have one level of a text column, the last for those of no other level, and else 0."""
    column = exp.column(exp.to_identifier(category.column.partition("__")[2]), table=alias)
    if position < len(category.levels):
        holds: exp.Expr = exp.EQ(this=column, expression=_text(category.levels[position]))
    else:
        known = exp.NEQ(this=column, expression=_text(""))
        others = exp.In(this=column.copy(), expressions=[_text(level) for level in category.levels])
        holds = exp.And(this=known, expression=exp.Not(this=others))
    return exp.Case(ifs=[exp.If(this=holds, true=_number(1.0))], default=_number(0.0))


def _scaled(x: exp.Expr, scaling: ColumnScaling, scale: float) -> exp.Expr:
    x = _clipped(x, scaling.low, scaling.high)
    if scaling.log:
        x = exp.Ln(this=exp.Add(this=_number(1.0), expression=x))
    x = _divided(exp.paren(_plus(x, -scaling.mean), copy=False), _number(scaling.std))
    x = _times(_times(_clipped(x, -CAP, CAP), _number(scale)), _number(STEPS))
    return exp.Floor(this=_plus(x, 0.5))


def _nearest_centroids(shape: Centroids, segment_ids: Sequence[str]) -> Steps:
    """Return the steps from coordinates to the nearest and second nearest centroid."""
    names = _numbered("square", len(segment_ids))
    steps = {
        "norms": _norms(shape.centers.shape[1]),
        "squares": exp.select("user_id", *_squares(shape.centers, names)).from_("norms"),
    }
    distance = _divided(exp.Sqrt(this=exp.column("least_square")), _number(STEPS))
    total = _added(exp.column("least_square"), exp.column("next_square"))
    confidence = exp.Coalesce(
        this=_divided(exp.column("next_square"), exp.Nullif(this=total, expression=_number(0.0))),
        expressions=[_number(0.5)],
    )
    return steps | _least_two("square", names, segment_ids, distance, confidence)


def _likeliest_component(shape: Mixture, segment_ids: Sequence[str]) -> Steps:
    """Return the steps from coordinates to the likeliest and second likeliest normal distribution.

    A user's surprise at one is -ln(weight * density). The square in it is a sum of squares once the covariance is
    undone (whitened, by the inverse of its Cholesky factor). Surprises are ranked in steps of 1e-9.
    """
    count, axes = shape.centers.shape
    squares, surprises, ranks = (_numbered(noun, count) for noun in ("square", "surprise", "rank"))
    whitened: list[exp.Expr] = []
    surprised: list[exp.Expr] = []
    for name, weight, center, covariance in zip(
        surprises, shape.weights, shape.centers, shape.covariances, strict=True
    ):
        lower = np.diag(np.sqrt(covariance)) if covariance.ndim == 1 else np.linalg.cholesky(covariance)
        inverse = np.linalg.inv(lower)
        constant = 0.5 * axes * np.log(2.0 * np.pi) + float(np.log(np.diag(lower)).sum()) - float(np.log(weight))
        terms = []
        for axis, (row, shift) in enumerate(zip(inverse, inverse @ center, strict=True), start=1):
            along: exp.Expr = _number(-shift)
            for other, factor in enumerate(row.tolist(), start=1):
                if factor != 0.0:
                    along = _plus_times(along, factor / STEPS, exp.column(f"x{other}"))
            column = f"{name}_{axis}"
            whitened.append(exp.alias_(along, column))
            terms.append(_times(exp.column(column), exp.column(column)))
        half = _times(_number(0.5), exp.paren(reduce(_added, terms), copy=False))
        surprised.append(exp.alias_(_plus(half, constant), name))
    rank = [
        exp.alias_(exp.Floor(this=_plus(_times(exp.column(surprise), _number(1e9)), 0.5)), name)
        for surprise, name in zip(surprises, ranks, strict=True)
    ]
    steps = {
        "norms": _norms(axes),
        "whitened": exp.select("*", *_squares(shape.centers, squares), *whitened).from_("norms"),
        "surprises": exp.select("user_id", *map(exp.column, squares), *surprised).from_("whitened"),
        "ranks": exp.select("*", *rank).from_("surprises"),
    }
    ids = [_text(segment) for segment in segment_ids]
    own = exp.column("segment_id")
    square = _case(own, dict(zip(ids, map(exp.column, squares), strict=True)))
    distance = _divided(exp.Sqrt(this=square), _number(STEPS))
    least = _case(own, dict(zip(ids, map(exp.column, surprises), strict=True)))
    # Below -700 the exponential is nothing beside 1, and PostgreSQL refuses it.
    likelihoods: list[exp.Expr] = [
        exp.Exp(this=_function("GREATEST", exp.Sub(this=least, expression=exp.column(name)), _number(-700.0)))
        for name in surprises
    ]
    total = exp.paren(reduce(_added, likelihoods), copy=False)
    return steps | _least_two("rank", ranks, segment_ids, distance, _divided(_number(1.0), total))


def _norms(axes: int) -> exp.Select:
    columns = [exp.column(name) for name in _numbered("x", axes)]
    norm = reduce(_added, [_times(column, column.copy()) for column in columns] or [_number(0.0)])
    return exp.select("*", exp.alias_(norm, "square")).from_("coordinates")


def _squares(centers: FloatArray, names: Sequence[str]) -> list[exp.Expr]:
    """Return the square of the distance to each centre, in steps.

    It is |x|^2 - 2xc + |c|^2, all of it whole numbers, so nothing is lost to cancellation.
    """
    squares: list[exp.Expr] = []
    for name, center in zip(names, (centers * STEPS).round().tolist(), strict=True):
        square: exp.Expr = _plus(exp.column("square"), sum(c * c for c in center))
        for axis, c in enumerate(center, start=1):
            square = _plus_times(square, -2.0 * c, exp.column(f"x{axis}"))
        squares.append(exp.alias_(square, name))
    return squares


def _numbered(noun: str, count: int) -> list[str]:
    return [f"{noun}{number}" for number in range(1, count + 1)]


def _least_two(
    noun: str, scores: Sequence[str], segment_ids: Sequence[str], distance: exp.Expr, confidence: exp.Expr
) -> Steps:
    """Return the steps from a score of each segment, in `<noun>s`, to the least, the next, and what follows from them.

    The first of equal scores is taken. With one segment there is no next one, and no doubt.
    """
    least, following = f"least_{noun}", f"next_{noun}"
    segments: dict[exp.Expr, exp.Expr] = {
        exp.column(score): _text(segment) for score, segment in zip(scores, segment_ids, strict=True)
    }
    own = exp.column("segment_id")
    steps = {
        f"{least}s": exp.select("*", exp.alias_(_function("LEAST", *segments), least)).from_(f"{noun}s"),
        "nearest": exp.select("*", exp.alias_(_case(exp.column(least), segments), "segment_id")).from_(f"{least}s"),
    }
    last = "nearest"
    runner_up: exp.Expr = exp.cast(exp.Null(), exp.DataType.Type.VARCHAR)
    if len(segments) == 1:
        confidence = _number(1.0)
    else:
        others = [
            exp.Case(ifs=[exp.If(this=_equal(own, segment), true=_number(_MORE_THAN_ANY))], default=score.copy())
            for score, segment in segments.items()
        ]
        last = f"{following}s"
        steps[last] = exp.select("*", exp.alias_(_function("LEAST", *others), following)).from_("nearest")
        is_next = [
            exp.and_(_equal(exp.column(following), score), exp.NEQ(this=own.copy(), expression=segment.copy()))
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


def _table(relation: str) -> exp.Table:
    schema, _, name = relation.partition(".")
    return exp.Table(this=exp.to_identifier(name), db=exp.to_identifier(schema))


def _number(value: float) -> exp.Expr:
    value = float(value)
    digits = str(int(abs(value))) if value.is_integer() and abs(value) < 2**53 else repr(abs(value))
    literal = exp.Literal.number(digits if "e" in digits else f"{digits}e0")
    return exp.Neg(this=literal) if value < 0 else literal


def _text(value: str) -> exp.Expr:
    return exp.Literal.string(value)


def _function(name: str, *values: exp.Expr) -> exp.Expr:
    # sqlglot's own LEAST and GREATEST are rewritten for what databases make of NULL; here there is none.
    copies = [value.copy() for value in values]
    return exp.Anonymous(this=name, expressions=copies) if len(copies) > 1 else copies[0]


def _clipped(x: exp.Expr, low: float, high: float) -> exp.Expr:
    return _function("GREATEST", _function("LEAST", x, _number(high)), _number(low))


def _case(this: exp.Expr, results: Mapping[exp.Expr, exp.Expr]) -> exp.Expr:
    return exp.Case(this=this, ifs=[exp.If(this=when.copy(), true=then.copy()) for when, then in results.items()])


def _equal(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return exp.EQ(this=left.copy(), expression=right.copy())


def _equal_column(name: str, left: str, right: str) -> exp.Expr:
    return _equal(exp.column(name, table=left), exp.column(name, table=right))


def _added(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return exp.Add(this=left, expression=right)


def _plus(x: exp.Expr, value: float) -> exp.Expr:
    kind = exp.Sub if value < 0 else exp.Add
    return kind(this=x, expression=_number(abs(value)))


def _plus_times(x: exp.Expr, factor: float, y: exp.Expr) -> exp.Expr:
    kind = exp.Sub if factor < 0 else exp.Add
    return kind(this=x, expression=_times(_number(abs(factor)), y.copy()))


def _times(x: exp.Expr, y: exp.Expr) -> exp.Expr:
    return exp.Mul(this=x, expression=y)


def _divided(x: exp.Expr, y: exp.Expr) -> exp.Expr:
    # Both are doubles and y is never 0: to be written as it is.
    return exp.Div(this=x, expression=y, typed=True, safe=False)
