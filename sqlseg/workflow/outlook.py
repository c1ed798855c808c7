"""Looks ahead for one user: which segment comes when, if nothing happens but time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.features.binding import Source, every_user_sql
from sqlseg.features.view import View
from sqlseg.names import KNOWN_EVENT_TYPES
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import Block, feature_block
from sqlseg.segments.forecasting import ForecastModel
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.supervised import SupervisedModel
from sqlseg.workflow.as_of import local
from sqlseg.workflow.forecasting import foretold_block
from sqlseg.workflow.inputs import encoder_block, read_users, view_block
from sqlseg.workflow.project import Forecast, Project
from sqlseg.workflow.state import forecasts_in_use

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
    model: ClusterModel | SupervisedModel,
    blocks: Sequence[Block],
    user_id: str,
    as_of: datetime,
    days: int = HORIZON_DAYS,
) -> tuple[Ahead, ...]:
    """Return every change of segment within `days` days in which the user does nothing, in order.

    `blocks` are the user's inputs now (one row). Feature views are computed anew for each day, and forecasts from them;
    embeddings, what was bought and columns of text stand still. Every day of the first sixty is looked at, then every
    seventh, with the days before a change, so a visit to a segment of less than a week may be missed later on.
    """
    inputs = {block.name for block in blocks}
    forecasts = [_Foreteller.of(warehouse, one, user_id) for one in project.forecasts if one.input in inputs]
    views = {view.ref: view for one in forecasts for view in one.forecast.views}
    views |= {name: project.registry.view("features", name) for name in inputs if ":" not in name}
    given = {block.name: block for block in blocks}
    rows = {
        name: given[name] if name in given else _user_row(warehouse, view_block(warehouse, view), user_id)
        for name, view in views.items()
    }
    changing = {n: view for n, view in views.items() if project.registry.uses_as_of(view) and rows[n].columns}
    if not changing:
        return ()
    zone = project.settings.project.timezone
    here = {"user_id": user_id}
    warehouse.execute(
        "create or replace temp table outlook_events as select * from sqlseg.events where user_id = $user_id", here
    )
    warehouse.execute("create or replace temp table outlook_user as select $user_id as user_id", here)
    try:
        queries = {name: _query(project, view, rows[name].columns) for name, view in changing.items()}

        def segment_after(day: int) -> int:
            moment = _midnight_after(as_of, day, zone)
            then = dict(rows)
            for name, query in queries.items():
                text = query.replace(_spelled(_AS_OF), _spelled(moment))
                row = warehouse.row(text.replace(_spelled(_LOCAL_AS_OF), _spelled(local(moment, zone))))
                values = [[np.nan if value is None else float(value) for value in row or ()]]
                then[name] = replace(rows[name], values=np.array(values))
            passed = (moment - as_of).total_seconds() / 86_400
            then |= {one.forecast.input: one.block(then, passed) for one in forecasts}
            return int(model.score([then.get(block.name, block) for block in blocks]).labels[0])

        return _changes(int(model.score(blocks).labels[0]), segment_after, days, as_of, zone)
    finally:
        warehouse.execute("drop table if exists outlook_events; drop table if exists outlook_user")


def _changes(now: int, segment_after: Callable[[int], int], days: int, as_of: datetime, zone: str) -> tuple[Ahead, ...]:
    found = []
    last_day = 0
    for day in _days(days):
        then = segment_after(day)
        if then != now:
            for between in range(last_day + 1, day + 1):
                segment = then if between == day else segment_after(between)
                if segment != now:
                    found.append(Ahead(between, local(_midnight_after(as_of, between, zone), zone).date(), segment))
                    now = segment
        last_day = day
    return tuple(found)


@dataclass(frozen=True)
class _Foreteller:
    """The forecasts of one user, from features that change with time; `age` is of now, in days."""

    forecast: Forecast
    model: ForecastModel
    embedding: Block
    age: float

    @classmethod
    def of(cls, warehouse: Engine, forecast: Forecast, user_id: str) -> "_Foreteller":
        model = forecasts_in_use(warehouse)[forecast.ref].model
        embedding = _user_row(warehouse, encoder_block(warehouse, forecast.encoder), user_id)
        age = warehouse.value(
            sql_text("steps/read/age_of_user.sql"), {"user_id": user_id, "event_types": list(KNOWN_EVENT_TYPES)}
        )
        return cls(forecast, model, embedding, np.nan if age is None else float(age))

    def block(self, rows: Mapping[str, Block], days_passed: float) -> Block:
        """Return what is forecast after some days, of the features of then."""
        known = [*(rows[view.ref] for view in self.forecast.views), self.embedding]
        if self.forecast.encoder.manifest.forecasts is not None:
            known.append(foretold_block(self.forecast, self.embedding.values, np.array([self.age + days_passed])))
        values = self.model.forecasts(known)
        columns = [f"{self.forecast.name}__{column}" for column in values]
        return feature_block(self.forecast.input, columns, np.column_stack(list(values.values())))


def _user_row(warehouse: Engine, block: Block, user_id: str) -> Block:
    return block.take(np.flatnonzero(read_users(warehouse) == user_id))


def _spelled(moment: datetime) -> str:
    return moment.isoformat(sep=" ")


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
    names = [column.partition("__")[2] for column in columns]
    listed = ", ".join(f"{quoted(name)}::double" for name in names)
    return f"select {listed} from {inside[view.relation]} as one_user"
