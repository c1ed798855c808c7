"""Decides what a refresh has to do, from what is new in the sources and in the definitions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlseg.events.staging import Changes, Staged
from sqlseg.features.view import View
from sqlseg.settings import FittedSegmentation, RulesSegmentation
from sqlseg.workflow.definition import (
    Definition,
    changed_parts,
    forecast_definition,
    project_definition,
    segmentation_definition,
    sentiment_definition,
)
from sqlseg.workflow.project import Project
from sqlseg.workflow.state import ForecastInUse, LastRefresh, ModelInUse, SentimentInUse

FORECASTS_LAST_DAYS = 30
"""After so many days of the shop's time, forecasts are learned anew."""

SENTIMENT_LASTS_DAYS = 365
"""After so many days of the shop's time, the mood of reviews is learned anew: words change their meaning slowly."""

Refit = Literal["drift", "always", "never"]
Kind = Literal["cold", "warm", "refit", "noop"]
Action = Literal["fit", "assign", "rules"]


@dataclass(frozen=True)
class SegmentationPlan:
    """What happens to one segmentation, and why.

    `fit` finds the segments anew, `assign` places users with the model in use, `rules` runs its SELECT.
    """

    name: str
    action: Action
    reasons: tuple[str, ...]
    definition: Definition
    redefined: bool
    refit_on_drift: bool


@dataclass(frozen=True)
class Plan:
    """What a refresh does; `plan` shows it and `refresh` carries the same one out.

    `renewed_models` are the forecasts and moods whose models are fitted, with the reason; `forecasts_there` (by ref)
    and `sentiment_there` are the models that there are.
    `everyone_because` says why features and embeddings of all users are computed anew; None where those of the
    touched users are, and of the others only what as_of moves.
    `look_back` says that moves may have other causes than behaviour, so users are also placed as of the last run.
    Instants are UTC without zone.
    """

    kind: Kind
    as_of: datetime
    data_through: datetime
    staged: Staged
    changes: Changes
    source_fingerprint: str
    definition: Definition
    news: tuple[str, ...]
    segmentations: tuple[SegmentationPlan, ...]
    views: tuple[View, ...]
    renewed_statistics: frozenset[str]
    look_back: bool
    renewed_models: Mapping[str, str]
    forecasts_there: Mapping[str, ForecastInUse]
    sentiment_there: SentimentInUse | None
    everyone_because: str | None

    @property
    def scope(self) -> str:
        """Whose features and embeddings are computed anew, in words."""
        if self.everyone_because is not None:
            return f"Features and embeddings of all users are computed anew: {self.everyone_because}."
        return "Features and embeddings are computed anew where events, attributes or the passing of time change them."

    def statistics(self) -> tuple[View, ...]:
        """The shop-wide views among `views`."""
        return tuple(view for view in self.views if view.kind == "statistics")

    def features(self) -> tuple[View, ...]:
        """The feature views among `views`, each after those it reads."""
        return tuple(view for view in self.views if view.kind == "features")

    def contents(self) -> tuple[View, ...]:
        """The content views among `views`."""
        return tuple(view for view in self.views if view.kind == "contents")


def make_plan(
    project: Project,
    *,
    staged: Staged,
    source_fingerprint: str,
    changes: Changes,
    as_of: datetime,
    data_through: datetime,
    last: LastRefresh | None,
    models: Mapping[str, ModelInUse],
    statistics_there: frozenset[str],
    forecasts_there: Mapping[str, ForecastInUse] | None = None,
    sentiment_there: SentimentInUse | None = None,
    behind: frozenset[str] = frozenset(),
    only: str | None = None,
    refit: Refit | None = None,
    full: bool = False,
    drifted: Mapping[str, tuple[str, ...]] | None = None,
    tables_there: frozenset[str] = frozenset(),
    concerns: tuple[str, ...] = (),
) -> Plan:
    """Return the plan of a refresh.

    `behind` are segmentations that the last refresh left out, `only` restricts this one to one segmentation, `refit`
    overrides the policy of all, `full` does everything anew,
    `drifted` names segmentations whose users were found to have moved away from their model, with the reasons,
    `tables_there` are the computed tables in the schema sqlseg, and `concerns` is what changed in the sources besides
    events and concerns everybody.
    """
    definition = project_definition(project)
    news = _news(source_fingerprint, changes, as_of, definition, last)
    every = {
        name: _segmentation_plan(project, name, models.get(name), refit, (drifted or {}).get(name), bool(news))
        for name in project.settings.segmentations
    }
    scope = {name for name in every if only is None or name == only}
    if behind & scope:
        news = (*news, f"The last refresh left out: {', '.join(sorted(behind & scope))}.")
    views = tuple(project.computed_views())
    there = forecasts_there or {}
    due = _due_models(project, there, sentiment_there, as_of, scope, refit)
    settled = statistics_there | (set(project.learned) - set(due))
    renewed, pulled_in = _renewed(project, every, scope, views, settled)
    planned = {
        name: _with_statistics(project, plan, renewed) for name, plan in every.items() if name in scope | pulled_in
    }
    fits = any(plan.action == "fit" for plan in planned.values())
    kind: Kind = "warm"
    if last is None:
        kind = "cold"
    elif fits:
        kind = "refit"
    elif not news and not full and set(models) == set(every):
        kind = "noop"
    others = changes.events_late > 0 or changes.events_gone > 0 or any(p.redefined for p in planned.values()) or fits
    return Plan(
        kind=kind,
        as_of=as_of,
        data_through=data_through,
        staged=staged,
        changes=changes,
        source_fingerprint=source_fingerprint,
        definition=definition,
        news=news,
        segmentations=tuple(planned.values()),
        views=views,
        renewed_statistics=frozenset(name for name in renewed if name.startswith("stats.")),
        renewed_models={
            one: due.get(one, "what depends on it is fitted anew") for one in project.learned if one in renewed
        },
        forecasts_there=there,
        sentiment_there=sentiment_there,
        look_back=last is not None and others,
        everyone_because=_everyone_because(last, definition, concerns, renewed, views, tables_there, fits, full),
    )


def _everyone_because(
    last: LastRefresh | None,
    definition: Definition,
    concerns: tuple[str, ...],
    renewed: frozenset[str],
    views: tuple[View, ...],
    tables_there: frozenset[str],
    fits: bool,
    full: bool,
) -> str | None:
    """Return why the rows of all users must be computed anew, None where those of touched users will do."""
    if last is None:
        return "this is the first refresh"
    if full:
        return "--full asks for it"
    if changed := changed_parts(last.definition, definition):
        return f"definitions changed: {'; '.join(changed)}"
    if concerns:
        return "; ".join(concerns)
    if renewed:
        return f"{', '.join(sorted(renewed))} is computed anew"
    if fits:
        return "segments are found anew"
    missing = sorted(
        view.ref for view in views if view.kind in ("features", "contents") and view.table not in tables_there
    )
    return f"{', '.join(missing)} is not there yet" if missing else None


def _news(
    source_fingerprint: str, changes: Changes, as_of: datetime, definition: Definition, last: LastRefresh | None
) -> tuple[str, ...]:
    if last is None:
        return ("This is the first refresh.",)
    news = []
    if source_fingerprint != last.source_fingerprint:
        counts = [
            f"{changes.events_new:,} new events" if changes.events_new else "",
            f"{changes.events_gone:,} events gone" if changes.events_gone else "",
            f"{changes.events_late:,} of the new ones late" if changes.events_late else "",
        ]
        told = ", ".join(part for part in counts if part) or "attributes or refused rows changed"
        news.append(f"Sources: {told}.")
    if as_of != last.as_of:
        news.append(f"as_of moves from {last.as_of} to {as_of} (UTC).")
    changed = changed_parts(last.definition, definition)
    if changed:
        news.append(f"Definitions: {'; '.join(changed)}.")
    elif definition != last.definition:
        news.append("Definitions: comments changed.")
    return tuple(news)


def _segmentation_plan(
    project: Project,
    name: str,
    model: ModelInUse | None,
    refit: Refit | None,
    drifted: tuple[str, ...] | None,
    is_news: bool,
) -> SegmentationPlan:
    segmentation = project.settings.segmentations[name]
    definition = segmentation_definition(project, name)
    changed = changed_parts(model.definition, definition) if model else ()
    if isinstance(segmentation, RulesSegmentation):
        reasons = changed if model else ("it is new",)
        return SegmentationPlan(name, "rules", reasons, definition, bool(changed), refit_on_drift=False)
    assert isinstance(segmentation, FittedSegmentation)
    policy = refit or segmentation.refit
    if model is None:
        return SegmentationPlan(name, "fit", ("it is new",), definition, redefined=False, refit_on_drift=False)
    if changed:
        return SegmentationPlan(name, "fit", changed, definition, redefined=True, refit_on_drift=False)
    # Asked for on the command line it is done; as a setting it waits for something new.
    if refit == "always" or (policy == "always" and is_news):
        return SegmentationPlan(name, "fit", ("refit is always",), definition, redefined=False, refit_on_drift=False)
    if drifted is not None:
        return SegmentationPlan(name, "fit", drifted, definition, redefined=False, refit_on_drift=False)
    reasons = ("the model in use still fits its definition",)
    return SegmentationPlan(name, "assign", reasons, definition, redefined=False, refit_on_drift=policy == "drift")


def _due_models(
    project: Project,
    forecasts: Mapping[str, ForecastInUse],
    sentiment: SentimentInUse | None,
    as_of: datetime,
    scope: set[str],
    refit: Refit | None,
) -> dict[str, str]:
    """Return the inputs whose models must be fitted, with the reason: missing, defined anew, or too old.

    Age is a reason where a segmentation in scope reads it, and none that reads it is never to be fitted anew.
    """
    known: list[tuple[str, ForecastInUse | SentimentInUse | None, Definition, int]] = [
        (one.input, forecasts.get(one.ref), forecast_definition(project, one), FORECASTS_LAST_DAYS)
        for one in project.forecasts
    ]
    if project.sentiment is not None:
        definition = sentiment_definition(project, project.sentiment)
        known.append((project.sentiment.input, sentiment, definition, SENTIMENT_LASTS_DAYS))
    due = {}
    for learned, model, definition, lasts in known:
        if model is None:
            due[learned] = "it is new"
            continue
        changed = changed_parts(model.definition, definition)
        if changed:
            due[learned] = "; ".join(changed)
            continue
        age = (as_of - model.fitted_as_of).days
        readers = {
            name: refit or segmentation.refit
            for name, segmentation in project.settings.segmentations.items()
            if isinstance(segmentation, FittedSegmentation) and learned in project.learned_for(segmentation)
        }
        if age >= lasts and scope & set(readers) and "never" not in readers.values():
            due[learned] = f"its model is {age} days old"
    return due


def _renewed(
    project: Project,
    every: Mapping[str, SegmentationPlan],
    scope: set[str],
    views: tuple[View, ...],
    there: frozenset[str],
) -> tuple[frozenset[str], set[str]]:
    """Return the statistics to compute and the models to learn, and the segmentations that must be fitted for it.

    Those that are missing are computed, those that a fit depends on are renewed, and whatever else depends on a
    renewed one is fitted too, to the end. What no segmentation depends on is renewed with any fit.
    """
    statistics = {view.relation for view in views if view.kind == "statistics"}
    needed_by = {name: _shared_by(project, name) for name in every}
    renewed = (statistics | set(project.learned)) - there
    fitted = {name for name in scope if every[name].action == "fit"}
    while True:
        for name in fitted:
            renewed |= needed_by[name]
        more = {name for name in every if every[name].action != "rules" and needed_by[name] & renewed} - fitted
        if not more:
            break
        fitted |= more
    if fitted:
        renewed |= statistics - set().union(*needed_by.values())
    return frozenset(renewed), fitted


def _shared_by(project: Project, name: str) -> set[str]:
    """Return what a segmentation depends on together with others: statistics and what is learned."""
    segmentation = project.settings.segmentations[name]
    if not isinstance(segmentation, FittedSegmentation):
        return set()
    statistics = {view.relation for view in project.views_read_by_cluster(segmentation) if view.kind == "statistics"}
    return statistics | project.learned_for(segmentation)


def _with_statistics(project: Project, plan: SegmentationPlan, renewed: frozenset[str]) -> SegmentationPlan:
    shared = sorted(renewed & _shared_by(project, plan.name))
    if plan.action != "assign" or not shared:
        return plan
    reason = f"{', '.join(shared)} is computed anew, which it depends on"
    return SegmentationPlan(plan.name, "fit", (reason,), plan.definition, redefined=False, refit_on_drift=False)
