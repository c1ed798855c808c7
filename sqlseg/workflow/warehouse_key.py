"""The key of an encrypted warehouse, and what turns a plain one into an encrypted one and back."""

from pathlib import Path

from sqlseg.engine.rewriting import rewrite_database
from sqlseg.errors import SqlsegError
from sqlseg.settings import Settings, load_settings
from sqlseg.workflow.holding import Patience, patiently, take_lock
from sqlseg.workflow.keys import outside_key

KEY_VARIABLE = "SQLSEG_WAREHOUSE_KEY"


class EncryptionAsSet(SqlsegError):
    """The settings ask for the opposite of a command."""


def warehouse_key(settings: Settings) -> str | None:
    """Return the key of a project's warehouse, None where it is not encrypted. Raises UnusableKey."""
    return _key(settings) if settings.privacy.encrypt_warehouse else None


def _key(settings: Settings) -> str:
    command = settings.privacy.warehouse_key_command
    return outside_key(KEY_VARIABLE, command, "[privacy] warehouse_key_command", settings.directory).decode()


def change_encryption(directory: Path, patience: Patience | None = None, *, encrypted: bool) -> Path:
    """Replace the warehouse by an encrypted copy of a plain one, or the other way round; return its path.

    The settings say already what it is to be. Raises EncryptionAsSet, UnusableKey, NoCrypto, WrongDatabaseKey,
    DatabaseNotEncrypted, WarehouseHeld, and what rewriting a database raises.
    """
    settings = load_settings(directory)
    warehouse, asked = settings.warehouse, settings.privacy.encrypt_warehouse
    if asked is not encrypted:
        raise EncryptionAsSet(
            f"[privacy] encrypt_warehouse is {str(asked).lower()}.",
            hint=f"Set it to {str(encrypted).lower()} first: every command looks at it.",
        )
    if not warehouse.path.is_file():
        raise EncryptionAsSet(
            f"There is no {warehouse.path} yet.", hint="`sqlseg refresh` makes it as the settings say."
        )
    key = _key(settings)
    command = "sqlseg privacy encrypt" if encrypted else "sqlseg privacy decrypt"
    lock = patiently(patience, lambda: take_lock(settings, command))
    try:
        rewrite_database(
            warehouse.path,
            threads=warehouse.threads,
            memory_limit=warehouse.memory_limit,
            key=None if encrypted else key,
            fresh_key=key if encrypted else None,
        )
    finally:
        lock.release()
    return warehouse.path
