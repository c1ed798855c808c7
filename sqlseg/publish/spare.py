"""A copy of the published file, made while nobody waits for it, which the next refresh of a watch patches."""

import os
import shutil
from pathlib import Path

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
    spare, making = spare_file(published), _making(published)
    discard_spare(published)
    try:
        shutil.copyfile(published, making)
        with making.open("rb") as file:
            os.fsync(file.fileno())
        if not _is_whole(making):
            raise NotWhole(published)
        stat = published.stat()
        os.utime(making, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # by which it is known again
        making.replace(spare)
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

    A spare copy of another file is thrown away. Raises OSError.
    """
    spare = spare_file(published)
    if spare.is_file() and _stamp(spare) == _stamp(published):
        spare.replace(copy)
        return True
    spare.unlink(missing_ok=True)
    shutil.copyfile(published, copy)
    return False


def discard_spare(published: Path) -> None:
    """Remove the spare copy, whole or not, where there is one. Raises OSError."""
    for path in (spare_file(published), _making(published)):
        path.unlink(missing_ok=True)


def _making(published: Path) -> Path:
    return published.with_name(f".{published.name}.spare.making")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
