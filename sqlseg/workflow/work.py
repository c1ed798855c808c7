"""A refresh under way: what it has been given, and what its steps have found so far."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.memory import give_back_memory
from sqlseg.features.view import View
from sqlseg.segments.blocks import Block
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.supervised import SupervisedModel
from sqlseg.settings import RulesSegmentation
from sqlseg.workflow.as_of import local
from sqlseg.workflow.forecast_views import forecast_view, sentiment_view
from sqlseg.workflow.kept import Kept
from sqlseg.workflow.materialise import Moment
from sqlseg.workflow.narration import Narrator
from sqlseg.workflow.plan import Plan
from sqlseg.workflow.project import PinnedUsers, Project
from sqlseg.workflow.segmenting import Placed
from sqlseg.workflow.state import ForecastInUse, LastRefresh, ModelInUse, Run, SentimentInUse

if TYPE_CHECKING:
    from sqlseg.workflow.checking import CheckResult


@dataclass(frozen=True)
class LookBack:
    """Users as of the last refresh, in the light of what is known now.

    Of a cluster segmentation the `inputs`, to be placed by any model; of a rule the `segments` it puts them in. Where
    it is defined anew, the segments `by_old_definition`, if that can still be computed.
    """

    users: NDArray[Any]
    inputs: tuple[Block, ...] = ()
    segments: NDArray[Any] | None = None
    by_old_definition: Mapping[str, str] | None = None

    def placed_by(self, model: ClusterModel | SupervisedModel, pinned: PinnedUsers | None = None) -> dict[str, str]:
        """Return the segment that a model puts each user in, and pins hold some in."""
        ids = np.array(model.segment_ids, dtype=object)
        placed = dict(zip(self.users, ids[model.score(self.inputs).labels], strict=True))
        if pinned is not None and isinstance(model, ClusterModel):
            for user, name in pinned.segment_of.items():
                if user in placed and name in model.pinned:
                    placed[user] = ids[model.pinned[name]]
        return placed


Before = dict[str, LookBack]
"""By segmentation; empty where nothing but behaviour can have moved anyone."""


def _own_rows(views: Iterable[View]) -> list[View]:
    """Return the views that have rows of users; statistics stand still until a refit."""
    return [view for view in views if view.kind != "statistics"]


@dataclass
class Work:
    """A refresh under way: what it has been given, and what its steps have found so far."""

    engine: Engine
    project: Project
    plan: Plan
    run: Run
    last: LastRefresh | None
    models: Mapping[str, ModelInUse]
    narrator: Narrator
    require_gpu: bool
    threads: int
    behind: frozenset[str]
    kept: Kept = field(default_factory=Kept)
    forecasts: dict[str, ForecastInUse] = field(default_factory=dict)
    sentiment: SentimentInUse | None = None
    users: NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=object))
    provider: str | None = None
    content_notes: tuple[str, ...] = ()
    users_moved: int = 0
    publish_anyway: bool = False
    placed: dict[str, Placed] = field(default_factory=dict)
    checked: "list[CheckResult] | None" = None
    """What the checks of the features found, once they have been run on those there are now."""
    activity_kept: bool = False
    """Whether what users bought has been brought up to date since."""
    days_by_user: bool = False
    """Whether that was done for touched users alone, with what was kept of their days before put aside."""
    holidays_changed: bool = False

    @property
    def moment(self) -> Moment:
        """As of when this refresh computes."""
        return Moment(self.plan.as_of, local(self.plan.as_of, self.run.timezone))

    def concerns_everyone(self, view: View) -> bool:
        """Whether a view's rows of all users must be computed anew, not only those of the touched ones."""
        registry = self.project.registry
        if self.plan.everyone_because is not None or self.last is None:
            return True
        if self.plan.as_of != self.last.as_of and registry.uses_as_of(view):
            return True
        return self.holidays_changed and any("holidays" in part.reads for part in registry.closure([view]))

    @property
    def others_stand(self) -> bool:
        """Whether users whom nothing touched stand as they did, but for what a rule or model makes of all of them."""
        last, plan = self.last, self.plan
        return (
            last is not None
            and plan.everyone_because is None
            and plan.as_of == last.as_of
            and not self.holidays_changed
        )

    def moves_everyone(self, name: str) -> bool:
        """Whether inputs of a segmentation may have changed for users whom nothing touched since they were placed."""
        project = self.project
        segmentation = project.settings.segmentations[name]
        if self.plan.everyone_because is not None or self.last is None or name in self.behind:
            return True
        if isinstance(segmentation, RulesSegmentation):
            if self.holidays_changed or not project.rule_is_local(segmentation.sql):
                return True
            return any(
                self.concerns_everyone(view) for view in _own_rows(project.views_read_by_rules(segmentation.sql))
            )
        views = _own_rows(project.views_read_by_cluster(segmentation))
        if any(view.holds_images or self.concerns_everyone(view) for view in views):
            return True
        return self.plan.as_of != self.last.as_of and any(one.kind == "forecast" for one in segmentation.inputs)

    @property
    def views_stand(self) -> bool:
        """Whether the views that people read are what they were after the last refresh, but for as_of."""
        last, plan = self.last, self.plan
        return last is not None and plan.everyone_because is None and plan.definition == last.definition

    @property
    def days_follow(self) -> str | None:
        """The refresh from which days of segments differ by what changed since; None where all are counted anew.

        That is done once a day, so that what has gone wrong on one is not carried on.
        """
        last = self.last
        return last.run_id if last is not None and self.others_stand and self.days_by_user else None

    @property
    def learned_views(self) -> tuple[View, ...]:
        """The views of what is forecast and of the mood of reviews, by the models in use."""
        forecasts = [
            forecast_view(forecast, self.forecasts[forecast.ref].model.columns)
            for forecast in self.project.forecasts
            if forecast.ref in self.forecasts
        ]
        moods = [sentiment_view(self.project.sentiment)] if self.project.sentiment and self.sentiment else []
        return (*forecasts, *moods)

    def views_beside(self, name: str) -> tuple[View, ...]:
        """Return what people read beside a segmentation: feature views, and all that is learned."""
        return (*self.project.views_beside(name), *self.learned_views)

    def give_back_memory(self) -> None:
        """Give back what was read for a step that is over, where everybody is computed anew; nothing may be running."""
        if self.plan.everyone_because is not None:
            give_back_memory(self.engine, self.project.settings.warehouse.memory_limit)

    @property
    def only_past_changed(self) -> bool:
        """Whether late data are all that can have moved anyone besides behaviour: then only those users matter."""
        return not any(plan.redefined or plan.action == "fit" for plan in self.plan.segmentations)

    def moment_of_last(self) -> Moment:
        """As of when the refresh before computed, with all that is known of that time by now."""
        assert self.last is not None
        through = self.last.data_through.isoformat(sep=" ")
        users = " and user_id in (select user_id from late_users)" if self.only_past_changed else ""
        return Moment(
            self.last.as_of,
            local(self.last.as_of, self.run.timezone),
            f"(select * from sqlseg.events where event_time <= timestamp '{through}'{users})",
        )
