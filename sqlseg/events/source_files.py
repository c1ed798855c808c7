"""Finds the files that a shop's SQL reads, and tells by their signatures whether any of them can have changed.

Where anything that a query says could change without one of its files changing (a clock, a random number, a table of
a server, a function that is not known) there is no answer, and the source must be read.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import QueryFailed

SETTLES_WITHIN = timedelta(seconds=2)
"""A file that was modified so shortly before it was looked at may be modified again without its times showing it."""

_OF_FILES = frozenset(
    {
        *("read_parquet", "parquet_scan", "read_csv", "read_csv_auto", "sniff_csv"),
        *("read_json", "read_json_auto", "read_json_objects", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects"),
        *("read_text", "read_blob"),
    }
)
_OF_NOTHING = frozenset({"unnest", "range", "generate_series", "repeat"})
_OF_THE_SESSION = frozenset({"getvariable", "current_setting", "getenv", "error"})
_TIME_WITHOUT_CALL = re.compile(r"(local|current_)(time|timestamp|date)|(current_|session_)?(user|role|catalog|schema)")
_NO_MACRO_FOR_US = re.compile(r"now\(|today|random|current|setting|duckdb_|pg_", re.IGNORECASE)
_FILE_NAME = re.compile(r"\.(parquet|csv|tsv|json|jsonl|ndjson)(\.gz|\.zst)?$", re.IGNORECASE)
_GLOB = re.compile(r"[*?\[{]")

Tree = dict[str, Any]


@dataclass(frozen=True)
class FileSignature:
    """What tells whether a file is still as it was: path, size, times of change in nanoseconds, and its number."""

    path: str
    size: int
    modified: int
    changed: int
    number: int


Signature = tuple[FileSignature, ...]


def source_signature(engine: Engine, text: str) -> Signature | None:
    """Return the signatures of all files that decide what a query returns; None where more than files may decide it.

    Relative paths start at the working folder. Take it before the query runs: what is written meanwhile then shows.
    """
    tree = query_tree(engine, text)
    if tree is None:
        return None
    try:
        paths = {path for pattern in set(_patterns(engine, tree)) for path in expanded(engine, pattern)}
        return tuple(file_signature(path) for path in sorted(paths))
    except (MoreThanFiles, OSError):
        return None


def is_settled(signature: Signature, looked_at: datetime) -> bool:
    """Return whether no file was modified just before it was looked at (UTC without zone)."""
    latest = max((max(file.modified, file.changed) for file in signature), default=0)
    return latest < int((looked_at - SETTLES_WITHIN).replace(tzinfo=UTC).timestamp() * 1_000_000_000)


def signature_text(signature: Signature) -> str:
    """Return a signature as text to keep.

    >>> signature_text((FileSignature("/data/events.parquet", 12, 1, 2, 3),))
    '[["/data/events.parquet", 12, 1, 2, 3]]'
    """
    return json.dumps([[file.path, file.size, file.modified, file.changed, file.number] for file in signature])


def kept_signature(text: str) -> Signature:
    """Return the signature that `signature_text` wrote."""
    return tuple(FileSignature(*fields) for fields in json.loads(text))


class MoreThanFiles(Exception):
    """The query reads something that is no file, or may say another thing of the same files."""


def query_tree(engine: Engine, text: str) -> Tree | None:
    """Return DuckDB's own tree of a query, None where it has none to give."""
    written = engine.value("select json_serialize_sql($text)", {"text": text.strip().rstrip(";")})
    tree: Tree = json.loads(written)
    return tree if not tree.get("error") and len(tree["statements"]) == 1 else None


def _patterns(engine: Engine, tree: Tree) -> Iterator[str]:
    """Yield the paths and patterns that a query names. Raises MoreThanFiles."""
    found = list(nodes(tree))
    ctes = {entry["key"].lower() for node in found for entry in (node.get("cte_map") or {}).get("map", [])}
    functions: set[str] = set()
    for node in found:
        match node.get("class"), node.get("type"):
            case (("FUNCTION" | "WINDOW"), _):
                functions.add(str(node["function_name"]).lower())
            case "COLUMN_REF", _:
                names = node["column_names"]
                if len(names) == 1 and _TIME_WITHOUT_CALL.fullmatch(names[0].lower()):
                    raise MoreThanFiles
            case _, "BASE_TABLE":
                yield from _of_table(engine, node, ctes)
            case _, "TABLE_FUNCTION":
                yield from _of_table_function(node)
            case _, "SHOW_REF" | "COLUMN_DATA":
                raise MoreThanFiles
        if node.get("sample"):
            raise MoreThanFiles
    _check_functions(engine, functions - _OF_FILES - _OF_NOTHING)


def nodes(value: object) -> Iterator[Tree]:
    """Yield all nodes of a tree."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _check_functions(engine: Engine, names: set[str]) -> None:
    """Raise MoreThanFiles unless every function gives the same for the same arguments."""
    known: dict[str, list[tuple[str, str | None, bool, str | None]]] = {}
    rows = engine.rows(
        "select distinct lower(function_name), function_type, stability, internal, macro_definition "
        "from duckdb_functions() where lower(function_name) in (select unnest($names))",
        {"names": sorted(names)},
    )
    for name, *rest in rows:
        known.setdefault(name, []).append(tuple(rest))
    for name in names:
        if name in _OF_THE_SESSION or name not in known:
            raise MoreThanFiles
        for kind, stability, internal, definition in known[name]:
            plain = kind in ("scalar", "aggregate", "window") and stability == "CONSISTENT"
            macro = kind == "macro" and internal and not _NO_MACRO_FOR_US.search(definition or "now(")
            if not (plain or macro):
                raise MoreThanFiles


def _of_table(engine: Engine, node: Tree, ctes: set[str]) -> list[str]:
    """Return the files behind the name of a table: a file itself, or the attached database that it lies in."""
    catalog, schema, name = (str(node.get(part) or "") for part in ("catalog_name", "schema_name", "table_name"))
    where = {"name": name.lower(), "first": (catalog or schema).lower(), "second": schema.lower()}
    tables: list[tuple[str, str | None, str, bool]] = engine.rows(
        "select d.database_name, d.path, d.type, t.is_table and d.database_name <> current_database() from ("
        " select database_name, schema_name, table_name, true as is_table from duckdb_tables() union all"
        " select database_name, schema_name, view_name, false from duckdb_views() where not internal) as t "
        "join duckdb_databases() as d using (database_name) where lower(table_name) = $name "
        "and ($first = '' or lower(database_name) = $first or lower(schema_name) in ($first, $second))",
        where,
    )
    if not tables:
        is_file = not catalog and not schema and _FILE_NAME.search(name)
        if not catalog and not schema and name.lower() in ctes and not is_file:
            return []
        if is_file and name.lower() not in ctes:
            return [name]
        raise MoreThanFiles
    files = []
    for _, path, kind, attached_table in tables:
        if not attached_table or path is None or kind not in ("duckdb", "sqlite") or name.lower() in ctes:
            raise MoreThanFiles
        logs = (f"{path}{log}" for log in (".wal", "-wal", "-journal"))
        files += [path, *(log for log in logs if Path(log).exists())]
    return files


def _of_table_function(node: Tree) -> list[str]:
    function: Tree = node["function"]
    name = str(function["function_name"]).lower()
    if name in _OF_NOTHING:
        return []
    if name not in _OF_FILES:
        raise MoreThanFiles
    paths = arguments(function)[:1]
    if paths and paths[0].get("function_name") == "list_value":
        paths = arguments(paths[0])
    texts = [constant_text(path) for path in paths]
    if None in texts:
        raise MoreThanFiles
    return [text for text in texts if text is not None]


def arguments(function: Tree) -> list[Tree]:
    """Return the arguments of a function."""
    if "arguments" in function:  # since DuckDB 2.0
        return [argument["expression"] for argument in function["arguments"]]
    return list(function["children"])


def constant_text(node: Tree) -> str | None:
    """Return the text that an expression is, None where it is anything but a constant text."""
    literal, value = node.get("literal"), node.get("value")
    text = literal.get("text") if literal else value.get("value") if isinstance(value, dict) else None
    return text if node.get("class") == "CONSTANT" and isinstance(text, str) else None


def expanded(engine: Engine, pattern: str) -> list[str]:
    """Return the files that a path or pattern stands for. Raises MoreThanFiles."""
    if "://" in pattern:
        raise MoreThanFiles
    if not _GLOB.search(pattern):
        return [pattern]
    try:
        found = [str(path) for (path,) in engine.rows("select file from glob($pattern)", {"pattern": pattern})]
    except QueryFailed as error:  # out of bounds, or no folder that can be listed: reading it will say so
        raise MoreThanFiles from error
    if not found:
        raise MoreThanFiles
    return found


def file_signature(path: str) -> FileSignature:
    """Return the signature of a file. Raises MoreThanFiles or OSError."""
    absolute = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100  (Path.resolve would follow symlinks)
    status = absolute.stat()
    if not absolute.is_file():
        raise MoreThanFiles
    return FileSignature(str(absolute), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
