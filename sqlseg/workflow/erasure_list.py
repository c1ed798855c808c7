"""The list of who was forgotten: keyed hashes in a file beside the warehouse, with the key beside it or elsewhere."""

import contextlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlseg.errors import SqlsegError
from sqlseg.events.erasure import NOBODY, Erased
from sqlseg.settings import Settings

KEY_VARIABLE = "SQLSEG_ERASURE_KEY"
_SHORTEST = 16
_HEAD = "sqlseg erased 1 "


class NoErasureKey(SqlsegError):
    """Users were forgotten, and the key that tells them is not there or is another one."""


_WITHOUT_IT = "without the list, users who were forgotten would come back."


class ErasureListNotWritable(SqlsegError):
    """The list of who was forgotten, or its key, cannot be written or read."""

    def __init__(self, path: Path, error: OSError, told: str = "") -> None:
        in_the_way = next((one for one in path.parents if one.is_file()), None)
        if in_the_way is not None:
            super().__init__(
                f"{path} cannot be used: {in_the_way} is a file, not a folder.",
                hint="Correct [warehouse] path in sqlseg.toml. Where it points to, no warehouse can be, nor anybody "
                "to forget.",
            )
            return
        super().__init__(
            f"{path} cannot be used: {error.strerror or error}.", hint=f"Check the folder's permissions. {told}".strip()
        )


def list_file(settings: Settings) -> Path:
    """Return where the hashes lie: beside the warehouse, which may be lost and rebuilt."""
    return settings.warehouse.path.with_name(f"{settings.warehouse.path.name}.erased")


def key_file(settings: Settings) -> Path:
    """Return where the key lies, unless it comes from the environment."""
    return settings.warehouse.path.with_name(f"{settings.warehouse.path.name}.erased.key")


def unfinished_file(settings: Settings) -> Path:
    """Return the file that stands beside the list while an erasure is under way, and after one that was broken off."""
    return settings.warehouse.path.with_name(f"{settings.warehouse.path.name}.erasing")


@dataclass(frozen=True)
class Unfinished:
    """An erasure that was begun: of how many users, and since when (UTC)."""

    users: int
    since: datetime

    def __str__(self) -> str:
        """Say what it means."""
        return (
            f"The erasure of {self.users:,} users, begun {self.since:%Y-%m-%d %H:%M:%S} UTC, was not finished: "
            "rows or bytes of theirs may still be there."
        )


FINISH = "Run `sqlseg forget` again with the same users: it goes on where it was broken off."
"""What to do about one."""


def unfinished_erasure(settings: Settings) -> Unfinished | None:
    """Return the erasure that was begun and not finished, if there is one. Raises ErasureListNotWritable."""
    path = unfinished_file(settings)
    try:
        hashes = _hashes(path)
        return Unfinished(len(hashes), datetime.fromtimestamp(int(path.stat().st_mtime), UTC).replace(tzinfo=None))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ErasureListNotWritable(path, error, "It says whether an erasure was broken off.") from error


def finish_erasure(settings: Settings, erased: Erased, users: list[str]) -> None:
    """Put on record that nothing is left of some users. Raises ErasureListNotWritable."""
    path = unfinished_file(settings)
    try:
        rest = _hashes(path) - {erased.hash(user) for user in users}
        if rest:
            write_private(path, "\n".join(sorted(rest)) + "\n")
        else:
            path.unlink()
    except OSError as error:
        raise ErasureListNotWritable(path, error, f"The users are erased, and this note is left. {FINISH}") from error


def _hashes(path: Path) -> set[str]:
    try:
        return set(path.read_text(encoding="ascii").split())
    except ValueError as error:
        raise OSError(0, "it is damaged") from error


def erased_users(settings: Settings) -> Erased:
    """Return who was forgotten in a project; nobody where nobody was. Raises NoErasureKey."""
    path = list_file(settings)
    try:
        if not path.is_file():
            return NOBODY
        head, *hashes = path.read_text(encoding="ascii").splitlines()
        key = _key(settings)
    except (OSError, ValueError) as error:
        problem = error if isinstance(error, OSError) else OSError(0, "it is damaged")
        raise ErasureListNotWritable(path, problem, f"Nothing was changed: {_WITHOUT_IT}") from error
    if key is None or not hmac.compare_digest(head, _head(key)):
        what = "is missing" if key is None else "is another one than the list was made with"
        raise NoErasureKey(
            f"{len(hashes):,} users were forgotten (see {path}), and the key that tells them {what}.",
            hint=f"Put it back as {key_file(settings)} or into ${KEY_VARIABLE}. Without it they would come back.",
        )
    return Erased(key, frozenset(hashes))


def remember_erased(settings: Settings, users: list[str]) -> Erased:
    """Add users to the list, on disk before this returns; the key is made where there is none yet.

    Until `finish_erasure` is called, a file beside the list says that their erasure is under way.
    Raises NoErasureKey or ErasureListNotWritable.
    """
    known = erased_users(settings)
    path = list_file(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if known is NOBODY:
            known = Erased(_key(settings) or _new_key(settings), frozenset())
        listed = known.with_users(users)
        begun = unfinished_file(settings)
        hashes = {listed.hash(user) for user in users} | (_hashes(begun) if begun.is_file() else set())
        write_private(begun, "\n".join(sorted(hashes)) + "\n")
        write_private(path, "\n".join([_head(known.key), *sorted(listed.hashes)]) + "\n")
    except OSError as error:
        raise ErasureListNotWritable(path, error, f"Nothing was erased: {_WITHOUT_IT}") from error
    return listed


def _head(key: bytes) -> str:
    """Return the first line of a list: it tells whether a key is the one that the list was made with."""
    return _HEAD + hmac.digest(key, b"sqlseg erasure list", "sha256").hex()


def _key(settings: Settings) -> bytes | None:
    given = os.environ.get(KEY_VARIABLE)
    if given is not None:
        if len(given) < _SHORTEST:
            raise NoErasureKey(
                f"${KEY_VARIABLE} has {len(given)} characters; a key has {_SHORTEST} or more.",
                hint='Make one: python -c "import secrets; print(secrets.token_hex(32))".',
            )
        return given.encode()
    path = key_file(settings)
    return path.read_bytes().strip() if path.is_file() else None


def _new_key(settings: Settings) -> bytes:
    key = secrets.token_hex(32)
    write_private(key_file(settings), key + "\n")
    return key.encode()


def write_private(path: Path, text: str) -> None:
    """Replace a file that nobody else may read, in one step."""
    writing = path.with_name(f".{path.name}.writing")
    with contextlib.suppress(FileNotFoundError):
        writing.unlink()
    with os.fdopen(os.open(writing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    writing.replace(path)
