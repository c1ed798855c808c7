"""Keeps what a refresh reads of all users: for its own steps, and for the next round of a watch.

A round of a watch begins with the warehouse that the round before has left, so arrays that were read of it then are
right for all users but the touched ones, whose rows alone are read. That holds where three things do: the file lies on
disk as it was left, looked at under the lock and before it is opened; its last refresh is the one that the arrays are
of; and that round came to its end. Whenever one of them does not, everything is read anew.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg.encoders.manifest import Encoder
from sqlseg.engine.duckdb import Engine
from sqlseg.features.view import View
from sqlseg.segments.assignment import NOBODY, Assignment
from sqlseg.segments.blocks import FloatArray, IntArray, Vectors
from sqlseg.workflow.inputs import READ_ANEW, read_embeddings, read_features, read_users
from sqlseg.workflow.materialise import fresh_rows
from sqlseg.workflow.segmenting import Placed
from sqlseg.workflow.standing import Standing, read_standing
from sqlseg.workflow.touched import RECOMPUTED, TOUCHED

_NEW = -2

_SPACE = 50
"""For one in so many users more there is room before arrays are made anew."""

BYTES_A_USER = 1_200
"""Of columns and embeddings at most; what would be more is read anew. Ids and places come to some 150 besides."""


@dataclass(frozen=True)
class _File:
    """How a database lies on disk when nobody has it open: the file, and its log if that has yet to be taken over."""

    inode: int
    bytes: int
    modified_ns: int
    log: "_File | None" = None

    @classmethod
    def at(cls, path: Path) -> "_File | None":
        """Return None where there is no file."""
        if not path.is_file():
            return None
        found = path.stat()
        log = None if path.suffix == ".wal" else cls.at(path.with_name(f"{path.name}.wal"))
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, log)


Run = tuple[int, int, int]
"""Rows from the first up to the last one (not with it), and where they have stood; `_NEW` for a row that is new."""


@dataclass(frozen=True, eq=False)
class _Matrix:
    """Columns of all users, in double precision, or vectors, in single.

    While it is `stale`, rows of the touched ones are of the refresh before.

    Once users have come or gone, `values` lie in a `room` with space for more, a line a column or one of all vectors:
    to move rows there costs a tenth of what it takes to have new memory for all of them.
    """

    columns: tuple[str, ...]
    values: NDArray[Any]
    stale: bool = False
    room: NDArray[Any] | None = None

    def moved(self, runs: list[Run]) -> "_Matrix":
        """Return the matrix with its rows moved, stale; new ones are NaN. What was there before is written over."""
        if not runs:
            return replace(self, stale=True)
        count, width = runs[-1][1], self.values.shape[1]
        step = 1 if self.columns else width
        room = self.room
        if room is not None and count * step <= room.shape[1]:
            for line in room:
                _move(line, runs, step)
        else:
            space = (count + count // _SPACE + 1) * step
            room = np.empty((width if self.columns else 1, space), dtype=self.values.dtype)
            lines = self.values.T if self.columns else [np.ascontiguousarray(self.values).reshape(-1)]
            for line, values in zip(room, lines, strict=True):
                for first, last, row in runs:
                    kept = np.nan if row == _NEW else values[row * step : (row + last - first) * step]
                    line[first * step : last * step] = kept
        shown = room[:, :count].T if self.columns else room[0, : count * step].reshape(count, width)
        return replace(self, values=shown, stale=True, room=room)


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the model of one version put the users; while it is `stale`, in the refresh before."""

    version: int
    segment_ids: tuple[str, ...]
    places: Assignment
    stale: bool = False


class Kept:
    """What is held in memory of all users of the population, one row a user, by user_id.

    Within a refresh every column is read once, whoever asks for it. A watch hands the same object to all its rounds.
    Where there is no next round, `lasting` is False: embeddings, which few ask for, are then not held.
    """

    def __init__(self, *, lasting: bool = True) -> None:
        self._lasting = lasting
        self._file: _File | None = None
        self._run_id: str | None = None
        self._users: NDArray[Any] | None = None
        self._matrices: dict[str, _Matrix] = {}
        self._places: dict[str, _Places] = {}
        self._touched: IntArray = np.empty(0, dtype=np.int64)
        self._fresh: frozenset[str] = frozenset()

    @property
    def tables(self) -> frozenset[str]:
        """The computed tables of which columns or embeddings are held."""
        return frozenset(self._matrices)

    @property
    def goes_on(self) -> bool:
        """Whether the warehouse is as an earlier refresh left it, so far as its file tells."""
        return self._run_id is not None

    # -- from one refresh to the next ---------------------------------------------------------------------------

    def begin(self, warehouse: Path) -> None:
        """Drop what is held unless the warehouse is as it was left; to be asked under its lock, before it is opened.

        A refresh that ends before `settle` leaves nothing to the next one.
        """
        if self._file is None or self._file != _File.at(warehouse):
            self.drop()
        self._file = None

    def go_on_from(self, run_id: str | None) -> None:
        """Drop what is held unless it is of this refresh, the last one of the warehouse that has been opened."""
        if run_id is None or run_id != self._run_id:
            self.drop()
        self._run_id = None

    def settle(self, run_id: str) -> None:
        """Take what is held for the state that a refresh has committed and published; what it did not read is let go.

        `run_id` is that of the last refresh that changed something.
        """
        self._run_id = run_id
        self._matrices = {name: matrix for name, matrix in self._matrices.items() if not matrix.stale}
        self._places = {name: places for name, places in self._places.items() if not places.stale}

    def end(self, warehouse: Path) -> None:
        """Remember how the warehouse lies on disk, once it is closed and while its lock is still held."""
        self._file = None if self._run_id is None else _File.at(warehouse)

    def drop(self) -> None:
        """Let go of everything: the next to ask reads it anew."""
        self._run_id, self._users = None, None
        self._matrices, self._places = {}, {}

    # -- within a refresh ---------------------------------------------------------------------------------------

    def renew(self, engine: Engine, by_user: Collection[str] = (), fresh: Collection[str] = ()) -> NDArray[Any]:
        """Follow the population that has just been computed, and return its users.

        Of what is held, that stays of which only rows of touched users can have changed: the tables of `by_user`, and
        where the last refresh put the users. Of those that are `fresh` the rows of touched users are in `fresh_rows`.
        """
        self._fresh = frozenset(fresh)
        before = self._users
        if before is None:
            self.drop()
            self._users = read_users(engine)
            return self._users
        recomputed = read_users(engine, RECOMPUTED)
        touched = read_users(engine, f"(select distinct user_id from {TOUCHED})")
        gone = _places_of(before, touched[~_are_among(touched, recomputed)])
        new = recomputed[~_are_among(recomputed, before)]
        left = np.delete(before, gone) if len(gone) else before
        come = np.searchsorted(left, new)
        self._users = np.insert(left, come, new) if len(new) else left
        self._touched = np.searchsorted(self._users, recomputed)
        if not len(self._users):
            self._matrices, self._places = {}, {}
        runs = _runs(len(before), gone, come)
        self._matrices = {name: matrix.moved(runs) for name, matrix in self._matrices.items() if name in by_user}
        self._places = {
            name: replace(one, places=_moved(one.places, runs), stale=True) for name, one in self._places.items()
        }
        return self._users

    def features(self, engine: Engine, table: str) -> tuple[tuple[str, ...], FloatArray]:
        """Return the numeric columns of a computed feature view, and users x columns."""
        held = self._matrices.get(table)
        if held is None:
            columns, values = READ_ANEW.features(engine, table)
            held = self._hold(table, _Matrix(columns, values))
        elif held.stale:
            rows = fresh_rows(table) if table in self._fresh else None
            held.values[self._touched] = read_features(engine, table, held.columns, RECOMPUTED, rows)
            held = self._hold(table, replace(held, stale=False))
        return held.columns, _read_only(held.values)

    def read_ahead(self, engine: Engine, view: View) -> None:
        """Read the columns of a computed feature view before they are asked for, where there is room to hold them."""
        users = 0 if self._users is None else len(self._users)
        if self._has_room(view.table, 8 * len(view.columns) * users, users):
            self.features(engine, view.table)

    def embeddings(self, engine: Engine, encoder: Encoder) -> Vectors:
        """Return users x dimensions, NaN for those without an embedding. Raises UnusableInput."""
        held = self._matrices.get(encoder.table)
        if held is None:
            held = _Matrix((), read_embeddings(engine, encoder))
            if self._lasting:
                self._hold(encoder.table, held)
        elif held.stale:
            held.values[self._touched] = read_embeddings(engine, encoder, RECOMPUTED)
            held = self._hold(encoder.table, replace(held, stale=False))
        return _read_only(held.values)

    def standing(self, engine: Engine, segmentation: str, segment_ids: Sequence[str], version: int) -> Standing | None:
        """Return what `read_standing` does, from memory where it is there."""
        held = self._places.get(segmentation)
        if held is None or not held.stale or held.version != version:
            return read_standing(engine, segmentation, segment_ids, version)
        number = {segment: place for place, segment in enumerate(segment_ids)}
        now = np.array([*(number.get(segment, NOBODY) for segment in held.segment_ids), NOBODY], dtype=np.int64)
        before = replace(held.places, labels=now[held.places.labels], runner_up=now[held.places.runner_up])
        changed = before.labels == NOBODY
        changed[self._touched] = True
        return Standing(before, changed) if changed.sum() == len(self._touched) else None

    def place(self, segmentation: str, version: int, placed: Placed) -> None:
        """Hold where the model of a version has put the users."""
        places = Assignment(placed.labels, placed.distance, placed.runner_up, placed.confidence, placed.probability)
        self._places[segmentation] = _Places(version, placed.segment_ids, places)

    def _hold(self, name: str, matrix: _Matrix) -> _Matrix:
        if self._has_room(name, matrix.values.nbytes, len(matrix.values)):
            self._matrices[name] = matrix
        return matrix

    def _has_room(self, name: str, size: int, users: int) -> bool:
        others = sum(one.values.nbytes for held, one in self._matrices.items() if held != name)
        return others + size <= BYTES_A_USER * users


def _are_among(some: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of some ids are among others, which are in order.

    Ids are compared by their code points, which is the order of their bytes in UTF-8, and so that of the database.
    """
    if not len(others):
        return np.zeros(len(some), dtype=bool)
    places = np.searchsorted(others, some).clip(max=len(others) - 1)
    return np.asarray(others[places] == some, dtype=bool)


def _places_of(users: NDArray[Any], some: NDArray[Any]) -> IntArray:
    """Return where those of some ids stand that are among the users, in order."""
    return np.searchsorted(users, some[_are_among(some, users)]).astype(np.int64)


def _runs(count: int, gone: IntArray, come: IntArray) -> list[Run]:
    """Return how so many rows move when some are gone and new ones come before the rows `come` of what is left.

    Empty where none does.

    >>> _runs(3, np.array([1]), np.array([0, 2]))
    [(0, 1, -2), (1, 2, 0), (2, 3, 2), (3, 4, -2)]
    """
    if not len(gone) and not len(come):
        return []
    source = np.insert(np.delete(np.arange(count), gone), come, _NEW)
    borders = np.flatnonzero(np.diff(source, prepend=source[:1] - 2, append=source[-1:] - 2) != 1).tolist()
    return [(first, last, int(source[first])) for first, last in pairwise(borders)]


def _move(line: NDArray[Any], runs: list[Run], step: int) -> None:
    """Move rows of so many values within a line; new ones are NaN.

    What moves down is moved from the first on, what moves up from the last on, so none is written over before its turn.
    """
    down = [run for run in runs if run[2] > run[0]]
    up = [run for run in reversed(runs) if _NEW < run[2] < run[0]]
    for first, last, row in (*down, *up):
        line[first * step : last * step] = line[row * step : (row + last - first) * step]
    for first, last, row in runs:
        if row == _NEW:
            line[first * step : last * step] = np.nan


def _moved(places: Assignment, runs: list[Run]) -> Assignment:
    if not runs:
        return places

    def moved(values: NDArray[Any], filled: Any) -> NDArray[Any]:
        result = np.empty(runs[-1][1], dtype=values.dtype)
        for first, last, row in runs:
            result[first:last] = filled if row == _NEW else values[row : row + last - first]
        return result

    probability = places.probability
    return Assignment(
        moved(places.labels, NOBODY),
        moved(places.distance, np.nan),
        moved(places.runner_up, NOBODY),
        moved(places.confidence, np.nan),
        None if probability is None else moved(probability, np.nan),
    )


def _read_only(values: NDArray[Any]) -> NDArray[Any]:
    shown = values.view()
    shown.flags.writeable = False
    return shown
