"""What the last completed refresh left behind, and how runs are put on record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import OtherModelFormat
from sqlseg.workflow.definition import Definition

if TYPE_CHECKING:
    from sqlseg.segments.forecasting import ForecastModel
    from sqlseg.segments.sentiment import SentimentModel

INTERRUPTED = "The process ended before the refresh was complete; nothing of it was kept."


@dataclass(frozen=True)
class Run:
    """The refresh that writes; instants are UTC without zone."""

    run_id: str
    as_of: datetime
    data_through: datetime
    started_at: datetime
    timezone: str
    seed: int


@dataclass(frozen=True)
class LastRefresh:
    """The last refresh that changed something; instants are UTC without zone."""

    run_id: str
    as_of: datetime
    data_through: datetime
    source_fingerprint: str
    definition: Definition


@dataclass(frozen=True)
class ModelInUse:
    """The model that assigns the users of a segmentation, and what it was made from."""

    version: int
    definition: Definition


@dataclass(frozen=True)
class ForecastInUse:
    """The model that makes the forecasts of an encoder, and what it was made from; `fitted_as_of` is UTC."""

    version: int
    model: "ForecastModel"
    definition: Definition
    fitted_as_of: datetime


@dataclass(frozen=True)
class SentimentInUse:
    """The model that tells the mood of reviews, and what it was made from; `fitted_as_of` is UTC."""

    version: int
    model: "SentimentModel"
    definition: Definition
    fitted_as_of: datetime


def sentiment_in_use(engine: Engine) -> SentimentInUse | None:
    """Return the newest model of the mood of reviews, None where there never was one."""
    row = engine.row(
        "select model_version, parameters, definition, fitted_as_of from sqlseg.sentiment_model "
        "order by model_version desc limit 1"
    )
    if row is None:
        return None
    from sqlseg.segments.sentiment import SentimentModel

    version, text, definition, fitted_as_of = row
    return SentimentInUse(version, SentimentModel.from_json(text), json.loads(definition), fitted_as_of)


def forecasts_in_use(engine: Engine, *, readable: bool = False) -> dict[str, ForecastInUse]:
    """Return the newest model of each encoder whose forecasts were ever an input, by its ref.

    Raises OtherModelFormat; with `readable` what this release cannot read is left out, to be fitted anew.
    """
    rows = engine.rows(
        "select forecast, model_version, parameters, inputs, fitted_as_of from segments.forecast_model "
        "qualify row_number() over (partition by forecast order by model_version desc) = 1"
    )
    if not rows:
        return {}
    from sqlseg.segments.forecasting import ForecastModel

    found = {}
    for ref, version, text, inputs, fitted_as_of in rows:
        try:
            model = ForecastModel.from_json(text)
        except OtherModelFormat:
            if readable:
                continue
            raise
        found[ref] = ForecastInUse(version, model, json.loads(inputs)["definition"], fitted_as_of)
    return found


def next_forecast_version(engine: Engine, ref: str) -> int:
    """Return the number above all that models of an encoder's forecasts ever had."""
    newest = "select coalesce(max(model_version), 0) from segments.forecast_model where forecast = $ref"
    return 1 + int(engine.value(newest, {"ref": ref}))


def last_refresh(engine: Engine) -> LastRefresh | None:
    """Return what the last completed refresh recorded, or None before the first one."""
    row = engine.row(
        "select run_id, as_of, data_through, source_fingerprint, definition_fingerprint from sqlseg.refresh_state"
    )
    if row is None:
        return None
    run_id, as_of, data_through, source_fingerprint, definition = row
    return LastRefresh(run_id, as_of, data_through, source_fingerprint, json.loads(definition))


def models_in_use(engine: Engine) -> dict[str, ModelInUse]:
    """Return the model of each segmentation that has one."""
    rows = engine.rows("select segmentation, model_version, definition from sqlseg.model_fingerprint")
    return {name: ModelInUse(version, json.loads(definition)) for name, version, definition in rows}


def segmentations_behind(engine: Engine) -> frozenset[str]:
    """Return the segmentations that the last refresh left out, being asked for another one only."""
    return frozenset(
        row[0]
        for row in engine.rows(
            "select segmentation from segments.segmentation "
            "where refreshed_at < (select max(refreshed_at) from segments.segmentation)"
        )
    )


def remember_refresh(engine: Engine, state: LastRefresh) -> None:
    """Replace what the next refresh compares itself with."""
    engine.execute("delete from sqlseg.refresh_state")
    engine.execute(
        "insert into sqlseg.refresh_state values ($run_id, $as_of, $data_through, $source, $definition)",
        {
            "run_id": state.run_id,
            "as_of": state.as_of,
            "data_through": state.data_through,
            "source": state.source_fingerprint,
            "definition": json.dumps(state.definition, sort_keys=True),
        },
    )


def remember_model(engine: Engine, segmentation: str, model: ModelInUse) -> None:
    """Replace the model in use of one segmentation."""
    engine.execute("delete from sqlseg.model_fingerprint where segmentation = $name", {"name": segmentation})
    engine.execute(
        "insert into sqlseg.model_fingerprint values ($name, $version, $definition)",
        {
            "name": segmentation,
            "version": model.version,
            "definition": json.dumps(model.definition, sort_keys=True),
        },
    )


def next_model_version(engine: Engine, segmentation: str) -> int:
    """Return the number above all that models of a segmentation ever had, also before it was taken out and put back."""
    return 1 + int(
        engine.value(
            "select coalesce(max(model_version), 0) from segments.model where segmentation = $name",
            {"name": segmentation},
        )
    )


def begin_run(engine: Engine, run_id: str, started_at: datetime) -> None:
    """Record that a refresh is under way, and close the records of those that were killed."""
    engine.execute(
        "update segments.run set status = 'failed', error = $error where status = 'running'", {"error": INTERRUPTED}
    )
    engine.execute(
        "insert into segments.run (run_id, status, started_at) values ($run_id, 'running', $started_at)",
        {"run_id": run_id, "started_at": started_at},
    )


def update_run(engine: Engine, run_id: str, values: Mapping[str, object]) -> None:
    """Set columns of a run's record."""
    assignments = ", ".join(f"{column} = ${column}" for column in values)
    engine.execute(f"update segments.run set {assignments} where run_id = $run_id", {**values, "run_id": run_id})


def next_run_id(engine: Engine, started_at: datetime) -> str:
    """Return a new id that sorts after those of earlier runs: the start to the second and a counter.

    A clock that was set back does not break the order.
    """
    newest = engine.value("select max(run_id) from segments.run")
    stamp = started_at.strftime("%Y%m%dT%H%M%S")
    if newest is None or newest[: len(stamp)] < stamp:
        return f"{stamp}-001"
    head, _, counter = newest.rpartition("-")
    return f"{head}-{int(counter) + 1:03d}"
