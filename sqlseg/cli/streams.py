"""Standard output as it comes: closed, on a full disk, read by nobody any more, in an encoding without some letters."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO, cast

from sqlseg.errors import SqlsegError


class OutputNotWritable(SqlsegError):
    """What was asked for cannot be written to standard output."""


class Output:
    """A text stream that ends the program well where whoever reads has read enough, as `head` does.

    A full disk and the like is told as a problem; characters that the encoding lacks are spelled out.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._end(error)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> NoReturn:
        # What is still in the buffer goes nowhere, or the interpreter would complain of it when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise SystemExit(0) from None
        raise OutputNotWritable(
            f"Standard output cannot be written: {error.strerror or error}.", hint="Write it to another place."
        ) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make standard output an `Output` for as long as the block runs; closed streams lead nowhere from here on.

    Otherwise the next file that is opened, such as the database, would take the place of a closed one.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    before = sys.stdout
    stream = before if before is not None else open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stdout = cast(TextIO, Output(stream))
    try:
        yield
    finally:
        sys.stdout = before


def encodable(text: str) -> bool:
    """Return whether standard output has all characters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def write_exactly(text: str) -> None:
    """Write a text for other programs. Raises OutputNotWritable where the encoding lacks one of its characters."""
    if not encodable(text):
        raise OutputNotWritable(
            f"The encoding of standard output, {sys.stdout.encoding}, lacks characters of this text.",
            hint="Set PYTHONIOENCODING=utf-8.",
        )
    sys.stdout.write(text)
