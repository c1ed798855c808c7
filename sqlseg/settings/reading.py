"""Reads `sqlseg.toml`, and words everything that is wrong with it in one error."""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from sqlseg.errors import SqlsegError
from sqlseg.settings import values
from sqlseg.settings.model import (
    FILE_NAME,
    ClusterSegmentation,
    DriftLimits,
    EncoderSettings,
    RulesSegmentation,
    Settings,
    SourceSettings,
    SupervisedSegmentation,
)
from sqlseg.settings.toml_lines import KeyPath, dotted, key_lines, line_of

_KINDS: Mapping[str, type[BaseModel]] = {
    "cluster": ClusterSegmentation,
    "rules": RulesSegmentation,
    "supervised": SupervisedSegmentation,
}
_TYPES = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "greater_than_equal": "at least {ge}",
    "greater_than": "greater than {gt}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}

_SHOWN = 10
"""How many problems are told at once."""

_LONGEST = 500
"""How many characters of one problem are told: the file may hold a value of any length."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in the file."""

    line: int
    key: str
    message: str


class NoProject(SqlsegError):
    """The folder holds no `sqlseg.toml`."""

    def __init__(self, directory: Path) -> None:
        above = next((parent for parent in directory.parents if (parent / FILE_NAME).is_file()), None)
        hint = f"`sqlseg init {directory}` makes a project there."
        if above is not None:
            hint = f"There is one above, in {above}: add `--project {above}`. {hint}"
        what = f"No {FILE_NAME} in {directory}" if directory.is_dir() else f"There is no folder {directory}"
        super().__init__(f"{what}.", hint=hint)


class InvalidSettings(SqlsegError):
    """The project's `sqlseg.toml` cannot be used; `problems` holds everything that is wrong with it."""

    def __init__(self, file: Path, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        lines = [f"{file}:{one.line}: " + f"{one.key}: " * bool(one.key) + _cut(one.message) for one in self.problems]
        heading = "" if len(lines) == 1 else f"{len(lines)} problems in the settings:\n"
        more = f"\n... and {len(lines) - _SHOWN} more." if len(lines) > _SHOWN else ""
        super().__init__(heading + "\n".join(lines[:_SHOWN]) + more)


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]} ..."


def load_settings(project_dir: Path, *, check_files: bool = True) -> Settings:
    """Read the settings of the project in a folder; paths in them are relative to that folder, whatever the cwd.

    `check_files=False` leaves out whether the files and folders that the settings name are there.
    Raises NoProject, or InvalidSettings with every problem of the file.
    """
    directory = Path(os.path.abspath(project_dir))  # noqa: PTH100  (Path.resolve would follow symlinks)
    file = directory / FILE_NAME
    if not file.is_file():
        raise NoProject(directory)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem(file.read_bytes().count(b"\n", 0, error.start) + 1, "", "is not UTF-8 text; save it as UTF-8")
        raise InvalidSettings(file, [problem]) from error
    except OSError as error:
        raise SqlsegError(f"{file} cannot be read: {error.strerror}.") from error
    return parse_settings(text, directory, check_files=check_files)


def parse_settings(text: str, directory: Path, *, check_files: bool = True) -> Settings:
    """Return the settings that a text spells out for a project in `directory`.

    >>> settings = parse_settings('[project]\\nname = "shop"\\n', Path("/shop"), check_files=False)
    >>> settings.events.sql.as_posix(), settings.warehouse.threads
    ('/shop/sql/events.sql', None)
    """
    file = directory / FILE_NAME
    try:
        given, lines = tomllib.loads(text), key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(file, [_syntax_problem(error, text)]) from error
    except RecursionError as error:
        raise InvalidSettings(file, [Problem(1, "", "nests lists or tables too deeply to be read")]) from error
    except ValueError as error:
        raise InvalidSettings(file, [Problem(_longest_line(text), "", "has a number of too many digits")]) from error
    sections: dict[str, Any] = {name: {} for name in Settings.model_fields} | given
    if isinstance(sections["project"], dict):
        sections["project"] = {"name": directory.name or "shop"} | sections["project"]
    if isinstance(sections["events"], dict):
        sections["events"] = {"paths": ["."]} | sections["events"]
    context = values.Context(directory, _zone(sections), check_files, _warehouse(sections, directory), lines)
    try:
        return Settings.model_validate(sections, context=context)
    except ValidationError as error:
        problems = [problem for one in error.errors(include_url=False) for problem in _problems(one, lines)]
        raise InvalidSettings(file, problems) from error


def setting_problem(settings: Settings, key: KeyPath, message: str) -> InvalidSettings:
    """Return the error for a setting that is well-formed and still cannot be used, such as an unknown version."""
    return InvalidSettings(settings.file, [Problem(settings.line(*key), dotted(key), message)])


def _zone(sections: Mapping[str, Any]) -> ZoneInfo:
    """Return the project's time zone, which bounds such as exported_at need; UTC where it is invalid."""
    project = sections["project"]
    try:
        return ZoneInfo(values.time_zone(project.get("timezone", "UTC") if isinstance(project, dict) else "UTC"))
    except ValueError:
        return ZoneInfo("UTC")


def _warehouse(sections: Mapping[str, Any], directory: Path) -> Path | None:
    """Return where the warehouse is, so that no source is the same file; None where that is invalid."""
    warehouse = sections["warehouse"]
    try:
        return values.absolute(warehouse.get("path", "warehouse.duckdb"), directory)
    except (AttributeError, ValueError):
        return None


def _syntax_problem(error: tomllib.TOMLDecodeError, text: str) -> Problem:
    reason = str(error)
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", reason)
    rows = text.splitlines() or [""]
    if found is None or found[1] is None:
        return Problem(len(rows), "", f"is not valid TOML: {reason}")
    line = int(found[1])
    row = rows[line - 1].strip() if line <= len(rows) else ""
    return Problem(line, "", f"is not valid TOML: {reason[: found.start()]}, at column {found[2]} of this line: {row}")


def _longest_line(text: str) -> int:
    rows = text.splitlines()
    return max(range(len(rows)), key=lambda number: len(rows[number])) + 1


def _problems(error: Mapping[str, Any], lines: Mapping[KeyPath, int]) -> list[Problem]:
    """Return what one of pydantic's errors means to the reader of the file."""
    where: tuple[str | int, ...] = error["loc"]
    if where[:1] == ("segmentations",) and len(where) > 3 and where[2] in _KINDS:
        where = (*where[:2], *where[3:])  # pydantic names the kind in the path, the file does not
    where = where[:-1] if where and where[-1] == "[key]" else where
    given = error["input"]
    if error["type"] == "extra_forbidden":
        message = f"unknown key{_valid_keys(where, error['loc'])}"
        if len(where) == 1 and isinstance(given, dict) and given and all(isinstance(v, dict) for v in given.values()):
            paths: list[KeyPath] = [(*where, name) for name in given]
            return [Problem(line_of(lines, path), dotted(path), message) for path in paths]
    else:
        message = _message(error, given)
    return [Problem(line_of(lines, where), dotted(where), message)]


def _message(error: Mapping[str, Any], given: object) -> str:
    kind, details = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(details["error"])
    if kind == "missing":
        return "is missing, and has no default"
    if kind == "union_tag_not_found":
        return f"is missing its kind; this version fits {_either(_KINDS)}"
    if kind == "union_tag_invalid":
        tag = details["tag"]
        return f"kind must be {_either(_KINDS)}, got {tag!r}{values.nearest(tag, _KINDS)}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", details["expected"])
        suggestion = values.nearest(given, choices) if isinstance(given, str) else ""
        return f"must be {_either(choices)}, got {given!r}{suggestion}"
    if kind in _TYPES:
        return f"must be {_TYPES[kind].format(**details)}, got {given!r}"
    return f"{error['msg']}, got {given!r}"


def _either(choices: Sequence[str] | Mapping[str, object]) -> str:
    quoted = [f'"{choice}"' for choice in choices]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _valid_keys(where: KeyPath, loc: KeyPath) -> str:
    """Return the nearest valid key, else all of them, for an unknown key at `where` (`loc` as pydantic names it)."""
    model: type[BaseModel]
    match loc:
        case [_]:
            model = Settings
        case ["segmentations", _, str() as kind, _]:
            model = _KINDS[kind]
        case ["segmentations", _, str(), "drift", _]:
            model = DriftLimits
        case ["sources", _, _]:
            model = SourceSettings
        case ["encoders", _, _]:
            model = EncoderSettings
        case _:
            section = Settings.model_fields[str(loc[0])].annotation
            assert isinstance(section, type)
            model = section
    keys = list(model.model_fields)
    return values.nearest(str(where[-1]), keys) or f"; valid here: {', '.join(keys)}"
