"""Places users by the SQL of a rule, and reads the SQL of labels in the same way."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import QueryFailed
from sqlseg.errors import SqlsegError
from sqlseg.segments.assignment import NOBODY
from sqlseg.settings import RulesSegmentation
from sqlseg.workflow.project import Project
from sqlseg.workflow.segment_ids import ids_by_name
from sqlseg.workflow.segmenting import Placed

UNASSIGNED = "Unassigned"
"""The segment of users that a rule says nothing about."""


class RuleFailed(SqlsegError):
    """The SQL of a rule segmentation does not run, or does not give one segment a user."""


def rule_segments(
    engine: Engine, project: Project, name: str, segmentation: RulesSegmentation, users: NDArray[Any]
) -> Placed:
    """Run a rule over the features computed in this refresh; users it does not name are `Unassigned`.

    A segment keeps its id for as long as the rule calls it by the same name. Raises RuleFailed.
    """
    path = segmentation.sql
    project.views_read_by_rules(path)  # says which names a rule may not read
    rows = rule_rows(engine, project, path, path.read_text(encoding="utf-8"))
    segment_of: dict[str, str] = {}
    for user, segment in rows:
        if user in segment_of:
            raise RuleFailed(
                f"{path} puts user {user!r} in two segments: {segment_of[user]!r} and {segment!r}.",
                hint="Return one row a user: a single CASE expression decides in order.",
            )
        segment_of[user] = segment or UNASSIGNED
    check_spelling(path, segment_of.values())
    known = set(users)
    strangers = [user for user in segment_of if user not in known]
    chosen = [segment_of.get(user, UNASSIGNED) for user in users]
    notes = []
    if strangers:
        notes.append(
            f"{path.name} names {len(strangers):,} users without an event, such as {strangers[0]!r}: left out."
        )
    left = chosen.count(UNASSIGNED)
    if left:
        notes.append(f"{path.name} says nothing about {left:,} of {len(users):,} users: they are {UNASSIGNED!r}.")
    ids = ids_by_name(engine, name, chosen)
    position = {segment: number for number, segment in enumerate(ids)}
    labels = np.array([position[segment] for segment in chosen], dtype=np.int64)
    shares = np.bincount(labels, minlength=len(ids)) / max(len(users), 1)
    return Placed(
        tuple(ids.values()),
        labels,
        np.full(len(users), NOBODY, dtype=np.int64),
        np.full(len(users), np.nan),
        np.ones(len(users)),
        None,
        {segment_id: segment for segment, segment_id in ids.items()},
        metrics={
            "segment_count": float(len(ids)),
            "smallest_share": float(shares.min()),
            "largest_share": float(shares.max()),
        },
        notes=tuple(notes),
    )


def check_spelling(path: Path, names: Iterable[str]) -> None:
    """Raise RuleFailed where two of the names differ in case only."""
    spelled: dict[str, str] = {}
    for segment in set(names):
        other = spelled.setdefault(segment.casefold(), segment)
        if other != segment:
            raise RuleFailed(
                f"{path} names segments {min(other, segment)!r} and {max(other, segment)!r}, which are one to readers.",
                hint="Spell the name in one way.",
            )


def rule_rows(
    engine: Engine, project: Project, path: Path, text: str, *, labelled_at: bool = False
) -> list[tuple[Any, ...]]:
    """Return user_id and segment_name as the text of a rule gives them, over the features in the warehouse.

    With `labelled_at` the seconds of that column too, NULL where there is none.
    """
    tree = sqltext.parse_select(text, path)
    tables: dict[str, str] = {}
    for table in sqltext.base_tables(tree):
        read = sqltext.table_name(table)
        schema, _, relation = read.rpartition(".")
        view = project.readable_by_rules(schema, relation)
        if view is None:
            tables[read] = f"sqlseg.{read}"
        else:
            tables[read] = f"sqlseg.{view.table}" if view.kind == "features" else view.relation
    bound = sqltext.to_sql(sqltext.bind(tree, tables, {}))
    try:
        columns = {column.lower() for column in engine.describe(bound)}
        if not {"user_id", "segment_name"} <= columns:
            raise RuleFailed(
                f"{path} returns {', '.join(sorted(columns))}.", hint="Return two columns: user_id and segment_name."
            )
        when = "epoch(labelled_at::timestamp)" if "labelled_at" in columns else "null"
        extra = f", {when}" if labelled_at else ""
        return engine.rows(
            f"select user_id::varchar, nullif(trim(segment_name::varchar), ''){extra} from (\n{bound}\n) "
            "where user_id is not null order by 1, 2"
        )
    except QueryFailed as error:
        first, *rest = error.message.splitlines()
        raise RuleFailed(f"{path}: {first}", hint="\n".join(rest).strip() or error.hint) from error
