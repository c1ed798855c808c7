"""Computes what users buy, reads it into arrays, and says what each segment buys more of than others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa

from sqlseg.encoders.manifest import Device
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import QueryFailed
from sqlseg.features.binding import bound_sql
from sqlseg.features.view import View
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import Block, content_block
from sqlseg.segments.content import VOCABULARY, ContentProjection
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.supervised import SupervisedModel
from sqlseg.settings import EncoderSettings, FittedSegmentation, InvalidSettings, setting_problem
from sqlseg.workflow.images import embed_images, forget_images, image_problems
from sqlseg.workflow.materialise import Moment, ViewFailed, replace_touched
from sqlseg.workflow.project import Project
from sqlseg.workflow.texts import embed_texts, forget_texts

PROFILE_TERMS = 50
"""Terms of a segment in segments.content_profile."""

_NEEDS = {
    "category@1": ("the column category of the events", "no view, cart, favorite or purchase has one"),
    "item@1": ("the column item_id of the events", "no view, cart, favorite or purchase has one"),
    "titles@1": ("the column title of the items", "no item that was bought has one"),
    "reviews@1": ("events of type review with a text", "there is none"),
    "searches@1": ("events of type search with a text", "there is none"),
    "images@1": ("the column image_path of the items", "no item that was bought or looked at has one"),
}
"""What the shipped content views need, and what it means that they find nothing."""

_ITEM_COLUMNS = {"titles@1": "title", "images@1": "image_path"}
"""Columns of the items without which these views cannot be bound."""


@dataclass(frozen=True)
class Vocabulary:
    """Which terms of content inputs to read: so many that most users have, and by input those known to a model."""

    most: int = VOCABULARY
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Embedding:
    """How texts and images are embedded: `at` (UTC) goes into the record; without a device, that of the settings."""

    at: datetime
    device: Device | None
    threads: int


@dataclass(frozen=True)
class Embedded:
    """Where contents were embedded, None where nothing was new, and what the reader should know of it."""

    provider: str | None = None
    notes: tuple[str, ...] = ()


EVERYTHING = Vocabulary(2**62)
"""For placing users by a model that is yet to be fitted."""


def vocabulary(model: ClusterModel | SupervisedModel | None, most: int = 0) -> Vocabulary:
    """Return the terms that a model knows, and so many others."""
    blocks = () if model is None else model.preprocessing.blocks
    return Vocabulary(most, {block.name: block.terms for block in blocks if isinstance(block, ContentProjection)})


def compute_content(engine: Engine, view: View, moment: Moment) -> None:
    """Replace the rows of a content view. Raises ViewFailed."""
    of, table = view.grain[1], f"sqlseg.{view.table}"
    own = bound_sql(view, moment.as_of, moment.local_as_of, moment.source, pretty=False)
    select = f"select user_id, {of}::varchar as {of}, weight from ({own}) where {of} is not null"
    try:
        if moment.of_everyone:
            engine.execute(f"create or replace table {table} as {select}")
        else:
            replace_touched(engine, table, f"({select})")
    except QueryFailed as error:
        raise ViewFailed(view, error) from error


def compute_contents(
    engine: Engine,
    project: Project,
    views: Sequence[View],
    moment_of: Callable[[View], Moment],
    how: Embedding,
    *,
    latest: bool,
) -> Embedded:
    """Compute content views, each as of its moment, and embed their texts and images.

    What is known of texts and images that are gone is forgotten where this is the `latest` moment. Raises ViewFailed,
    NoImages, and what starting an encoder raises.
    """
    for view in views:
        # A view of items cannot even be bound without the column, which nothing else asks for.
        needed = _ITEM_COLUMNS.get(view.ref)
        if needed is not None and needed not in engine.columns("sqlseg", "items"):
            raise next(_problems(project, view))
        compute_content(engine, view, moment_of(view))
    of_texts = [view for view in views if view.holds_texts]
    of_images = [view for view in views if view.holds_images]
    provider: str | None = None
    notes: tuple[str, ...] = ()
    if (encoder := project.text_encoder) is not None:
        device = how.device or _device(project, encoder.manifest.name)
        for view in of_texts:
            ran = embed_texts(engine, encoder, view, embedded_at=how.at, device=device, threads=how.threads)
            provider = ran or provider
        if latest:
            forget_texts(engine, encoder, of_texts)
    if (looks := project.image_encoder) is not None:
        device, root = how.device or _device(project, looks.manifest.name), project.image_root
        ran = embed_images(engine, looks, root, of_images, embedded_at=how.at, device=device, threads=how.threads)
        provider = ran or provider
        if latest:
            forget_images(engine, looks)
            notes = image_problems(engine, looks, root)
    return Embedded(provider, notes)


def _device(project: Project, name: str) -> Device:
    return project.settings.encoders.get(name, EncoderSettings()).device


def missing_content(engine: Engine, project: Project) -> InvalidSettings | None:
    """Return the problem of the first content input that has nothing to go by, or None where all have."""
    for view in project.contents().values():
        if engine.row(f"select 1 from sqlseg.{view.table} limit 1") is None:
            return next(_problems(project, view))
    return None


def _problems(project: Project, view: View) -> Iterator[InvalidSettings]:
    """Yield for each input that a content view is the problem that it has nothing to go by."""
    for name, segmentation in project.settings.segmentations.items():
        for place, one in enumerate(segmentation.inputs if isinstance(segmentation, FittedSegmentation) else ()):
            if one.kind == "content" and one.ref == view.ref:
                told = _nothing_there(str(one), _NEEDS.get(one.ref), view)
                yield setting_problem(project.settings, ("segmentations", name, "inputs", place), told)


def _nothing_there(one: str, needs: tuple[str, str] | None, view: View) -> str:
    if needs is None:
        return f"{one} has no row for any user; see {view.path}, or take this input out"
    file = "sql/items.sql" if "items" in needs[0] else "sql/events.sql"
    return f"{one} needs {needs[0]}, and {needs[1]}: select it in {file}, or take this input out"


def read_content(engine: Engine, name: str, view: View, wanted: Vocabulary) -> Block:
    """Return what users have of the terms to read."""
    from scipy.sparse import csr_array

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
        if view.holds_texts or view.holds_images:
            continue
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
