"""What people ask of a published file: its segments, one segment, one user, any query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.resources import sql_text
from sqlseg.segments.assignment import NOBODY
from sqlseg.segments.explain import explain
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.scoring_sql import Dialect
from sqlseg.workflow.content import vocabulary
from sqlseg.workflow.inputs import read_blocks, read_users
from sqlseg.workflow.live import membership_sql
from sqlseg.workflow.project import Project


class NothingPublished(SqlsegError):
    """There is no published file yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"Nothing has been published yet: there is no {path}.", hint="Run `sqlseg refresh` first.")


class UnknownSegmentation(SqlsegError):
    """A command names a segmentation that has not been published."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"No segmentation named {name!r} is published.", hint=f"Choose one of: {', '.join(known)}.")


class UnknownUser(SqlsegError):
    """A command names a user that no segment holds."""

    def __init__(self, user_id: str, close: Sequence[str]) -> None:
        hint = f"Similar ids: {', '.join(close)}." if close else "Ids are those of events.user_id, as text."
        super().__init__(f"No user {user_id!r} among the published memberships.", hint=hint)


@dataclass(frozen=True)
class SegmentRow:
    """One segment as the published file has it; shares are 0 to 1, `revenue_share` is None without revenue."""

    segment_id: str
    name: str
    user_count: int
    share: float
    revenue: float
    revenue_share: float | None
    description: str


def open_published(path: Path) -> Engine:
    """Open a published file for reading. Raises NothingPublished."""
    if not path.is_file():
        raise NothingPublished(path)
    return Engine.open(path, read_only=True)


def run_query(path: Path, sql: str) -> pa.Table:
    """Return the result of a query on the published file; nothing in it can be changed. Raises QueryFailed."""
    with open_published(path) as reader:
        reader.create_temp_view("asked", sql)  # refuses anything but one SELECT
        return reader.table("select * from asked")


def segment_overview(path: Path) -> dict[str, list[SegmentRow]]:
    """Return the segments in use, the largest first, by segmentation."""
    with open_published(path) as reader:
        found: dict[str, list[SegmentRow]] = {
            name: [] for (name,) in reader.rows("select segmentation from segments.segmentation order by 1")
        }
        for segmentation, *row in reader.rows(sql_text("steps/read/segments.sql")):
            found[segmentation].append(SegmentRow(*row))
    return found


@dataclass(frozen=True)
class SegmentationSheet:
    """One segmentation in full: its row in segments.segmentation, its segments, and what tells each apart.

    `telling` has, by segment id, rows of feature, mean, overall mean and lift; the most telling first. `content` has
    rows of input, term and lift: what the segment buys more of than others. `rules` has the condition that imitates the
    model, its precision and its recall; only of clusters.
    """

    facts: Mapping[str, Any]
    segments: tuple[SegmentRow, ...]
    telling: Mapping[str, tuple[tuple[str, float, float, float | None], ...]]
    rules: Mapping[str, tuple[str, float | None, float | None]]
    metrics: Mapping[str, float]
    content: Mapping[str, tuple[tuple[str, str, float], ...]]


def segmentation_sheet(path: Path, name: str, *, features: int = 5, terms: int = 5) -> SegmentationSheet:
    """Return what is published of one segmentation. Raises UnknownSegmentation."""
    overview = segment_overview(path)
    if name not in overview:
        raise UnknownSegmentation(name, list(overview))
    with open_published(path) as reader:
        facts = reader.table("select * from segments.segmentation where segmentation = $name", {"name": name})
        telling: dict[str, list[tuple[str, float, float, float | None]]] = {}
        for segment_id, *row in reader.rows(
            sql_text("steps/read/telling_features.sql"), {"segmentation": name, "features": features}
        ):
            telling.setdefault(segment_id, []).append((row[0], row[1], row[2], row[3]))
        content: dict[str, list[tuple[str, str, float]]] = {}
        if reader.relation_exists("segments", "content_profile"):  # not in files that earlier releases published
            for segment_id, *row in reader.rows(
                sql_text("steps/read/telling_content.sql"), {"segmentation": name, "terms": terms}
            ):
                content.setdefault(segment_id, []).append((row[0], row[1], row[2]))
        rules: dict[str, tuple[str, float | None, float | None]] = {}
        if reader.relation_exists("segments", "rule"):  # which the first release did not publish
            rules = {
                segment_id: (condition, precision, recall)
                for segment_id, condition, precision, recall in reader.rows(
                    "select segment_id, condition, precision, recall from segments.rule "
                    "where segmentation = $segmentation and condition is not null",
                    {"segmentation": name},
                )
            }
        metrics = dict(reader.rows(sql_text("steps/read/latest_metrics.sql"), {"segmentation": name}))
    return SegmentationSheet(
        facts.to_pylist()[0],
        tuple(overview[name]),
        {segment_id: tuple(rows) for segment_id, rows in telling.items()},
        rules,
        metrics,
        {segment_id: tuple(rows) for segment_id, rows in content.items()},
    )


def segmentation_sql(path: Path, name: str, dialect: Dialect) -> str:
    """Return the scoring of a published segmentation as SQL. Raises UnknownSegmentation or CannotCompile."""
    with open_published(path) as reader:
        known = [row[0] for row in reader.rows("select segmentation from segments.segmentation order by 1")]
        if name not in known:
            raise UnknownSegmentation(name, known)
        return membership_sql(reader, name, dialect)


@dataclass(frozen=True)
class Reason:
    """One input's part in why a user is in the own segment and not in the next one.

    `contribution` is its share of d2^2 - d1^2 in the model's space: above 0 it speaks for the own segment.
    `value` is the user's, the means are of the segment and of all users; None for an embedding.
    """

    feature: str
    value: float | None
    segment_mean: float | None
    overall_mean: float | None
    contribution: float


@dataclass(frozen=True)
class UserInSegmentation:
    """Where one user stands in one segmentation, and why; rules and single segments need no reasons."""

    membership: Mapping[str, Any]
    kind: str
    runner_up_name: str | None
    rule_sql: str | None
    reasons: tuple[Reason, ...]
    stays: tuple[Mapping[str, Any], ...]


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
        reasons = _reasons(project, warehouse, user_id, membership) if kind == "cluster" else ()
        found.append(UserInSegmentation(membership, kind, runner_up, rule, reasons, tuple(stays)))
    return found


def _reasons(project: Project, warehouse: Engine, user_id: str, membership: Mapping[str, Any]) -> tuple[Reason, ...]:
    name = membership["segmentation"]
    segmentation = project.settings.segmentations.get(name)
    text = warehouse.value(
        "select parameters from segments.model where segmentation = $name and model_version = $version",
        {"name": name, "version": membership["model_version"]},
    )
    if segmentation is None or segmentation.kind != "cluster" or text is None:
        return ()
    model = ClusterModel.from_json(text)
    position = int(np.flatnonzero(read_users(warehouse) == user_id)[0])
    blocks = read_blocks(warehouse, project, segmentation, vocabulary(model))
    blocks = tuple(block.take(np.array([position])) for block in blocks)
    assignment = model.score(blocks)
    if assignment.runner_up[0] == NOBODY:
        return ()
    x = model.preprocessing.transform(blocks)
    values = {column: float(block.values[0, number]) for block in blocks for number, column in enumerate(block.columns)}
    means = {
        feature: (mean, overall)
        for feature, mean, overall in warehouse.rows(
            "select feature, mean, overall_mean from segments.profile "
            "where segmentation = $name and segment_id = $segment",
            {"name": name, "segment": membership["segment_id"]},
        )
    }
    rows = explain(x, assignment, model.center_matrix, model.preprocessing.inputs)
    return tuple(
        Reason(row.feature, values.get(row.feature), *means.get(row.feature, (None, None)), row.contribution)
        for row in rows
    )
