"""Looks at feature views over the events of the last refresh, without changing anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlseg.encoders.manifest import find_encoders
from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.features.binding import bound_sql, every_user_sql
from sqlseg.features.checks import check_queries, slice_differences
from sqlseg.features.view import View
from sqlseg.resources import resource_root
from sqlseg.workflow.as_of import local
from sqlseg.workflow.holding import Patience
from sqlseg.workflow.locking import check_lock
from sqlseg.workflow.project import Project, open_project
from sqlseg.workflow.state import last_refresh
from sqlseg.workflow.warehouse import open_warehouse

if TYPE_CHECKING:
    import pyarrow as pa


class NoRefreshYet(SqlsegError):
    """There are no events in the warehouse to look at."""

    def __init__(self, project: Project) -> None:
        super().__init__(f"{project.settings.warehouse.path} holds no refresh yet.", hint="Run `sqlseg refresh` first.")


class NotComputed(SqlsegError):
    """A sequence view reads what no refresh has computed, since no encoder that is in use reads that view."""

    def __init__(self, project: Project, view: View, missing: Sequence[str]) -> None:
        roots = [resource_root("onnx_models"), project.directory / "onnx_models"]
        readers = [one.ref for one in find_encoders(roots).values() if one.manifest.sequence == view.ref]
        either = " or ".join(f'"encoder:{ref}"' for ref in readers) or "an encoder that reads it"
        super().__init__(
            f"{view.ref} reads {', '.join(missing)}, which the refreshes of this project do not compute: "
            "no encoder in use reads that sequence.",
            hint=f"Put {either} among the inputs of a segmentation in sqlseg.toml, and run `sqlseg refresh`.",
        )


@dataclass(frozen=True)
class CheckResult:
    """One check of a view; `example` is a row that fails, as text."""

    name: str
    severity: str
    failing_rows: int
    example: str


def _moment_of_last(engine: Engine, project: Project) -> tuple[datetime, datetime]:
    state = last_refresh(engine)
    if state is None:
        raise NoRefreshYet(project)
    return state.as_of, local(state.as_of, project.settings.project.timezone)


def pasteable_sql(project: Project, view: View, patience: Patience | None = None) -> str:
    """Return a feature view as SQL for a DuckDB shell on the warehouse, as of the last refresh. Raises NoRefreshYet."""
    if not project.settings.warehouse.path.is_file():
        raise NoRefreshYet(project)
    with open_warehouse(project, "sqlseg features show", patience) as engine:
        as_of, local_as_of = _moment_of_last(engine, project)
    return every_user_sql(view, as_of, local_as_of)


def sequence_tokens(project: Project, view: View, patience: Patience | None = None) -> "pa.Table":
    """Return the rows of a sequence view over the events of the last refresh, in order.

    Raises NoRefreshYet or NotComputed.
    """
    if not project.settings.warehouse.path.is_file():
        raise NoRefreshYet(project)
    with open_warehouse(project, "sqlseg encoders tokens", patience) as engine:
        as_of, local_as_of = _moment_of_last(engine, project)
        read = [one.relation for one in project.registry.closure([view]) if one.kind in ("statistics", "features")]
        missing = sorted(one for one in read if not engine.relation_exists(*one.split(".")))
        if missing:
            raise NotComputed(project, view, missing)
        return engine.table(f"select * from ({bound_sql(view, as_of, local_as_of)}) order by user_id, position")


def check_views(directory: Path, patience: Patience | None = None) -> list[CheckResult]:
    """Check every computed feature view: its grain, its tags, and that slices of users give the same rows.

    Raises NoRefreshYet, and what opening a project raises.
    """
    project = open_project(directory)
    check_lock(project)
    if not project.settings.warehouse.path.is_file():
        raise NoRefreshYet(project)
    results = []
    with open_warehouse(project, "sqlseg features check", patience) as engine:
        as_of, local_as_of = _moment_of_last(engine, project)
        for view in project.computed_views():
            if view.kind != "features":
                continue
            rows = f"({bound_sql(view, as_of, local_as_of)})"
            for query in check_queries(view, rows):
                failing = engine.rows(f"select * from (\n{query.sql}\n)")
                example = str(failing[0]) if failing else ""
                results.append(CheckResult(query.name, query.severity, len(failing), example))
            different = slice_differences(engine, view, as_of, local_as_of)
            example = f"{different[0].user_id}: {', '.join(different[0].columns)}" if different else ""
            results.append(CheckResult(f"{view.ref}.user_local", "error", len(different), example))
    return results
