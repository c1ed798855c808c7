"""What can go wrong in a database, in words for the reader."""

import re
from collections.abc import Iterable
from pathlib import Path

from sqlseg.errors import SqlsegError


class QueryFailed(SqlsegError):
    """The database refused or broke off a statement."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)


class OutsideConfinement(QueryFailed):
    """A statement reaches for what the connection was confined to stay away from."""

    def __init__(self, what: str, place: str) -> None:
        super().__init__(
            f"{what} lies outside of what this project's SQL may read.{place}",
            hint='Folders to read from stand in sqlseg.toml, as paths = ["data/"] under [events]; sqlseg reads nothing '
            "over a network and loads no extension meanwhile.",
        )


class DatabaseLocked(SqlsegError):
    """Another process holds the database file; `pid` is its number where the database says it."""

    def __init__(self, path: str, holder: str | None, pid: int | None = None) -> None:
        self.pid = pid
        held = f" by {holder}" if holder else ""
        super().__init__(
            f"{path} is held{held}.",
            hint="Close that process or wait for it. People and BI tools open the published file, not the warehouse.",
        )


class DiskFull(SqlsegError):
    """There is no room left where the database writes."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"The disk is full: {detail}",
            hint="Free some space and run the command again. Nothing half-written was kept.",
        )


class DatabaseDamaged(SqlsegError):
    """A file is no DuckDB database, or its content does not match its checksums."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(
            f"{path} cannot be read as a DuckDB database: {detail}",
            hint="A damaged warehouse is made anew by `sqlseg refresh --rebuild`, with the history of the published "
            "file; a damaged published file by `sqlseg refresh`. A source has to be restored from a backup.",
        )


class DatabaseBroke(SqlsegError):
    """The database broke down in the middle of a statement, as it does over a damaged file or a bug of its own."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(
            f"The database broke down while it worked on {path}: {detail}",
            hint="Run the command again. Where it ends like this each time, the file is damaged: a warehouse is made "
            "anew by `sqlseg refresh --rebuild`, with the history of the published file.",
        )


class DatabaseEncrypted(SqlsegError):
    """A file is encrypted, and no key was given."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is encrypted.",
            hint="Set `encrypt_warehouse = true` under [privacy] in sqlseg.toml, and give its key; or have it "
            "decrypted with `sqlseg privacy decrypt`.",
        )


class OutOfMemory(SqlsegError):
    """A statement needed more than the memory limit and could not spill."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"The database ran out of memory: {detail}",
            hint="Raise [warehouse] memory_limit in sqlseg.toml, or lower [warehouse] threads.",
        )


class PathNotWritable(SqlsegError):
    """A file or its folder does not allow what is needed."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path} cannot be opened: {detail}", hint="Check the path and its permissions.")


class MissingExtension(SqlsegError):
    """A statement needs an extension of DuckDB that is not on this machine."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"DuckDB's extension {name!r} is not installed here.",
            hint="Install it once, where there is a network: "
            f"python -c \"import duckdb; duckdb.sql('install {name}')\".",
        )


_LOCKED = re.compile(
    r'Could not set lock on file "([^"]+)"'
    r"(?:: Conflicting lock is held in ((?:.+? \(PID (\d+)\)|PID (\d+))(?: by user [^\s.]+)?))?"
)
_CONFINED = re.compile(
    r'Permission Error: (?:Cannot access (?:file|directory) "(?P<path>.*?)" - file system operations are disabled|'
    r"(?P<other>(?:Loading external extensions|Modifying the \w+) (?:is|has been) disabled)[^\n]*)",
    re.DOTALL,
)
_MISSING = re.compile(r'Extension "[^"]*?(\w+)\.duckdb_extension" not found')
_CSV_OPTIONS = re.compile(r"\n\n  file = .*?(?=\n\n|\Z)", re.DOTALL)
_DAMAGED = (
    "not a valid DuckDB database",
    "Corrupt database file",
    "checksum",
    "Failed to load metadata",
    "read a database file with version number",
    "read a database file with storage version",
    "Failure while replaying WAL",
    "Could not read enough bytes",
    "Serialization Error",
)
_BROKE = ("INTERNAL Error", "FATAL Error", "database has been invalidated")


def explained(error: Exception, path: Path | None = None, attached: Iterable[Path] = ()) -> SqlsegError:
    """Return the error of this family that says what a database error means.

    `path` is the database that was worked on, `attached` are others that the statement may have read.

    >>> type(explained(Exception("IO Error: Could not write file: No space left on device"))).__name__
    'DiskFull'
    """
    text = str(error).strip()
    first_line = text.splitlines()[0] if text else type(error).__name__
    locked = _LOCKED.search(text)
    if locked:
        pid = locked.group(3) or locked.group(4)
        return DatabaseLocked(locked.group(1).strip(), locked.group(2), int(pid) if pid else None)
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return DiskFull(first_line)
    if confined := _CONFINED.search(text):
        place = text.find("\n\nLINE ")
        named = repr(confined["path"]) if confined["path"] is not None else "What it asks for"
        return OutsideConfinement(named, text[place:] if place >= 0 else "")
    if "Cannot open encrypted database" in text:
        return DatabaseEncrypted(str(path) if path else "A database file")
    if any(mark in text for mark in _DAMAGED):
        return DatabaseDamaged(_named(path, attached), first_line)
    if any(mark in text for mark in _BROKE):
        return DatabaseBroke(_named(path, attached), first_line)
    if missing := _MISSING.search(text):
        return MissingExtension(missing[1].removesuffix("_scanner"))
    if text.startswith("Out of Memory Error"):
        return OutOfMemory(first_line)
    if "Permission denied" in text or "Read-only file system" in text or "read-only mode" in text:
        return PathNotWritable(str(path) if path else "A file", first_line)
    return QueryFailed(_CSV_OPTIONS.sub("", text))


_LINE = re.compile(r"^LINE (\d+):", re.M)


def error_line(error: SqlsegError) -> int | None:
    """Return the line of the statement that a database error points at, if it names one."""
    found = _LINE.search(error.message)
    return int(found.group(1)) if found else None


def one_line_up(message: str) -> str:
    """Return a database's message that points at the line before.

    >>> one_line_up("LINE 3: select x")
    'LINE 2: select x'
    """
    return _LINE.sub(lambda found: f"LINE {int(found.group(1)) - 1}:", message)


def _named(path: Path | None, attached: Iterable[Path]) -> str:
    """Return which file is meant; of several, the message of the database does not say which."""
    files = list(dict.fromkeys(str(one) for one in (path, *attached) if one is not None))
    if len(files) > 1:
        return f"One of {', '.join(files)}"
    return files[0] if files else "A database file"
