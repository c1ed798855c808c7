"""Refreshes a project again and again, and keeps account of how that goes."""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlseg.errors import SqlsegError
from sqlseg.publish import patching
from sqlseg.publish.spare import NotWhole, discard_spare, prepare_spare
from sqlseg.workflow.kept import Kept
from sqlseg.workflow.narration import Clock, Narrator
from sqlseg.workflow.outcome import Options, Outcome
from sqlseg.workflow.project import Project, open_project
from sqlseg.workflow.publishing import mend_published
from sqlseg.workflow.refresh import Interrupted, refresh
from sqlseg.workflow.time_left import NOTHING_KNOWN, Outlook
from sqlseg.workflow.warehouse import take_over_log

COMMAND = "sqlseg refresh --watch"
"""What others are told who find the project held between two rounds."""

LONGEST_PAUSE = 900.0
"""Seconds between two tries at most while rounds fail, unless the rounds themselves are farther apart."""


@dataclass(frozen=True)
class Round:
    """One refresh among many; `outcome` or `error` is set. `seconds` it took to publish, or to fail.

    `pause` seconds will pass before the next one.
    """

    number: int
    finished_at: datetime
    seconds: float
    outcome: Outcome | None
    error: SqlsegError | None
    failures_in_a_row: int
    pause: float


@dataclass
class Tally:
    """What has come of all rounds so far; the last of each kind is None until there is one."""

    done: int = 0
    noop: int = 0
    failed: int = 0
    events_new: int = 0
    users_moved: int = 0
    last: Round | None = None
    last_success: Round | None = None
    last_change: Outcome | None = None
    data_through: datetime | None = None

    def add(self, one: Round) -> None:
        """Count a round in."""
        self.last = one
        if one.outcome is None:
            self.failed += 1
            return
        self.last_success = one
        self.data_through = one.outcome.plan.data_through
        if one.outcome.plan.kind == "noop":
            self.noop += 1
            return
        self.done += 1
        self.events_new += one.outcome.plan.changes.events_new
        self.users_moved += one.outcome.users_moved
        self.last_change = one.outcome


@dataclass
class _TellsOnce:
    """A narrator that does not repeat in a later round what it has told."""

    narrator: Narrator
    told: set[str] = field(default_factory=set)

    @contextmanager
    def step(self, title: str, outlook: Outlook = NOTHING_KNOWN) -> Iterator[None]:
        with self.narrator.step(title, outlook):
            yield

    def progress(self, done: float, total: float) -> None:
        self.narrator.progress(done, total)

    def note(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.narrator.note(text)


def pause_after(every: float, seconds: float, failures_in_a_row: int) -> float:
    """Return the seconds to wait: rounds begin `every` seconds apart, twice as far after each failure in a row.

    >>> pause_after(60, 15, 0), pause_after(60, 75, 0), pause_after(60, 1, 2), pause_after(60, 1, 20)
    (45.0, 0.0, 240.0, 900.0)
    """
    if failures_in_a_row == 0:
        return max(0.0, float(every) - seconds)
    return max(float(every), min(LONGEST_PAUSE, every * 2.0 ** min(failures_in_a_row, 30)))


def watch(
    directory: Path,
    options: Options,
    clock: Clock,
    narrator: Narrator,
    *,
    every: float,
    wait: Callable[[float], None],
    tell: Callable[[Round, Tally], None],
) -> Tally:
    """Refresh every so many seconds until interrupted, and tell of each round; return what came of all.

    A round that fails leaves the last published file in place, and the next one comes later the more have failed in a
    row. A project that cannot be opened at the start is an error: nobody wants to wait for that. KeyboardInterrupt ends
    it; a round under way is undone. Raises SqlsegError.
    """
    published = open_project(directory).settings.warehouse.published
    tally, once, kept, failures = Tally(), _TellsOnce(narrator), Kept(), 0
    try:
        while True:
            started = clock.seconds()
            outcome, error = None, None
            try:
                with _garbage_left(), ExitStack() as closing:
                    outcome = refresh(directory, options, clock, once, kept=kept, checkpoint=False, closing=closing)
                    seconds = clock.seconds() - started  # nobody waits for the warehouse to be closed
                failures = 0
            except Interrupted as stopped:
                narrator.note(stopped.message)
                return tally
            except SqlsegError as problem:
                outcome, error = None, problem
                seconds = clock.seconds() - started
                failures += 1
            pause = pause_after(every, seconds, failures)
            number = tally.done + tally.noop + tally.failed + 1
            one = Round(number, clock.now(), seconds, outcome, error, failures, pause)
            tally.add(one)
            tell(one, tally)
            if outcome is not None:
                _make_ready(directory, outcome, once, kept)
                pause = max(0.0, pause - (clock.seconds() - started - seconds))
            wait(pause)
    except KeyboardInterrupt:
        return tally
    finally:
        with suppress(OSError):
            discard_spare(published)
        with suppress(SqlsegError):  # whoever opens the warehouse next does it
            take_over_log(open_project(directory), COMMAND)


@contextmanager
def _garbage_left() -> Iterator[None]:
    """Let Python look for unreachable objects after the block, not in it: among all that are alive it takes a while."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _make_ready(directory: Path, outcome: Outcome, narrator: Narrator, kept: Kept) -> None:
    """Do between two rounds what nobody need wait for; what of it cannot be done costs time later, and no more."""
    gc.collect()
    try:
        project = open_project(directory)
        take_over_log(project, COMMAND, kept)
        if outcome.published is not None:
            _prepare_spare(project, outcome.published, narrator)
    except SqlsegError as error:
        narrator.note(f"{error.message} So less is made ready for the next round.")


def _prepare_spare(project: Project, published: Path, narrator: Narrator) -> None:
    """Copy what was published for the next round to patch; where it is found damaged, publish it again."""
    if published.stat().st_size < patching.SMALLEST_BYTES:
        return
    try:
        prepare_spare(published)
    except OSError as error:
        narrator.note(f"The published file cannot be copied ahead of the next round: {error}.")
    except NotWhole as damage:
        narrator.note(f"{damage.message} It is built whole from the warehouse.")
        mend_published(project)
