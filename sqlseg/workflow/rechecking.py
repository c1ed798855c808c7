"""Runs every check on what the last refresh left, without refreshing."""

from pathlib import Path

from sqlseg.engine.duckdb import Engine
from sqlseg.features.view import View
from sqlseg.workflow.checking import CheckResult, check_results, record_checks
from sqlseg.workflow.forecast_views import forecast_view, sentiment_view
from sqlseg.workflow.holding import Patience
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.project import Project, open_project
from sqlseg.workflow.state import forecasts_in_use, last_refresh, sentiment_in_use
from sqlseg.workflow.viewing import NoRefreshYet
from sqlseg.workflow.warehouse import open_warehouse


def check_project(directory: Path, clock: Clock, patience: Patience | None = None) -> tuple[str, list[CheckResult]]:
    """Return the id of the last refresh, and what every check says of what it left; `quality.check` has it from now on.

    Nothing else changes, and the published file does not. Raises NoRefreshYet, and what opening a project raises.
    """
    project = open_project(directory)
    if not project.settings.warehouse.path.is_file():
        raise NoRefreshYet(project)
    with open_warehouse(project, "sqlseg check", patience) as engine:
        last = last_refresh(engine)
        if last is None:
            raise NoRefreshYet(project)
        views = _computed(engine, project)
        results = check_results(engine, project.settings, views, run_id=last.run_id, now=clock.now())
        with engine.transaction():
            record_checks(engine, last.run_id, results)
    return last.run_id, results


def _computed(engine: Engine, project: Project) -> list[View]:
    """Return the views whose rows the last refresh computed; the settings may name others since."""
    views = [view for view in project.computed_views() if view.kind == "features"]
    models = forecasts_in_use(engine)
    views += [forecast_view(one, models[one.ref].model.columns) for one in project.forecasts if one.ref in models]
    if project.sentiment is not None and sentiment_in_use(engine) is not None:
        views.append(sentiment_view(project.sentiment))
    return [view for view in views if engine.relation_exists("sqlseg", view.table)]
