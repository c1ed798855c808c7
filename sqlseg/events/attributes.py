"""Reads the attributes of users and items, where the files that they come from are not as they were."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.statements import duckdb_version
from sqlseg.events.erasure import NOBODY, Erased
from sqlseg.events.source_files import is_settled, kept_signature, signature_text, source_signature
from sqlseg.events.staging import keep_attributes, shop_sql
from sqlseg.names import WHOLE_ROW


def read_attributes(
    engine: Engine,
    kind: str,
    path: Path,
    project: Path,
    *,
    databases: Mapping[str, str],
    now: datetime,
    erased: Erased = NOBODY,
) -> str:
    """Bring `sqlseg.users` or `sqlseg.items` (`kind`) up to date; return a fingerprint of what it holds.

    The table is empty where there is no file. `databases` says what is attached, by name; `now` is UTC without zone.
    Raises what keep_attributes raises.
    """
    there = path.is_file()
    signature, definition = None, ""
    if there:
        with shop_sql(path, project) as text:
            definition = sqltext.digest(
                sqltext.token_digest(text), json.dumps(dict(databases), sort_keys=True), duckdb_version()
            )
            signature = source_signature(engine, text)
    known = engine.row(
        "select definition, signature, read_at, fingerprint from sqlseg.attribute_memory where kind = $kind",
        {"kind": kind},
    )
    if known is not None and signature is not None:
        same = (known[0], kept_signature(known[1])) == (definition, signature)
        if same and is_settled(signature, known[2]) and engine.relation_exists("sqlseg", kind):
            return str(known[3])
    keep_attributes(engine, kind, path if there else None, project, erased=erased)
    hashed = f"coalesce(sum(hash({WHOLE_ROW})), 0) from sqlseg.{kind} as {WHOLE_ROW}"
    fingerprint = str(engine.value(f"select count(*) || '/' || {hashed}"))
    engine.execute("delete from sqlseg.attribute_memory where kind = $kind", {"kind": kind})
    if signature is not None:
        engine.execute(
            "insert into sqlseg.attribute_memory values ($kind, $definition, $signature, $read_at, $fingerprint)",
            {
                "kind": kind,
                "definition": definition,
                "signature": signature_text(signature),
                "read_at": now,
                "fingerprint": fingerprint,
            },
        )
    return fingerprint
