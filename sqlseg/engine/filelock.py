"""A lock that one process holds at a time, and in which it says who it is; a process that dies lets go of it."""

import errno
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

_TAKEN = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK}
_LOCKED_BYTE = 1 << 30
"""Of Windows, where nobody else can read what is locked; the text stands before it."""


@dataclass(frozen=True)
class LockHolder:
    """Who holds a lock: what it says of itself; `since` is UTC."""

    pid: int
    host: str
    command: str
    since: datetime

    def __str__(self) -> str:
        """Name it as people do.

        >>> print(LockHolder(4711, "shop-1", "sqlseg refresh", datetime(2026, 11, 22, 9, 5)))
        `sqlseg refresh` (process 4711 on shop-1, since 2026-11-22 09:05:00 UTC)
        """
        return f"`{self.command}` (process {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC)"


class LockTaken(Exception):
    """Another process holds the lock; `holder` is None where it has not said yet who it is."""

    def __init__(self, holder: LockHolder | None) -> None:
        super().__init__(str(holder))
        self.holder = holder


class FileLock:
    """A lock on a file beside what it guards, given back by `release` or at the end of the process.

    The operating system holds it, not the file: one that a killed process left behind is in nobody's way.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path, command: str) -> Self:
        """Take the lock, and write into it who has it. Raises LockTaken.

        Where no file can be made beside what it guards, or the file system knows no locks, there is none to take, and
        what is guarded has to see to itself.
        """
        while True:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError:
                return cls(path, None)
            try:
                _lock(descriptor)
            except OSError as error:
                os.close(descriptor)
                if error.errno in _TAKEN:
                    raise LockTaken(lock_holder(path)) from error
                return cls(path, None)
            if _is_at(descriptor, path):
                break
            os.close(descriptor)  # whoever held it has taken the file away in between
        with suppress(OSError):  # on a full disk nobody learns who holds it, and it holds all the same
            os.ftruncate(descriptor, 0)
            text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": command})
            os.write(descriptor, text.encode())
        return cls(path, descriptor)

    def release(self) -> None:
        """Give the lock back, and take its file away."""
        if self._descriptor is None:
            return
        if os.name == "nt":  # no open file can be removed there
            os.close(self._descriptor)
            self.path.unlink(missing_ok=True)
        else:
            if _is_at(self._descriptor, self.path):
                self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
        self._descriptor = None


def lock_holder(path: Path) -> LockHolder | None:
    """Return who a lock file says holds it, whether or not it still does; None where it says nothing."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        since = datetime.fromtimestamp(int(path.stat().st_mtime), UTC).replace(tzinfo=None)
        return LockHolder(int(said["pid"]), str(said["host"]), str(said["command"]), since)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there, ours = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


if os.name == "nt":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
