"""Writes the events of a simulated shop of a wished-for size to a Parquet file, a chunk of users at a time."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sqlseg.errors import SqlsegError
from sqlseg.synth.groups import KNOWN_GROUPS
from sqlseg.synth.shop import Catalogue, Shop, catalogue
from sqlseg.synth.simulate import BROWSING, SCHEMA, DrawnEvents, draw_events, events_table

_LAST_DAY = date(2026, 1, 1)
"""The shop's dates end here, so that they hold a Christmas season even where they are few."""

_CHUNK_EVENTS = 2_000_000
_PILOT_EVENTS = 200_000
_MARGIN = 1.04
"""A chunk is drawn a little too large and cut to size, so that the wished-for number is met."""


class ImpossibleShop(SqlsegError):
    """The wished-for numbers of users and events do not make a shop."""

    def __init__(self, users: int, events: int) -> None:
        super().__init__(
            f"A shop of {users} users and {events} events cannot be simulated.",
            hint="Every user has at least one event: ask for one user or more, and no fewer events than users.",
        )


class UnwritableFile(SqlsegError):
    """The Parquet file cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"Cannot write {path}: {error.strerror or error}.", hint="Choose a folder that exists.")


@dataclass(frozen=True)
class SynthSummary:
    """What was written: events, users, and the names of the behaviour groups."""

    path: Path
    users: int
    events: int
    groups: tuple[str, ...]


def write_synthetic_events(path: Path, users: int, events: int, seed: int = 0) -> SynthSummary:
    """Write canonical events with a `true_group` column; the same numbers and seed give the same events.

    Memory is bounded by the chunk, whatever the size of the shop.
    """
    if users < 1 or events < users:
        raise ImpossibleShop(users, events)
    days = int(np.clip(12 * events // users, 150, 730))
    shop = Shop(first_day=_LAST_DAY - timedelta(days), days=days, views_per_visit=1.6, lines_per_order=1.4)
    items = catalogue(shop, np.random.default_rng([seed, 0]))
    pace = _pace(shop, items, users, events, seed)
    chunk_users = int(np.clip(_CHUNK_EVENTS * users // events, 1, 200_000))
    written = 0
    try:
        with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            for chunk, first in enumerate(range(0, users, chunk_users)):
                number = np.arange(first, min(first + chunk_users, users))
                wanted = round(events * (int(number[-1]) + 1) / users) - written
                drawn, pace = _chunk_of(shop, items, number, max(wanted, len(number)), pace, (seed, 2, chunk))
                writer.write_table(events_table(drawn, shop, items, KNOWN_GROUPS, written), row_group_size=200_000)
                written += len(drawn)
    except OSError as error:
        raise UnwritableFile(path, error) from error
    return SynthSummary(path, users, written, tuple(group.name for group in KNOWN_GROUPS))


def _pace(shop: Shop, items: Catalogue, users: int, events: int, seed: int) -> float:
    """Return the pace of visits at which a sample of users has the wished-for events each."""
    each = _MARGIN * events / users
    sample = np.arange(min(users, int(np.clip(_PILOT_EVENTS / each, 60, 4_000))))
    pace = 1.0
    for _ in range(8):
        drawn = len(draw_events(shop, items, KNOWN_GROUPS, sample, pace, np.random.default_rng([seed, 1])))
        ratio = each * len(sample) / drawn
        if abs(ratio - 1) < 0.005:
            break
        pace = float(np.clip(pace * ratio**1.2, 1e-4, 1e6))
    return pace


def _chunk_of(
    shop: Shop, items: Catalogue, number: np.ndarray, wanted: int, pace: float, seed: tuple[int, int, int]
) -> tuple[DrawnEvents, float]:
    """Return exactly `wanted` events of these users, where that many can be drawn, and the pace for the next chunk."""
    for _ in range(12):
        drawn = draw_events(shop, items, KNOWN_GROUPS, number, pace, np.random.default_rng(seed))
        next_pace = float(np.clip(pace * _MARGIN * wanted / len(drawn), 1e-4, 1e6))
        if len(drawn) >= wanted:
            break
        pace = next_pace * _MARGIN
    surplus = len(drawn) - wanted
    if surplus <= 0:
        return drawn, next_pace
    rng = np.random.default_rng([*seed, 1])
    first = np.concatenate([[True], drawn.user[1:] != drawn.user[:-1]])
    cheap = np.flatnonzero(~first & np.isin(drawn.kind, BROWSING))
    other = np.flatnonzero(~first & ~np.isin(drawn.kind, BROWSING))
    dropped = rng.permutation(cheap)[:surplus]
    if len(dropped) < surplus:
        dropped = np.concatenate([dropped, rng.permutation(other)[: surplus - len(dropped)]])
    keep = np.ones(len(drawn), dtype=bool)
    keep[dropped] = False
    return drawn.take(keep), next_pace
