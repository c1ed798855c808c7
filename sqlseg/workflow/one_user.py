"""What people ask about one user: where they stand, why, and what would change it."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import Block
from sqlseg.segments.counterfactual import single_changes
from sqlseg.segments.explain import PINNED, Contribution, explain
from sqlseg.segments.learned_changes import single_changes_learned
from sqlseg.segments.learned_reasons import explain_learned
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.supervised import SupervisedModel, stored_model
from sqlseg.settings import FittedSegmentation
from sqlseg.workflow.content import vocabulary
from sqlseg.workflow.inputs import read_blocks, read_users
from sqlseg.workflow.outlook import segments_ahead
from sqlseg.workflow.pins import recorded_pins
from sqlseg.workflow.project import Project


class UnknownUser(SqlsegError):
    """A command names a user that no segment holds."""

    def __init__(self, user_id: str, close: Sequence[str]) -> None:
        hint = f"Similar ids: {', '.join(close)}." if close else "Ids are those of events.user_id, as text."
        super().__init__(f"No user {user_id!r} among the published memberships.", hint=hint)


@dataclass(frozen=True)
class Reason:
    """One input's part in why a user is in the own segment and not in the next one.

    `contribution` is its share of d2^2 - d1^2 in the model's space; of segments learned from labels, what it adds to
    the log-odds of the own against the next. Above 0 it speaks for the own segment.
    `value` is the user's, the means are of the segment and of all users; None for an embedding or what is unknown.
    """

    feature: str
    value: float | None
    segment_mean: float | None
    overall_mean: float | None
    contribution: float


@dataclass(frozen=True)
class Move:
    """What would take a user into another segment: a feature at a value, or days in which nothing happens.

    Of a feature, `given` is what the user has and `effort` how far away the value is, in standard deviations, with
    everything else standing still. Of time, `days` and the `date` that they lead to.
    """

    segment_id: str
    segment_name: str
    feature: str | None = None
    given: float | None = None
    value: float | None = None
    effort: float | None = None
    days: int | None = None
    date: datetime.date | None = None


@dataclass(frozen=True)
class UserInSegmentation:
    """Where one user stands in one segmentation, why, and what would change it; a rule speaks for itself.

    `expected` is what the contributions of a learned segmentation start from: the log-odds for nobody in particular.
    `pinned` says that an analyst holds the user there.
    """

    membership: Mapping[str, Any]
    kind: str
    runner_up_name: str | None
    rule_sql: str | None
    reasons: tuple[Reason, ...]
    moves: tuple[Move, ...]
    stays: tuple[Mapping[str, Any], ...]
    expected: float | None = None
    pinned: bool = False


def explain_user(project: Project, warehouse: Engine, user_id: str) -> list[UserInSegmentation]:
    """Return where a user stands in every segmentation, from the warehouse's last refresh. Raises UnknownUser."""
    memberships = warehouse.table(sql_text("steps/read/membership_of_user.sql"), {"user_id": user_id}).to_pylist()
    if not memberships:
        close = warehouse.rows(sql_text("steps/read/similar_users.sql"), {"user_id": user_id})
        raise UnknownUser(user_id, [row[0] for row in close])
    found = []
    for membership in memberships:
        name = membership["segmentation"]
        stays = warehouse.table(
            sql_text("steps/read/stays_of_user.sql"), {"user_id": user_id, "segmentation": name}
        ).to_pylist()
        kind, runner_up, rule = (membership.pop(column) for column in ("kind", "runner_up_name", "rule_sql"))
        why = _Why() if kind == "rules" else _why(project, warehouse, membership)
        found.append(
            UserInSegmentation(
                membership, kind, runner_up, rule, why.reasons, why.moves, tuple(stays), why.expected, why.pinned
            )
        )
    return found


@dataclass(frozen=True)
class _Why:
    reasons: tuple[Reason, ...] = ()
    moves: tuple[Move, ...] = ()
    expected: float | None = None
    pinned: bool = False


def _why(project: Project, warehouse: Engine, membership: Mapping[str, Any]) -> _Why:
    name, user_id = membership["segmentation"], membership["user_id"]
    segmentation = project.settings.segmentations.get(name)
    text = warehouse.value(
        "select parameters from segments.model where segmentation = $name and model_version = $version",
        {"name": name, "version": membership["model_version"]},
    )
    if not isinstance(segmentation, FittedSegmentation) or text is None:
        return _Why()
    model = stored_model(text)
    if len(model.segment_ids) == 1:
        return _Why()
    position = int(np.flatnonzero(read_users(warehouse) == user_id)[0])
    blocks = read_blocks(warehouse, project, segmentation, vocabulary(model))
    blocks = tuple(block.take(np.array([position])) for block in blocks)
    expected = None
    if isinstance(model, SupervisedModel):
        learned = explain_learned(model, blocks, model.score(blocks))
        rows = learned.contributions if learned else ()
        expected = learned.expected if learned else None
    else:
        held = recorded_pins(warehouse, name).get(user_id)
        pinned = None if held is None else np.array([model.segment_ids.index(held)])
        x = model.preprocessing.transform(blocks)
        rows = explain(x, model.score(blocks, pinned=pinned), model.center_matrix, model.preprocessing.inputs)
        if held is not None:
            reasons = (Reason(PINNED, None, None, None, 0.0), *_reasons(warehouse, rows, blocks, membership))
            return _Why(reasons, pinned=True)
    reasons = _reasons(warehouse, rows, blocks, membership)
    return _Why(reasons, _moves(project, warehouse, model, blocks, membership), expected)


def _moves(
    project: Project,
    warehouse: Engine,
    model: ClusterModel | SupervisedModel,
    blocks: Sequence[Block],
    membership: Mapping[str, Any],
) -> tuple[Move, ...]:
    names = dict(warehouse.rows("select segment_id, segment_name from segments.segment"))
    ids = model.segment_ids
    single = single_changes(model, blocks) if isinstance(model, ClusterModel) else single_changes_learned(model, blocks)
    changes = tuple(
        Move(
            ids[change.segment],
            names[ids[change.segment]],
            feature=change.feature,
            given=change.given,
            value=change.value,
            effort=change.effort,
        )
        for change in single
    )
    ahead = segments_ahead(warehouse, project, model, blocks, membership["user_id"], membership["as_of"])
    return changes + tuple(
        Move(ids[one.segment], names[ids[one.segment]], days=one.days, date=one.date) for one in ahead
    )


def _reasons(
    warehouse: Engine, rows: Sequence[Contribution], blocks: Sequence[Block], membership: Mapping[str, Any]
) -> tuple[Reason, ...]:
    values = {
        column: float(block.values[0, number])
        for block in blocks
        for number, column in enumerate(block.columns)
        if not np.isnan(block.values[0, number])
    }
    means = {
        feature: (mean, overall)
        for feature, mean, overall in warehouse.rows(
            "select feature, mean, overall_mean from segments.profile "
            "where segmentation = $name and segment_id = $segment",
            {"name": membership["segmentation"], "segment": membership["segment_id"]},
        )
    }
    return tuple(
        Reason(row.feature, values.get(row.feature), *means.get(row.feature, (None, None)), row.contribution)
        for row in rows
    )
