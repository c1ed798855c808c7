"""Does early what a refresh needs later, on a thread of its own, while the database reads the sources."""

import threading
from datetime import datetime
from importlib import import_module

from sqlseg.features.binding import MATERIALIZED, WAREHOUSE, bound_sql, every_user_sql
from sqlseg.settings import ClusterSegmentation, FittedSegmentation
from sqlseg.workflow.project import Project


def begin_ahead(project: Project, *, everyone: bool) -> None:
    """Begin to import what the steps need and, where features of `everyone` will be computed, to bind their views.

    What is bound is remembered where it is bound, and what is imported where it is imported: nobody depends on this
    thread, and who needs a module that it is importing waits for that.
    """
    threading.Thread(target=_work_ahead, args=(project, everyone), name="ahead", daemon=True).start()


def _work_ahead(project: Project, everyone: bool) -> None:
    import_module("sqlseg.workflow.carrying_out")
    from sqlseg.features.holidays import holiday_table
    from sqlseg.segments.algorithms import import_what_fits

    if everyone:
        _bind(project)
        holiday_table(project.settings.project.country, [])  # imports the holidays of all countries
    import_what_fits(scikit_learn=_needs_scikit_learn(project))


def _bind(project: Project) -> None:
    any_time = datetime(2000, 1, 1)  # views are bound once for all moments
    for view in project.computed_views():
        _ = view.computed_fingerprint
        bound_sql(view, any_time, any_time, MATERIALIZED, pretty=False)
        if view.kind == "features":
            every_user_sql(view, any_time, any_time, WAREHOUSE, pretty=False)


def _needs_scikit_learn(project: Project) -> bool:
    """Return whether anything but k-means and rules may have to be fitted."""
    others = [
        segmentation
        for segmentation in project.settings.segmentations.values()
        if isinstance(segmentation, FittedSegmentation)
        and not (isinstance(segmentation, ClusterSegmentation) and segmentation.algorithm == "kmeans")
    ]
    return bool(others or project.forecasts or project.sentiment)
