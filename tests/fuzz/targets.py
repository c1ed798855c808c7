"""What is fuzzed: functions of bytes that may end in a worded error and in nothing else, and that come to an end."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from sqlseg.encoders.content_manifest import TextManifest
from sqlseg.encoders.image_manifest import ImageManifest
from sqlseg.encoders.manifest import bad_manifest, checked_manifest
from sqlseg.encoders.onnxfile import external_files, foreign_operators, with_output
from sqlseg.errors import SqlsegError
from sqlseg.events.confinement import Readable, check_shop_select
from sqlseg.features.locality import locality_problems
from sqlseg.features.view import parse_view
from sqlseg.settings import parse_settings
from sqlseg.sqltext import bind, fingerprint, parse_select, tables_read, to_sql

SHOP = Path("/shop")


def settings(data: bytes) -> None:
    """Read a sqlseg.toml, and tell every problem with the line it is on."""
    text = data.decode("utf-8", "replace")
    try:
        parse_settings(text, SHOP, check_files=False)
    except SqlsegError as error:
        assert "/shop/sqlseg.toml:" in error.message


def sql(data: bytes) -> None:
    """Read a text as a shop's SELECT and as a feature view; bind it, and judge whether it is local to users."""
    text = data.decode("utf-8", "replace")
    with suppress(SqlsegError):
        check_shop_select(text, "sql/events.sql", Readable((SHOP,), SHOP))
    with suppress(SqlsegError):
        tree = parse_select(text)
        tables_read(tree)
        locality_problems("features", tree)
        bound = bind(tree, {"events": "(select * from sqlseg.events)"}, {"as_of": "timestamp '2024-01-01'"})
        to_sql(bound)
        fingerprint(bound)
    with suppress(SqlsegError):
        parse_view("features", SHOP / "sql/features/own__v1.sql", text)


def manifest(data: bytes) -> None:
    """Read the manifest.json of an encoder of each kind."""
    path = SHOP / "onnx_models/own_v1/manifest.json"
    with suppress(SqlsegError, ValueError, RecursionError):  # the latter two by json, and worded by load_manifest
        checked_manifest(path, json.loads(data.decode("utf-8", "replace")))
    for kind in (TextManifest, ImageManifest):
        try:
            kind.model_validate_json(data)
        except ValidationError as error:
            bad_manifest(path, error)


def onnx(data: bytes) -> None:
    """Look into an ONNX file for other files, foreign operators and outputs; check_one_file words what these raise."""
    for look in (external_files, foreign_operators):
        with suppress(IndexError, ValueError, RecursionError):
            list(look(data))
    with suppress(IndexError, ValueError):
        with_output(data, "embedding")


TARGETS: dict[str, Callable[[bytes], None]] = {"settings": settings, "sql": sql, "manifest": manifest, "onnx": onnx}
