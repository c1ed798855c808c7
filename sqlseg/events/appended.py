"""Finds what is new in a source to which files have come, from these files alone.

A log of a file a day is then read for its new days, and not once a day from its beginning.
"""

import json
from collections.abc import Iterator
from typing import Any

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine
from sqlseg.events.source_files import (
    MoreThanFiles,
    Signature,
    Tree,
    arguments,
    constant_text,
    expanded,
    file_signature,
    nodes,
    query_tree,
)

_READERS = frozenset({"read_parquet", "parquet_scan"})
_SCANS = frozenset({"READ_PARQUET", "PARQUET_SCAN"})
_ROW_BY_ROW = _SCANS | {"PROJECTION", "FILTER"}
"""What DuckDB's plan of a query may hold so that every row of it is made of one row of one file."""


def appended_sql(engine: Engine, text: str, before: Signature, now: Signature) -> str | None:
    """Return a query over the files that came after `before` alone, whose rows are then all that is new.

    None where that is not known: where a file of before has changed or gone, where the query is more than a look at
    each row of one pattern of Parquet files, or where the files are not of the same columns, since the first one
    decides for all. Both signatures are of this query, which runs in the folder that its paths start at.
    """
    known = set(before)
    if not known or not known < set(now):
        return None
    text = text.strip().rstrip(";")
    named = _only_pattern(query_tree(engine, text))
    if named is None:
        return None
    pattern, place = named
    try:
        paths = {path: file_signature(path) for path in expanded(engine, pattern)}
    except (MoreThanFiles, OSError):
        return None
    if set(paths.values()) != set(now):
        return None
    new = [path for path, file in paths.items() if file not in known]
    old = [path for path, file in paths.items() if file in known]
    query = _with_files(text, pattern, place, new)
    if query is None or not _is_row_by_row(engine, text) or not _are_alike(engine, [pattern], new, old):
        return None
    return query


def _only_pattern(tree: Tree | None) -> tuple[str, int] | None:
    """Return the pattern that is all a query reads, by `read_parquet` without options, and the byte it is named at."""
    found = list(nodes(tree))
    functions = [node["function"] for node in found if node.get("type") == "TABLE_FUNCTION"]
    # The number of a file among the others is the one thing that new files change in the rows of old ones.
    numbered = any(str(name).lower() == "file_index" for node in found for name in node.get("column_names") or ())
    if len(functions) != 1 or str(functions[0]["function_name"]).lower() not in _READERS:
        return None
    given = arguments(functions[0])
    pattern = constant_text(given[0]) if len(given) == 1 and not numbered else None
    return None if pattern is None else (pattern, int(given[0]["query_location"]))


def _with_files(text: str, pattern: str, place: int, files: list[str]) -> str | None:
    """Return a query with a list of files in place of its pattern."""
    written, quoted = text.encode(), sqltext.literal(pattern).encode()
    if written[place : place + len(quoted)] != quoted:
        return None
    return (written[:place] + sqltext.literal(files).encode() + written[place + len(quoted) :]).decode()


def _is_row_by_row(engine: Engine, text: str) -> bool:
    """Return whether DuckDB makes every row of a query of one row of one file, going by its plan."""
    [(_, plan)] = engine.rows(f"explain (format json) {text}")
    operators = [operator for root in json.loads(plan) for operator in _operators(root)]
    return _ROW_BY_ROW.issuperset(operators) and sum(operator in _SCANS for operator in operators) == 1


def _operators(plan: Any) -> Iterator[str]:
    yield plan["name"].strip()
    for child in plan.get("children", ()):
        yield from _operators(child)


def _are_alike(engine: Engine, *several: list[str]) -> bool:
    """Return whether DuckDB reads the same columns of several lists of files, in the same order."""
    columns = [
        list(engine.describe(f"select * from read_parquet({sqltext.literal(files)})").items()) for files in several
    ]
    return all(one == columns[0] for one in columns)
