"""Finds the SQL and the encoders that ship with sqlseg, in a wheel as in a checkout."""

from functools import cache
from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def resource_root(kind: Literal["sql", "onnx_models"]) -> Path:
    """Return the folder of shipped resources of one kind.

    A wheel carries them inside the package; a checkout (also when installed editable) has them at its top.
    """
    bundled = _PACKAGE / "_bundled" / kind
    return bundled if bundled.is_dir() else _PACKAGE.parent / kind


@cache
def sql_text(path: str) -> str:
    """Return the text of a shipped SQL file, named relative to `sql/`: `steps/events/stage.sql`."""
    return (resource_root("sql") / path).read_text(encoding="utf-8")
