"""Looks ahead for one user: which segment comes when, if nothing happens but time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.features.binding import Source, every_user_sql
from sqlseg.features.view import View
from sqlseg.segments.blocks import Block
from sqlseg.segments.model import ClusterModel
from sqlseg.workflow.as_of import local
from sqlseg.workflow.project import Project

HORIZON_DAYS = 365
_EVERY_DAY_UNTIL = 60
_THEN_EVERY = 7

# Stand in for as_of() and local_as_of() while a view is bound once for many days.
_AS_OF = datetime(1904, 4, 3, 2, 1, 0, 1)
_LOCAL_AS_OF = datetime(1904, 4, 3, 2, 1, 0, 2)


@dataclass(frozen=True)
class Ahead:
    """The segment that a user comes into after `days` more days without an event: on `date`, the shop's."""

    days: int
    date: date
    segment: int


def segments_ahead(
    warehouse: Engine,
    project: Project,
    model: ClusterModel,
    blocks: Sequence[Block],
    user_id: str,
    as_of: datetime,
    days: int = HORIZON_DAYS,
) -> tuple[Ahead, ...]:
    """Return every change of segment within `days` days in which the user does nothing, in order.

    `blocks` are the user's inputs now (one row). Feature views are computed anew for each day, embeddings and what was
    bought stand still. Every day of the first sixty is looked at, then every seventh, with the days before a change, so
    a visit to a segment of less than a week may be missed later on.
    """
    zone = project.settings.project.timezone
    registry = project.registry
    views = {block.name: registry.view("features", block.name) for block in blocks if block.kind == "features"}
    views = {name: view for name, view in views.items() if registry.uses_as_of(view)}
    if not views:
        return ()
    warehouse.execute(
        "create or replace temp table outlook_events as select * from sqlseg.events where user_id = $user_id",
        {"user_id": user_id},
    )
    warehouse.execute("create or replace temp table outlook_user as select $user_id as user_id", {"user_id": user_id})
    try:
        queries = {name: _query(project, view, _columns(blocks, name)) for name, view in views.items()}

        def segment_after(day: int) -> int:
            moment = _midnight_after(as_of, day, zone)
            then = []
            for block in blocks:
                if block.name not in queries:
                    then.append(block)
                    continue
                text = queries[block.name].replace(_spelled(_AS_OF), _spelled(moment))
                row = warehouse.row(text.replace(_spelled(_LOCAL_AS_OF), _spelled(local(moment, zone))))
                values = [[np.nan if value is None else float(value) for value in row or ()]]
                then.append(Block(block.name, block.kind, block.columns, np.array(values)))
            return int(model.score(then).labels[0])

        found = []
        now, last_day = int(model.score(blocks).labels[0]), 0
        for day in _days(days):
            then = segment_after(day)
            if then == now:
                last_day = day
                continue
            for between in range(last_day + 1, day + 1):
                segment = then if between == day else segment_after(between)
                if segment != now:
                    found.append(Ahead(between, local(_midnight_after(as_of, between, zone), zone).date(), segment))
                    now = segment
            last_day = day
        return tuple(found)
    finally:
        warehouse.execute("drop table if exists outlook_events; drop table if exists outlook_user")


def _spelled(moment: datetime) -> str:
    return moment.isoformat(sep=" ")


def _columns(blocks: Sequence[Block], name: str) -> list[str]:
    block = next(block for block in blocks if block.name == name)
    return [column.partition("__")[2] for column in block.columns]


def _days(days: int) -> Iterator[int]:
    yield from range(1, min(days, _EVERY_DAY_UNTIL) + 1)
    later = range(_EVERY_DAY_UNTIL + _THEN_EVERY, days + 1, _THEN_EVERY)
    yield from later
    if days > _EVERY_DAY_UNTIL and (not later or later[-1] != days):
        yield days


def _midnight_after(as_of: datetime, days: int, zone: str) -> datetime:
    """Return as_of moved by days of the shop's clock, so that a midnight stays one across the change of the clocks."""
    there = local(as_of, zone)
    moved = datetime.combine(there.date() + timedelta(days=days), there.time(), ZoneInfo(zone))
    return moved.astimezone(UTC).replace(tzinfo=None)


def _query(project: Project, view: View, columns: Sequence[str]) -> str:
    """Return a SELECT of the user's row of a view, and of the views it reads, from the user's events alone."""
    needed = project.registry.closure([view])
    inside: dict[str, str] = {}
    for one in needed:
        if one.kind == "features":
            source = Source(events="outlook_events", population="outlook_user", views=dict(inside))
            inside[one.relation] = f"({every_user_sql(one, _AS_OF, _LOCAL_AS_OF, source, pretty=False)})"
    listed = ", ".join(f"{quoted(column)}::double" for column in columns)
    return f"select {listed} from {inside[view.relation]} as one_user"
