"""What can go wrong with an encrypted database, in words that never hold its key."""

from pathlib import Path

from sqlseg.engine.errors import explained
from sqlseg.errors import SqlsegError

ALGORITHM = "AES-256-GCM"


class NoCrypto(SqlsegError):
    """This DuckDB cannot write encrypted files."""

    def __init__(self, version: str) -> None:
        super().__init__(
            "This DuckDB cannot write an encrypted database: what it needs for that is in its extension httpfs, which "
            "is not installed.",
            hint=f"Once, where there is a network: `INSTALL httpfs` in a shell of DuckDB {version}, as the user who "
            "runs sqlseg; it can be copied to other machines (~/.duckdb/extensions). sqlseg fetches nothing itself, "
            "and does not use DuckDB's own way around it, which is not safe. Or take `encrypt_warehouse` out.",
        )


class WrongDatabaseKey(SqlsegError):
    """A database does not open with the key that was given."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} does not open with the key that was given.",
            hint="Give the key that it was encrypted with. Without it, nobody can read the file: move it away and "
            "refresh, and it is built anew from the sources, without the history.",
        )


class DatabaseNotEncrypted(SqlsegError):
    """A database is to be opened with a key, and is not encrypted."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is not encrypted, and [privacy] encrypt_warehouse says that it is.",
            hint="`sqlseg privacy encrypt` encrypts it. It needs the room of a second file.",
        )


def explained_without_key(error: Exception, path: Path, key: str, version: str) -> SqlsegError:
    """Return what an error means that came of a statement with a key in it.

    The database may quote a part of the statement, and of the key: that is left out.

    >>> quoting = Exception("Parser Error: no secret\\n\\nLINE 1: attach 'x' (encryption_key 'secr...")
    >>> explained_without_key(quoting, Path("x"), "secret", "2.0").message
    'Parser Error: no ...'
    """
    text = str(error).partition("\nLINE ")[0].replace(key.replace("'", "''"), "...").replace(key, "...").strip()
    if "read-only crypto module" in text:
        return NoCrypto(version)
    if "Wrong encryption key" in text:
        return WrongDatabaseKey(path)
    if "is not encrypted" in text:
        return DatabaseNotEncrypted(path)
    return explained(Exception(text), path)
