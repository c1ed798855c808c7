"""What the first bytes of a DuckDB file say, read without opening it."""

from dataclasses import dataclass
from pathlib import Path

_MAGIC, _STORAGE, _WRITER = slice(8, 12), slice(12, 20), slice(52, 84)

OLDEST_CLIENT = {64: "0.10.3", 65: "1.2.0", 66: "1.3.0", 67: "1.4.0", 68: "1.5.0", 69: "2.0.0", 999: "2.0.0"}
"""The oldest DuckDB known to open a file, by the number of its storage version; that of v1.0.0 is 64."""

V1_0_0 = 64


@dataclass(frozen=True)
class FileFormat:
    """The storage version of a file, and the release that wrote it where that is said."""

    storage: int
    written_by: str | None

    @property
    def oldest_client(self) -> str | None:
        """The oldest DuckDB that opens it; None where this release does not know."""
        return OLDEST_CLIENT.get(self.storage)


def file_format(path: Path) -> FileFormat | None:
    """Return the format of a database file, or None where it is none of DuckDB's. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_WRITER.stop)
    if head[_MAGIC] != b"DUCK" or len(head) < _WRITER.stop:
        return None
    writer = head[_WRITER].rstrip(b"\0")
    text = writer.decode("ascii") if writer.isascii() and writer.startswith(b"v") else None
    return FileFormat(int.from_bytes(head[_STORAGE], "little"), text)
