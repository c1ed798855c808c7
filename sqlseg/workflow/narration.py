"""How a running command tells what it does, and how it learns the time; both come from outside."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


class Narrator(Protocol):
    """Hears what a command does while it runs."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """A part of the work that may take seconds, for as long as the block runs."""

    def progress(self, done: int, total: int) -> None:
        """How far the current step has come."""

    def note(self, text: str) -> None:
        """Something the reader should know."""


class Silence:
    """A narrator that says nothing."""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        yield

    def progress(self, done: int, total: int) -> None:
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
    """Seconds by step, and the narrator told of each."""

    narrator: Narrator
    clock: Clock
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        started = self.clock.seconds()
        with self.narrator.step(title):
            yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + self.clock.seconds() - started, 3)
