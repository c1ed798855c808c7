"""How far the running statement of a connection has come, for who asks from another thread."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class StatementProgress:
    """Counts the statements of one connection; `execute` runs one, `percent` says how far it is, below 0 if unknown.

    The database keeps account, which costs a little, from the first statement after somebody has asked.
    """

    execute: Callable[[str], object]
    percent: Callable[[], float]
    number: int = 0
    running: bool = False
    asked: bool = False
    kept: bool = False

    @contextmanager
    def of_statement(self) -> Iterator[None]:
        """Take the block for one statement."""
        if self.asked and not self.kept:
            self.execute("set enable_progress_bar = true; set enable_progress_bar_print = false")
            self.kept = True
        self.number += 1
        self.running = True
        try:
            yield
        finally:
            self.running = False

    def ask(self) -> tuple[int, float] | None:
        """Return the number of the running statement and its share that is done; None where that is not known."""
        self.asked = True
        number = self.number
        percent = self.percent() if self.running else -1.0
        if percent < 0 or number != self.number:
            return None
        return number, min(percent / 100, 1.0)
