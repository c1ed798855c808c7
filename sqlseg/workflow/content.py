"""Computes what users buy, reads it into arrays, and says what each segment buys more of than others."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import QueryFailed
from sqlseg.features.binding import bound_sql
from sqlseg.features.view import View
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import Block, content_block
from sqlseg.segments.content import VOCABULARY, ContentProjection
from sqlseg.segments.model import ClusterModel
from sqlseg.settings import ClusterSegmentation, InvalidSettings, setting_problem
from sqlseg.workflow.materialise import Moment, ViewFailed
from sqlseg.workflow.project import Project

PROFILE_TERMS = 50
"""Terms of a segment in segments.content_profile."""

_COLUMNS = {"category@1": "category", "item@1": "item_id"}
"""What the shipped content views read of the events."""


@dataclass(frozen=True)
class Vocabulary:
    """Which terms of content inputs to read: so many that most users have, and by input those known to a model."""

    most: int = VOCABULARY
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)


EVERYTHING = Vocabulary(2**62)
"""For placing users by a model that is yet to be fitted."""


def vocabulary(model: ClusterModel | None, most: int = 0) -> Vocabulary:
    """Return the terms that a model knows, and so many others."""
    blocks = () if model is None else model.preprocessing.blocks
    return Vocabulary(most, {block.name: block.terms for block in blocks if isinstance(block, ContentProjection)})


def compute_content(engine: Engine, view: View, moment: Moment) -> None:
    """Replace the rows of a content view. Raises ViewFailed."""
    try:
        engine.execute(
            f"create or replace table sqlseg.{view.table} as select user_id, term::varchar as term, weight "
            f"from ({bound_sql(view, moment.as_of, moment.local_as_of, moment.source, pretty=False)}) "
            "where term is not null"
        )
    except QueryFailed as error:
        raise ViewFailed(view, error) from error


def missing_content(engine: Engine, project: Project) -> InvalidSettings | None:
    """Return the problem of the first content input that has nothing to go by, or None where all have."""
    for name, segmentation in project.settings.segmentations.items():
        if not isinstance(segmentation, ClusterSegmentation):
            continue
        for place, one in enumerate(segmentation.inputs):
            if one.kind != "content":
                continue
            view = project.registry.view("contents", one.ref)
            if engine.row(f"select 1 from sqlseg.{view.table} limit 1") is None:
                key = ("segmentations", name, "inputs", place)
                return setting_problem(project.settings, key, _nothing_there(str(one), _COLUMNS.get(one.ref), view))
    return None


def _nothing_there(one: str, column: str | None, view: View) -> str:
    if column is None:
        return f"{one} has no row for any user; see {view.path}, or take this input out"
    return (
        f"{one} needs the column {column} of the events, and no view, cart, favorite or purchase has one: select it as "
        f"{column} in sql/events.sql, or take this input out"
    )


def read_content(engine: Engine, name: str, view: View, wanted: Vocabulary) -> Block:
    """Return what users have of the terms to read."""
    known = wanted.known.get(name, ())
    with _rows_of(engine, view), engine.registered("known_terms", _terms_table(known)):
        terms = engine.table(sql_text("steps/content/terms.sql"), {"vocabulary": wanted.most})
        with engine.registered("content_terms", terms):
            found = engine.table(sql_text("steps/content/weights.sql"))
    users = int(engine.value("select count(*) from sqlseg.population"))
    place, term, weight = (found[column].to_numpy() for column in ("user_place", "term_place", "weight"))
    weights = csr_array((weight.astype(np.float64), (place, term)), shape=(users, len(terms)))
    return content_block(name, terms["term"].to_pylist(), weights)


def record_content_profile(engine: Engine, segmentation: str, contents: Mapping[str, View]) -> None:
    """Replace what the segments of one segmentation buy more of than others, for every content of the project."""
    engine.execute("delete from segments.content_profile where segmentation = $name", {"name": segmentation})
    for name, view in contents.items():
        with _rows_of(engine, view):
            engine.execute(
                sql_text("steps/content/profile.sql"),
                {"segmentation": segmentation, "input": name, "most": PROFILE_TERMS},
            )


@contextmanager
def _rows_of(engine: Engine, view: View) -> Iterator[None]:
    engine.execute(f"create or replace temp view content_rows as select * from sqlseg.{view.table}")
    yield
    engine.execute("drop view content_rows")


def _terms_table(terms: Sequence[str]) -> pa.Table:
    return pa.table({"term": pa.array(terms, pa.string())})
