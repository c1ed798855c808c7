"""What releases with noise have spent of a project's privacy budget: a file that outlives the warehouse."""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlseg.errors import SqlsegError
from sqlseg.settings import Settings

FILE_NAME = "privacy_ledger.jsonl"


class BudgetSpent(SqlsegError):
    """A release would cost more than is left of the budget."""

    def __init__(self, asked: float, spent: float, budget: float) -> None:
        left = max(budget - spent, 0.0)
        super().__init__(
            f"The release costs epsilon {asked:g}, and {left:g} is left of the budget of {budget:g}.",
            hint="What was told of users cannot be taken back: the budget does not fill up again. Use what was "
            "released, release with a smaller --epsilon, or decide anew on [privacy] epsilon_budget: a larger one "
            "promises less.",
        )


class UnusableLedger(SqlsegError):
    """The ledger cannot be read, or is not what releases have written."""


@dataclass(frozen=True)
class Entry:
    """One release: what it cost by OpenDP's account, when (ISO 8601, UTC), of which refresh, and what it told."""

    release_id: str
    at: str
    epsilon: float
    run_id: str
    segmentations: tuple[str, ...]
    revenue_bounds: tuple[float, float]
    mechanism: str


def ledger_file(settings: Settings) -> Path:
    """Return where the ledger lies: in the project's folder, which a lost warehouse does not take along."""
    return settings.directory / FILE_NAME


def read_ledger(settings: Settings) -> tuple[Entry, ...]:
    """Return every release so far. Raises UnusableLedger where a line was changed or taken out."""
    return tuple(entry for entry, _ in _lines(ledger_file(settings)))


def spent(entries: Sequence[Entry]) -> float:
    """Return the epsilon of all releases: by basic composition they add up."""
    return math.fsum(entry.epsilon for entry in entries)


def charge(settings: Settings, entry: Entry, budget: float, known: Sequence[str]) -> None:
    """Write a release into the ledger, on disk before this returns, and before anything of it is drawn.

    `known` are releases that the warehouse knows of; the ledger has to know them too. Whoever calls this keeps other
    processes away. Raises BudgetSpent or UnusableLedger.
    """
    path = ledger_file(settings)
    lines = _lines(path)
    entries = [one for one, _ in lines]
    if missing := sorted(set(known) - {one.release_id for one in entries}):
        raise UnusableLedger(
            f"{path} lacks {len(missing)} releases that the warehouse knows of ({missing[0]}).",
            hint="Restore the ledger from a backup: without it, it is not known what is left of the budget.",
        )
    before = spent(entries)
    if before + entry.epsilon > budget * (1 + 1e-12):
        raise BudgetSpent(entry.epsilon, before, budget)
    text = json.dumps({**asdict(entry), "previous": lines[-1][1] if lines else ""}, ensure_ascii=False)
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UnusableLedger(f"{path} cannot be written: {error.strerror}.", hint="Nothing was released.") from error


def _lines(path: Path) -> list[tuple[Entry, str]]:
    """Return the entries with the hash of each line, which the next one holds."""
    if not path.is_file():
        return []
    found: list[tuple[Entry, str]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableLedger(f"{path} cannot be read: {error}.", hint="Restore it from a backup.") from error
    for number, line in enumerate(lines, start=1):
        try:
            given = json.loads(line)
            previous = given.pop("previous")
            given["segmentations"], given["revenue_bounds"] = (
                tuple(given["segmentations"]),
                tuple(given["revenue_bounds"]),
            )
            entry = Entry(**given)
            usable = previous == (found[-1][1] if found else "") and math.isfinite(entry.epsilon) and entry.epsilon > 0
        except (ValueError, TypeError, KeyError, AttributeError):
            usable = False
        if not usable:
            raise UnusableLedger(
                f"{path}:{number} is not what a release wrote there.",
                hint="Restore the ledger from a backup: without it, it is not known what is left of the budget.",
            )
        found.append((entry, hashlib.sha256(line.encode("utf-8")).hexdigest()))
    return found
