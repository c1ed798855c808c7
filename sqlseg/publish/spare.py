"""A copy of the published file for a refresh to patch, made while nobody waits for it.

Between two rounds of a watch it is read and hashed whole: the spare copy. One that a refresh makes beside its other
work is not; what is patched into that is verified with all the rest of it.
"""

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlseg.engine.duckdb import Engine
from sqlseg.errors import SqlsegError
from sqlseg.publish.content_hash import file_content


class NotWhole(SqlsegError):
    """The published file does not hold what was published."""

    def __init__(self, published: Path) -> None:
        super().__init__(f"{published} does not hold what was published.", hint="Check the disk.")


def spare_file(published: Path) -> Path:
    """Return where the spare copy of a published file lies."""
    return published.with_name(f".{published.name}.spare")


def prepare_spare(published: Path) -> None:
    """Copy the published file beside it, bring the copy to the disk, and read and hash all that it holds.

    So a spare copy that is there holds exactly what a refresh published. Raises NotWhole or OSError.
    """
    discard_spare(published)
    _make(published, spare_file(published), whole=True)


def _make(published: Path, copy: Path, *, whole: bool) -> None:
    """Copy the published file and bring the copy to the disk, to be found under its name when it is complete."""
    making = _making(copy)
    try:
        shutil.copyfile(published, making)
        with making.open("rb") as file:
            os.fsync(file.fileno())
        if whole and not _is_whole(making):
            raise NotWhole(published)
        stat = published.stat()
        os.utime(making, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # by which it is known again
        making.replace(copy)
    finally:
        making.unlink(missing_ok=True)


def _is_whole(copy: Path) -> bool:
    try:
        with Engine.open(copy, read_only=True) as reader:
            return file_content(reader).whole
    except SqlsegError:  # no database any more, or with a block that is not what was written
        return False


def take_copy(published: Path, copy: Path) -> bool:
    """Make a copy of the published file; return whether it is the spare one, which has been found whole.

    A copy of another file is thrown away. Raises OSError.
    """
    for made in (spare_file(published), _beside(published)):
        if _is_copy(made, published):
            made.replace(copy)
            return made == spare_file(published)
        made.unlink(missing_ok=True)
    shutil.copyfile(published, copy)
    return False


ROOM = 4
"""Times the size of the published file that must be free on its disk for a copy to be made beside other work."""


class CopyBeside:
    """Copies the published file on a thread of its own, once `begin` is called, while the block does other things.

    At the end of the block nothing is left of it, nor of one that was broken off before.
    """

    def __init__(self, published: Path) -> None:
        self._published = published
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()
        with suppress(OSError):  # in nobody's way, and the next refresh tries again
            _discard(_beside(self._published))

    def begin(self) -> None:
        """Begin to copy, unless there is a spare copy already, or too little room for other work to go on beside it."""
        published = self._published
        if self._thread is not None or _is_copy(spare_file(published), published):
            return
        if shutil.disk_usage(published.parent).free < ROOM * published.stat().st_size:
            return
        self._thread = threading.Thread(target=self._copy, name="copy")
        self._thread.start()

    def wait(self) -> None:
        """Wait until the copy is there, if one was begun."""
        if self._thread is not None:
            self._thread.join()

    def _copy(self) -> None:
        with suppress(OSError):  # whoever needs a copy then makes one, and says what is wrong
            _make(self._published, _beside(self._published), whole=False)


def discard_spare(published: Path) -> None:
    """Remove the spare copy and any other, complete or not, where there is one. Raises OSError."""
    _discard(spare_file(published))
    _discard(_beside(published))


def _discard(copy: Path) -> None:
    for path in (copy, _making(copy)):
        path.unlink(missing_ok=True)


def _beside(published: Path) -> Path:
    return published.with_name(f".{published.name}.copy")


def _making(copy: Path) -> Path:
    return copy.with_name(f"{copy.name}.making")


def _is_copy(copy: Path, published: Path) -> bool:
    return copy.is_file() and _stamp(copy) == _stamp(published)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
