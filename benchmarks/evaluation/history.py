"""A shop as it stood at past moments, by sqlseg's own steps, and what came after, by plain SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sqlseg.encoders.embedding import embed
from sqlseg.encoders.manifest import Encoder
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.events.staging import drop_staged, keep_attributes, keep_events, stage_events
from sqlseg.features.binding import bound_sql
from sqlseg.features.holidays import holiday_table
from sqlseg.features.view import View
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import Block
from sqlseg.segments.forecasting import Outcome as ProductOutcome
from sqlseg.settings import ClusterSegmentation
from sqlseg.settings.values import InputRef
from sqlseg.workflow.as_of import first_midnight_after, local
from sqlseg.workflow.content import Embedding, compute_contents
from sqlseg.workflow.forecasting import known_of_users
from sqlseg.workflow.inputs import numeric_columns, read_blocks, read_users
from sqlseg.workflow.materialise import Moment, compute_features, compute_statistics, keep_population
from sqlseg.workflow.project import DEFAULT_HORIZONS, READ_BY_FORECASTS, Forecast, open_project
from sqlseg.workflow.warehouse import attach_project_sources

TOKENS = "evaluation_tokens"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everyone with an event before `as_of`, and what was known of them: blocks by the name of the input.

    `heads` are the blocks that the heads of adapted forecasts read, by the encoder.
    """

    as_of: datetime
    users: NDArray[Any]
    blocks: Mapping[str, Block]
    heads: Mapping[str, tuple[Block, ...]] = field(default_factory=dict)

    def matrix(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return users x columns of several blocks, raw, NaN where unknown."""
        return np.hstack([self.blocks[name].values for name in names])

    def with_block(self, block: Block) -> "Snapshot":
        """Return the snapshot with one more block."""
        return replace(self, blocks={**self.blocks, block.name: block})


@dataclass(frozen=True, eq=False)
class Outcome:
    """What users did in the days after a moment, in the order of the snapshot's users.

    `bought` says whether there was an order, `spend` is revenue, not below 0 (NaN where the shop has no prices),
    `buyer` whether they had bought before.
    """

    bought: NDArray[np.bool_]
    spend: NDArray[np.float64]
    buyer: NDArray[np.bool_]


class ShopHistory:
    """A project's events, staged once in memory; use as a context manager."""

    def __init__(self, directory: Path, read_at: datetime) -> None:
        self.project = open_project(directory)
        self.settings = self.project.settings.project
        self.engine = Engine.open(None, threads=1)
        prepare_warehouse(self.engine)
        attach_project_sources(self.engine, self.project)
        self._stage(read_at)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.engine.close()

    def _stage(self, read_at: datetime) -> None:
        events = self.project.settings.events
        directory = self.project.directory
        staged = stage_events(
            self.engine,
            events.sql,
            directory,
            exported_at=events.exported_at or read_at,
            max_quantity=events.max_quantity,
        )
        for kind in ("users", "items"):
            path = directory / "sql" / f"{kind}.sql"
            keep_attributes(self.engine, kind, path if path.is_file() else None, directory)
        keep_events(self.engine, run_id="evaluation", timezone=self.settings.timezone)
        drop_staged(self.engine)
        years = [row[0] for row in self.engine.rows("select distinct year(local_time) from sqlseg.events order by 1")]
        with self.engine.registered("public_holidays", holiday_table(self.settings.country, years)):
            self.engine.execute("create or replace table sqlseg.holidays as select * from public_holidays")
        self.end = first_midnight_after(staged.newest, self.settings.timezone)

    @cached_property
    def first(self) -> datetime:
        """When the shop's history begins: before it lie at most 0.1% of events, strays by a wrong clock."""
        found: datetime = self.engine.value("select quantile_disc(event_time, 0.001) from sqlseg.events")
        return found

    @property
    def days(self) -> int:
        """The length of the history."""
        return (self.end - self.first).days

    @cached_property
    def event_types(self) -> dict[str, int]:
        """How many events of each type there are."""
        return dict(self.engine.rows("select event_type, count(*) from sqlseg.events group by 1 order by 2 desc, 1"))

    @cached_property
    def has_prices(self) -> bool:
        """Whether most purchases have a price."""
        return bool(
            self.engine.value(
                "select coalesce(avg((price is not null)::int), 0) > 0.5 from sqlseg.events "
                "where event_type = 'purchase'"
            )
        )

    @cached_property
    def users_total(self) -> int:
        """The number of users of the whole history."""
        return int(self.engine.value("select count(distinct user_id) from sqlseg.events"))

    def before_end(self, days: int) -> datetime:
        """Return the midnight in the shop's zone that many days before the end, in UTC."""
        clock = local(self.end, self.settings.timezone) - timedelta(days=days)
        return clock.replace(tzinfo=ZoneInfo(self.settings.timezone)).astimezone(UTC).replace(tzinfo=None)

    def snapshot(self, as_of: datetime, encoders: Sequence[Encoder], forecasters: Sequence[Encoder] = ()) -> Snapshot:
        """Return what was known at a moment: every feature view, contents, and the embeddings of these encoders.

        With `forecasters`, some of them, also what the heads of their adapted forecasts read.
        """
        moment = Moment(as_of, local(as_of, self.settings.timezone))
        registry = self.project.registry
        sequences = {encoder.ref: registry.view("sequences", encoder.manifest.sequence) for encoder in encoders}
        views = self.project.published_views()
        contents = {"content:category@1": registry.view("contents", "category@1"), **self.project.contents()}
        for view in registry.closure([*views, *contents.values(), *sequences.values()]):
            if view.kind == "statistics":
                compute_statistics(self.engine, view, moment)
        count = keep_population(self.engine, moment)
        features = [view for view in views if view.kind == "features"]
        for view in features:
            compute_features(self.engine, view, moment, count)
        how = Embedding(as_of, "cpu", threads=1)
        compute_contents(self.engine, self.project, list(contents.values()), lambda view: moment, how, latest=False)
        for sequence in {view.ref: view for view in sequences.values()}.values():
            # Several encoders read the same tokens, which cost more than the encoding.
            text = bound_sql(sequence, as_of, moment.local_as_of, moment.source, pretty=False)
            self.engine.execute(f"create or replace temp table {TOKENS} as {text}")
            for encoder in encoders:
                if sequences[encoder.ref].ref == sequence.ref:
                    self._embed(encoder, as_of)
        inputs = [InputRef("features", v.name, v.version) for v in features if numeric_columns(self.engine, v.table)]
        inputs += [InputRef("content", v.name, v.version) for v in contents.values() if self._has_rows(v)]
        inputs += [InputRef("encoder", encoder.manifest.name, encoder.manifest.version) for encoder in encoders]
        everything = ClusterSegmentation.model_construct(kind="cluster", inputs=tuple(inputs))
        blocks = read_blocks(self.engine, replace(self.project, encoders=tuple(encoders)), everything)
        read = tuple(view for view in features if view.ref in READ_BY_FORECASTS)
        heads = {
            encoder.ref: known_of_users(self.engine, Forecast(encoder, read, DEFAULT_HORIZONS), moment)
            for encoder in forecasters
        }
        return Snapshot(as_of, read_users(self.engine), {block.name: block for block in blocks}, heads)

    def _has_rows(self, view: View) -> bool:
        return self.engine.row(f"select 1 from sqlseg.{view.table} limit 1") is not None

    def product_outcome(self, since: datetime, until: datetime) -> ProductOutcome:
        """Return what the users of the newest snapshot did between two moments, as the product's heads learn it."""
        table = self.engine.table(sql_text("steps/forecast/past_outcomes.sql"), {"since": since, "until": until})
        return ProductOutcome(table["orders"].to_numpy(), table["spend"].to_numpy() if self.has_prices else None)

    def _embed(self, encoder: Encoder, as_of: datetime) -> None:
        embed(
            self.engine, encoder, TOKENS, "sqlseg.population", everyone=True, embedded_at=as_of, device="cpu", threads=1
        )

    def outcome(self, snapshot: Snapshot, days: int) -> Outcome:
        """Return what the users of a snapshot did in the days after it."""
        later = "event_time >= $as_of and event_time < $until"
        rows = self.engine.rows(
            f"select user_id, coalesce(bool_or(event_type = 'purchase') filter ({later}), false), "
            "  coalesce(sum(case event_type when 'purchase' then 1 when 'return' then -1 else 0 end * price "
            f"    * coalesce(quantity, 1)) filter ({later}), 0), "
            "  coalesce(bool_or(event_type = 'purchase') filter (event_time < $as_of), false) "
            "from sqlseg.events where user_id in (select user_id from sqlseg.events where event_time < $as_of) "
            "group by user_id order by user_id",
            {"as_of": snapshot.as_of, "until": snapshot.as_of + timedelta(days=days)},
        )
        if [row[0] for row in rows] != list(snapshot.users):
            raise AssertionError("the users of a snapshot and of its outcome differ")
        spend = np.maximum([float(row[2]) for row in rows], 0.0)
        return Outcome(
            np.array([row[1] for row in rows], dtype=bool),
            spend if self.has_prices else np.full(len(rows), np.nan),
            np.array([row[3] for row in rows], dtype=bool),
        )

    def attributes(self) -> dict[str, list[Any]]:
        """Return the columns of the shop's sql/users.sql."""
        table = self.engine.table("select * from sqlseg.users order by user_id")
        return {name: table[name].to_pylist() for name in table.column_names}
