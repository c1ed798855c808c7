"""The time left of a step: by a clock that the test turns, from what a step, the last runs and the database say."""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shops import CLUSTERS, RULES, bought, viewed

from sqlseg.engine.duckdb import Engine
from sqlseg.workflow.narration import Clock, Stopwatch
from sqlseg.workflow.time_left import Outlook, TimeLeft, told
from sqlseg.workflow.usual_seconds import usual_seconds


@dataclass
class Turned:
    """A clock that stands still until it is turned."""

    now: float = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Turned()


def test_nothing_is_told_where_nothing_is_known(clock):
    left = TimeLeft(clock)
    for _ in range(30):
        clock.now += 1
        assert left.left() is None
    assert told(None) == ""


def test_the_seconds_of_before_count_down_and_are_dropped_when_they_are_over(clock):
    left = TimeLeft(clock, Outlook(seconds=60.0))
    assert left.left() is None, "too early"
    clock.now += 20
    assert left.left() == pytest.approx(40)
    assert told(left.left()) == "about 40 s left"
    clock.now += 39
    assert left.left() == pytest.approx(1)
    clock.now += 5
    assert left.left() is None


def test_what_has_been_counted_tells_how_long_the_rest_takes(clock):
    left = TimeLeft(clock)
    left.progress(0, 10)
    clock.now += 8
    assert left.left() is None, "nothing is done yet"
    left.progress(2, 10)
    assert left.left() == pytest.approx(32), "a fifth in 8 s"
    clock.now += 3
    assert left.left() == pytest.approx(29), "and the time goes by until the next part is done"
    left.progress(0, 3)
    assert left.left() is None, "something else is counted, which has just begun"


def test_counting_takes_the_place_of_the_seconds_of_before_as_the_step_goes_on(clock):
    left = TimeLeft(clock, Outlook(seconds=20.0))
    left.progress(0, 10)
    found = []
    for tenth in range(1, 10):  # this time it takes 100 s
        clock.now += 10
        left.progress(tenth, 10)
        found.append(left.left())
    assert found[0] == pytest.approx(10 + 0.1 * 80)
    assert found[-1] == pytest.approx(10, rel=0.2)


def test_the_database_is_asked_for_one_statement_after_the_other(clock):
    said = [None]
    left = TimeLeft(clock, Outlook(statement=lambda: said[0]))
    clock.now += 2
    assert left.left() is None
    said[0] = (1, 0.0)
    assert left.left() is None
    clock.now += 5
    said[0] = (1, 0.25)
    assert left.left() == pytest.approx(15)
    said[0] = (1, 0.1)
    assert left.left() == pytest.approx(15), "DuckDB sometimes goes back"
    clock.now += 3
    said[0] = (1, 0.5)
    assert left.left() is None, "it has 8 s left: after a short one there are others"
    said[0] = (2, 0.5)
    clock.now += 60
    assert left.left() is None, "another statement, of which it is too early to tell"


def test_a_step_that_is_counted_does_not_ask_the_database(clock):
    asked = []
    left = TimeLeft(clock, Outlook(statement=lambda: asked.append(clock.now)))
    left.progress(0, 10)
    clock.now += 8
    assert left.left() is None
    assert asked == [100.0], "but to let it keep account"


@given(
    usual=st.none() | st.floats(0.1, 1e4),
    steps=st.lists(st.tuples(st.floats(0.1, 5), st.none() | st.floats(0, 1)), min_size=1, max_size=60),
)
def test_it_is_never_negative_and_never_jumps(usual, steps):
    clock = Turned()
    left, before = TimeLeft(clock, Outlook(seconds=usual)), None
    for seconds, share in steps:
        clock.now += seconds
        if share is not None:
            left.progress(share, 1)
        found = left.left()
        assert found is None or (found >= 0 and math.isfinite(found))
        if found is not None and before is not None:
            # What was told, less the time that has gone by, and a part of what has been found out since.
            assert found >= (before - seconds) * math.exp(-seconds / 4) - 1e-6
        before = found


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.99, ""),
        (1.0, "about 1 s left"),
        (9.4, "about 10 s left"),
        (12.4, "about 10 s left"),
        (57.4, "about 55 s left"),
        (57.5, "about 1 min left"),
        (89.0, "about 1 min left"),
        (3540.0, "about 59 min left"),
        (3599.0, "about 1 h 0 min left"),
        (7300.0, "about 2 h 2 min left"),
    ],
)
def test_it_is_said_as_people_say_it(seconds, words):
    assert told(seconds) == words


def test_a_step_in_two_parts_has_left_what_the_first_did_not_take():
    heard, clock = [], Turned()

    class Hears:
        def step(self, title, outlook):
            heard.append((title, outlook.seconds))
            return nullcontext()

    watch = Stopwatch(Hears(), Clock(None, clock), usual={"events": 10.0})
    with watch.step("events", "Reading"):
        clock.now += 7
    with watch.step("events", "Keeping"):
        clock.now += 7
    with watch.step("events", "Once more"), watch.step("other", "Never before"):
        pass
    assert heard == [("Reading", 10.0), ("Keeping", 3.0), ("Once more", None), ("Never before", None)]


EVENTS = [
    viewed("ann", "2024-03-01 10:00"),
    bought("bob", "2024-03-01 12:00", 50),
    bought("eve", "2024-03-01 13:00", 9),
]


def test_what_refreshes_took_is_told_of_those_of_the_same_kind(make_shop):
    shop = make_shop(EVENTS, RULES + CLUSTERS)
    shop.refresh()
    events = list(EVENTS)
    for day, hour in ((1, 20), (1, 21), (2, 9), (2, 10)):
        events.append(bought("ann", f"2024-03-0{day} {hour:02}:00", 5))
        shop.events(*events)
        shop.refresh()
    seconds = {"cold": 900, "warm": 10}
    kinds = shop.rows("select run_id, kind, as_of::date::varchar from segments.run order by run_id")
    assert [row[1:] for row in kinds] == [
        ("cold", "2024-03-02"),
        *[("warm", "2024-03-02")] * 2,
        *[("warm", "2024-03-03")] * 2,
    ]
    for number, (run_id, kind, _) in enumerate(kinds):
        took = f'{{"events": {seconds[kind] + number}, "publish": {number}}}'
        shop.change(
            f"update segments.run set seconds = '{took}', events_total = {10 * number + 10} where run_id = '{run_id}'"
        )
    with Engine.open(shop.warehouse_file, read_only=True) as engine:
        last = kinds[-1][0]
        same_day, next_day = (engine.value(f"select timestamp '2024-03-0{day}'") for day in (3, 4))
        assert usual_seconds(engine, "9", "cold") == {"events": 900, "publish": 0}
        assert usual_seconds(engine, "9", "refit") == {}
        assert usual_seconds(engine, "9", "warm") == {"events": 13, "publish": 3}, "of the last three the middle one"
        assert usual_seconds(engine, last, "warm") == {"events": 12, "publish": 2}, "before this one"
        assert usual_seconds(engine, "9", "warm", as_of=next_day) == {"events": 13, "publish": 3}, "the one new day"
        found = usual_seconds(engine, "9", "warm", as_of=same_day, events=28)
        assert found == {"events": pytest.approx(28 * 12 / 30), "publish": pytest.approx(28 * 2 / 30)}, "for 28 events"


def test_the_database_says_how_far_a_statement_is():
    heard = []
    with Engine.open(None, threads=1) as engine:
        assert engine.statement_progress() is None, "none is running"
        engine.create_vector_function(
            "look", lambda column: (heard.append(engine.statement_progress()), column)[1], ["BIGINT"], "BIGINT"
        )
        engine.execute("create temp table numbers as select i from range(400000) as r(i)")
        engine.execute("create temp table looked as select look(i) as i from numbers")
        engine.execute("create temp table again as select look(i) as i from numbers")
        assert engine.statement_progress() is None, "it is over"
    known = [one for one in heard if one is not None]
    assert len({number for number, _ in known}) == 2, "each statement has a number of its own"
    assert all(0 <= share <= 1 for _, share in known)
    assert max(share for _, share in known) > 0.5
