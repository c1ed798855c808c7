"""Learns forecasts from the shop's past, and makes them: users are looked at as they stood at earlier moments."""

import json
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from sqlseg.encoders.forecasting import open_forecaster
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.errors import SqlsegError
from sqlseg.names import KNOWN_EVENT_TYPES
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import Block, FloatArray, Vectors, feature_block
from sqlseg.segments.forecasting import (
    FittedForecasts,
    ForecastModel,
    Outcome,
    PastMoment,
    Refusal,
    fit_forecasts,
    past_days,
)
from sqlseg.settings import FittedSegmentation, InvalidSettings, setting_problem
from sqlseg.workflow.as_of import days_before, local, local_days_between
from sqlseg.workflow.definition import forecast_definition
from sqlseg.workflow.embedding import embed_users
from sqlseg.workflow.inputs import encoder_block, read_users, view_block
from sqlseg.workflow.materialise import Moment, compute_features, compute_statistics, keep_population, replace_touched
from sqlseg.workflow.project import Forecast
from sqlseg.workflow.state import ForecastInUse, next_forecast_version
from sqlseg.workflow.work import Work

LEARNED_FROM = 20_000
"""Users that are learned from at most, each at every earlier moment; of more, as many are drawn."""


class PastTooShort(SqlsegError):
    """The past does not go back far enough to learn a forecast from."""


def renew_forecasts(work: Work) -> None:
    """Fit the forecasts that are due, and take the models in use of the others."""
    for forecast in work.project.forecasts:
        there = work.plan.forecasts_there.get(forecast.ref)
        definition = forecast_definition(work.project, forecast)
        if forecast.input not in work.plan.renewed_models:
            assert there is not None
            work.forecasts[forecast.ref] = there
            continue
        fitted, moments, refusals = _fitted(work, forecast)
        for refusal in refusals:
            work.narrator.note(f"{forecast.input}: {refusal.reason}; left out.")
        asked = work.project.settings.forecasts.horizons
        keeps = there is not None and there.definition == definition
        if (asked and refusals) or not fitted.model.horizons:
            if not keeps:
                told = "; ".join(refusal.reason for refusal in refusals)
                raise _refused(work, forecast, told) from PastTooShort(f"{forecast.input} cannot be learned: {told}")
            assert there is not None
            work.narrator.note(f"{forecast.input} cannot be learned anew; the model of {there.fitted_as_of} stays.")
            work.forecasts[forecast.ref] = there
            continue
        version = next_forecast_version(work.engine, forecast.ref)
        work.forecasts[forecast.ref] = ForecastInUse(version, fitted.model, definition, work.run.as_of)
        _record(work, forecast, fitted, version, moments, refusals)


def _fitted(work: Work, forecast: Forecast) -> tuple[FittedForecasts, list[PastMoment], tuple[Refusal, ...]]:
    history = _history_days(work)
    possible: dict[int, tuple[int, ...]] = {}
    refusals = []
    for horizon in forecast.horizons:
        days = past_days(horizon, history)
        if isinstance(days, Refusal):
            refusals.append(days)
        else:
            possible[horizon] = days
    if refusals and (work.project.settings.forecasts.horizons or not possible):
        return FittedForecasts(ForecastModel(()), (), (), 0), [], tuple(refusals)
    backs = sorted({back for days in possible.values() for back in days}, reverse=True)
    work.engine.execute(
        sql_text("steps/forecast/draw_users.sql"),
        {"as_of": work.plan.as_of, "seed": str(work.run.seed), "users": LEARNED_FROM},
    )
    # The oldest first: whoever did nothing between two moments is embedded once.
    moments = [
        past_moment(work, forecast, back, [horizon for horizon, days in possible.items() if back in days])
        for back in backs
    ]
    work.engine.execute("drop table forecast_users")
    for view in _statistics(work, forecast):
        work.engine.execute(f"drop table if exists sqlseg.past_{view}")
    fitted = fit_forecasts(moments, possible)
    return fitted, moments, (*refusals, *fitted.refusals)


def _history_days(work: Work) -> int:
    """Return the days from the first purchase to as_of, on the shop's clock; 0 without a purchase."""
    first = work.engine.value(
        "select min(event_time) from sqlseg.events where event_type = 'purchase' and event_time < $as_of",
        {"as_of": work.plan.as_of},
    )
    return 0 if first is None else local_days_between(first, work.plan.as_of, work.run.timezone)


def past_moment(work: Work, forecast: Forecast, days_back: int, horizons: Iterable[int]) -> PastMoment:
    """Return the users as they stood some days before as_of, by events, features and statistics of before then.

    What the schema sqlseg holds of population, features and embeddings is then of that moment; whoever comes next
    computes it anew.
    """
    engine, timezone, as_of = work.engine, work.run.timezone, work.plan.as_of
    then = days_before(as_of, days_back, timezone)
    statistics: dict[str, str] = {}
    everything = Moment(then, local(then, timezone), views=statistics)
    for view in work.project.views_read_by_forecast(forecast):
        if view.kind == "statistics":
            table = f"sqlseg.past_{_plain(view.relation)}"
            compute_statistics(engine, view, everything, into=table)
            statistics[view.relation] = table
    moment = Moment(then, local(then, timezone), _events_of_drawn(work), statistics)
    users = keep_population(engine, moment)
    for view in work.project.views_read_by_forecast(forecast):
        if view.kind == "features":
            compute_features(engine, view, moment, users)
    embed_users(work, forecast.encoder, moment, everyone=False)
    outcomes = {}
    for horizon in horizons:
        table = engine.table(
            sql_text("steps/forecast/past_outcomes.sql"),
            {"since": then, "until": days_before(as_of, days_back - horizon, timezone)},
        )
        outcomes[horizon] = Outcome(table["orders"].to_numpy(), table["spend"].to_numpy())
    return PastMoment(days_back, then, known_of_users(engine, forecast, moment), outcomes)


def _events_of_drawn(work: Work) -> str:
    """Return SQL for the events of the users who are learned from; where that is everybody, nothing is looked up."""
    drawn = "user_id in (select user_id from forecast_users)"
    left = work.engine.row(f"select 1 from sqlseg.events where not {drawn} limit 1")
    return "sqlseg.events" if left is None else f"(select * from sqlseg.events where {drawn})"


def known_of_users(engine: Engine, forecast: Forecast, moment: Moment) -> tuple[Block, ...]:
    """Return what heads know of each of the moment's users: features, embedding, and what the encoder foretells."""
    embedding = encoder_block(engine, forecast.encoder, moment.users)
    blocks = [*(view_block(engine, view, moment.users) for view in forecast.views), embedding]
    if forecast.encoder.manifest.forecasts is not None:
        engine.create_temp_view("aging_users", f"select user_id from {moment.users}")
        table = engine.table(
            sql_text("steps/forecast/ages.sql"), {"as_of": moment.as_of, "event_types": list(KNOWN_EVENT_TYPES)}
        )
        engine.execute("drop view aging_users")
        ages = np.asarray(table["age"].to_numpy(), dtype=np.float64)
        blocks.append(foretold_block(forecast, embedding.values, ages))
    return tuple(blocks)


def foretold_block(forecast: Forecast, embeddings: Vectors, ages: FloatArray) -> Block:
    """Return what an encoder foretells by itself, of embeddings and the days since users' last token."""
    forecaster = open_forecaster(forecast.encoder)
    told = forecaster.forecasts(embeddings, ages)
    described = forecaster.described
    names = [f"foretold__{quantity}_{days}d" for days in described.horizons for quantity in described.quantities]
    return feature_block("foretold", names, told.reshape(len(told), -1).astype(np.float64))


def compute_forecasts(work: Work, moment: Moment) -> None:
    """Replace the forecasts of the moment's users, from what was computed of them as of it."""
    users = read_users(work.engine, moment.users)
    for forecast in work.project.forecasts:
        model = work.forecasts[forecast.ref].model
        values = model.forecasts(known_of_users(work.engine, forecast, moment))
        rows = pa.table(
            {
                "user_id": pa.array(users, pa.string()),
                **{name: pa.array(column, pa.float64()) for name, column in values.items()},
            }
        )
        with work.engine.registered("forecast_rows", rows, large=True):
            table = f"sqlseg.{quoted(f'feature_{forecast.relation}')}"
            if moment.of_everyone:
                work.engine.execute(f"create or replace table {table} as select * from forecast_rows order by user_id")
            else:
                replace_touched(work.engine, table, "forecast_rows")


def _record(
    work: Work,
    forecast: Forecast,
    fitted: FittedForecasts,
    version: int,
    moments: list[PastMoment],
    refusals: tuple[Refusal, ...],
) -> None:
    inputs = {
        "inputs": [f"encoder:{forecast.ref}", *(view.ref for view in forecast.views)],
        "definition": forecast_definition(work.project, forecast),
        "moments": [f"{moment.as_of} UTC" for moment in moments],
        "refused": [refusal.reason for refusal in refusals],
        "fitted_because": work.plan.renewed_models[forecast.input],
    }
    work.engine.execute(
        "insert into segments.forecast_model values ($ref, $version, $horizons, $parameters, $inputs, $fitted_at, "
        "$as_of, $seed, $rows)",
        {
            "ref": forecast.ref,
            "version": version,
            "horizons": json.dumps([heads.horizon for heads in fitted.model.horizons]),
            "parameters": fitted.model.to_json(),
            "inputs": json.dumps(inputs, sort_keys=True),
            "fitted_at": work.run.started_at,
            "as_of": work.run.as_of,
            "seed": work.run.seed,
            "rows": fitted.row_count,
        },
    )
    for row in fitted.measures:
        work.engine.execute(
            "insert into segments.forecast_measure values ($ref, $version, $horizon, $target, $measure, $value)",
            {"ref": forecast.ref, "version": version, **vars(row)},
        )


def _refused(work: Work, forecast: Forecast, told: str) -> InvalidSettings:
    """Return the error at the key that asks for what the past cannot support."""
    settings = work.project.settings
    if settings.forecasts.horizons:
        return setting_problem(settings, ("forecasts", "horizons"), f"cannot be learned for {forecast.input}: {told}")
    for name, segmentation in settings.segmentations.items():
        if isinstance(segmentation, FittedSegmentation):
            for place, one in enumerate(segmentation.inputs):
                if str(one) == forecast.input:
                    key = ("segmentations", name, "inputs", place)
                    return setting_problem(settings, key, f"{forecast.input} cannot be learned: {told}")
    raise AssertionError(f"{forecast.input} is no input")


def _statistics(work: Work, forecast: Forecast) -> list[str]:
    views = work.project.views_read_by_forecast(forecast)
    return [_plain(view.relation) for view in views if view.kind == "statistics"]


def _plain(relation: str) -> str:
    return relation.partition(".")[2]
