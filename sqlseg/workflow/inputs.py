"""Reads what a segmentation is made of from the warehouse into arrays, one row a user, by user_id."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sqlseg.encoders.manifest import Encoder
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.errors import SqlsegError
from sqlseg.features.view import View
from sqlseg.insight.naming import Phrases
from sqlseg.segments.blocks import Block, FloatArray, Vectors, embedding_block, feature_block
from sqlseg.settings import FittedSegmentation
from sqlseg.workflow.content import Vocabulary, read_content
from sqlseg.workflow.images import read_images
from sqlseg.workflow.materialise import POPULATION
from sqlseg.workflow.project import Project
from sqlseg.workflow.texts import read_texts

_NUMBERS = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("FLOAT", "DOUBLE", "BOOLEAN"),
}


class NoNumbers(SqlsegError):
    """A feature view that a cluster segmentation takes as an input has no numeric column."""

    def __init__(self, view: View) -> None:
        super().__init__(
            f"{view.path}: {view.ref} has no column of numbers or text to cluster by.",
            hint="Take it out of inputs, or add a column that counts or measures.",
        )


@dataclass(frozen=True)
class Readable:
    """Every numeric feature that people can read, and how to speak of it; all keyed by `<view>__<column>`."""

    values: dict[str, FloatArray]
    phrases: dict[str, Phrases]
    titles: dict[str, str]


class Columns(Protocol):
    """Where columns of all users come from: out of the warehouse, or out of memory where they are known to be the same.

    Arrays are not to be written to, since others may hold them too.
    """

    def features(self, engine: Engine, table: str) -> tuple[tuple[str, ...], FloatArray]:
        """Return the numeric columns of a computed feature view, and users x columns."""

    def embeddings(self, engine: Engine, encoder: Encoder) -> Vectors:
        """Return users x dimensions, NaN for those without an embedding."""


class ReadAnew:
    """Columns as the warehouse has them."""

    def features(self, engine: Engine, table: str) -> tuple[tuple[str, ...], FloatArray]:
        """Return the numeric columns of a computed feature view, and users x columns."""
        columns = tuple(numeric_columns(engine, table))
        return columns, read_features(engine, table, columns)

    def embeddings(self, engine: Engine, encoder: Encoder) -> Vectors:
        """Return users x dimensions, NaN for those without an embedding. Raises UnusableInput."""
        return read_embeddings(engine, encoder)


READ_ANEW = ReadAnew()


def read_users(engine: Engine, users: str = POPULATION) -> NDArray[Any]:
    """Return the ids of all users, or of those of another relation, in the order of every array read here."""
    table = engine.table(f"select user_id from {users} order by user_id")
    return np.asarray(table["user_id"].to_numpy(), dtype=object)


def numeric_columns(engine: Engine, table: str) -> list[str]:
    """Return the columns that hold numbers of a computed feature view, by its table in the schema sqlseg."""
    kinds = engine.describe(f"sqlseg.{quoted(table)}")
    return [
        name for name, kind in kinds.items() if name != "user_id" and (kind in _NUMBERS or kind.startswith("DECIMAL"))
    ]


def _among(users: str) -> str:
    """Return the condition for rows of some users; a computed view has one row for each user of the population."""
    return "" if users == POPULATION else f" where user_id in (select user_id from {users})"


def _read_texts(engine: Engine, view: View, users: str = POPULATION) -> dict[str, NDArray[Any]]:
    """Return the text columns of a computed feature view by `<view>__<column>`; those without a text are None."""
    kinds = engine.describe(f"sqlseg.{quoted(view.table)}")
    columns = [name for name, kind in kinds.items() if name != "user_id" and kind == "VARCHAR"]
    if not columns:
        return {}
    projection = ", ".join(f"nullif({quoted(column)}, '') as {quoted(column)}" for column in columns)
    table = engine.table(f"select {projection} from sqlseg.{view.table}{_among(users)} order by user_id")
    return {f"{view.name}__{column}": np.asarray(table[column].to_pylist(), dtype=object) for column in columns}


def read_features(
    engine: Engine, table: str, columns: Sequence[str], users: str = POPULATION, rows: str | None = None
) -> FloatArray:
    """Return columns of a computed feature view, users x columns, each column in one piece; NaN for NULL.

    `rows` names the relation that has just the rows of these users, where there is one.
    """
    if not columns:
        return np.empty((int(engine.value(f"select count(*) from {users}")), 0))
    projection = ", ".join(f"{quoted(column)}::double as {quoted(column)}" for column in columns)
    source = rows or f"sqlseg.{quoted(table)}{_among(users)}"
    found = engine.table(f"select {projection} from {source} order by user_id")
    values = np.empty((len(found), len(columns)), order="F")
    for place, column in enumerate(columns):
        values[:, place] = found[column].to_numpy()
    return values


def read_readable(engine: Engine, views: Sequence[View], source: Columns = READ_ANEW) -> Readable:
    """Return the numeric columns of feature views with their phrases and descriptions."""
    readable = Readable({}, {}, {})
    for view in views:
        columns, matrix = source.features(engine, view.table)
        for name, values in zip(columns, matrix.T, strict=True):
            feature = f"{view.name}__{name}"
            column = view.column(name)
            readable.values[feature] = values
            readable.phrases[feature] = Phrases(column.high, column.low, foretold=view.name.startswith("forecast_"))
            # The first phrase of a description is its title; what follows explains.
            readable.titles[feature] = re.split(r"[:;]", column.description)[0].strip()
    return readable


def read_blocks(
    engine: Engine,
    project: Project,
    segmentation: FittedSegmentation,
    terms: Vocabulary | None = None,
    source: Columns = READ_ANEW,
) -> tuple[Block, ...]:
    """Return the inputs of a segmentation in the order of its settings. Raises NoNumbers or UnusableInput.

    `terms` says which terms of content inputs are read; by default the most usual. Columns of numbers and embeddings
    come from `source`.
    """
    blocks = []
    for one in segmentation.inputs:
        if one.kind == "content":
            content = project.registry.view("contents", one.ref)
            if content.holds_texts:
                assert project.text_encoder is not None
                blocks.append(read_texts(engine, str(one), content, project.text_encoder))
            elif content.holds_images:
                assert project.image_encoder is not None
                blocks.append(read_images(engine, str(one), content, project.image_encoder))
            else:
                blocks.append(read_content(engine, str(one), content, terms or Vocabulary()))
            continue
        if one.kind == "encoder":
            encoder = next(e for e in project.encoders_of(segmentation) if e.ref == one.ref)
            values = source.embeddings(engine, encoder)
            blocks.append(Block(_embedding_name(encoder), "embedding", (), values))
            continue
        if one.kind == "forecast":
            forecast = next(f for f in project.forecasts_of(segmentation) if f.ref == one.ref)
            table = f"feature_{forecast.relation}"
            blocks.append(_feature_block(forecast.input, forecast.name, *source.features(engine, table)))
            continue
        if one.kind == "sentiment":
            name = f"sentiment_{one.name}"
            columns, values = source.features(engine, f"feature_{name}_v{one.version}")
            blocks.append(_feature_block(str(one), name, columns, values))
            continue
        view = project.registry.view("features", one.ref)
        texts = _read_texts(engine, view)
        columns, values = source.features(engine, view.table)
        if not texts and not columns:
            raise NoNumbers(view)
        blocks.append(replace(_feature_block(view.ref, view.name, columns, values), texts=texts))
    return tuple(blocks)


def view_block(engine: Engine, view: View, users: str = POPULATION) -> Block:
    """Return the numeric columns of a computed feature view, one row a user."""
    columns = numeric_columns(engine, view.table)
    return _feature_block(view.ref, view.name, columns, read_features(engine, view.table, columns, users))


def _feature_block(block: str, name: str, columns: Sequence[str], values: FloatArray) -> Block:
    return feature_block(block, [f"{name}__{column}" for column in columns], values)


def encoder_block(engine: Engine, encoder: Encoder, users: str = POPULATION) -> Block:
    """Return the embeddings of users; NaN for those without one. Raises UnusableInput."""
    return Block(_embedding_name(encoder), "embedding", (), read_embeddings(engine, encoder, users))


def _embedding_name(encoder: Encoder) -> str:
    return f"encoder:{encoder.ref}"


def read_embeddings(engine: Engine, encoder: Encoder, users: str = POPULATION) -> Vectors:
    """Return the embeddings of users, users x dimensions, NaN for those without one. Raises UnusableInput."""
    # Rows come in any order, each with its place: to sort them by user would move every vector twice.
    places = f"select user_id, row_number() over (order by user_id) - 1 as place from {users}"
    table = engine.table(
        f"select p.place, e.embedding from embeddings.{encoder.table} as e join ({places}) as p using (user_id)"
    )
    count = int(engine.value(f"select count(*) from {users}"))
    values = np.full((count, encoder.manifest.dimensions), np.nan, dtype=np.float32)
    for rows in table.to_batches():
        vectors = rows["embedding"].flatten().to_numpy(zero_copy_only=False)
        values[rows["place"].to_numpy()] = vectors.reshape(-1, encoder.manifest.dimensions)
    del table
    embedding_block(_embedding_name(encoder), values)  # which refuses those that are not finite
    return values
