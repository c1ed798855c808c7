"""Finds the SQL and the encoders that ship with sqlseg, in a wheel as in a checkout, and reads the shop's own."""

from functools import cache
from pathlib import Path
from typing import Literal

from sqlseg.errors import SqlsegError

_PACKAGE = Path(__file__).resolve().parent


class UnreadableFile(SqlsegError):
    """A file of the shop's own is not there, may not be read, or is not text."""


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


def shop_text(path: Path) -> str:
    """Return the text of a file that a shop wrote, with or without the mark that some editors put first.

    Raises UnreadableFile, which names the line that is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(f"{path}:{line}: this is not UTF-8 text.", hint="Save the file as UTF-8.") from error
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror or error}."
        raise UnreadableFile(what, hint="Check the path and its permissions.") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UnreadableFile(f"{path}:{line}: there is a zero byte in the text.", hint="Save the file as UTF-8 text.")
    return text
