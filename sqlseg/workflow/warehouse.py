"""Opens the working database of a project."""

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import Source, attach_sources, prepare_warehouse
from sqlseg.workflow.confinement import confine_to_project
from sqlseg.workflow.project import Project


def open_warehouse(project: Project, *, prepared: bool = True, sources: bool = False) -> Engine:
    """Open the project's working database, with its schemas and tables made where they are missing.

    It is confined to what sqlseg.toml declares; the sources are attached before that where they are asked for. Raises
    DatabaseLocked where another process holds it, DatabaseDamaged, NewerWarehouse, SchemaTaken or MissingSource.
    """
    settings = project.settings.warehouse
    settings.path.parent.mkdir(parents=True, exist_ok=True)
    engine = Engine.open(settings.path, threads=settings.threads, memory_limit=settings.memory_limit)
    try:
        if prepared:
            with engine.transaction():
                prepare_warehouse(engine)
        if sources:
            attach_project_sources(engine, project)
        confine_to_project(engine, project.settings)
    except BaseException:
        engine.close()
        raise
    return engine


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
        attach_project_sources(engine, project)
        confine_to_project(engine, project.settings)
    except BaseException:
        engine.close()
        raise
    return engine
