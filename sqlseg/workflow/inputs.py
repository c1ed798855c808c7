"""Reads what a segmentation is made of from the warehouse into arrays, one row a user, by user_id."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlseg.encoders.manifest import Encoder
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.errors import SqlsegError
from sqlseg.features.view import View
from sqlseg.insight.naming import Phrases
from sqlseg.segments.blocks import Block, FloatArray, embedding_block, feature_block
from sqlseg.settings import FittedSegmentation
from sqlseg.workflow.content import Vocabulary, read_content
from sqlseg.workflow.images import read_images
from sqlseg.workflow.materialise import POPULATION
from sqlseg.workflow.project import Forecast, Project
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


def _read_columns(engine: Engine, table_name: str, columns: Sequence[str], users: str = POPULATION) -> list[FloatArray]:
    if not columns:
        return []
    projection = ", ".join(f"{quoted(column)}::double as {quoted(column)}" for column in columns)
    table = engine.table(f"select {projection} from sqlseg.{table_name}{_among(users)} order by user_id")
    return [table[column].to_numpy().astype(np.float64, copy=False) for column in columns]


def read_readable(engine: Engine, views: Sequence[View]) -> Readable:
    """Return the numeric columns of feature views with their phrases and descriptions."""
    readable = Readable({}, {}, {})
    for view in views:
        columns = numeric_columns(engine, view.table)
        for name, values in zip(columns, _read_columns(engine, view.table, columns), strict=True):
            feature = f"{view.name}__{name}"
            column = view.column(name)
            readable.values[feature] = values
            readable.phrases[feature] = Phrases(column.high, column.low, foretold=view.name.startswith("forecast_"))
            # The first phrase of a description is its title; what follows explains.
            readable.titles[feature] = re.split(r"[:;]", column.description)[0].strip()
    return readable


def read_blocks(
    engine: Engine, project: Project, segmentation: FittedSegmentation, terms: Vocabulary | None = None
) -> tuple[Block, ...]:
    """Return the inputs of a segmentation in the order of its settings. Raises NoNumbers or UnusableInput.

    `terms` says which terms of content inputs are read; by default the most usual.
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
            blocks.append(encoder_block(engine, encoder))
            continue
        if one.kind == "forecast":
            forecast = next(f for f in project.forecasts_of(segmentation) if f.ref == one.ref)
            blocks.append(forecast_block(engine, forecast))
            continue
        if one.kind == "sentiment":
            name = f"sentiment_{one.name}"
            blocks.append(_feature_block(engine, str(one), name, f"feature_{name}_v{one.version}"))
            continue
        view = project.registry.view("features", one.ref)
        texts = _read_texts(engine, view)
        if not texts and not numeric_columns(engine, view.table):
            raise NoNumbers(view)
        blocks.append(replace(view_block(engine, view), texts=texts))
    return tuple(blocks)


def view_block(engine: Engine, view: View, users: str = POPULATION) -> Block:
    """Return the numeric columns of a computed feature view, one row a user."""
    return _feature_block(engine, view.ref, view.name, view.table, users)


def forecast_block(engine: Engine, forecast: Forecast) -> Block:
    """Return what was forecast of each user of the population."""
    return _feature_block(engine, forecast.input, forecast.name, f"feature_{forecast.relation}")


def _feature_block(engine: Engine, block: str, name: str, table: str, users: str = POPULATION) -> Block:
    columns = numeric_columns(engine, table)
    values = _read_columns(engine, table, columns, users)
    matrix = np.column_stack(values) if values else np.empty((len(read_users(engine, users)), 0))
    return feature_block(block, [f"{name}__{column}" for column in columns], matrix)


def encoder_block(engine: Engine, encoder: Encoder, users: str = POPULATION) -> Block:
    """Return the embeddings of users; NaN for those without one."""
    return embedding_block(f"encoder:{encoder.ref}", _read_embeddings(engine, encoder, users))


def _read_embeddings(engine: Engine, encoder: Encoder, users: str) -> FloatArray:
    table = engine.table(
        f"select e.embedding from {users} as p left join embeddings.{encoder.table} as e using (user_id) "
        "order by p.user_id"
    )
    column: pa.FixedSizeListArray = table["embedding"].combine_chunks()
    known = column.is_valid().to_numpy(zero_copy_only=False)
    values = np.full((len(column), encoder.manifest.dimensions), np.nan)
    values[known] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, encoder.manifest.dimensions)
    return values
