"""Days of segments that follow what changed are those that are counted anew, whatever happens to users and events."""

from datetime import date, datetime, timedelta
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shops import RULES, bought, viewed

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.workflow import daily
from sqlseg.workflow.activity import keep_activity
from sqlseg.workflow.as_of import local
from sqlseg.workflow.daily import record_daily, remember_days
from sqlseg.workflow.recording import find_moves, record_moves
from sqlseg.workflow.segmenting import Placed
from sqlseg.workflow.state import Run

USERS = [f"u{number}" for number in range(6)]
ALWAYS = "v0"
SEGMENTS = ("tier-1", "tier-2", "tier-3")
NOON = datetime(2024, 3, 31, 12)
AS_OF = datetime(2024, 6, 1)
DAYS = [-4 * 365, -12 * 365, -9, -3, -2, -1, 0, 0]

KEPT = "select day, segment_id, arrivals, user_days, buyers, orders, revenue from sqlseg.segment_day order by all"
SHOWN = "select * from segments.daily order by all"


class Undone(Exception):
    pass


class Life:
    """A shop's events and the segments of its users, brought into the tables as a refresh does."""

    def __init__(self, engine: Engine, timezone: str) -> None:
        self.engine, self.timezone = engine, timezone
        self.events: list[tuple[str, datetime, str, str, float]] = []
        self.segment = dict.fromkeys([*USERS, ALWAYS], 0)
        self.through, self.runs = NOON, 0
        self.there: list[tuple] = []
        prepare_warehouse(engine)
        engine.execute(
            "create table sqlseg.events (user_id varchar, event_time timestamp, event_type varchar, order_id varchar, "
            "price double, quantity double, local_time timestamp)"
        )
        engine.insert(
            "segments.segment (segment_id, segmentation, segment_name)", [(one, "tier", f"<{one}>") for one in SEGMENTS]
        )

    def happen(self, changes: list[tuple]) -> set[str]:
        """Change events and segments; return the users whose events changed."""
        touched = set()
        for what, user, *how in changes:
            if what == "event":
                day, hour, kind, price = how
                order = f"o{len(self.events) // 2}"
                self.events.append((user, self.through + timedelta(days=day, hours=hour), kind, order, price))
                touched.add(user)
            elif what == "away":
                self.events = [one for one in self.events if one[0] != user]
                touched.add(user)
            elif what == "undo" and len(self.events) > 1:
                touched.add(self.events.pop(1 + how[0] % (len(self.events) - 1))[0])
            elif what == "segment":
                self.segment[user] = how[0]
                touched |= {user} if how[1] else set()
            elif what == "time":
                self.through += timedelta(hours=how[0])
        return touched

    def refresh(self, changes: list[tuple]) -> None:
        engine, touched = self.engine, self.happen(changes)
        self.runs += 1
        run = Run(f"run-{self.runs:03}", AS_OF, self.through, AS_OF, self.timezone, 0)
        rows = [(*event, None, local(event[1], self.timezone)) for event in self.events]
        engine.execute("delete from sqlseg.events; create or replace temp table touched_users (user_id varchar)")
        engine.insert("sqlseg.events", rows)
        engine.insert("touched_users", [(user,) for user in touched])
        engine.execute(
            "create or replace temp table touched_events as "
            "from sqlseg.events where user_id in (select user_id from touched_users); "
            "create or replace temp table recomputed_users as select distinct user_id from touched_events; "
            "create or replace table sqlseg.population as select distinct user_id from sqlseg.events"
        )
        followed = keep_activity(engine, AS_OF, everyone=self.runs == 1)
        users = np.array(sorted({event[0] for event in self.events}), dtype=object)
        labels = np.array([self.segment[user] for user in users], dtype=np.int64)
        numbers = np.zeros(len(users))
        placed = Placed(SEGMENTS, labels, np.full(len(users), -1), numbers, numbers, None, {})
        find_moves(engine, "tier", placed, users, np.full(len(users), "behavior", dtype=object), numbers)
        remembered = remember_days(engine, run, "tier", f"run-{self.runs - 1:03}" if followed else None)
        assert remembered == (self.runs > 1 and bool(self.there))
        record_moves(engine, run, "tier")
        record_daily(engine, run, "tier", remembered=remembered)
        self.there = engine.rows(KEPT)

    def counted_anew(self) -> tuple[list[tuple], list[tuple]]:
        """What there would be if all days were counted anew; nothing changes."""
        run = Run("run-anew", AS_OF, self.through, AS_OF, self.timezone, 0)
        try:
            with self.engine.transaction():
                record_daily(self.engine, run, "tier", remembered=False)
                anew = self.engine.rows(KEPT), self.engine.rows(SHOWN)
                raise Undone
        except Undone:
            return anew


def assert_same(rows: list[tuple], expected: list[tuple]) -> None:
    assert len(rows) == len(expected), (rows, expected)
    for row, other in zip(rows, expected, strict=True):
        assert row[:-1] == other[:-1]
        assert row[-1] == pytest.approx(other[-1], rel=1e-9, abs=1e-9)


user = st.sampled_from(USERS)
happening = st.one_of(
    st.tuples(
        st.just("event"),
        user,
        st.sampled_from(DAYS),
        st.integers(-14, 0),
        st.sampled_from(["purchase", "purchase", "return", "view"]),
        st.sampled_from([0.0, 0.1, 9.99, 1e6]),
    ),
    st.tuples(st.just("undo"), user, st.integers(0, 99)),
    st.tuples(st.just("away"), user),
    st.tuples(st.just("segment"), user, st.integers(0, 2), st.booleans()),
    st.tuples(st.just("time"), user, st.sampled_from([1, 9, 24, 60])),
)


histories = st.lists(st.lists(happening, max_size=6), min_size=2, max_size=7)
timezones = st.sampled_from(["UTC", "America/New_York", "Pacific/Auckland"])


def lived(history: list[list[tuple]], timezone: str) -> None:
    with Engine.open(None) as engine, patch.object(daily, "COUNTED_ANEW_FROM", 100):
        life = Life(engine, timezone)
        life.happen([("event", user, -30, 0, "view", 0.0) for user in [ALWAYS, *USERS[:4]]])
        for changes in history:
            life.refresh(changes)
            kept, shown = life.counted_anew()
            assert_same(life.there, kept)
            assert_same(engine.rows(SHOWN), shown)


@settings(max_examples=12, deadline=None)
@given(histories, timezones)
def test_days_that_follow_what_changed_are_those_that_are_counted_anew(history, timezone):
    lived(history, timezone)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(histories, timezones)
def test_in_many_histories_days_are_those_that_are_counted_anew(history, timezone):
    lived(history, timezone)


MANY = [one for n in range(20) for one in (bought(f"u{n:02}", f"2024-05-{1 + n:02}T10:00", 10.0 + n),)]
LATE = viewed("u03", "2024-05-20T20:00")


@pytest.fixture
def shop(make_shop):
    shop = make_shop(MANY, RULES)
    shop.refresh()
    return shop


def tampered(shop):
    shop.change("update sqlseg.segment_day set revenue = revenue + 7 where day = '2024-05-05'")


def on_the_fifth(shop):
    return shop.rows("select revenue from segments.daily where date = '2024-05-05' and revenue > 0")


def test_days_of_which_nothing_changed_are_not_counted_again_on_the_same_day(shop):
    tampered(shop)
    shop.events(*MANY, LATE)
    shop.refresh(publish_anyway=True)
    assert on_the_fifth(shop) == [(14.0 + 7,)]
    assert shop.rows("select check_name from quality.check where not passed") == [("daily_revenue_adds_up",)]
    shop.events(*MANY, LATE, bought("u03", "2024-05-05T20:00", 1.0))
    shop.refresh()
    assert on_the_fifth(shop) == [(15.0,)]


@pytest.mark.parametrize(
    ("more", "how"),
    [
        ([viewed("u03", "2024-05-21T20:00")], {}),  # a new day
        ([viewed(f"u{n:02}", "2024-05-20T20:00") for n in range(5)], {}),  # many users
        ([LATE], {"full": True}),
    ],
)
def test_days_are_counted_anew(shop, more, how):
    tampered(shop)
    shop.events(*MANY, *more)
    shop.refresh(**how)
    assert on_the_fifth(shop) == [(14.0,)]


def test_days_are_counted_anew_after_users_were_forgotten(shop):
    assert shop.sqlseg("forget", "u04").code == 0
    shop.events(*MANY, LATE)
    shop.refresh()
    assert on_the_fifth(shop) == []
    assert shop.rows("select sum(revenue) from segments.daily") == [(sum(10.0 + n for n in range(20) if n != 4),)]


def test_days_are_counted_anew_where_the_last_refresh_left_them_out(make_shop):
    other = RULES.replace("tier", "other")
    shop = make_shop(MANY, RULES + other)
    shop.write("sql/segments/other.sql", (shop.directory / "sql/segments/tier.sql").read_text())
    shop.refresh()
    shop.events(*MANY, bought("u03", "2024-05-19T20:00", 500.0))
    shop.refresh(segmentation="tier")
    shop.events(*MANY, bought("u03", "2024-05-19T20:00", 500.0), LATE)
    shop.refresh()
    of_day = "select date, sum(user_count), sum(revenue) from segments.daily"
    days = of_day + " where segmentation = '{}' group by all order by all"
    assert shop.rows(days.format("other")) == shop.rows(days.format("tier"))
    assert shop.rows("select max(date), sum(revenue) / 2 from segments.daily") == [
        (date(2024, 5, 20), sum(10.0 + n for n in range(20)) + 500)
    ]
