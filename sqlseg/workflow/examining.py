"""Looks at an installation and a project, and says what is there and what is wrong."""

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path

from sqlseg import __version__
from sqlseg.encoders.manifest import find_encoders
from sqlseg.encoders.session import missing_gpu_library, open_session
from sqlseg.encoders.verify import verify_encoder
from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.publish.content_hash import file_content
from sqlseg.resources import resource_root
from sqlseg.settings import FILE_NAME
from sqlseg.workflow.erasure_list import FINISH, unfinished_erasure
from sqlseg.workflow.holding import WarehouseHeld
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.project import Project, open_project
from sqlseg.workflow.published import check_privacy
from sqlseg.workflow.state import last_refresh
from sqlseg.workflow.warehouse import open_warehouse

_LIBRARIES = ("duckdb", "sqlglot", "pyarrow", "numpy", "scikit-learn", "onnxruntime-gpu", "onnxruntime")
_STALE_DAYS = 2
_PUBLISH_AGAIN = "Run `sqlseg refresh`: it is published again, also where nothing is new."


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `fine` is None where there is nothing to judge."""

    what: str
    found: str
    fine: bool | None = None
    advice: str | None = None


def examine(directory: Path, clock: Clock) -> list[Finding]:
    """Return what was found of the installation, and of the project where the folder holds one."""
    findings = [Finding("sqlseg", __version__), Finding("Python", platform.python_version())]
    findings += [Finding(name, version) for name in _LIBRARIES if (version := _version(name)) is not None]
    no_gpu = missing_gpu_library()
    findings.append(Finding("GPU", f"not used: {no_gpu}" if no_gpu else "CUDA starts"))
    roots = [resource_root("onnx_models"), directory / "onnx_models"]
    try:
        encoders = find_encoders(roots)
    except SqlsegError as error:
        return [*findings, Finding("encoders", error.message, fine=False, advice=error.hint)]
    for ref, encoder in encoders.items():
        try:
            provider = open_session(encoder, "auto").provider
            checked = verify_encoder(encoder)
            told = f"runs on {provider}; golden rows differ by at most {checked.largest_difference:.1e}"
            findings.append(Finding(f"encoder {ref}", told, fine=checked.passed, advice="Install sqlseg again."))
        except SqlsegError as error:
            findings.append(Finding(f"encoder {ref}", error.message, fine=False, advice=error.hint))
    if not (directory / FILE_NAME).is_file():
        return [*findings, Finding("project", f"none in {directory.absolute()}", advice="Run `sqlseg init DIR`.")]
    try:
        project = open_project(directory)
    except SqlsegError as error:
        return [*findings, Finding("project", error.message, fine=False, advice=error.hint)]
    findings.append(Finding("project", f"{project.settings.project.name} in {project.directory}", fine=True))
    return [*findings, _warehouse(project, clock), _published(project), *_erasure(project)]


def _erasure(project: Project) -> list[Finding]:
    try:
        unfinished = unfinished_erasure(project.settings)
    except SqlsegError as error:
        return [Finding("erasure", error.message, fine=False, advice=error.hint)]
    return [Finding("erasure", str(unfinished), fine=False, advice=FINISH)] if unfinished else []


def _version(name: str) -> str | None:
    try:
        return package_version(name)
    except PackageNotFoundError:
        return None


def _warehouse(project: Project, clock: Clock) -> Finding:
    path = project.settings.warehouse.path
    if not path.is_file():
        return Finding("warehouse", "not there yet", advice="Run `sqlseg refresh`.")
    try:
        with open_warehouse(project, "sqlseg doctor") as engine:
            state = last_refresh(engine)
            finished = engine.value("select max(finished_at) from segments.run where status = 'done'")
            failed = engine.row(
                "select run_id, error from segments.run where status = 'failed' "
                "and run_id = (select max(run_id) from segments.run)"
            )
    except WarehouseHeld as held:
        # A refresh under way is nothing wrong; a BI tool that has the warehouse open is.
        return Finding("warehouse", held.message, fine=None if held.by_sqlseg else False, advice=held.hint)
    except SqlsegError as error:
        return Finding("warehouse", error.message, fine=False, advice=error.hint)
    if failed:
        return Finding(
            "warehouse", f"the last refresh, {failed[0]}, failed: {failed[1]}", False, "Run `sqlseg refresh`."
        )
    if state is None or finished is None:
        return Finding("warehouse", "no refresh yet", advice="Run `sqlseg refresh`.")
    days = (clock.now() - finished).days
    told = f"refreshed {finished:%Y-%m-%d %H:%M} UTC, events through {state.data_through:%Y-%m-%d %H:%M} UTC"
    if days >= _STALE_DAYS:
        return Finding("warehouse", f"{told}: {days} days ago", fine=None, advice="Run `sqlseg refresh`.")
    return Finding("warehouse", told, fine=True)


def _published(project: Project) -> Finding:
    path = project.settings.warehouse.published
    if not path.is_file():
        return Finding("published file", "not there yet", advice="Run `sqlseg refresh`.")
    try:
        check_privacy(project)
        with Engine.open(path, read_only=True) as reader:
            content = file_content(reader)
            held = f"run {content.run_id}"
            if reader.relation_exists("segments", "membership"):
                held = f"{reader.value('select count(distinct user_id) from segments.membership'):,} users"
    except SqlsegError as error:
        return Finding("published file", error.message, fine=False, advice=_PUBLISH_AGAIN)
    told = f"{path}: {held}, {path.stat().st_size / 1e6:.1f} MB"
    if content.whole:
        return Finding("published file", f"{told}, exactly what refresh {content.run_id} published", fine=True)
    if content.comparable:
        told = f"{told}; that is not what refresh {content.run_id} published: its content hash is another one"
        return Finding("published file", told, fine=False, advice=_PUBLISH_AGAIN)
    why = "it has no content hash" if content.recorded is None else "its content hash was made by another DuckDB"
    told = f"{told}; whether it is whole cannot be told: {why}"
    return Finding("published file", told, fine=None, advice=_PUBLISH_AGAIN)
