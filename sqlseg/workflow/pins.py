"""Keeps users in the segments that an analyst has pinned them to: who they are, and by which ids those segments go."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlseg.engine.duckdb import Engine
from sqlseg.events.pins import read_pins
from sqlseg.segments.assignment import NOBODY
from sqlseg.segments.blocks import IntArray
from sqlseg.segments.model import ClusterModel
from sqlseg.segments.pinning import Pins, TooManyPins, check_number
from sqlseg.settings import ClusterSegmentation, setting_problem
from sqlseg.workflow.project import PinnedUsers, Project

PINS_CHANGED = "users have come who are pinned to a segment that is not there yet"


def with_pins(engine: Engine, project: Project) -> Project:
    """Return the project with the pins that its SQL returns now.

    Raises InvalidSettings where more segments are pinned than there may be, SourceSqlFailed or UnusableSource.
    """
    pins: dict[str, PinnedUsers] = {}
    for name, segmentation in project.settings.segmentations.items():
        if not isinstance(segmentation, ClusterSegmentation) or segmentation.pins is None:
            continue
        pins[name] = PinnedUsers(segmentation.pins, read_pins(engine, segmentation.pins, project.directory))
        try:
            check_number(len(set(pins[name].segment_of.values())), segmentation.k, segmentation.k_max)
        except TooManyPins as error:
            raise setting_problem(project.settings, ("segmentations", name, "pins"), error.message) from error
    return replace(project, pins=pins) if pins else project


def pins_of(pinned: PinnedUsers | None, users: NDArray[Any]) -> tuple[Pins | None, tuple[str, ...]]:
    """Return the pins of these users, None where there are none, and what to know of them."""
    if pinned is None:
        return None, ()
    path, segment_of, known = pinned.path, pinned.segment_of, set(users)
    strangers = [user for user in segment_of if user not in known]
    notes = []
    if strangers:
        notes.append(f"{path.name} pins {len(strangers):,} users without an event, such as {strangers[0]!r}: left out.")
    there = tuple(sorted({segment for user, segment in segment_of.items() if user in known}))
    for segment in sorted(set(segment_of.values()) - set(there)):
        notes.append(f"There is no segment {segment!r}: no user whom {path.name} pins to it has an event.")
    if not there:
        notes.append(f"{path.name} pins none of the users, so all segments are found freely.")
        return None, tuple(notes)
    number = {segment: place for place, segment in enumerate(there)}
    groups = [number[segment_of[user]] if user in segment_of else NOBODY for user in users]
    return Pins(there, np.array(groups, dtype=np.int64)), tuple(notes)


def positions(model: ClusterModel, pins: Pins | None) -> IntArray | None:
    """Return the segment of the model that each user is pinned to, -1 for those who are free; None without any pins.

    A segment that came after the model was fitted has nobody pinned to it yet.
    """
    if pins is None or not model.pinned:
        return None
    places = np.array([*(model.pinned.get(name, NOBODY) for name in pins.names), NOBODY])
    result: IntArray = places[pins.of_users]
    return result


def pinned_ids(engine: Engine, segmentation: str, names: Sequence[str], live: Sequence[str]) -> dict[str, str]:
    """Return the ids of pinned segments that have one: by an earlier pin, or by a segment of that name."""
    given = dict(
        engine.rows(
            "select rule_name, segment_id from sqlseg.rule_segment where segmentation = $name", {"name": segmentation}
        )
    )
    called = {
        text.casefold(): segment
        for segment, text in engine.rows(
            "select segment_id, segment_name from segments.segment where segmentation = $name and retired_at is null",
            {"name": segmentation},
        )
        if segment in live
    }
    ids: dict[str, str] = {}
    for name in names:
        found = given.get(name) or called.get(name.casefold())
        if found is not None and found not in ids.values():
            ids[name] = found
    return ids


def remember_pinned_ids(engine: Engine, segmentation: str, ids: Mapping[str, str]) -> None:
    """Keep by which ids pinned segments go; an id goes by one name only."""
    for name, segment in ids.items():
        engine.execute(
            "delete from sqlseg.rule_segment where segmentation = $segmentation "
            "and (rule_name = $name or segment_id = $segment)",
            {"segmentation": segmentation, "name": name, "segment": segment},
        )
        engine.execute(
            "insert into sqlseg.rule_segment values ($segmentation, $name, $segment)",
            {"segmentation": segmentation, "name": name, "segment": segment},
        )


def record_pins(
    engine: Engine, segmentation: str, segment_ids: Sequence[str], pinned: IntArray | None, users: NDArray[Any]
) -> None:
    """Replace the pins of one segmentation; `pinned` numbers its segments, -1 for users who are free."""
    engine.execute("delete from segments.pin where segmentation = $name", {"name": segmentation})
    if pinned is None:
        return
    rows = np.flatnonzero(pinned != NOBODY)
    table = pa.table(
        {
            "user_id": pa.array(users[rows], pa.string()),
            "segment_id": pa.array(np.array(segment_ids, dtype=object)[pinned[rows]], pa.string()),
        }
    )
    with engine.registered("pin_rows", table):
        engine.execute(
            "insert into segments.pin select user_id, $name, segment_id from pin_rows", {"name": segmentation}
        )


def recorded_pins(engine: Engine, segmentation: str) -> dict[str, str]:
    """Return the segment of each pinned user as the last refresh left it."""
    return dict(
        engine.rows("select user_id, segment_id from segments.pin where segmentation = $name", {"name": segmentation})
    )
