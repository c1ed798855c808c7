"""How a running command tells what it does, and how it learns the time; both come from outside."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from sqlseg.workflow.time_left import NOTHING_KNOWN, Outlook


class Narrator(Protocol):
    """Hears what a command does while it runs."""

    def step(self, title: str, outlook: Outlook = NOTHING_KNOWN) -> AbstractContextManager[None]:
        """A part of the work that may take seconds, for as long as the block runs."""

    def progress(self, done: float, total: float) -> None:
        """How far the current step has come; parts of equal length are counted as well as can be."""

    def note(self, text: str) -> None:
        """Something the reader should know."""


class Silence:
    """A narrator that says nothing."""

    @contextmanager
    def step(self, title: str, outlook: Outlook = NOTHING_KNOWN) -> Iterator[None]:
        yield

    def progress(self, done: float, total: float) -> None:
        return

    def note(self, text: str) -> None:
        return


@dataclass(frozen=True)
class Clock:
    """`now` is UTC without zone; `seconds` only ever goes up; `sleep` lets as many of them pass."""

    now: Callable[[], datetime]
    seconds: Callable[[], float]
    sleep: Callable[[float], None] = time.sleep


@dataclass
class Stopwatch:
    """Seconds by step, and the narrator told of each; `usual` are those that it takes as a rule.

    `outlook` is what else is known of every step.
    """

    narrator: Narrator
    clock: Clock
    seconds: dict[str, float] = field(default_factory=dict)
    usual: Mapping[str, float] = field(default_factory=dict)
    outlook: Outlook = NOTHING_KNOWN

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        started = self.clock.seconds()
        usual = self.usual.get(name, 0.0) - self.seconds.get(name, 0.0)
        with self.narrator.step(title, replace(self.outlook, seconds=usual if usual > 0 else None)):
            yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + self.clock.seconds() - started, 3)
