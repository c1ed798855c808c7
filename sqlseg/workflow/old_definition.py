"""Places users as a segmentation did before it was defined anew, so that late data and definition are told apart.

The old definition can be computed as long as all that it names is still here with the same text: its views and
encoders, the time zone and the country.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine
from sqlseg.features.view import View
from sqlseg.settings import FittedSegmentation, Segmentation, parse_input
from sqlseg.workflow.content import EVERYTHING
from sqlseg.workflow.definition import Definition, changed_parts
from sqlseg.workflow.inputs import read_blocks
from sqlseg.workflow.pins import recorded_pins
from sqlseg.workflow.project import Project
from sqlseg.workflow.ruling import UNASSIGNED, rule_rows
from sqlseg.workflow.segmenting import model_before
from sqlseg.workflow.state import ModelInUse


def is_still_computable(old: Definition, project: Project) -> bool:
    """Return whether everything that a definition of before names is here and unchanged."""
    settings = project.settings.project
    here = {"timezone": settings.timezone, "country": settings.country or "none"}
    here |= {f"{view.kind} {view.ref}": view.text for view in project.registry.views}
    here |= {f"encoder {encoder.ref}": encoder.manifest.sha256 for encoder in project.encoders}
    named = {part: text for part, text in old.items() if part in ("timezone", "country") or " " in part}
    return not changed_parts(named, {part: here[part] for part in named if part in here})


def placed_by_old_definition(
    engine: Engine,
    project: Project,
    name: str,
    segmentation: Segmentation,
    old: ModelInUse,
    users: NDArray[Any],
    computed: Collection[str],
    compute: Callable[[View], None],
) -> Mapping[str, str] | None:
    """Return the segment of each user by the definition and model of before; None where it cannot be computed.

    Reads features as they stand in the warehouse; those that are not among `computed` are computed first.
    """
    if not is_still_computable(old.definition, project):
        return None
    if isinstance(segmentation, FittedSegmentation):
        if "inputs" not in old.definition:
            return None
        inputs = tuple(parse_input(text) for text in old.definition["inputs"].split(", "))
        before = segmentation.model_copy(update={"inputs": inputs})
        _compute_missing(project, [one.ref for one in inputs if one.kind == "features"], computed, compute)
        model = model_before(engine, name, old.version)
        if model is None:
            return None
        ids = np.array(model.segment_ids, dtype=object)
        labels = model.score(read_blocks(engine, project, before, EVERYTHING)).labels
        placed = dict(zip(users, ids[labels], strict=True))
        return placed | {user: segment for user, segment in recorded_pins(engine, name).items() if user in placed}
    if "sql" not in old.definition:
        return None
    text = old.definition["sql"]
    views = _views_of_rule(project, text, old.definition)
    if views is None:
        return None
    _compute_missing(project, views, computed, compute)
    rows = dict(rule_rows(engine, project, segmentation.sql, text))
    given = dict(
        engine.rows("select rule_name, segment_id from sqlseg.rule_segment where segmentation = $name", {"name": name})
    )
    placed = {user: given.get(rows.get(user) or UNASSIGNED) for user in users}
    return {user: segment for user, segment in placed.items() if segment is not None}


def _views_of_rule(project: Project, text: str, old: Definition) -> list[str] | None:
    """Return the feature views that a rule's text reads, None where a name stands for another version by now."""
    found = []
    for table in sqltext.base_tables(sqltext.parse_select(text)):
        schema, _, relation = sqltext.table_name(table).rpartition(".")
        view = project.readable_by_rules(schema, relation)
        if view is None:
            continue
        if f"{view.kind} {view.ref}" not in old:
            return None
        if view.kind == "features":
            found.append(view.ref)
    return found


def _compute_missing(
    project: Project, refs: Collection[str], computed: Collection[str], compute: Callable[[View], None]
) -> None:
    for view in project.registry.closure(refs):
        if view.kind == "features" and view.relation not in computed:
            compute(view)
