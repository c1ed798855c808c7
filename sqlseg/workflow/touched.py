"""Knows whom a refresh must compute anew: the users whose events or attributes changed, or everybody."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.names import WHOLE_ROW
from sqlseg.resources import sql_text

TOUCHED = "touched_users"
"""The temporary table of the users whose events or attributes changed since the last refresh."""

TOUCHED_EVENTS = "touched_events"
RECOMPUTED = "recomputed_users"
"""The temporary tables of the touched users' events, and of those touched users who have one before as_of."""


@dataclass(frozen=True)
class AttributesBefore:
    """What the run before knew of users and items; `users` are the columns, `items` changes with any item."""

    users: tuple[tuple[str, str], ...]
    items: str


def remember_attributes(engine: Engine) -> AttributesBefore | None:
    """Return what there is to compare with before the attributes are replaced; None before the first refresh.

    Leaves a hash of each user's attributes in the temporary table users_before.
    """
    if not engine.relation_exists("sqlseg", "users") or not engine.relation_exists("sqlseg", "items"):
        return None
    engine.execute(sql_text("steps/touched/remember_users.sql"))
    return AttributesBefore(_columns(engine, "users"), _items(engine))


def touch_changed_attributes(engine: Engine, before: AttributesBefore) -> tuple[str, ...]:
    """Add the users whose attributes changed to the touched ones; return what concerns everybody."""
    engine.execute(sql_text("steps/touched/changed_attributes.sql"))
    engine.execute("drop table users_before")
    concerns = []
    if _columns(engine, "users") != before.users:
        concerns.append("the columns of users changed")
    if _items(engine) != before.items:
        concerns.append("items changed")
    return tuple(concerns)


def _columns(engine: Engine, kind: str) -> tuple[tuple[str, str], ...]:
    return tuple(engine.describe(f"sqlseg.{kind}").items())


def _items(engine: Engine) -> str:
    hashed = f"coalesce(sum(hash({WHOLE_ROW})), 0) from sqlseg.items as {WHOLE_ROW}"
    rows = engine.value(f"select count(*) || '/' || {hashed}")
    return f"{_columns(engine, 'items')} {rows}"


def touch_whose_events_come_of_age(engine: Engine, last_as_of: datetime, as_of: datetime) -> None:
    """Add the users to the touched ones whose known events lie before as_of now, and did not at the last refresh."""
    if as_of > last_as_of:
        engine.execute(sql_text("steps/touched/events_come_of_age.sql"), {"last_as_of": last_as_of, "as_of": as_of})


def read_touched_events(engine: Engine) -> None:
    """Leave the events of the touched users in a temporary table, for all that is computed of them."""
    engine.execute(sql_text("steps/touched/their_events.sql"))


def change_population(engine: Engine, as_of: datetime) -> int:
    """Take in and out of `sqlseg.population` who came and went; return how many touched users it has."""
    engine.execute(sql_text("steps/touched/recomputed_users.sql"), {"as_of": as_of})
    engine.execute("delete from sqlseg.population where user_id in (select user_id from touched_users)")
    engine.execute(f"insert into sqlseg.population select user_id from {RECOMPUTED} order by user_id")
    return int(engine.value(f"select count(*) from {RECOMPUTED}"))


@contextmanager
def set_aside(engine: Engine, tables: Iterable[str]) -> Iterator[None]:
    """Keep tables of the schema sqlseg under other names while the block makes ones of the same names, then lets go."""
    kept = [table for table in tables if engine.relation_exists("sqlseg", table)]
    for table in kept:
        engine.execute(f"alter table sqlseg.{quoted(table)} rename to {quoted(f'kept_{table}')}")
    yield
    for table in kept:
        engine.execute(f"drop table if exists sqlseg.{quoted(table)}")
        engine.execute(f"alter table sqlseg.{quoted(f'kept_{table}')} rename to {quoted(table)}")
