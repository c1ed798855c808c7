"""Which processes have a file open, as far as this system tells."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process of this machine; what the system does not tell is None.

    `started_at` is UTC. `writes` says whether it has the file open for writing, and `outdated` that what it has open is
    a file that has been replaced since.
    """

    pid: int
    command: str | None = None
    user: str | None = None
    started_at: datetime | None = None
    writes: bool | None = None
    outdated: bool = False

    def __str__(self) -> str:
        """Name it as people do.

        >>> print(Process(4711, "java -jar metabase.jar", "bi", datetime(2026, 11, 22, 7, 0)))
        java -jar metabase.jar (process 4711 of bi, running since 2026-11-22 07:00:00 UTC)
        """
        of = f" of {self.user}" if self.user else ""
        since = f", running since {self.started_at:%Y-%m-%d %H:%M:%S} UTC" if self.started_at else ""
        return f"{self.command or 'a program'} (process {self.pid}{of}{since})"


def short_command(words: Sequence[str]) -> str | None:
    """Return a command line without its arguments, which may hold passwords and ids.

    >>> short_command(["/usr/bin/python3", "/srv/superset/run.py", "--secret", "x"])
    'python3 /srv/superset/run.py'
    >>> short_command(["java", "-jar", "metabase.jar"]), short_command(["python", "-c", "import os"])
    ('java -jar metabase.jar', 'python')
    """
    if not words or not words[0]:
        return None
    shown = [Path(words[0]).name]
    if len(words) > 2 and words[1] in ("-jar", "-m"):
        shown += words[1:3]
    elif len(words) > 1 and not words[1].startswith("-"):
        shown.append(words[1])
    return " ".join(shown)


def process(pid: int) -> Process:
    """Return what the system says of a process; it need not be there any more."""
    command = user = started_at = None
    with suppress(OSError):
        command = short_command((_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0"))
    with suppress(OSError, ImportError, KeyError):
        import pwd

        user = pwd.getpwuid((_PROC / str(pid)).stat().st_uid).pw_name
    with suppress(OSError, ValueError, IndexError, StopIteration):
        # After the name in brackets, which may hold anything; the 22nd field, in ticks since the machine started.
        ticks = int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
        booted = next(int(line.split()[1]) for line in _lines(_PROC / "stat") if line.startswith("btime "))
        seconds = ticks / os.sysconf("SC_CLK_TCK")
        started_at = (datetime.fromtimestamp(booted, UTC) + timedelta(seconds=seconds)).replace(tzinfo=None)
    return Process(pid, command, user, started_at)


def processes_with(path: Path) -> list[Process] | None:
    """Return the processes that have a file open, or one that stood at its path before; None where that is not known.

    Only processes that the caller may look into are found: all of them for root, else those of the same user.
    """
    if not _PROC.joinpath("self", "fd").is_dir():
        return None
    found = []
    for pid in sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()):
        opened = list(_descriptors(pid, path))
        if opened:
            writes, outdated = any(writes for writes, _ in opened), all(outdated for _, outdated in opened)
            found.append(replace(process(pid), writes=writes, outdated=outdated))
    return found


def _descriptors(pid: int, path: Path) -> Iterator[tuple[bool, bool]]:
    """Yield, for each time that a process has the file open: whether it may write, and whether it has been replaced."""
    replaced = f"{path.resolve()} (deleted)"
    with suppress(OSError):  # the process has ended, or is somebody else's
        known = path.stat() if path.exists() else None
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                found = entry.stat()
                outdated = str(entry.readlink()) == replaced
                current = known is not None and (found.st_dev, found.st_ino) == (known.st_dev, known.st_ino)
                if outdated or current:
                    yield _may_write(pid, entry.name), outdated


def _may_write(pid: int, descriptor: str) -> bool:
    for line in _lines(_PROC / str(pid) / "fdinfo" / descriptor):
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & (os.O_WRONLY | os.O_RDWR) != 0
    return False


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
