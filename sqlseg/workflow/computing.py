"""Computes what users are placed by: of those the refresh must look at, as of now and as of the last refresh."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sqlseg.engine.duckdb import quoted
from sqlseg.features.view import View
from sqlseg.settings import RulesSegmentation
from sqlseg.workflow.activity import REVENUE
from sqlseg.workflow.content import EVERYTHING, Embedding, compute_contents
from sqlseg.workflow.embedding import embed_users
from sqlseg.workflow.forecasting import compute_forecasts, renew_forecasts
from sqlseg.workflow.inputs import read_blocks, read_users
from sqlseg.workflow.materialise import Moment, compute_features, compute_statistics, keep_population
from sqlseg.workflow.old_definition import placed_by_old_definition
from sqlseg.workflow.parts import (
    compute_from_parts,
    leave_parts_behind,
    read_events_of_behind,
    remember_parts,
)
from sqlseg.workflow.ruling import rule_segments
from sqlseg.workflow.segmenting import late_users
from sqlseg.workflow.sentiment import compute_sentiment, renew_sentiment
from sqlseg.workflow.touched import (
    RECOMPUTED,
    TOUCHED_EVENTS,
    change_population,
    read_touched_events,
    set_aside,
    touch_whose_events_come_of_age,
)
from sqlseg.workflow.work import Before, LookBack, Work

ENCODER_IN_VIEWS = 20
"""Progress counts an encoder for so many views: it takes as long as 16 with 100,000 users, as 24 with 500,000."""


def renew_statistics(work: Work) -> None:
    """Compute the shop-wide tables that are missing or due."""
    for view in work.plan.statistics():
        if view.relation in work.plan.renewed_statistics:
            compute_statistics(work.engine, view, work.moment)


def compute_inputs(work: Work, moment: Moment, *, everyone: bool = True) -> None:
    """Compute population, features and embeddings as of a moment.

    Without `everyone` the moment's events are those of a few users, and embeddings of the others stay.
    """
    users = keep_population(work.engine, moment)
    latest = moment == work.moment
    _compute_contents(work, lambda view: moment, latest=latest)
    _embed_and_compute(work, lambda view: moment, lambda view: users, everyone=everyone, kept=_NONE if latest else None)
    if latest:
        remember_parts(work.engine, work.plan.features(), work.run.run_id)
    compute_forecasts(work, moment)
    compute_sentiment(work, moment)


_NONE: frozenset[str] = frozenset()


def _embed_and_compute(
    work: Work,
    moment_of: Callable[[View], Moment],
    users_of: Callable[[View], int],
    *,
    everyone: bool | None = None,
    kept: frozenset[str] | None = None,
) -> None:
    """Embed users and compute feature views; `users_of` says how many users a view has rows of.

    Views of everyone are computed by way of their parts, of which some are `kept`; not so where that is None.
    """
    features, encoders = work.plan.features(), work.project.encoders
    total = len(features) + ENCODER_IN_VIEWS * len(encoders)

    def compute_views() -> None:
        for done, view in enumerate(features, start=ENCODER_IN_VIEWS * len(encoders)):
            work.narrator.progress(done, total)
            if kept is None or not moment_of(view).of_everyone:
                compute_features(work.engine, view, moment_of(view), users_of(view))
            else:
                compute_from_parts(work.engine, view, moment_of(view), users_of(view), kept)

    for number, encoder in enumerate(encoders):

        def encoded(share: float, number: int = number) -> None:
            work.narrator.progress(ENCODER_IN_VIEWS * (number + share), total)

        encoded(0.0)
        moment = moment_of(work.project.registry.view("sequences", encoder.manifest.sequence))
        # The database computes features while the last users are being encoded.
        meanwhile = compute_views if encoder is encoders[-1] else None
        all_of_them = moment.of_everyone if everyone is None else everyone
        embed_users(work, encoder, moment, everyone=all_of_them, meanwhile=meanwhile, encoded=encoded)
    if not encoders:
        compute_views()


def compute_changed_inputs(work: Work) -> None:
    """Compute what changed since the last refresh of population, features and embeddings.

    Views are user-local, so of the users whom nothing touched only those rows change that as_of moves.
    """
    engine, kept = work.engine, None
    assert work.last is not None
    if work.plan.as_of == work.last.as_of:
        leave_parts_behind(engine, work.last.run_id, work.run.run_id)
        read_touched_events(engine)
    else:
        touch_whose_events_come_of_age(engine, work.last.as_of, work.plan.as_of)
        kept = read_events_of_behind(engine, work.last.run_id)
    of_touched = replace(work.moment, events=TOUCHED_EVENTS, users=RECOMPUTED)
    touched = change_population(engine, work.plan.as_of)
    everyone = int(engine.value("select count(*) from sqlseg.population"))

    def moment_of(view: View) -> Moment:
        return work.moment if work.concerns_everyone(view) else of_touched

    _compute_contents(work, moment_of, latest=True)
    _embed_and_compute(work, moment_of, lambda view: everyone if moment_of(view).of_everyone else touched, kept=kept)
    if kept is not None:
        remember_parts(engine, work.plan.features(), work.run.run_id)
    compute_forecasts(work, work.moment if work.plan.as_of != work.last.as_of else of_touched)
    compute_sentiment(work, of_touched)


def _compute_contents(work: Work, moment_of: Callable[[View], Moment], *, latest: bool) -> None:
    how = Embedding(work.run.started_at, "cuda" if work.require_gpu else None, work.threads)
    ran = compute_contents(work.engine, work.project, work.plan.contents(), moment_of, how, latest=latest)
    work.provider = ran.provider or work.provider
    work.content_notes = ran.notes


def compute(work: Work) -> Before:
    """Compute the inputs as of now, and where moves may have several causes as of the last refresh as well."""
    before: Before = {}
    work.give_back_memory()
    renew_statistics(work)
    renew_forecasts(work)
    renew_sentiment(work)
    if work.plan.everyone_because is not None:
        work.kept.drop()
        if work.plan.look_back:
            before = look_back(work)
        compute_inputs(work, work.moment)
        work.users = work.kept.renew(work.engine)
        return before
    if work.plan.look_back:
        computed = (*work.plan.features(), *work.plan.contents(), *work.learned_views)
        with set_aside(work.engine, ["population", *(view.table for view in computed)]):
            before = look_back(work)
    compute_changed_inputs(work)
    fresh = {REVENUE, *(view.table for view in work.plan.features() if not work.concerns_everyone(view))}
    work.users = work.kept.renew(work.engine, fresh | _learned_by_user(work), fresh)
    return before


def _learned_by_user(work: Work) -> set[str]:
    """Return the tables of what is learned of users that only rows of touched ones can have changed in since."""
    assert work.last is not None
    same_day = work.plan.as_of == work.last.as_of
    tables = {view.table for view in work.learned_views if same_day or not view.name.startswith("forecast_")}
    for encoder in work.project.encoders:
        if not work.concerns_everyone(work.project.registry.view("sequences", encoder.manifest.sequence)):
            tables.add(encoder.table)
    return tables


def look_back(work: Work) -> Before:
    """Return users as of the last refresh, for every segmentation of the plan that was there."""
    moment = work.moment_of_last()
    compute_inputs(work, moment, everyone=not work.only_past_changed)
    users = read_users(work.engine)
    before: Before = {}
    if len(users) == 0:
        return before
    computed = {view.relation for view in work.plan.features()}
    for plan in work.plan.segmentations:
        segmentation = work.project.settings.segmentations[plan.name]
        if plan.name not in work.models:
            continue
        if isinstance(segmentation, RulesSegmentation):
            placed = rule_segments(work.engine, work.project, plan.name, segmentation, users)
            segments = np.array(placed.segment_ids, dtype=object)[placed.labels]
            before[plan.name] = LookBack(users, segments=segments)
        else:
            before[plan.name] = LookBack(users, inputs=read_blocks(work.engine, work.project, segmentation, EVERYTHING))
        if plan.redefined and late_users(work.engine):
            placed_then = placed_by_old_definition(
                work.engine,
                work.project,
                plan.name,
                segmentation,
                work.models[plan.name],
                users,
                computed,
                lambda view: compute_features(work.engine, view, moment, len(users)),
            )
            before[plan.name] = replace(before[plan.name], by_old_definition=placed_then)
    return before


def count_embedded(work: Work) -> int:
    """Return how many users were embedded anew in this refresh; whoever was embedded twice on the way counts once."""
    return sum(
        int(
            work.engine.value(
                f"select count(*) from embeddings.{quoted(encoder.table)} where embedded_at = $now",
                {"now": work.run.started_at},
            )
        )
        for encoder in work.project.encoders
    )
