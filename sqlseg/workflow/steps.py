"""The steps of a refresh, in order; each reads what the ones before left in the warehouse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.events.reading import record_reading
from sqlseg.events.years import years_of_events
from sqlseg.features.holidays import holiday_table
from sqlseg.insight.naming import SegmentName
from sqlseg.insight.profile import SegmentFigures, Standing, segment_figures
from sqlseg.names import Relation
from sqlseg.segments.content import VOCABULARY
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.refit import reasons_to_refit, told_in_brief
from sqlseg.segments.supervised import SupervisedModel
from sqlseg.settings import FittedSegmentation, RulesSegmentation, SupervisedSegmentation
from sqlseg.workflow import recording
from sqlseg.workflow.activity import REVENUE, keep_activity
from sqlseg.workflow.checking import check_features
from sqlseg.workflow.content import missing_content, record_content_profile, vocabulary
from sqlseg.workflow.daily import record_daily, remember_days
from sqlseg.workflow.explaining import record_reasons, record_rules
from sqlseg.workflow.forecast_views import create_learned_views
from sqlseg.workflow.images import FILES
from sqlseg.workflow.inputs import Readable, read_blocks, read_readable
from sqlseg.workflow.live import create_live_views, drop_live_view
from sqlseg.workflow.materialise import create_public_view
from sqlseg.workflow.pins import record_pins
from sqlseg.workflow.plan import Plan, SegmentationPlan
from sqlseg.workflow.restating import RESTATED, begin_restating, find_restated, keep_restated
from sqlseg.workflow.ruling import rule_segments
from sqlseg.workflow.segment_ids import live_segments
from sqlseg.workflow.segmenting import (
    Placed,
    assign_segments,
    fit_segments,
    fitted_as_of,
    late_users,
    model_before,
    model_in_use,
    previous_segments,
)
from sqlseg.workflow.side_by_side import under_way
from sqlseg.workflow.state import ModelInUse, next_model_version, remember_model
from sqlseg.workflow.supervising import apply_learned, learn_segments
from sqlseg.workflow.touched import TOUCHED
from sqlseg.workflow.used_inputs import record_inputs
from sqlseg.workflow.work import Before, Work


def accept_events(work: Work) -> None:
    """Put the events that were read on record, with the holidays of their years."""
    record_reading(work.engine, work.run.run_id)
    country = work.project.settings.project.country
    holidays = holiday_table(country, [] if country is None else years_of_events(work.engine))
    with work.engine.registered("public_holidays", holidays):
        work.holidays_changed = _differ(work.engine, "sqlseg.holidays", "public_holidays")
        if work.holidays_changed:
            work.engine.execute("create or replace table sqlseg.holidays as select * from public_holidays")


def _differ(engine: Engine, kept: str, new: str) -> bool:
    if not engine.relation_exists(*kept.split(".")):
        return True
    only_in_one = f"(from {kept} except all from {new}) union all (from {new} except all from {kept})"
    return engine.row(f"select 1 from ({only_in_one}) limit 1") is not None


def place_users(work: Work, plan: SegmentationPlan) -> Placed:
    """Find or apply the segments of one segmentation."""
    segmentation = work.project.settings.segmentations[plan.name]
    known, standing = work.models.get(plan.name), None
    if isinstance(segmentation, RulesSegmentation):
        if known is not None and not work.moves_everyone(plan.name):
            segments = live_segments(work.engine, plan.name)
            standing = work.kept.standing(work.engine, plan.name, segments, known.version)
        return rule_segments(work.engine, work.project, plan.name, segmentation, work.users, standing)
    pinned = work.project.pins.get(plan.name)
    if plan.action == "fit":
        model = None if known is None or plan.redefined else model_before(work.engine, plan.name, known.version)
        blocks = read_blocks(work.engine, work.project, segmentation, vocabulary(model, VOCABULARY), work.kept)
        previous = previous_segments(work.engine, plan.name)
        if isinstance(segmentation, SupervisedSegmentation):
            return learn_segments(work.engine, work.project, plan.name, work.run.seed, work.users, blocks, previous)
        old = model if isinstance(model, ClusterModel) else None
        return fit_segments(
            work.engine,
            plan.name,
            segmentation,
            work.run.seed,
            work.users,
            blocks,
            previous,
            old,
            meanwhile=None if work.checked is not None else lambda: prepare_tables(work),
            pinned=pinned,
        )
    assert known is not None
    model = model_in_use(work.engine, plan.name, known.version)
    blocks = read_blocks(work.engine, work.project, segmentation, vocabulary(model), work.kept)
    age = work.run.as_of - fitted_as_of(work.engine, plan.name, known.version)
    if not work.moves_everyone(plan.name):
        standing = work.kept.standing(work.engine, plan.name, model.segment_ids, known.version)
    if isinstance(model, SupervisedModel):
        return apply_learned(
            work.engine, work.project, plan.name, model, work.users, blocks, age=age, standing=standing
        )
    return assign_segments(
        model,
        work.users,
        blocks,
        work.run.seed,
        limits=segmentation.drift,
        age=age,
        pinned=pinned,
        standing=standing,
        meanwhile=lambda: _prepare_beside(work, plan.name),
    )


def prepare_tables(work: Work) -> None:
    """Do what the tables and checks need and segments do not, while these are fitted or measured."""
    check_features(work)
    _keep_activity(work)


def _prepare_beside(work: Work, name: str) -> None:
    """Do that, and read what people read beside a segmentation, while its users are measured."""
    if work.checked is None:
        prepare_tables(work)
    for view in work.views_beside(name):
        work.kept.read_ahead(work.engine, view)


def _keep_activity(work: Work) -> None:
    everyone = work.plan.everyone_because is not None
    work.days_by_user = keep_activity(work.engine, work.run.as_of, everyone=everyone)
    work.activity_kept = True


def place_everyone(work: Work) -> dict[str, tuple[str, ...]]:
    """Fill `work.placed`; return those whose users have moved too far from their model, with the reasons."""
    if (problem := missing_content(work.engine, work.project)) is not None:
        raise problem
    work.checked, work.activity_kept = None, False
    work.give_back_memory()
    drifted = {}
    for plan in work.plan.segmentations:
        placed = place_users(work, plan)
        segmentation = work.project.settings.segmentations[plan.name]
        if plan.refit_on_drift and placed.evidence is not None and isinstance(segmentation, FittedSegmentation):
            reasons = (*placed.outdated, *reasons_to_refit(placed.evidence, segmentation.drift))
            if reasons:
                drifted[plan.name] = reasons
        work.placed[plan.name] = placed
    return drifted


def with_evidence(work: Work) -> Plan:
    """Return the plan with the measured reasons for which models stay in use."""
    told = []
    for plan in work.plan.segmentations:
        placed = work.placed[plan.name]
        segmentation = work.project.settings.segmentations[plan.name]
        if plan.refit_on_drift and placed.evidence is not None and isinstance(segmentation, FittedSegmentation):
            brief = told_in_brief(placed.evidence, segmentation.drift)
            plan = replace(plan, reasons=(*plan.reasons, brief))
        told.append(plan)
    return replace(work.plan, segmentations=tuple(told))


def causes_of_moves(work: Work, plan: SegmentationPlan, before: Before) -> NDArray[Any]:
    """Return for each user the cause that a move of this refresh has.

    What changed is swapped in one by one, with time and behaviour standing as at the last refresh until the end: late
    data under the old model, then the new definition or model. The cause is the first swap after which the user is in
    the final segment; who never is has moved by behaviour. Late data are swapped in for users whose past has changed.
    A new definition comes after late data where the old one can still be computed; else the two are swapped in
    together, and count as definition. Attributes from users.sql have no history: what they move counts as behaviour.
    """
    placed = work.placed[plan.name]
    causes = np.full(len(work.users), "behavior", dtype=object)
    back = before.get(plan.name)
    if back is None:
        return causes
    final = np.array(placed.segment_ids, dtype=object)[placed.labels]

    def settle(cause: str, then: Mapping[str, str]) -> None:
        there = [then.get(user) == segment for user, segment in zip(work.users, final, strict=True)]
        causes[np.array(there, dtype=bool)] = cause

    # The first swap that settles a user counts, so the later ones are written first.
    past_changed = {} if plan.name in work.behind else dict.fromkeys(late_users(work.engine), True)
    late: Mapping[str, str] = back.by_old_definition or {}
    if back.segments is not None:
        then = dict(zip(back.users, back.segments, strict=True))
        if plan.redefined:
            settle("definition", then)
        else:
            late = then
    else:
        pinned = work.project.pins.get(plan.name)
        if placed.model is not None and plan.action == "fit":
            settle("definition" if plan.redefined else "model", back.placed_by(placed.model, pinned))
        if not plan.redefined and past_changed:
            old = model_before(work.engine, plan.name, work.models[plan.name].version)
            late = {} if old is None else back.placed_by(old, pinned)
    settle("late_data", {user: segment for user, segment in late.items() if user in past_changed})
    return causes


def record_everything(work: Work, before: Before) -> None:
    """Write segments, memberships, history, profiles and measures."""
    engine = work.engine
    work.give_back_memory()
    if not work.activity_kept:
        _keep_activity(work)
    begin_restating(engine)
    for views, together in groupby(work.plan.segmentations, lambda plan: work.views_beside(plan.name)):
        _record_together(work, list(together), read_readable(engine, views, work.kept), before)
    if not work.views_stand:
        for name in work.project.settings.segmentations:
            recording.create_users_view(engine, name, work.views_beside(name))


def _record_together(work: Work, plans: Sequence[SegmentationPlan], readable: Readable, before: Before) -> None:
    """Write what segmentations came to beside which the same features are read.

    Their figures are computed while the database is at work, which seldom has to wait for them: names stay.
    """
    engine, placed = work.engine, [work.placed[plan.name] for plan in plans]
    divided = [(one.labels, len(one.segment_ids)) for one in placed]
    with under_way(lambda: segment_figures(readable.values, divided)) as figures:
        named = []
        for number, plan in enumerate(plans):
            work.narrator.progress(work.plan.segmentations.index(plan), len(work.plan.segmentations))
            standing = partial(_standing_of, figures, number)
            named.append(record_one(work, plan, readable, standing, causes_of_moves(work, plan, before)))
        spent = work.kept.features(engine, REVENUE)[1][:, 0]
        for plan, one, names, found in zip(plans, placed, named, figures(), strict=True):
            recording.record_profile(engine, plan.name, one, found.profile)
            recording.describe_segments(engine, one, names, found, readable, spent)


def _standing_of(figures: Callable[[], tuple[SegmentFigures, ...]], number: int) -> Standing:
    return figures()[number].standing


def record_one(
    work: Work, plan: SegmentationPlan, readable: Readable, standing: Callable[[], Standing], causes: NDArray[Any]
) -> dict[str, SegmentName]:
    """Write what one segmentation came to, but for its figures; return the names of its segments."""
    engine, run, placed = work.engine, work.run, work.placed[plan.name]
    segmentation = work.project.settings.segmentations[plan.name]
    model = work.models.get(plan.name)
    fitted = plan.action == "fit" or model is None or plan.redefined
    version = model.version if model and not fitted else next_model_version(engine, plan.name)
    everyone = placed.changed is None and not work.others_stand
    work.kept.place(plan.name, version, placed)
    spent = work.kept.features(engine, REVENUE)[1][:, 0]
    recording.find_moves(engine, plan.name, placed, work.users, causes, spent)
    remembered = remember_days(engine, run, plan.name, work.days_follow)
    work.users_moved += recording.record_moves(engine, run, plan.name)
    if not everyone:
        find_restated(engine, plan.name, version, placed_anew=placed.changed is None)
    if fitted:
        recording.record_model(engine, run, plan, segmentation, placed, version)
        remember_model(engine, plan.name, ModelInUse(version, plan.definition))
    names = recording.name_segments(engine, plan.name, placed, readable, standing, fitted=fitted)
    rule = plan.definition["sql"] if isinstance(segmentation, RulesSegmentation) else None
    recording.record_membership(engine, run, plan.name, placed, names, version, rule, spent, everyone=everyone)
    record_reasons(engine, plan.name, placed, work.users, everyone=everyone)
    if not everyone:
        keep_restated(engine)
    record_pins(engine, plan.name, placed.segment_ids, placed.pinned, work.users)
    record_content_profile(engine, plan.name, work.project.contents())
    if fitted and placed.model is not None:
        record_rules(engine, run, plan.name, placed, readable, version)
        record_inputs(engine, plan.name, version, placed.model)
    record_daily(engine, run, plan.name, remembered=remembered)
    recording.record_measures(engine, run, plan.name, placed)
    fitted_at: datetime = engine.value(
        "select fitted_at from segments.model where segmentation = $name and model_version = $version",
        {"name": plan.name, "version": version},
    )
    recording.record_segmentation(engine, run, plan.name, segmentation, placed, version, fitted_at)
    return names


def changed_by_user(work: Work) -> dict[Relation, str]:
    """Return the published tables in which only some rows can be other than the last refresh left them.

    With each comes the temporary table of the users whose rows these are.
    """
    if work.plan.everyone_because is not None or work.last is None:
        return {}
    same_day = work.plan.as_of == work.last.as_of
    views = [view for view in work.plan.features() if not work.concerns_everyone(view)]
    views += [view for view in work.learned_views if same_day or not view.name.startswith("forecast_")]
    tables = dict.fromkeys((Relation("features", f"{view.name}_v{view.version}") for view in views), TOUCHED)
    if work.others_stand:
        names = ["membership", "membership_history", "user_reason"]
        names += [f"{name}_users" for name in work.project.settings.segmentations]
        tables |= dict.fromkeys((Relation("segments", name) for name in names), RESTATED)
    return tables


def create_public_views(work: Work) -> None:
    """Make the views over the events that people read in the warehouse, and take away what is no longer computed."""
    moment = work.moment
    if work.views_stand:
        assert work.last is not None
        for view in work.plan.features() if work.plan.as_of != work.last.as_of else ():
            create_public_view(work.engine, view, moment.as_of, moment.local_as_of, in_use=False)
        return
    _drop_unused(work)
    for view in work.plan.features():
        in_use = work.project.in_use(view.name).version == view.version
        create_public_view(work.engine, view, moment.as_of, moment.local_as_of, in_use=in_use)
    create_learned_views(work.engine, work.learned_views)
    create_live_views(work.engine, list(work.project.settings.segmentations))


def _drop_unused(work: Work) -> None:
    """Drop what an earlier refresh computed and this one does not, and remember what this one did."""
    engine, features = work.engine, (*work.plan.features(), *work.learned_views)
    now = [("view", "features", f"{view.name}_v{view.version}") for view in features]
    now += [("view", "features", name) for name in dict.fromkeys(view.name for view in features)]
    now += [("table", "sqlseg", view.table) for view in (*features, *work.plan.contents())]
    now += [("table", "stats", view.relation.partition(".")[2]) for view in work.plan.statistics()]
    now += [("table", "embeddings", encoder.table) for encoder in work.project.encoders]
    if work.project.text_encoder is not None:
        now.append(("table", "embeddings", work.project.text_encoder.table))
    if work.project.image_encoder is not None:
        now += [("table", "embeddings", work.project.image_encoder.table), ("table", "sqlseg", FILES)]
    before = engine.rows("select kind, schema_name, name from sqlseg.computed_relation order by kind desc, 2, 3")
    for kind, schema, name in before:
        if (kind, schema, name) not in now:
            engine.execute(f"drop {kind} if exists {schema}.{quoted(name)}")
    engine.execute("delete from sqlseg.computed_relation")
    engine.insert("sqlseg.computed_relation", now)


def remove_dropped(work: Work) -> None:
    """Take out what the settings no longer name: segmentations leave the tables of the present, not the history."""
    engine, run = work.engine, work.run
    names = list(work.project.settings.segmentations)
    stored = [row[0] for row in engine.rows("select segmentation from segments.segmentation order by 1")]
    for name in stored:
        if name in names:
            continue
        for table in (
            "segmentation",
            "membership",
            "profile",
            "user_reason",
            "rule",
            "pin",
            "content_profile",
            "daily",
        ):
            engine.execute(f"delete from segments.{table} where segmentation = $name", {"name": name})
        engine.execute("delete from sqlseg.segment_day where segmentation = $name", {"name": name})
        ended = {"name": name, "through": run.data_through}
        engine.execute(
            "delete from segments.membership_history "
            "where segmentation = $name and valid_to is null and valid_from >= $through",
            ended,
        )
        engine.execute(
            "update segments.membership_history set valid_to = $through "
            "where segmentation = $name and valid_to is null",
            ended,
        )
        engine.execute(
            "update segments.segment set retired_at = $now, user_count = 0, share = 0, revenue = 0, revenue_share = 0 "
            "where segmentation = $name and retired_at is null",
            {"name": name, "now": run.started_at},
        )
        engine.execute("delete from sqlseg.model_fingerprint where segmentation = $name", {"name": name})
        engine.execute(f"drop view if exists segments.{quoted(name + '_users')}")
        drop_live_view(engine, name)
        work.narrator.note(f"Segmentation {name!r} is no longer in sqlseg.toml: its segments are retired.")
