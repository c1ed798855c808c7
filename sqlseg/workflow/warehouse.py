"""Opens the working database of a project."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import DatabaseDamaged, DatabaseLocked, PathNotWritable
from sqlseg.engine.filelock import FileLock
from sqlseg.engine.warehouse import Source, attach_sources, prepare_warehouse
from sqlseg.workflow.confinement import confine_to_project
from sqlseg.workflow.holding import Patience, held_by_others, patiently, take_lock
from sqlseg.workflow.project import Project
from sqlseg.workflow.warehouse_key import warehouse_key

if TYPE_CHECKING:
    from sqlseg.workflow.kept import Kept


def open_warehouse(
    project: Project,
    command: str = "sqlseg",
    patience: Patience | None = None,
    *,
    prepared: bool = True,
    sources: bool = False,
    lock: FileLock | None = None,
    kept: "Kept | None" = None,
) -> Engine:
    """Open the project's working database, with its schemas and tables made where they are missing.

    `command` is what other processes are told meanwhile; `lock` one that is held already. The database is confined to
    what sqlseg.toml declares; the sources are attached before that where they are asked for. What is `kept` of it in
    memory looks whether it is as it was left. Raises WarehouseHeld where
    another process holds it for longer than patience lasts, DatabaseDamaged, NewerWarehouse, SchemaTaken or
    MissingSource.
    """
    path = project.settings.warehouse.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PathNotWritable(str(path), str(error)) from error
    engine = patiently(patience, lambda: _open_alone(project, command, lock, kept))
    try:
        if prepared and not (kept and kept.goes_on):
            with engine.transaction():
                prepare_warehouse(engine)
        if sources:
            attach_project_sources(engine, project)
        confine_to_project(engine, project.settings)
    except BaseException:
        engine.close()
        raise
    return engine


def _open_alone(project: Project, command: str, lock: FileLock | None, kept: "Kept | None") -> Engine:
    settings = project.settings.warehouse
    taken = None if lock else take_lock(project.settings, command)
    try:
        _check_not_emptied(settings.path, settings.published)
        key = warehouse_key(project.settings)
        if kept:
            kept.begin(settings.path)
        engine = Engine.open(settings.path, threads=settings.threads, memory_limit=settings.memory_limit, key=key)
    except BaseException as error:
        held = held_by_others(project.settings, error) if isinstance(error, DatabaseLocked) else None
        if taken:
            taken.release()
        if held:
            raise held from error
        raise
    if taken:
        engine.after_close(taken.release)
    if kept:
        engine.after_close(lambda: kept.end(settings.path))
    _remove_leftovers(settings.path)
    return engine


def _check_not_emptied(path: Path, published: Path) -> None:
    """Raise DatabaseDamaged where nothing is left of a warehouse that has published: it would pass for a new one."""
    if published.is_file() and path.is_file() and path.stat().st_size == 0:
        raise DatabaseDamaged(str(path), "it is empty")


def _remove_leftovers(path: Path) -> None:
    """Take away what a killed process has left beside a warehouse that this one has open now."""
    for name in (f".{path.name}.rewriting", f".{path.name}.rebuilding"):
        for leftover in (path.with_name(name), path.with_name(f"{name}.wal")):
            with suppress(OSError):  # in nobody's way, and whoever writes there next says what is wrong
                leftover.unlink(missing_ok=True)
    # What did not fit into its memory.
    shutil.rmtree(path.with_name(f"{path.name}.tmp"), ignore_errors=True)


def take_over_log(project: Project, command: str = "sqlseg", kept: "Kept | None" = None) -> None:
    """Take over into the warehouse what a refresh has left in the log beside it; what is `kept` of it goes on.

    Raises as `open_warehouse` does.
    """
    log = project.settings.warehouse.path
    if log.with_name(f"{log.name}.wal").exists():
        open_warehouse(project, command, prepared=False, kept=kept).close()


def attach_project_sources(engine: Engine, project: Project) -> None:
    """Attach the databases that sqlseg.toml declares, read-only. Raises MissingSource."""
    attach_sources(
        engine,
        {alias: Source(alias, source.type, source.path) for alias, source in project.settings.sources.items()},
    )


def open_without_warehouse(project: Project) -> Engine:
    """Open a database in memory in place of a warehouse that is not there yet, with the sources, and as confined."""
    settings = project.settings.warehouse
    spill = settings.path.with_name(f"{settings.path.name}.tmp")
    engine = Engine.open(None, threads=settings.threads, memory_limit=settings.memory_limit, temp_directory=spill)
    try:
        if warehouse_key(project.settings) is not None:
            engine.load_crypto()
        attach_project_sources(engine, project)
        confine_to_project(engine, project.settings)
    except BaseException:
        engine.close()
        raise
    return engine
