"""Writes a fitted model as one SELECT over feature views, which a database runs without Python.

It does what `Preprocessing.transform` and `assign` do, operation by operation in the same order. Coordinates end as
whole numbers of steps of 1e-6 in both, so squared distances are whole numbers too, and everyone comes to the same
segment. Only the logarithm may differ in its last digit between machines, which the rounding hides but for about one
value in 1e9. Regressions learned from labels are written by regression_sql.py, over the same coordinates.

The SQL keeps to what DuckDB, PostgreSQL, Spark, BigQuery and Snowflake understand alike: numbers have an exponent (0.1
alone is a decimal in some), LEAST and GREATEST never see a NULL, and each step stands in a CTE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import get_args

import numpy as np
from sqlglot import exp

from sqlseg import sqltext
from sqlseg.errors import SqlsegError
from sqlseg.segments.blocks import STEPS, FloatArray
from sqlseg.segments.categories import Category
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.preprocessing import FeatureScaling
from sqlseg.segments.regression_sql import likeliest_class
from sqlseg.segments.scaling import CAP, ColumnScaling
from sqlseg.segments.shapes import Centroids, Mixture
from sqlseg.segments.sql_parts import (
    Dialect,
    Steps,
    added,
    case,
    clipped,
    divided,
    equal_column,
    function,
    least_two,
    number,
    numbered,
    plus,
    plus_times,
    text,
    times,
)
from sqlseg.segments.supervised import SupervisedModel

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

_MATERIALIZED: Mapping[str, bool] = {
    "duckdb": False,  # a question for one user then computes one user
    "postgres": True,  # or it writes a CTE's columns out wherever they are read, many thousand times in the end
}
_RESEMBLED = "{} places users by those they resemble, not by a formula"


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
    model: ClusterModel | SupervisedModel,
    segmentation: str,
    tables: Mapping[str, InputTable],
    *,
    names: Mapping[str, str] | None = None,
    dialect: Dialect = "duckdb",
) -> exp.Select:
    """Return a query for the membership of every user of the model's inputs; `tables` are keyed by block name.

    Its columns are user_id, segmentation, segment_id, segment_name, distance, confidence and runner_up_segment_id, as
    in segments.membership. Names come from segments.segment, or are written in where `names` has them by segment id.
    Users who are pinned to a segment are looked up in segments.pin. Raises CannotCompile.
    """
    for block in model.preprocessing.blocks:
        if not isinstance(block, FeatureScaling):
            kind = "an embedding, which a neural network computes"
            if block.name.startswith("content:"):
                kind = "what users buy, of which features.* know nothing"
            raise CannotCompile(segmentation, f"{block.name} is {kind}")
    if not tables:
        raise CannotCompile(segmentation, "it has no features, and its inputs are the same for all users")
    steps = _coordinates(model, tables) | _placed(model, segmentation)
    name: exp.Expr = exp.column("segment_name", table="segment")
    if names is not None:
        name = case(exp.column("segment_id", table="placed"), {text(s): text(names[s]) for s in model.segment_ids})
    query = exp.select(
        exp.column("user_id", table="placed"),
        exp.alias_(text(segmentation), "segmentation"),
        exp.column("segment_id", table="placed"),
        exp.alias_(name, "segment_name"),
        *(exp.column(column, table="placed") for column in ("distance", "confidence", "runner_up_segment_id")),
    ).from_("placed")
    if names is None:
        query = query.join(
            _table("segments.segment"), on=equal_column("segment_id", "segment", "placed"), join_type="left"
        )
    for step, select in steps.items():
        query = query.with_(step, as_=select, materialized=_MATERIALIZED.get(dialect), copy=False)
    return query


def _placed(model: ClusterModel | SupervisedModel, segmentation: str) -> Steps:
    if isinstance(model, SupervisedModel):
        if (regression := model.regression) is not None:
            return likeliest_class(regression, model.calibration, model.segment_ids)
        trees = "its boosted trees are no short SQL"
        raise CannotCompile(segmentation, trees if model.trees else _RESEMBLED.format(model.algorithm))
    match model.shape:
        case Centroids() as centroids:
            return _nearest_centroids(centroids, model.segment_ids, segmentation if model.pinned else None)
        case Mixture() as mixture:
            return _likeliest_component(mixture, model.segment_ids)
    raise CannotCompile(segmentation, _RESEMBLED.format(model.algorithm))


def scoring_sql(query: exp.Select, dialect: Dialect = "duckdb", *, pretty: bool = True) -> str:
    """Return a scoring query as text for the kind of database it was made for."""
    return sqltext.to_sql(query, pretty=pretty, dialect=dialect)


def _coordinates(model: ClusterModel | SupervisedModel, tables: Mapping[str, InputTable]) -> Steps:
    """Return where each user stands in the model's space, in steps: user_id, x1, x2, ..."""
    blocks = [block for block in model.preprocessing.blocks if isinstance(block, FeatureScaling)]
    read = [tables[block.name] for block in blocks] or list(tables.values())[:1]
    columns: list[exp.Expr] = [exp.column("user_id", table="f1")]
    levels = {name: (c, i) for c in model.preprocessing.categories for i, name in enumerate(c.names)}
    for place, (block, table) in enumerate(zip(blocks, read, strict=False), start=1):
        for column in block.columns:
            level = levels.get(column.name)
            known = _known(column, table, f"f{place}") if level is None else _level(*level, f"f{place}")
            steps = _scaled(known, column, block.scale)
            columns.append(exp.alias_(steps, f"x{len(columns)}"))
    query = exp.select(*columns).from_(exp.alias_(_table(read[0].relation), "f1", table=True))
    for place, table in enumerate(read[1:], start=2):
        aliased = exp.alias_(_table(table.relation), f"f{place}", table=True)
        query = query.join(aliased, on=equal_column("user_id", f"f{place}", "f1"), join_type="left")
    return {"coordinates": query}


def _known(scaling: ColumnScaling, table: InputTable, alias: str) -> exp.Expr:
    """Return a column as a number, the median where it is NULL."""
    name = scaling.name.partition("__")[2]
    column = exp.column(exp.to_identifier(name), table=alias)
    known: exp.Expr = exp.cast(column, exp.DataType.Type.DOUBLE)
    if name in table.booleans:
        known = exp.Case(
            ifs=[
                exp.If(this=column, true=number(1.0)),
                exp.If(this=exp.Not(this=column.copy()), true=number(0.0)),
            ]
        )
    return exp.Coalesce(this=known, expressions=[number(scaling.median)])


def _level(category: Category, position: int, alias: str) -> exp.Expr:
    """Return 1 for users who have one level of a text column, the last for those of no other level, and else 0."""
    column = exp.column(exp.to_identifier(category.column.partition("__")[2]), table=alias)
    if position < len(category.levels):
        holds: exp.Expr = exp.EQ(this=column, expression=text(category.levels[position]))
    else:
        known = exp.NEQ(this=column, expression=text(""))
        others = exp.In(this=column.copy(), expressions=[text(level) for level in category.levels])
        holds = exp.And(this=known, expression=exp.Not(this=others))
    return exp.Case(ifs=[exp.If(this=holds, true=number(1.0))], default=number(0.0))


def _scaled(x: exp.Expr, scaling: ColumnScaling, scale: float) -> exp.Expr:
    x = clipped(x, scaling.low, scaling.high)
    if scaling.log:
        x = exp.Ln(this=exp.Add(this=number(1.0), expression=x))
    x = divided(exp.paren(plus(x, -scaling.mean), copy=False), number(scaling.std))
    x = times(times(clipped(x, -CAP, CAP), number(scale)), number(STEPS))
    return exp.Floor(this=plus(x, 0.5))


def _nearest_centroids(shape: Centroids, segment_ids: Sequence[str], pinned_in: str | None) -> Steps:
    """Return the steps from coordinates to the nearest and second nearest centroid.

    In the segmentation `pinned_in`, users stay where they are pinned: the own centroid, and the nearest other one.
    """
    names = numbered("square", len(segment_ids))
    steps = {
        "norms": _norms(shape.centers.shape[1]),
        "squares": exp.select("user_id", *_squares(shape.centers, names)).from_("norms"),
    }
    distance = divided(exp.Sqrt(this=exp.column("least_square")), number(STEPS))
    total = added(exp.column("least_square"), exp.column("next_square"))
    confidence = exp.Coalesce(
        this=divided(exp.column("next_square"), exp.Nullif(this=total, expression=number(0.0))),
        expressions=[number(0.5)],
    )
    return steps | least_two("square", names, segment_ids, distance, confidence, pinned_in)


def _likeliest_component(shape: Mixture, segment_ids: Sequence[str]) -> Steps:
    """Return the steps from coordinates to the likeliest and second likeliest normal distribution.

    A user's surprise at one is -ln(weight * density). The square in it is a sum of squares once the covariance is
    undone (whitened, by the inverse of its Cholesky factor). Surprises are ranked in steps of 1e-9.
    """
    count, axes = shape.centers.shape
    squares, surprises, ranks = (numbered(noun, count) for noun in ("square", "surprise", "rank"))
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
            along: exp.Expr = number(-shift)
            for other, factor in enumerate(row.tolist(), start=1):
                if factor != 0.0:
                    along = plus_times(along, factor / STEPS, exp.column(f"x{other}"))
            column = f"{name}_{axis}"
            whitened.append(exp.alias_(along, column))
            terms.append(times(exp.column(column), exp.column(column)))
        half = times(number(0.5), exp.paren(reduce(added, terms), copy=False))
        surprised.append(exp.alias_(plus(half, constant), name))
    rank = [
        exp.alias_(exp.Floor(this=plus(times(exp.column(surprise), number(1e9)), 0.5)), name)
        for surprise, name in zip(surprises, ranks, strict=True)
    ]
    steps = {
        "norms": _norms(axes),
        "whitened": exp.select("*", *_squares(shape.centers, squares), *whitened).from_("norms"),
        "surprises": exp.select("user_id", *map(exp.column, squares), *surprised).from_("whitened"),
        "ranks": exp.select("*", *rank).from_("surprises"),
    }
    ids = [text(segment) for segment in segment_ids]
    own = exp.column("segment_id")
    square = case(own, dict(zip(ids, map(exp.column, squares), strict=True)))
    distance = divided(exp.Sqrt(this=square), number(STEPS))
    least = case(own, dict(zip(ids, map(exp.column, surprises), strict=True)))
    # Below -700 the exponential is nothing beside 1, and PostgreSQL refuses it.
    likelihoods: list[exp.Expr] = [
        exp.Exp(this=function("GREATEST", exp.Sub(this=least, expression=exp.column(name)), number(-700.0)))
        for name in surprises
    ]
    total = exp.paren(reduce(added, likelihoods), copy=False)
    return steps | least_two("rank", ranks, segment_ids, distance, divided(number(1.0), total))


def _norms(axes: int) -> exp.Select:
    columns = [exp.column(name) for name in numbered("x", axes)]
    norm = reduce(added, [times(column, column.copy()) for column in columns] or [number(0.0)])
    return exp.select("*", exp.alias_(norm, "square")).from_("coordinates")


def _squares(centers: FloatArray, names: Sequence[str]) -> list[exp.Expr]:
    """Return the square of the distance to each centre, in steps.

    It is |x|^2 - 2xc + |c|^2, all of it whole numbers, so nothing is lost to cancellation.
    """
    squares: list[exp.Expr] = []
    for name, center in zip(names, (centers * STEPS).round().tolist(), strict=True):
        square: exp.Expr = plus(exp.column("square"), sum(c * c for c in center))
        for axis, c in enumerate(center, start=1):
            square = plus_times(square, -2.0 * c, exp.column(f"x{axis}"))
        squares.append(exp.alias_(square, name))
    return squares


def _table(relation: str) -> exp.Table:
    schema, _, name = relation.partition(".")
    return exp.Table(this=exp.to_identifier(name), db=exp.to_identifier(schema))
