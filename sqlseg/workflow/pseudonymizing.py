"""The way between users and their pseudonyms, for who holds the key."""

from collections.abc import Sequence
from pathlib import Path

from sqlseg.publish.pseudonyms import Pseudonyms, real_users
from sqlseg.settings import Settings, load_settings
from sqlseg.workflow.holding import Patience
from sqlseg.workflow.project import open_project
from sqlseg.workflow.pseudonym_key import PseudonymsOff, project_pseudonyms, take_new_key
from sqlseg.workflow.viewing import NoRefreshYet
from sqlseg.workflow.warehouse import open_warehouse

_USERS = "(select user_id from sqlseg.population union select user_id from segments.membership_history)"


def pseudonyms_of(directory: Path, users: Sequence[str]) -> dict[str, str]:
    """Return the pseudonym of each user, whether the shop knows the user or not.

    Raises PseudonymsOff, UnusableKey or OtherPseudonymKey.
    """
    pseudonyms = _pseudonyms(load_settings(directory))
    return {user: pseudonyms.of(user) for user in users}


def users_behind(directory: Path, pseudonyms: Sequence[str], patience: Patience | None = None) -> dict[str, str | None]:
    """Return the user behind each pseudonym, None where no user of the warehouse has it.

    Raises PseudonymsOff, UnusableKey, OtherPseudonymKey, NoRefreshYet or WarehouseHeld.
    """
    project = open_project(directory)
    key = _pseudonyms(project.settings)
    if not project.settings.warehouse.path.is_file():
        raise NoRefreshYet(project)
    with open_warehouse(project, "sqlseg privacy user", patience) as engine:
        if not engine.relation_exists("sqlseg", "population"):
            raise NoRefreshYet(project)
        found = real_users(engine, key, _USERS, pseudonyms)
    return {pseudonym: found.get(pseudonym) for pseudonym in pseudonyms}


def rekey(directory: Path) -> str:
    """Take the key that is given now for all pseudonyms from the next refresh on; return its fingerprint."""
    return take_new_key(load_settings(directory)).fingerprint


def _pseudonyms(settings: Settings) -> Pseudonyms:
    pseudonyms = project_pseudonyms(settings)
    if pseudonyms is None:
        raise PseudonymsOff
    return pseudonyms
