"""Places every user in a segment, by a new model or by the one in use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import OtherModelFormat
from sqlseg.insight.quality import segment_quality
from sqlseg.segments.algorithms import FINDS_THE_NUMBER
from sqlseg.segments.assignment import NOBODY, Assignment
from sqlseg.segments.blocks import Block, FloatArray, IntArray
from sqlseg.segments.choice_of_k import measures_by_number
from sqlseg.segments.explain import UserReasons, pinned_first, user_reasons
from sqlseg.segments.identity import Lineage, match_segments, next_segment_number
from sqlseg.segments.model import ClusterModel, FitSettings, fit_cluster_model, noise_id
from sqlseg.segments.refit import Evidence
from sqlseg.segments.shapes import Representatives
from sqlseg.segments.supervised import SupervisedModel, stored_model
from sqlseg.settings import ClusterSegmentation, DriftLimits
from sqlseg.workflow.pins import PINS_CHANGED, pinned_ids, pins_of, positions, remember_pinned_ids
from sqlseg.workflow.project import PinnedUsers
from sqlseg.workflow.segment_ids import live_segments, segment_ids_ever
from sqlseg.workflow.side_by_side import beside
from sqlseg.workflow.standing import Standing

UNLIKE_OTHERS = "Unlike the others"
"""The segment of users whom a clustering by density puts in no cluster."""


@dataclass(frozen=True)
class Placed:
    """Where a segmentation puts its users. Arrays have one row a user, all in the same order.

    `segment_ids` are the segments in use; `labels` and `runner_up` (-1 for none) number them. `names` holds the
    names that a rule or pins give, and that of users unlike all others; those of clusters are made from their profile.
    `model` is None for rules, `probability` for these and for models without centroids. `evidence` is what speaks
    for another fit, where users were placed by an earlier one; `outdated` says what always does, such as new labels.
    `pinned` numbers the segments that users are pinned to, -1 for those who are free; None where nobody is.
    `changed` marks the users who were looked at, None where all were: the others stand where they stood, for the same
    reasons, and `reasons` are of these alone.
    """

    segment_ids: tuple[str, ...]
    labels: IntArray
    runner_up: IntArray
    distance: NDArray[np.float64]
    confidence: NDArray[np.float64]
    model: ClusterModel | SupervisedModel | None
    names: Mapping[str, str]
    lineage: tuple[Lineage, ...] = ()
    metrics: Mapping[str, float] | None = None
    evidence: Evidence | None = None
    notes: tuple[str, ...] = ()
    reasons: UserReasons | None = None
    probability: NDArray[np.float64] | None = None
    outdated: tuple[str, ...] = ()
    pinned: IntArray | None = None
    changed: NDArray[np.bool_] | None = None

    def sizes(self) -> IntArray:
        """Return the number of users of each segment in use."""
        return np.bincount(self.labels, minlength=len(self.segment_ids)).astype(np.int64)

    def table(self, users: NDArray[Any], causes: NDArray[Any], spent: FloatArray) -> pa.Table:
        """Return one row for each user looked at, as the SQL of this step reads it under the name `assigned`."""
        ids = np.array([*self.segment_ids, None], dtype=object)
        rows = slice(None) if self.changed is None else self.changed
        distance = self.distance[rows]
        return pa.table(
            {
                "user_id": pa.array(users[rows], pa.string()),
                "segment_id": pa.array(ids[self.labels[rows]], pa.string()),
                "runner_up_segment_id": pa.array(ids[self.runner_up[rows]], pa.string()),
                "distance": pa.array(distance, pa.float64(), mask=np.isnan(distance)),
                "confidence": pa.array(self.confidence[rows], pa.float64()),
                "assignment_probability": (
                    pa.nulls(len(distance), pa.float64())
                    if self.probability is None
                    else pa.array(self.probability[rows], pa.float64())
                ),
                "cause": pa.array(causes[rows], pa.string()),
                "revenue": pa.array(spent[rows], pa.float64()),
            }
        )


def previous_segments(engine: Engine, segmentation: str) -> dict[str, str]:
    """Return the segment of each user as the last refresh left it."""
    return dict(
        engine.rows(
            "select user_id, segment_id from segments.membership_history "
            "where segmentation = $name and valid_to is null",
            {"name": segmentation},
        )
    )


def late_users(engine: Engine) -> list[str]:
    """Return the users of whose past something arrived, or was taken back, since the last refresh."""
    return [row[0] for row in engine.rows("select user_id from late_users")]


def fit_segments(
    engine: Engine,
    name: str,
    segmentation: ClusterSegmentation,
    seed: int,
    users: NDArray[Any],
    blocks: Sequence[Block],
    previous: Mapping[str, str],
    old_model: ClusterModel | None = None,
    meanwhile: Callable[[], None] | None = None,
    pinned: PinnedUsers | None = None,
) -> Placed:
    """Find the segments anew, and give them the ids of the old ones whose users they hold.

    `old_model` is the one in use so far as JSON, where it reads the same inputs. `meanwhile` is work for the database,
    which the fit leaves alone. `pinned` users stay where they are pinned; their segments go by their names.
    """
    pins, told = pins_of(pinned, users)
    old_ids = sorted(set(previous.values()))
    numbers = {segment: number for number, segment in enumerate(old_ids)}
    previous_labels = np.array([numbers.get(previous.get(user, ""), NOBODY) for user in users], dtype=np.int64)
    with beside(meanwhile):
        result = fit_cluster_model(
            blocks,
            FitSettings(
                k=segmentation.k,
                k_min=segmentation.k_min,
                k_max=segmentation.k_max,
                seed=seed,
                algorithm=segmentation.algorithm,
                weights=segmentation.weights,
                criterion=segmentation.criterion,
                correlation_limit=segmentation.correlation_limit,
            ),
            previous_labels if old_ids else None,
            pins,
        )
    live = live_segments(engine, name)
    known = pinned_ids(engine, name, list(result.model.pinned), live)
    noise = result.model.placement.noise if isinstance(result.model.placement, Representatives) else None
    matching = match_segments(
        name,
        np.array(list(previous), dtype=object),
        list(previous.values()),
        users,
        result.assignment.labels,
        new_count=len(result.model.centers),
        next_number=next_segment_number(name, segment_ids_ever(engine, name)),
        live_ids=live,
        **_centers(old_model, blocks, result.assignment.labels, len(result.model.centers)),
        same=None if noise is None else (_noise_so_far(engine, name), noise),
        named={result.model.pinned[group]: segment for group, segment in known.items()},
    )
    model = result.model.with_segment_ids(matching.segment_ids)
    held = positions(model, pins)
    remember_pinned_ids(engine, name, {group: model.segment_ids[place] for group, place in model.pinned.items()})
    stability = next((t.stability for t in result.tried if t.k == len(model.centers)), None)
    metrics = segment_quality(model, blocks, result.assignment, seed=seed, stability=stability)
    return _placed(
        model,
        result.assignment,
        _with_pins(user_reasons(model, blocks, result.assignment), held),
        held,
        metrics={**metrics, **measures_by_number(result.tried), **_bridged(result.bridge_agreement)},
        lineage=matching.lineage,
        notes=(*told, *result.notes),
    )


def labels_of_a_fresh_fit(segmentation: ClusterSegmentation, blocks: Sequence[Block], *, seed: int, k: int) -> IntArray:
    """Return where a fit without a past would put these users, in k segments where the algorithm takes a number."""
    settings = FitSettings(
        k="auto" if segmentation.algorithm in FINDS_THE_NUMBER else k,
        k_min=segmentation.k_min,
        k_max=segmentation.k_max,
        seed=seed,
        algorithm=segmentation.algorithm,
        weights=segmentation.weights,
        correlation_limit=segmentation.correlation_limit,
    )
    return fit_cluster_model(blocks, settings).assignment.labels


def _centers(old: ClusterModel | None, blocks: Sequence[Block], labels: IntArray, count: int) -> dict[str, Any]:
    """Return the centres of the old segments and of the new clusters in the space of the old model."""
    if old is None:
        return {}
    X = old.preprocessing.transform(blocks)
    means = np.stack([X[labels == label].mean(axis=0) for label in range(count)])
    return {
        "old_centers": dict(zip(old.segment_ids, old.center_matrix, strict=True)),
        "new_centers": means,
    }


def assign_segments(
    model: ClusterModel,
    users: NDArray[Any],
    blocks: Sequence[Block],
    seed: int,
    *,
    limits: DriftLimits,
    age: timedelta,
    pinned: PinnedUsers | None = None,
    standing: Standing | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Placed:
    """Place users with the model in use, and measure how far they have moved since it was fitted, `age` ago.

    With `standing` only those users are scored whose inputs may have changed. `meanwhile` is work for the database.
    """
    with beside(meanwhile):
        return _assigned(model, users, blocks, seed, limits=limits, age=age, pinned=pinned, standing=standing)


def _assigned(
    model: ClusterModel,
    users: NDArray[Any],
    blocks: Sequence[Block],
    seed: int,
    *,
    limits: DriftLimits,
    age: timedelta,
    pinned: PinnedUsers | None,
    standing: Standing | None,
) -> Placed:
    pins, notes = pins_of(pinned, users)
    held = positions(model, pins)
    told_of, changed, reasons = held, None, None
    if standing is None:
        assignment = model.score(blocks, with_probability=True, pinned=held)
    else:
        changed = standing.changed
        rows = np.flatnonzero(changed)
        some = [block.take(rows) for block in blocks]
        fresh = model.score(some, with_probability=True, pinned=None if held is None else held[rows])
        told_of = None if held is None else np.where(changed, held, NOBODY)
        assignment = standing.with_fresh(rows, fresh)
        reasons = user_reasons(model, some, fresh)
        reasons = replace(reasons, user=rows[reasons.user])
    metrics = dict(segment_quality(model, blocks, assignment, seed=seed))
    evidence = Evidence(
        model.drift(blocks, limits),
        model.far_count(assignment.distance),
        len(assignment.labels),
        model.fit_user_count,
        age.days,
    )
    metrics["model_age_days"] = float(evidence.age_days)
    if evidence.far_share is not None:
        metrics["far_share"] = evidence.far_share
    outdated = (PINS_CHANGED,) if pins is not None and not set(pins.names) <= set(model.pinned) else ()
    return _placed(
        model,
        assignment,
        _with_pins(reasons or user_reasons(model, blocks, assignment), told_of),
        held,
        metrics=metrics,
        evidence=evidence,
        notes=(*notes, *outdated),
        outdated=outdated,
        changed=changed,
    )


def _placed(
    model: ClusterModel, assignment: Assignment, reasons: UserReasons, pinned: IntArray | None, **rest: Any
) -> Placed:
    names = {model.segment_ids[place]: name for name, place in model.pinned.items()}
    if model.noise_id is not None:
        names[model.noise_id] = UNLIKE_OTHERS
    return Placed(
        model.segment_ids,
        assignment.labels,
        assignment.runner_up,
        assignment.distance,
        assignment.confidence,
        model,
        names,
        reasons=reasons,
        probability=assignment.probability,
        pinned=pinned,
        **rest,
    )


def _with_pins(reasons: UserReasons, pinned: IntArray | None) -> UserReasons:
    return reasons if pinned is None else pinned_first(reasons, pinned)


def _bridged(agreement: float | None) -> dict[str, float]:
    return {} if agreement is None else {"bridge_agreement": agreement}


def _noise_so_far(engine: Engine, segmentation: str) -> str | None:
    """Return the segment of users unlike all others in the model before, where it had one."""
    text = engine.value(
        "select max_by(parameters, model_version) from segments.model where segmentation = $name",
        {"name": segmentation},
    )
    return None if text is None else noise_id(text)


def model_in_use(engine: Engine, segmentation: str, version: int) -> ClusterModel | SupervisedModel:
    """Return the stored model."""
    text = engine.value(
        "select parameters from segments.model where segmentation = $name and model_version = $version",
        {"name": segmentation, "version": version},
    )
    return stored_model(text)


def model_before(engine: Engine, segmentation: str, version: int) -> ClusterModel | SupervisedModel | None:
    """Return the stored model, None where this release cannot read it: enough for a fit that takes its place."""
    try:
        return model_in_use(engine, segmentation, version)
    except OtherModelFormat:
        return None


def fitted_as_of(engine: Engine, segmentation: str, version: int) -> datetime:
    """Return the moment that a model speaks of, UTC without zone."""
    moment: datetime = engine.value(
        "select fitted_as_of from segments.model where segmentation = $name and model_version = $version",
        {"name": segmentation, "version": version},
    )
    return moment
