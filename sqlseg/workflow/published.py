"""What the published file of a project is to hold, and what the one that is there was made to hold."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import comments
from sqlseg.errors import SqlsegError
from sqlseg.features.view import View
from sqlseg.names import PRIVACY, PRIVATE, PUBLISHED_TABLES, live_relation
from sqlseg.publish.allowing import AllowList, matches
from sqlseg.publish.contents import content_view, published_relations
from sqlseg.publish.privacy import Policy, protected_relations
from sqlseg.publish.pseudonyms import pseudonymous
from sqlseg.publish.snapshot import PublishedRelation
from sqlseg.settings import setting_problem
from sqlseg.settings.values import nearest
from sqlseg.workflow.forecast_views import forecast_view, sentiment_view
from sqlseg.workflow.project import Project
from sqlseg.workflow.pseudonym_key import project_pseudonyms, remember_key


def relations_to_publish(engine: Engine, project: Project, also: Sequence[str] = ()) -> list[PublishedRelation]:
    """Return what is published of a project, as its privacy settings let it.

    `also` are relations of users who may stand in the published file of before. Raises UnusableKey or
    OtherPseudonymKey.
    """
    from sqlseg.workflow.live import live_views

    names = list(project.settings.segmentations)
    asked = policy(project)
    if asked.pseudonyms is not None:
        remember_key(project.settings, asked.pseudonyms)
    relations = [*published_relations(engine, names), *live_views(engine, names)]
    if project.settings.privacy.epsilon_budget is not None:
        text, columns = comments(engine)[PRIVATE.schema, PRIVATE.name]
        relations.append(PublishedRelation(PRIVATE, str(PRIVATE), text, columns))
    relations = protected_relations(engine, relations, asked, also)
    return [*relations, content_view(relations)]


def as_published(project: Project, users: str) -> str:
    """Return a relation of users as the published file names them, after `relations_to_publish` had it in `also`."""
    return pseudonymous(users) if project.settings.privacy.pseudonyms else users


def policy(project: Project) -> Policy:
    """Return what the settings of a project let the published file hold. Raises UnusableKey or OtherPseudonymKey."""
    settings = project.settings.privacy
    min_users = settings.min_users if settings.suppress else None
    return Policy(
        AllowList(settings.tables, settings.columns),
        min_users,
        project_pseudonyms(project.settings),
        settings.epsilon_budget,
    )


def published_measures(path: Path) -> tuple[tuple[str, str], ...] | None:
    """Return what a published file says was done for privacy, or None where there is no such file that opens."""
    if not path.is_file():
        return None
    try:
        with Engine.open(path, read_only=True) as reader:
            if not reader.relation_exists(PRIVACY.schema, PRIVACY.name):
                return ()
            return tuple((row[0], row[1]) for row in reader.rows(f"select measure, value from {PRIVACY}"))
    except SqlsegError:
        return None


def check_privacy(project: Project) -> None:
    """Raise InvalidSettings where the privacy settings name a table or feature that no published file could hold.

    Raises UnusableKey or OtherPseudonymKey where pseudonyms cannot be made.
    """
    settings = project.settings.privacy
    project_pseudonyms(project.settings)
    for key, patterns, known in (
        ("tables", settings.tables, _tables),
        ("columns", settings.columns, _features),
    ):
        if patterns is None:
            continue
        names = sorted(known(project))
        for place, pattern in enumerate(patterns):
            if any(matches(name, [pattern]) for name in names):
                continue
            what = "table or view" if key == "tables" else "feature"
            message = f"no published {what} is called {pattern!r}{nearest(pattern, names)}"
            raise setting_problem(project.settings, ("privacy", key, place), message)


def _views(project: Project) -> list[View]:
    """Return every view whose features may be published, with all columns that it can have."""
    views = [view for view in project.computed_views() if view.kind == "features"]
    for one in project.forecasts:
        columns = [f"{target}_{days}d" for days in one.horizons for target in ("p_order", "orders", "spend")]
        views.append(forecast_view(one, columns))
    if project.sentiment is not None:
        views.append(sentiment_view(project.sentiment))
    return views


def _tables(project: Project) -> Iterable[str]:
    yield from map(str, (*PUBLISHED_TABLES, PRIVACY, PRIVATE))
    for name in project.settings.segmentations:
        yield f"segments.{name}_users"
        yield str(live_relation(name))
    for view in _views(project):
        yield view.relation
        yield f"features.{view.name}"
    for view in project.computed_views():
        if view.kind == "statistics":
            yield view.relation


def _features(project: Project) -> Iterable[str]:
    for view in _views(project):
        for column in view.values:
            yield f"{view.name}__{column.name}"
