"""Places users by what is learned from those whose segment is known: the labels, the model, and the ids of labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine
from sqlseg.resources import shop_text
from sqlseg.segments.assignment import NOBODY, Assignment
from sqlseg.segments.blocks import Block
from sqlseg.segments.explain import UserReasons
from sqlseg.segments.identity import Lineage
from sqlseg.segments.learned_reasons import learned_reasons
from sqlseg.segments.preparation import Preparation
from sqlseg.segments.refit import Evidence
from sqlseg.segments.selection import Selection
from sqlseg.segments.supervised import Labels, SupervisedModel, UnusableLabels, check_labels, fit_supervised_model
from sqlseg.settings import SupervisedSegmentation, setting_problem
from sqlseg.workflow.project import Project
from sqlseg.workflow.ruling import RuleFailed, check_spelling, rule_rows
from sqlseg.workflow.segment_ids import ids_by_name, live_segments
from sqlseg.workflow.segmenting import Placed
from sqlseg.workflow.standing import Standing

LABELS_CHANGED = "the labels have changed"


def labels_of_the_day(path: Path) -> bool:
    """Return whether labels are worked out from feature views alone, and so are those of the day that is computed."""
    tree = sqltext.parse_select(shop_text(path), path)
    read = [sqltext.table_name(table) for table in sqltext.base_tables(tree)]
    views = [table for table in read if table.startswith("features.")]
    others = [table for table in read if not table.startswith(("features.", "stats.")) and table != "holidays"]
    return bool(views) and not others and not sqltext.lists_rows(tree)


def tell_when(path: Path) -> bool:
    """Return whether the SQL of labels returns labelled_at; where it has a star, it may."""
    names = sqltext.output_names(sqltext.parse_select(shop_text(path), path))
    return "*" in names or "labelled_at" in [name.lower() for name in names]


def read_labels(
    engine: Engine, project: Project, segmentation: SupervisedSegmentation, users: NDArray[Any]
) -> tuple[Labels, tuple[str, ...]]:
    """Return the labels of these users and notes, from the SQL of labels over this refresh's features.

    While history is replayed, only those that were known by then.
    Raises RuleFailed.
    """
    path = segmentation.labels
    label_of: dict[str, str] = {}
    when_of: dict[str, float | None] = {}
    before = None
    if project.labels_before is not None and not labels_of_the_day(path):
        before = project.labels_before.replace(tzinfo=UTC).timestamp()
    rows = rule_rows(engine, project, path, shop_text(path), labelled_at=True)
    for user, label, when in rows:
        if label is None or (before is not None and (when is None or when >= before)):
            continue
        if user in label_of:
            raise RuleFailed(
                f"{path} gives user {user!r} two labels: {label_of[user]!r} and {label!r}.",
                hint="Return one row a user, such as the newest: qualify row_number() over (partition by user_id ...).",
            )
        label_of[user], when_of[user] = label, when
    check_spelling(path, label_of.values())
    known = [user for user in users if user in label_of]
    strangers = len(label_of) - len(known)
    notes = (f"{path.name} labels {strangers:,} users without an event: left out.",) if strangers else ()
    classes = tuple(sorted({label_of[user] for user in known}))
    number = {label: place for place, label in enumerate(classes)}
    of_users = np.array([number[label_of[user]] if user in label_of else NOBODY for user in users], dtype=np.int64)
    when = np.array([np.nan if when_of.get(user) is None else when_of[user] for user in users], dtype=np.float64)
    digest = sha256()
    for user in known:
        digest.update(f"{len(user)} {user} {label_of[user]}\n".encode())
    timed = any(one is not None for one in when_of.values())
    return Labels(classes, of_users, when if timed else None, digest.hexdigest()), notes


def learn_segments(
    engine: Engine,
    project: Project,
    name: str,
    seed: int,
    users: NDArray[Any],
    blocks: Sequence[Block],
    previous: Mapping[str, str],
) -> Placed:
    """Learn the segments from the labelled users, and place everybody; an id stays with its label.

    Raises RuleFailed, and InvalidSettings at the key where there is too little to learn from.
    """
    segmentation = project.settings.segmentations[name]
    assert isinstance(segmentation, SupervisedSegmentation)
    labels, notes = read_labels(engine, project, segmentation, users)
    try:
        check_labels(labels)
        fit = fit_supervised_model(blocks, labels, seed, segmentation.algorithm, _preparation(segmentation))
    except UnusableLabels as error:
        raise setting_problem(project.settings, ("segmentations", name, "labels"), error.message) from error
    live = live_segments(engine, name)
    ids = ids_by_name(engine, name, labels.classes)
    model = fit.model.with_segment_ids(tuple(ids[label] for label in labels.classes))
    metrics = {**_sizes(model, fit.assignment), **fit.metrics}
    for segment, measures in zip(model.segment_ids, fit.by_class, strict=True):
        metrics.update({f"{measure}[{segment}]": value for measure, value in measures.items()})
    return replace(
        _placed(model, fit.assignment, learned_reasons(model, blocks, fit.assignment)),
        lineage=_lineage(model, fit.assignment, users, previous, live),
        metrics=metrics,
        notes=(*notes, *fit.notes),
    )


def _preparation(segmentation: SupervisedSegmentation) -> Preparation:
    return Preparation(
        Selection(segmentation.select, segmentation.keep),
        segmentation.projection,
        segmentation.correlation_limit,
    )


def apply_learned(
    engine: Engine,
    project: Project,
    name: str,
    model: SupervisedModel,
    users: NDArray[Any],
    blocks: Sequence[Block],
    *,
    age: timedelta,
    standing: Standing | None = None,
) -> Placed:
    """Place users with the model in use, fitted `age` ago, and look whether inputs or labels have changed since.

    With `standing` only those users are scored whose inputs may have changed.
    """
    segmentation = project.settings.segmentations[name]
    assert isinstance(segmentation, SupervisedSegmentation)
    labels, notes = read_labels(engine, project, segmentation, users)
    changed, reasons = None, None
    if standing is None:
        assignment = model.score(blocks)
        reasons = learned_reasons(model, blocks, assignment)
    else:
        changed = standing.changed
        rows = np.flatnonzero(changed)
        some = [block.take(rows) for block in blocks]
        fresh = model.score(some)
        assignment = standing.with_fresh(rows, fresh)
        reasons = learned_reasons(model, some, fresh)
        reasons = None if reasons is None else replace(reasons, user=rows[reasons.user])
    drift = model.drift(blocks, segmentation.drift)
    evidence = Evidence(drift, None, len(users), model.fit_user_count, age.days)
    metrics = {
        **_sizes(model, assignment),
        "labelled_users": float(labels.counts().sum()),
        "model_age_days": float(age.days),
    }
    outdated = (LABELS_CHANGED,) if labels.fingerprint != model.labels else ()
    return replace(
        _placed(model, assignment, reasons),
        metrics=metrics,
        evidence=evidence,
        notes=notes,
        outdated=outdated,
        changed=changed,
    )


def _placed(model: SupervisedModel, assignment: Assignment, reasons: UserReasons | None) -> Placed:
    return Placed(
        model.segment_ids,
        assignment.labels,
        assignment.runner_up,
        assignment.distance,
        assignment.confidence,
        model,
        dict(zip(model.segment_ids, model.classes, strict=True)),
        reasons=reasons,
    )


def _sizes(model: SupervisedModel, assignment: Assignment) -> dict[str, float]:
    shares = assignment.sizes(len(model.classes)) / max(len(assignment.labels), 1)
    return {
        "segment_count": float(len(model.classes)),
        "smallest_share": float(shares.min()),
        "largest_share": float(shares.max()),
        "mean_confidence": float(assignment.confidence.mean()),
    }


def _lineage(
    model: SupervisedModel,
    assignment: Assignment,
    users: NDArray[Any],
    previous: Mapping[str, str],
    live: Sequence[str],
) -> tuple[Lineage, ...]:
    """Return what became of each segment: its label is there, or no more; overlaps are as in `Lineage`."""
    now: dict[str, set[str]] = {segment: set() for segment in model.segment_ids}
    for user, label in zip(users, assignment.labels, strict=True):
        now[model.segment_ids[label]].add(user)
    before: dict[str, set[str]] = {segment: set() for segment in live}
    for user, segment in previous.items():
        before.setdefault(segment, set()).add(user)
    lines = []
    for segment, members in now.items():
        if segment in before:
            both = len(members & before[segment])
            overlap = both / max(len(members | before[segment]), 1)
            lines.append(Lineage(segment, segment, "kept", overlap))
        else:
            largest = max((len(members & others) for others in before.values()), default=0)
            lines.append(Lineage(None, segment, "born", largest / max(len(members), 1)))
    for segment, members in before.items():
        if segment not in now:
            largest = max((len(members & others) for others in now.values()), default=0)
            lines.append(Lineage(segment, None, "retired", largest / max(len(members), 1)))
    return tuple(lines)
