"""Lets one process at a time work on a warehouse; the others wait, or are told who it is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlseg.engine.errors import DatabaseLocked
from sqlseg.engine.filelock import FileLock, LockHolder, LockTaken, lock_holder
from sqlseg.engine.processes import Process, process, processes_with
from sqlseg.settings import Settings
from sqlseg.workflow.narration import Clock, Narrator

Result = TypeVar("Result")

_BETWEEN_TRIES = 0.2
"""Seconds."""


class WarehouseHeld(DatabaseLocked):
    """Another process works on the project, or has its warehouse open.

    `by_sqlseg` tells the two apart: one ends by itself, the other is to open the published file instead.
    """

    def __init__(self, settings: Settings, holder: LockHolder | None, others: tuple[Process, ...] = ()) -> None:
        path, published = settings.warehouse.path, settings.warehouse.published
        self.by_sqlseg = bool(holder) or not others
        if self.by_sqlseg:
            super().__init__(str(path), str(holder) if holder else "another sqlseg process")
            self.hint = f"It ends by itself. Queries and BI tools wait for nothing: they read {published}."
        else:
            super().__init__(str(path), " and ".join(map(str, others[:3])))
            self.hint = (
                f"Close the warehouse there, and let people and BI tools open {published} instead: "
                "the warehouse is for sqlseg alone, and one process at a time."
            )


@dataclass(frozen=True)
class Patience:
    """For how many seconds a command waits for a project that another process holds."""

    seconds: float
    clock: Clock
    narrator: Narrator

    def attempt(self, action: Callable[[], Result]) -> Result:
        """Return what an action returns once nothing holds the warehouse. Raises WarehouseHeld when time is up."""
        deadline, told = self.clock.seconds() + self.seconds, False
        while True:
            try:
                return action()
            except WarehouseHeld as held:
                if not self.seconds > 0:
                    held.hint = f"{held.hint} To wait for it, add --wait SECONDS."
                    raise
                if self.clock.seconds() >= deadline:
                    held.message = f"{held.message} It was waited for {self.seconds:,.0f} s."
                    raise
                if not told:
                    self.narrator.note(f"{held.message} Waiting for it, {self.seconds:,.0f} s at most.")
                    told = True
                self.clock.sleep(_BETWEEN_TRIES)


def patiently(patience: Patience | None, action: Callable[[], Result]) -> Result:
    """Return what an action returns, once nothing holds the warehouse where there is patience. Raises WarehouseHeld."""
    return patience.attempt(action) if patience else action()


def lock_path(settings: Settings) -> Path:
    """Return the file in which a process says that it works on the project's warehouse."""
    return settings.warehouse.path.with_name(f"{settings.warehouse.path.name}.lock")


def take_lock(settings: Settings, command: str) -> FileLock:
    """Keep other sqlseg processes away from the warehouse until the lock is released. Raises WarehouseHeld."""
    try:
        return FileLock.acquire(lock_path(settings), command)
    except LockTaken as taken:
        raise WarehouseHeld(settings, taken.holder) from taken


def held_by_others(settings: Settings, error: DatabaseLocked) -> WarehouseHeld:
    """Return what a database error means that says that another process has the warehouse open."""
    path = settings.warehouse.path
    known = {one.pid: one for one in processes_with(path) or ()}
    if error.pid is not None and error.pid not in known:
        known = {error.pid: process(error.pid), **known}
    earlier = lock_holder(lock_path(settings))
    return WarehouseHeld(settings, earlier if earlier and earlier.pid in known else None, tuple(known.values()))
