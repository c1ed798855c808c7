"""Looks how far back a source's purchases go, and says what can be forecast of its users."""

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import QueryFailed
from sqlseg.events.inspection import SourceProfile
from sqlseg.events.project_files import Foresight
from sqlseg.events.proposal import propose_events
from sqlseg.resources import sql_text
from sqlseg.segments.forecasting import Refusal, past_days, too_few
from sqlseg.workflow.project import DEFAULT_HORIZONS


def foresight(engine: Engine, profile: SourceProfile) -> Foresight:
    """Return the default horizons that the past of a source supports, read as its proposed mapping reads it.

    The rules are those by which a refresh refuses a horizon. Days are counted in UTC, and rows that a refresh would
    refuse count too, so in a shop at the very limit a refresh may still decide otherwise.
    """
    source = profile.source
    # As seen from beside the source, so that paths in the mapping are absolute.
    proposal = propose_events(profile, source.location / "project")
    if "purchase" not in proposal.event_types:
        return Foresight(refusals=("the source has no purchases",))
    if proposal.database is not None:
        engine.attach(source.location, proposal.database[0], kind="sqlite" if source.kind == "sqlite" else "duckdb")
    try:
        engine.create_temp_view("mapped_events", proposal.sql)
        engine.execute(sql_text("steps/init/days_of_users.sql"))
        found = [_refusal(engine, horizon) for horizon in DEFAULT_HORIZONS]
    except QueryFailed as error:
        return Foresight(refusals=(f"the purchases cannot be counted ({error.message.splitlines()[0]})",))
    finally:
        engine.execute("drop table if exists days_of_users; drop view if exists mapped_events")
        if proposal.database is not None:
            engine.detach(proposal.database[0])
    return Foresight(
        tuple(horizon for horizon, refusal in zip(DEFAULT_HORIZONS, found, strict=True) if refusal is None),
        tuple(refusal.reason for refusal in found if refusal is not None),
    )


def _refusal(engine: Engine, horizon: int) -> Refusal | None:
    days = past_days(horizon, engine.value(sql_text("steps/init/history_days.sql")) or 0)
    if isinstance(days, Refusal):
        return days
    rows = engine.rows(sql_text("steps/init/buyers_after.sql"), {"days_back": list(days), "horizon": horizon})
    older = [row for back, row in zip(days, rows, strict=True) if back >= 2 * horizon]
    return too_few(horizon, newest=rows[0], older=(sum(row[0] for row in older), sum(row[1] for row in older)))
