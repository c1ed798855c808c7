"""How long a step still takes: by the seconds it took before, by how far it says it is, or by the database's word."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

Statement = tuple[int, float]
"""The statement that a database is running: its number, another one for each, and how far it has come, 0 to 1."""


@dataclass(frozen=True)
class Outlook:
    """What is known of a step before it begins.

    `seconds` are those it took before; `statement` asks the database how far it has come, from any thread, and answers
    None where it does not know.
    """

    seconds: float | None = None
    statement: Callable[[], Statement | None] | None = None


NOTHING_KNOWN = Outlook()

BELIEVED_AFTER = 1.0
"""Seconds for which a step runs, or something of it is counted, before anything is made of it."""

LONG_STATEMENT = 10.0
"""Seconds that a statement must have left to be told of: after a short one there are as a rule others."""

_LEAST_SHARE = 0.02
_SETTLES_IN = 4.0
"""Seconds in which what is told goes two thirds of the way to what has been found, so that it does not jump."""


@dataclass
class _Course:
    """How something has been coming along: the share of it that was done when it was first and last heard of."""

    what: object
    since: float
    first: float
    share: float
    at: float

    def end(self) -> float | None:
        """Return when it will be done at this pace, None where it is too early to tell."""
        done = self.share - self.first
        if done < _LEAST_SHARE or self.at - self.since < BELIEVED_AFTER:
            return None
        return self.at + (self.at - self.since) * (1.0 - self.share) / done


@dataclass
class TimeLeft:
    """Estimates when a step will be done; `seconds` is a clock that only goes up.

    What a step says of itself counts the more the farther it is; before that, the seconds it took the last time. What
    the database says is of one statement, of which a step may have many: it is asked where nothing else is known, and
    believed of long ones.

    >>> clock = iter([0.0, 10.0])
    >>> TimeLeft(lambda: next(clock), Outlook(seconds=30.0)).left()
    20.0
    """

    seconds: Callable[[], float]
    outlook: Outlook = NOTHING_KNOWN
    _started: float = field(init=False)
    _counted: _Course | None = field(init=False, default=None)
    _stated: _Course | None = field(init=False, default=None)
    _told: tuple[float, float] | None = field(init=False, default=None)
    """When something was told last, and the end that was told."""

    def __post_init__(self) -> None:
        self._started = self.seconds()
        if self.outlook.statement is not None:
            self.outlook.statement()  # from then on the database keeps account

    def progress(self, done: float, total: float) -> None:
        """Hear how far the step is; with another total something else is counted from now on."""
        self._counted = _further(self._counted, total, done / total if total > 0 else 0.0, self.seconds())

    def left(self) -> float | None:
        """Return the seconds that are left, never below 0; None where nothing is known of them."""
        now = self.seconds()
        end = self._end(now)
        if end is None:
            self._told = None
            return None
        if self._told is not None:
            before, told = self._told
            end = told + (end - told) * (1.0 - math.exp((before - now) / _SETTLES_IN))
        self._told = now, end
        return max(end - now, 0.0)

    def _end(self, now: float) -> float | None:
        """Return when the step will be done by what is known now; an end that is past was a wrong guess."""
        if now - self._started < BELIEVED_AFTER:
            return None
        usual = None if self.outlook.seconds is None else self._started + self.outlook.seconds
        if usual is not None and usual <= now:
            usual = None
        course = self._counted
        if course is None and usual is None:
            return self._end_of_statement(now)
        found = None if course is None else course.end()
        if course is None or found is None or found <= now:
            return usual
        return found if usual is None else usual + (found - usual) * course.share

    def _end_of_statement(self, now: float) -> float | None:
        heard = None if self.outlook.statement is None else self.outlook.statement()
        if heard is None:
            return None
        self._stated = _further(self._stated, heard[0], heard[1], now)
        found = self._stated.end()
        return found if found is not None and found - now >= LONG_STATEMENT else None


def _further(course: _Course | None, what: object, share: float, now: float) -> _Course:
    share = min(max(share, 0.0), 1.0)
    if course is None or course.what != what:
        return _Course(what, now, share, share, now)
    if share <= course.share:
        return course
    return _Course(what, course.since, course.first, share, now)


def told(left: float | None) -> str:
    """Return the time that is left as people say it; nothing where there is nothing to say.

    >>> [told(left) for left in (None, 0.4, 3.2, 38.0, 80.0, 170.0, 5000.0)]
    ['', '', 'about 4 s left', 'about 40 s left', 'about 1 min left', 'about 3 min left', 'about 1 h 23 min left']
    """
    if left is None or left < 1.0:
        return ""
    if left < 10.0:
        return f"about {math.ceil(left)} s left"
    if left < 57.5:
        return f"about {round(left / 5) * 5} s left"
    minutes = max(round(left / 60), 1)
    return f"about {minutes} min left" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min left"
