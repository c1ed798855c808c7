"""Places users by the SQL of a rule, and reads the SQL of labels in the same way."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import QueryFailed
from sqlseg.errors import SqlsegError
from sqlseg.insight.monotonicity import empty_tiers
from sqlseg.resources import shop_text
from sqlseg.segments.assignment import NOBODY
from sqlseg.segments.blocks import IntArray
from sqlseg.settings import RulesSegmentation
from sqlseg.workflow.project import Project
from sqlseg.workflow.segment_ids import ids_by_name, live_segments
from sqlseg.workflow.segmenting import Placed
from sqlseg.workflow.standing import Standing
from sqlseg.workflow.touched import TOUCHED

UNASSIGNED = "Unassigned"
"""The segment of users that a rule says nothing about."""


class RuleFailed(SqlsegError):
    """The SQL of a rule segmentation does not run, or does not give one segment a user."""


def rule_segments(
    engine: Engine,
    project: Project,
    name: str,
    segmentation: RulesSegmentation,
    users: NDArray[Any],
    standing: Standing | None = None,
) -> Placed:
    """Run a rule over the features computed in this refresh; users it does not name are `Unassigned`.

    A segment keeps its id for as long as the rule calls it by the same name. With `standing` it is run for those users
    alone whose rows may have changed, which a rule allows that looks at one user at a time. Raises RuleFailed.
    """
    path = segmentation.sql
    project.views_read_by_rules(path)  # says which names a rule may not read
    some = None if standing is None else TOUCHED
    rows = rule_rows(engine, project, path, shop_text(path), users=some)
    segment_of: dict[str, str] = {}
    for user, segment in rows:
        if user in segment_of:
            raise RuleFailed(
                f"{path} puts user {user!r} in two segments: {segment_of[user]!r} and {segment!r}.",
                hint="Return one row a user: a single CASE expression decides in order.",
            )
        segment_of[user] = segment or UNASSIGNED
    looked_at = users if standing is None else users[standing.changed]
    known = set(looked_at)
    strangers = [user for user in segment_of if user not in known]
    chosen = [segment_of.get(user, UNASSIGNED) for user in looked_at]
    names, labels = _numbered(chosen) if standing is None else _among_standing(engine, name, standing, chosen)
    check_spelling(path, (*segment_of.values(), *names))
    notes = []
    if strangers:
        notes.append(
            f"{path.name} names {len(strangers):,} users without an event, such as {strangers[0]!r}: left out."
        )
    sizes = np.bincount(labels, minlength=len(names))
    left = int(sizes[names.index(UNASSIGNED)]) if UNASSIGNED in names else 0
    if left:
        notes.append(f"{path.name} says nothing about {left:,} of {len(users):,} users: they are {UNASSIGNED!r}.")
    if segmentation.tiers is not None:
        notes += empty_tiers(segmentation.tiers, [one for one, size in zip(names, sizes, strict=True) if size])
    ids = ids_by_name(engine, name, names)
    shares = sizes / max(len(users), 1)
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
        changed=None if standing is None else standing.changed,
    )


def _numbered(chosen: Sequence[str]) -> tuple[list[str], IntArray]:
    """Return the names in order, and which of them each user has."""
    names = sorted(set(chosen))
    number = {segment: place for place, segment in enumerate(names)}
    return names, np.array([number[segment] for segment in chosen], dtype=np.int64)


def _among_standing(
    engine: Engine, segmentation: str, standing: Standing, chosen: Sequence[str]
) -> tuple[list[str], IntArray]:
    """Return as `_numbered` does the segments of all users, given those `chosen` for the users who were looked at."""
    called = dict(
        engine.rows(
            "select segment_id, rule_name from sqlseg.rule_segment where segmentation = $name", {"name": segmentation}
        )
    )
    before = [called[segment] for segment in live_segments(engine, segmentation)]
    every = list(dict.fromkeys([*before, *chosen]))
    number = {segment: place for place, segment in enumerate(every)}
    labels = standing.before.labels.copy()
    labels[standing.changed] = [number[segment] for segment in chosen]
    used = np.bincount(labels, minlength=len(every)) > 0
    names = sorted(segment for segment, some in zip(every, used, strict=True) if some)
    place = np.array([names.index(segment) if segment in names else NOBODY for segment in every], dtype=np.int64)
    return names, place[labels]


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
    engine: Engine, project: Project, path: Path, text: str, *, labelled_at: bool = False, users: str | None = None
) -> list[tuple[Any, ...]]:
    """Return user_id and segment_name as the text of a rule gives them, over the features in the warehouse.

    With `labelled_at` the seconds of that column too, NULL where there is none. `users` is a relation of the users
    whose rows it reads, by default all.
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
        if users is not None and (read == "users" or (view is not None and view.kind == "features")):
            tables[read] = f"(select * from {tables[read]} where user_id in (select user_id from {users}))"
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
