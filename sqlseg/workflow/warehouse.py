"""Opens the working database of a project."""

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import Source, attach_sources, prepare_warehouse
from sqlseg.workflow.project import Project


def open_warehouse(project: Project, *, prepared: bool = True) -> Engine:
    """Open the project's working database, with its schemas and tables made where they are missing.

    Sources are not attached yet. Raises DatabaseLocked where another process holds it, DatabaseDamaged, NewerWarehouse
    or SchemaTaken.
    """
    settings = project.settings.warehouse
    settings.path.parent.mkdir(parents=True, exist_ok=True)
    engine = Engine.open(settings.path, threads=settings.threads, memory_limit=settings.memory_limit)
    try:
        if prepared:
            with engine.transaction():
                prepare_warehouse(engine)
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
