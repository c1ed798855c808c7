"""Writes what a segmentation came to into the segment tables."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import comment_on
from sqlseg.errors import SqlsegError
from sqlseg.features.view import View
from sqlseg.insight.description import segment_description
from sqlseg.insight.naming import SegmentName, name_still_fits, segment_names
from sqlseg.insight.profile import FeatureProfile, SegmentFigures, Standing
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import FloatArray
from sqlseg.settings import FittedSegmentation, Segmentation
from sqlseg.workflow.inputs import Readable, numeric_columns
from sqlseg.workflow.plan import SegmentationPlan
from sqlseg.workflow.restating import OF_ONE
from sqlseg.workflow.ruling import UNASSIGNED
from sqlseg.workflow.segmenting import Placed
from sqlseg.workflow.state import Run


def find_moves(
    engine: Engine, name: str, placed: Placed, users: NDArray[Any], causes: NDArray[Any], spent: FloatArray
) -> None:
    """Leave who is in another segment than before in the temporary table moves, and where users are now in assigned.

    `spent` is the revenue of each user.
    """
    engine.execute("drop table if exists assigned")
    with engine.registered("assigned_rows", placed.table(users, causes, spent), large=True):
        engine.execute("create temp table assigned as select * from assigned_rows")
    where = {"segmentation": name, "everyone": placed.changed is None}
    engine.execute(sql_text("steps/segments/find_moves.sql"), where)


def record_moves(engine: Engine, run: Run, name: str) -> int:
    """Write the stays and transitions that follow from moves; return how many users are in another segment than before.

    Those who are seen for the first time, or are gone, do not count.
    """
    where = {"segmentation": name}
    at = {**where, "data_through": run.data_through}
    for query in ("replaced_stays", "remove_empty_stays", "end_stays", "resumed_stays", "resume_stays"):
        engine.execute(sql_text(f"steps/segments/{query}.sql"), at)
    engine.execute(
        sql_text("steps/segments/begin_stays.sql"),
        {**at, "run_id": run.run_id},
    )
    engine.execute(
        sql_text("steps/segments/count_transitions.sql"), {**where, "run_id": run.run_id, "as_of": run.as_of}
    )
    return int(
        engine.value("select count(*) from moves where from_segment_id is not null and to_segment_id is not null")
    )


def record_model(
    engine: Engine,
    run: Run,
    plan: SegmentationPlan,
    segmentation: Segmentation,
    placed: Placed,
    version: int,
) -> None:
    """Add a new model and what became of the segments before it."""
    algorithm = "rules"
    inputs: list[str] = []
    if isinstance(segmentation, FittedSegmentation):
        algorithm, inputs = segmentation.algorithm, [str(one) for one in segmentation.inputs]
    parameters = placed.model.to_json() if placed.model else json.dumps({"sql": plan.definition["sql"]})
    engine.execute(
        "insert into segments.model values ($segmentation, $version, $algorithm, $parameters, $inputs, "
        "$fitted_at, $as_of, $seed, $users)",
        {
            "segmentation": plan.name,
            "version": version,
            "algorithm": algorithm,
            "parameters": parameters,
            "inputs": json.dumps(
                {"inputs": inputs, "definition": dict(plan.definition), "fitted_because": plan.reasons}, sort_keys=True
            ),
            "fitted_at": run.started_at,
            "as_of": run.as_of,
            "seed": run.seed,
            "users": len(placed.labels) if placed.model is None else placed.model.fit_user_count,
        },
    )
    for line in placed.lineage:
        engine.execute(
            "insert into segments.lineage values ($segmentation, $version, $old, $new, $relation, $overlap)",
            {
                "segmentation": plan.name,
                "version": version,
                "old": line.from_segment_id,
                "new": line.to_segment_id,
                "relation": line.relation,
                "overlap": line.overlap,
            },
        )


_INTERVALS = ("mean_low", "mean_high", "effect_size", "effect_low", "effect_high")


def record_profile(engine: Engine, name: str, placed: Placed, profile: Sequence[FeatureProfile]) -> None:
    """Replace the profiles of one segmentation."""
    engine.execute("delete from segments.profile where segmentation = $name", {"name": name})
    rows = pa.table(
        {
            "segmentation": pa.array([name] * len(profile), pa.string()),
            "segment_id": pa.array([placed.segment_ids[row.segment] for row in profile], pa.string()),
            "feature": pa.array([row.feature for row in profile], pa.string()),
            **{
                measure: pa.array([getattr(row, measure) for row in profile], kind)
                for measure, kind in [
                    ("user_count", pa.int64()),
                    *((m, pa.float64()) for m in ("mean", "median", "p10", "p90", "overall_mean", "lift", "z")),
                    ("rank", pa.int32()),
                    *((m, pa.float64()) for m in _INTERVALS),
                ]
            },
        }
    )
    with engine.registered("profile_rows", rows):
        engine.execute("insert into segments.profile by name select * from profile_rows")


def name_segments(
    engine: Engine, name: str, placed: Placed, readable: Readable, standing: Callable[[], Standing], *, fitted: bool
) -> dict[str, SegmentName]:
    """Return the name of each segment in use: the one a person gave it, else its rule's, else the one it has.

    Segments of a new model are named by what sets them apart, for which `standing` is asked; one whose id went on keeps
    its name as long as the model stays, and through a new one where the name is still true of it.
    """
    given = dict(engine.rows("select segment_id, segment_name from sqlseg.segment_name"))
    current = dict(
        engine.rows(
            "select segment_id, segment_name from segments.segment where segmentation = $name and retired_at is null",
            {"name": name},
        )
    )
    keep = dict(placed.names)
    shares = placed.sizes() / max(len(placed.labels), 1)
    if not fitted and placed.model is not None:
        keep.update({segment: current[segment] for segment in placed.segment_ids if segment in current})
    keep.update({segment: text for segment, text in given.items() if segment in placed.segment_ids})
    _check_distinct(keep, given)
    if fitted and placed.model is not None:
        taken = {text.casefold() for text in keep.values()}
        for number, segment in enumerate(placed.segment_ids):
            text = current.get(segment)
            if segment in keep or text is None or text.casefold() in taken:
                continue
            if name_still_fits(text, standing(), readable.phrases, number, float(shares[number])):
                keep[segment] = text
    if all(segment in keep for segment in placed.segment_ids):
        return {segment: SegmentName(keep[segment], ()) for segment in placed.segment_ids}
    positions = {number: keep[segment] for number, segment in enumerate(placed.segment_ids) if segment in keep}
    names = segment_names(standing(), readable.phrases, shares, positions)
    return dict(zip(placed.segment_ids, names, strict=True))


class SameName(SqlsegError):
    """Two segments of one segmentation would be called alike."""

    def __init__(self, one: str, other: str, name: str) -> None:
        super().__init__(
            f"Segments {one} and {other} would both be called {name!r}.",
            hint=f'Rename the one that was named by hand: sqlseg segments rename {one} "another name".',
        )


def _check_distinct(names: Mapping[str, str], given: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for segment, name in names.items():
        other = seen.setdefault(name.casefold(), segment)
        if other != segment:
            by_hand, by_rule = (other, segment) if other in given else (segment, other)
            raise SameName(by_hand, by_rule, name)


def record_membership(
    engine: Engine,
    run: Run,
    name: str,
    placed: Placed,
    names: Mapping[str, SegmentName],
    version: int,
    rule: str | None,
    spent: FloatArray,
    *,
    everyone: bool,
) -> None:
    """Replace the memberships of everyone, or of those users who are `restated`; bring the segments up to date.

    `spent` is the revenue of each user.
    """
    rows = pa.table(
        {
            "segment_id": pa.array(placed.segment_ids, pa.string()),
            "segment_name": pa.array([names[segment].text for segment in placed.segment_ids], pa.string()),
            "rule_sql": pa.array(
                [_rule_of(rule, name, placed.names[segment]) if rule else None for segment in placed.segment_ids],
                pa.string(),
            ),
            "user_count": pa.array(placed.sizes(), pa.int64()),
            "revenue": pa.array(_revenue(placed, spent), pa.float64()),
        }
    )
    with engine.registered("segment_rows", rows):
        engine.execute("create or replace temp table segment_names as select * from segment_rows")
    some = "" if everyone else f" and user_id in (select user_id from {OF_ONE})"
    engine.execute(f"delete from segments.membership where segmentation = $name{some}", {"name": name})
    said = {"segmentation": name, "as_of": run.as_of}
    if not everyone and not engine.value(sql_text("steps/segments/membership_stands.sql"), said):
        engine.execute(sql_text("steps/segments/update_membership.sql"), said)
    engine.execute(
        sql_text("steps/segments/insert_membership.sql"),
        {**said, "model_version": version},
    )
    engine.execute(sql_text("steps/segments/retire_segments.sql"), {"segmentation": name, "now": run.started_at})
    engine.execute(sql_text("steps/segments/add_segments.sql"), {"segmentation": name, "now": run.started_at})
    engine.execute(sql_text("steps/segments/update_segments.sql"))


def _revenue(placed: Placed, spent: FloatArray) -> FloatArray:
    return np.bincount(placed.labels, weights=spent, minlength=len(placed.segment_ids)).astype(np.float64)


def describe_segments(
    engine: Engine,
    placed: Placed,
    names: Mapping[str, SegmentName],
    figures: SegmentFigures,
    readable: Readable,
    spent: FloatArray,
) -> None:
    """Write the sentence about each segment; `spent` is the revenue of each user."""
    sizes, revenue = placed.sizes(), _revenue(placed, spent)
    total = float(revenue.sum())
    texts = [
        segment_description(
            number,
            names[segment],
            figures.profile,
            figures.standing,
            share=float(sizes[number]) / max(len(placed.labels), 1),
            revenue_share=float(revenue[number]) / total if total > 0 else None,
            titles=readable.titles,
        )
        for number, segment in enumerate(placed.segment_ids)
    ]
    rows = {"segment_id": pa.array(placed.segment_ids, pa.string()), "description": pa.array(texts, pa.string())}
    with engine.registered("segment_descriptions", pa.table(rows)):
        engine.execute(sql_text("steps/segments/describe_segments.sql"))


def _rule_of(rule: str, segmentation: str, segment_name: str) -> str | None:
    """Return the rule of one segment as a SELECT of its users on the published file.

    What a rule leaves over has none, nor has a rule over attributes of users or items, which are not published.
    """
    tree = sqltext.parse_select(rule)
    published = all(name.startswith(("features.", "stats.")) for name in sqltext.tables_read(tree))
    if segment_name == UNASSIGNED or not published:
        return None
    select = sqltext.to_sql(tree)
    return (
        f"select user_id from (\n{select}\n) where trim(segment_name::varchar) = {sqltext.literal(segment_name)} "
        f"and user_id::varchar in (select user_id from segments.membership where segmentation = '{segmentation}')"
    )


def record_measures(engine: Engine, run: Run, name: str, placed: Placed) -> None:
    """Add the measures and, where users were placed by an earlier model, the drift of its inputs."""
    metrics = (placed.metrics or {}).items()
    engine.insert("segments.metric", [(run.run_id, run.as_of, name, metric, value) for metric, value in metrics])
    drift = placed.evidence.drift if placed.evidence else ()
    engine.insert(
        "segments.drift", [(run.run_id, run.as_of, name, row.feature, row.psi, row.ks, row.status) for row in drift]
    )


def record_segmentation(
    engine: Engine,
    run: Run,
    name: str,
    segmentation: Segmentation,
    placed: Placed,
    version: int,
    fitted_at: datetime,
) -> None:
    """Replace the row that sums a segmentation up."""
    algorithm: str | None = None
    inputs: list[str] = []
    if isinstance(segmentation, FittedSegmentation):
        algorithm, inputs = segmentation.algorithm, [str(one) for one in segmentation.inputs]
    engine.execute("delete from segments.segmentation where segmentation = $name", {"name": name})
    engine.execute(
        "insert into segments.segmentation values ($name, $kind, $algorithm, $version, $inputs, $segments, $users, "
        "$as_of, $data_through, $fitted_at, $refreshed_at, 'ready')",
        {
            "name": name,
            "kind": segmentation.kind,
            "algorithm": algorithm,
            "version": version,
            "inputs": json.dumps(inputs),
            "segments": len(placed.segment_ids),
            "users": len(placed.labels),
            "as_of": run.as_of,
            "data_through": run.data_through,
            "fitted_at": fitted_at,
            "refreshed_at": run.started_at,
        },
    )


def create_users_view(engine: Engine, name: str, views: Sequence[View]) -> None:
    """Make `segments.<name>_users`: every user's segment beside the readable features, for charts."""
    columns = ["m.user_id", "m.segment_id", "m.segment_name", "m.confidence", "m.member_since"]
    described = {
        "user_id": "The user.",
        "segment_id": "The segment.",
        "segment_name": "The name of the segment.",
        "confidence": "0 to 1: how clearly the user belongs to the segment.",
        "member_since": "When the current stay began (UTC).",
    }
    joins = []
    for number, view in enumerate(views):
        joins.append(f"left join sqlseg.{view.table} as f{number} on f{number}.user_id = m.user_id")
        for column in numeric_columns(engine, view.table):
            feature = f"{view.name}__{column}"
            columns.append(f"f{number}.{quoted(column)} as {quoted(feature)}")
            described[feature] = view.column(column).description
    relation = f"segments.{quoted(name + '_users')}"
    engine.execute(
        f"create or replace view {relation} as select {', '.join(columns)} from segments.membership as m "
        f"{' '.join(joins)} where m.segmentation = '{name}'"
    )
    comment_on(engine, "view", relation, f"Users of the segmentation {name} with their features.", described)
