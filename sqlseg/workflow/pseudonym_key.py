"""The key of a project's pseudonyms, and the file that tells it from others."""

from pathlib import Path

from sqlseg.errors import SqlsegError
from sqlseg.publish.pseudonyms import Pseudonyms
from sqlseg.settings import Settings
from sqlseg.workflow.erasure_list import write_private
from sqlseg.workflow.keys import outside_key

KEY_VARIABLE = "SQLSEG_PSEUDONYM_KEY"
_HEAD = "sqlseg pseudonyms 1 "


class OtherPseudonymKey(SqlsegError):
    """The key is not the one that the pseudonyms so far were made with."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"The key of pseudonyms is another one than before (see {file}): every user would get another pseudonym.",
            hint="Give the key that was used before. If it is lost or known to others, `sqlseg privacy rekey` takes "
            "the new one: what people keep under old pseudonyms then no longer fits.",
        )


class PseudonymsOff(SqlsegError):
    """A command is about pseudonyms, of which the project has none."""

    def __init__(self) -> None:
        super().__init__("This project publishes no pseudonyms.", hint="Set `pseudonyms = true` under [privacy].")


def fingerprint_file(settings: Settings) -> Path:
    """Return where the fingerprint lies: beside the warehouse, which may be lost and rebuilt."""
    return settings.warehouse.path.with_name(f"{settings.warehouse.path.name}.pseudonyms")


def project_pseudonyms(settings: Settings) -> Pseudonyms | None:
    """Return the pseudonyms of a project, None where it has none. Raises UnusableKey or OtherPseudonymKey."""
    if not settings.privacy.pseudonyms:
        return None
    pseudonyms = _given(settings)
    file = fingerprint_file(settings)
    try:
        known = file.read_text(encoding="ascii").strip() if file.is_file() else None
    except (OSError, ValueError) as error:
        raise _unusable(file, error) from error
    if known not in (None, _line(pseudonyms)):
        raise OtherPseudonymKey(file)
    return pseudonyms


def remember_key(settings: Settings, pseudonyms: Pseudonyms) -> None:
    """Keep what tells the key from others, unless that is known."""
    if not fingerprint_file(settings).is_file():
        _remember(settings, pseudonyms)


def take_new_key(settings: Settings) -> Pseudonyms:
    """Take the key that is given now, whatever it was before. Raises PseudonymsOff or UnusableKey."""
    if not settings.privacy.pseudonyms:
        raise PseudonymsOff
    pseudonyms = _given(settings)
    _remember(settings, pseudonyms)
    return pseudonyms


def _given(settings: Settings) -> Pseudonyms:
    command = settings.privacy.pseudonym_key_command
    key = outside_key(KEY_VARIABLE, command, "[privacy] pseudonym_key_command", settings.directory)
    return Pseudonyms(key)


def _line(pseudonyms: Pseudonyms) -> str:
    return f"{_HEAD}{pseudonyms.fingerprint}"


def _remember(settings: Settings, pseudonyms: Pseudonyms) -> None:
    file = fingerprint_file(settings)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, _line(pseudonyms) + "\n")
    except OSError as error:
        raise _unusable(file, error) from error


def _unusable(file: Path, error: OSError | ValueError) -> SqlsegError:
    told = getattr(error, "strerror", None) or "it is damaged"
    return SqlsegError(f"{file} cannot be used: {told}.", hint="Check the folder's permissions.")
