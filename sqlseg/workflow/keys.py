"""Keys that stay outside of a project: from the environment, or from a command that prints one."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from sqlseg.errors import SqlsegError

SHORTEST = 32
_SECONDS = 60
_LARGEST_BYTES, _MOST_FILES = 64 * 1024, 2_000
_MAKE_ONE = 'Make one: python -c "import secrets; print(secrets.token_hex(32))", and keep it outside of the project.'


class UnusableKey(SqlsegError):
    """A key is not there, or is one that protects nothing. The message never holds it."""


def outside_key(variable: str, command: Sequence[str] | None, setting: str, project: Path) -> bytes:
    """Return the key that a command prints, else that of an environment variable; `setting` names the command's.

    Raises UnusableKey where there is none, it has fewer than 32 characters, or lies within the project.
    """
    if command is not None:
        return _printed_key(tuple(command), setting, project)
    given = os.environ.get(variable)
    if not given:
        raise UnusableKey(
            f"There is no key: ${variable} is not set.", hint=f"Set it, or {setting} to a command. {_MAKE_ONE}"
        )
    return _checked(given.strip(), f"${variable}", project)


@lru_cache(maxsize=8)
def _printed_key(command: tuple[str, ...], setting: str, project: Path) -> bytes:
    for word in command[1:]:
        file = project / word
        if file.is_file() and file.resolve().is_relative_to(project.resolve()):
            raise UnusableKey(
                f"{setting} reads {file}: a key that lies within the project protects nothing from who has it.",
                hint="Move the key out of the project, also out of its backups and its version control.",
            )
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        why = f"took more than {_SECONDS} seconds" if isinstance(error, subprocess.TimeoutExpired) else "cannot be run"
        raise UnusableKey(f"{setting}: {command[0]!r} {why}.", hint="It must print the key and exit with 0.") from error
    if done.returncode != 0:  # what it printed may hold a part of the key
        raise UnusableKey(
            f"{setting}: {command[0]!r} ended with exit code {done.returncode}.",
            hint="It must print the key and exit with 0. Try it by hand.",
        )
    try:
        text = done.stdout.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UnusableKey(f"{setting}: what {command[0]!r} prints is no text.", hint=_MAKE_ONE) from None
    return _checked(text, setting, project)


@lru_cache(maxsize=8)
def _checked(key: str, source: str, project: Path) -> bytes:
    if len(key) < SHORTEST:
        raise UnusableKey(f"{source}: a key of {len(key)} characters; it needs {SHORTEST} or more.", hint=_MAKE_ONE)
    if len(set(key)) < 8:
        raise UnusableKey(f"{source}: a key of only {len(set(key))} different characters.", hint=_MAKE_ONE)
    data = key.encode("utf-8")
    for file in islice(_files(project), _MOST_FILES):
        try:
            found = file.stat().st_size <= _LARGEST_BYTES and data in file.read_bytes()
        except OSError:
            continue  # what cannot be read is no place that a key was taken from
        if found:
            raise UnusableKey(
                f"The key stands in {file}: within the project it protects nothing from who has it.",
                hint="Take it out of there, and make another: whoever saw the project may know this one.",
            )
    return data


def _files(project: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(project):
        yield from (Path(folder, name) for name in names)
