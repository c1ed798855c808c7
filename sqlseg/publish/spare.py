"""A copy of the published file, made while nobody waits for it, which the next refresh of a watch patches."""

import os
import shutil
from pathlib import Path


def spare_file(published: Path) -> Path:
    """Return where the spare copy of a published file lies."""
    return published.with_name(f".{published.name}.spare")


def prepare_spare(published: Path) -> None:
    """Copy the published file beside it, and bring the copy to the disk. Raises OSError."""
    spare, making = spare_file(published), _making(published)
    discard_spare(published)
    try:
        shutil.copyfile(published, making)
        with making.open("rb") as file:
            os.fsync(file.fileno())
        stat = published.stat()
        os.utime(making, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # by which it is known again
        making.replace(spare)
    finally:
        making.unlink(missing_ok=True)


def take_copy(published: Path, copy: Path) -> None:
    """Make a copy of the published file: of the spare one, where that is of this very file. Raises OSError."""
    spare = spare_file(published)
    if spare.is_file() and _stamp(spare) == _stamp(published):
        spare.replace(copy)
        return
    spare.unlink(missing_ok=True)
    shutil.copyfile(published, copy)


def discard_spare(published: Path) -> None:
    """Remove the spare copy, whole or not, where there is one. Raises OSError."""
    for path in (spare_file(published), _making(published)):
        path.unlink(missing_ok=True)


def _making(published: Path) -> Path:
    return published.with_name(f".{published.name}.spare.making")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
