"""What a refresh reads again of its sources, and that it comes to the same as reading everything."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.events import reading as reading_module
from sqlseg.events.reading import Before, EventSource, Reading, read_events, record_reading
from sqlseg.events.source_memory import find_changed_days
from sqlseg.events.staging import NoUsableEvents

NOON = datetime(2024, 3, 10, 12)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "event_time": pa.string(),
        "event_type": pa.string(),
        "event_id": pa.string(),
        "price": pa.float64(),
        "ingested_at": pa.timestamp("us"),
    }
)
Row = tuple[Any, ...]


def row(user: str | None, time: datetime | str | None, price: float | None = 1.0, **more: Any) -> Row:
    given = time.isoformat(sep=" ") if isinstance(time, datetime) else time
    return (user, given, more.get("kind", "view"), more.get("id"), price, more.get("ingested"))


@dataclass
class Place:
    """A warehouse, the source it reads, and the newest event of its last refresh."""

    engine: Engine
    directory: Path
    text: str = "select * from read_parquet('events.parquet')"
    max_quantity: float | None = None
    timezone: str = "UTC"
    overlap: timedelta = HOUR
    last: Before | None = None
    runs: int = 0
    readings: list[Reading] = field(default_factory=list)

    def write(self, rows: Sequence[Row], *, ingested: bool = True, name: str = "events.parquet") -> None:
        table = pa.table(
            [pa.array([one[place] for one in rows], kind.type) for place, kind in enumerate(SCHEMA)], schema=SCHEMA
        )
        pq.write_table(table if ingested else table.drop_columns(["ingested_at"]), self.directory / name)

    def read(self, now: datetime = NOON, *, full: bool = False) -> Reading:
        path = self.directory / "events.sql"
        path.write_text(self.text, encoding="utf-8")
        source = EventSource(path, self.directory, {}, self.timezone, self.max_quantity, None, self.overlap)
        self.runs += 1
        run_id = f"run-{self.runs}"
        with self.engine.transaction():
            found = read_events(self.engine, source, run_id=run_id, now=now, before=self.last, full=full)
            if self.last is None or found.changes.events_new or found.changes.events_gone:
                record_reading(self.engine, run_id)
                through = max(found.staged.newest, self.last.data_through if self.last else found.staged.newest)
                self.last = Before(run_id, through)
        self.readings.append(found)
        return found

    def rows(self, sql: str) -> Counter[tuple[Any, ...]]:
        return Counter(self.engine.rows(sql))

    def events(self) -> Counter[tuple[Any, ...]]:
        return self.rows("from sqlseg.events")

    def refused(self) -> Counter[tuple[Any, ...]]:
        return self.rows('select reason, "row" from quality.rejected_events')

    def days(self) -> Counter[tuple[Any, ...]]:
        return self.rows("select * exclude (last_ingested) from sqlseg.source_partition")

    def users(self, table: str) -> set[str]:
        return {user for (user,) in self.engine.rows(f"select user_id from {table}")}


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[Engine, Engine]]:
    with Engine.open(None, threads=1) as warm, Engine.open(None, threads=1) as cold:
        for engine in (warm, cold):
            prepare_warehouse(engine)
        yield warm, cold


def emptied(engine: Engine, directory: Path, **more: Any) -> Place:
    """A warehouse as before its first refresh; making the tables anew each time would take longer than all else."""
    engine.execute("drop table if exists sqlseg.events")
    for table in ("sqlseg.duplicate_event", "sqlseg.source_memory", "sqlseg.source_partition"):
        engine.execute(f"delete from {table}")
    engine.execute("delete from quality.rejected_events; delete from quality.rejection")
    return Place(engine, directory, **more)


@pytest.fixture(autouse=True)
def little_counts(monkeypatch) -> None:
    """Of a source of three rows most changes at once; here that is no reason to read everything."""
    monkeypatch.setattr(reading_module, "MOST", 1.0)


@pytest.fixture
def warm(engines, tmp_path) -> Place:
    return emptied(engines[0], tmp_path)


def settle(warm: Place, rows: Sequence[Row], **more: Any) -> None:
    """Let the first refresh read some rows."""
    warm.write(rows, **more)
    assert warm.read().how == "everything"


TWO_DAYS = [row("ann", NOON - DAY), row("bob", NOON - DAY, 2.0), row("ann", NOON - HOUR), row("eve", NOON - 2 * HOUR)]
ARRIVED = [
    row("ann", NOON - DAY, id="1", ingested=NOON - DAY + HOUR),
    row("bob", NOON - DAY, id="2", ingested=NOON - DAY + HOUR),
    row("ann", NOON - 3 * HOUR, id="3", ingested=NOON - 2 * HOUR),
]


# -- how much is read --------------------------------------------------------------------------------------------


def test_files_that_are_as_they_were_are_not_read(warm, monkeypatch):
    settle(warm, TWO_DAYS)
    # Once more: just now the file was new, and could have been written again in the same instant.
    later = datetime(2100, 1, 1)
    assert warm.read(later).how == "days"

    monkeypatch.setattr(reading_module, "bind_source", None)  # whoever reads the source fails
    found = warm.read(later + HOUR)
    assert (found.how, found.changes.events_new, found.staged.rows_read) == ("nothing", 0, 4)
    assert found.staged == replace(warm.readings[1].staged)
    assert warm.users("touched_users") == warm.users("late_users") == set()


def test_a_file_that_changed_is_read_again(warm):
    settle(warm, TWO_DAYS)
    warm.read(datetime(2100, 1, 1))
    warm.write([*TWO_DAYS, row("dan", NOON)])
    found = warm.read(datetime(2100, 1, 2))
    assert (found.how, found.changes.events_new) == ("days", 1)
    assert warm.users("touched_users") == {"dan"}


def test_only_days_whose_content_is_another_are_read(warm):
    rows = [row("ann", NOON - days * DAY) for days in range(1, 10)]
    settle(warm, rows)
    rows[4] = row("ann", NOON - 5 * DAY, 7.0)
    warm.write(rows[:-1])
    found = warm.read()
    assert (found.how, found.why) == ("days", "2 days whose content is another were read")
    assert (found.changes.events_new, found.changes.events_gone, found.changes.events_late) == (1, 2, 1)


def test_what_arrived_is_all_that_is_read(warm):
    settle(warm, ARRIVED)
    warm.write([*ARRIVED, row("dan", NOON - 2 * DAY, id="4", ingested=NOON)])
    found = warm.read(NOON + HOUR)
    assert (found.how, found.changes.events_new, found.changes.events_late) == ("arrivals", 1, 1)
    assert found.why == "what arrived since 2024-03-10 09:00:00 UTC was read"
    assert warm.users("touched_users") == warm.users("late_users") == {"dan"}


def test_what_arrived_long_ago_shows_in_the_number_of_rows(warm):
    settle(warm, ARRIVED)
    warm.write([*ARRIVED, row("dan", NOON - 2 * DAY, id="4", ingested=NOON - DAY)])
    found = warm.read(NOON + HOUR)
    assert (found.how, found.changes.events_new) == ("days", 1)


def test_what_went_shows_in_the_number_of_rows(warm):
    settle(warm, ARRIVED)
    warm.write([ARRIVED[0], ARRIVED[2], row("dan", NOON, id="4", ingested=NOON), *ARRIVED[3:]])
    found = warm.read(NOON + HOUR)
    assert (found.how, found.changes.events_new, found.changes.events_gone) == ("days", 1, 1)


def test_once_a_day_what_arrived_is_not_enough(warm):
    settle(warm, ARRIVED)
    # Changed where it lies, with nothing that says so.
    warm.write([row("ann", NOON - DAY, 9.0, id="1", ingested=NOON - DAY + HOUR), *ARRIVED[1:]])
    assert warm.read(NOON + HOUR).changes.events_new == 0
    found = warm.read(NOON + DAY)
    assert (found.how, found.changes.events_new, found.changes.events_gone) == ("days", 1, 1)


def test_files_that_are_as_they_were_are_still_compared_where_only_arrivals_were_read(warm):
    settle(warm, ARRIVED)
    later = datetime(2100, 1, 1, 8)
    assert warm.read(later).how == "days"
    warm.write([row("ann", NOON - DAY, 9.0, id="1", ingested=NOON - DAY + HOUR), *ARRIVED[1:]])
    assert [warm.read(later + hours * HOUR).how for hours in (1, 2)] == ["arrivals", "nothing"]
    found = warm.read(later + DAY)
    assert (found.how, found.changes.events_new) == ("days", 1)
    assert warm.read(later + 2 * DAY).how == "nothing"


def test_of_a_log_only_new_files_are_compared(warm, monkeypatch):
    compared: list[bool] = []

    def find(engine: Engine, *, appended: bool) -> None:
        compared.append(appended)
        find_changed_days(engine, appended=appended)

    monkeypatch.setattr(reading_module, "find_changed_days", find)
    warm.text, later = "select * from read_parquet('log*.parquet')", datetime(2100, 1, 1)
    settle(warm, ARRIVED, name="log1.parquet")
    assert warm.read(later).how == "days"  # just now the file was new, and could have been written again
    warm.write([row("dan", NOON - DAY, id="4", ingested=NOON - 9 * DAY)], name="log2.parquet")
    found = warm.read(later + DAY)
    assert (found.how, found.changes.events_new, found.why) == ("days", 1, "1 days whose content is another were read")
    assert warm.users("touched_users") == {"dan"}
    # On the same day ingested_at is enough; what it does not show is looked for in all files on the next one.
    warm.write([row("eve", NOON - DAY, id="5", ingested=later)], name="log3.parquet")
    assert warm.read(later + DAY + HOUR).how == "arrivals"
    warm.write([row("zoe", NOON - DAY, id="6", ingested=NOON - 9 * DAY)], name="log4.parquet")
    assert warm.read(later + 2 * DAY).changes.events_new == 1
    # A file of before that is another now.
    warm.write([row("dan", NOON - DAY, 7.0, id="4", ingested=NOON - 9 * DAY)], name="log2.parquet")
    warm.write([row("max", NOON, id="7", ingested=NOON)], name="log5.parquet")
    found = warm.read(later + 3 * DAY)
    assert (found.changes.events_new, found.changes.events_gone) == (2, 1)
    assert compared == [False, True, False, False]


def test_where_most_is_another_everything_is_read(warm, monkeypatch):
    monkeypatch.setattr(reading_module, "MOST", 0.5)
    settle(warm, TWO_DAYS)
    warm.write([row("zoe", NOON - days * DAY) for days in range(5)])
    found = warm.read()
    assert (found.how, found.why) == ("everything", "most of its content is another")
    assert (found.changes.events_new, found.changes.events_gone) == (5, 4)


def test_where_nothing_is_another_nothing_is_read_twice(warm, monkeypatch):
    monkeypatch.setattr(reading_module, "MOST", 0.5)
    settle(warm, TWO_DAYS)
    found = warm.read()
    assert (found.how, found.why) == ("days", "0 days whose content is another were read")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"max_quantity": 5.0}, "changed: max_quantity"),
        ({"timezone": "Europe/London"}, "changed: timezone"),
        ({"text": "select * from read_parquet('events.parquet') where true"}, "changed: the events SQL"),
    ],
)
def test_what_decides_how_rows_are_read_has_changed(warm, change, why):
    settle(warm, TWO_DAYS)
    changed = replace(warm, **change)
    found = changed.read()
    assert (found.how, found.why) == ("everything", why)
    assert changed.read().how != "everything"


def test_a_comment_is_no_change(warm):
    settle(warm, TWO_DAYS)
    warm.text += "  -- as exported at night"
    assert warm.read().how == "days"


def test_full_reads_everything(warm):
    settle(warm, TWO_DAYS)
    found = warm.read(full=True)
    assert (found.how, found.why, found.changes.events_new) == ("everything", "--full asks for it", 0)


def test_another_zone_moves_the_clock_of_events_that_did_not_change(warm):
    settle(warm, [row("ann", "2024-03-01 10:00")], ingested=False)
    found = replace(warm, timezone="America/New_York").read()
    assert (found.changes.events_new, found.changes.events_gone) == (0, 0)
    assert warm.engine.rows("select local_time from sqlseg.events") == [(datetime(2024, 3, 1, 5),)]


def test_rows_of_the_future_count_once_it_is_there(warm):
    rows = [*TWO_DAYS, row("dan", NOON + 2 * HOUR), row("dan", NOON + 400 * DAY)]
    settle(warm, rows)
    assert warm.refused().total() == 2
    found = warm.read(NOON + 3 * HOUR)
    assert (found.changes.events_new, warm.refused().total()) == (1, 1)
    # And no longer, where the clock is set back.
    found = warm.read(NOON)
    assert (found.changes.events_gone, warm.refused().total()) == (1, 2)


def test_a_duplicate_takes_the_place_of_a_better_one_that_went(warm):
    first = row("ann", NOON - 3 * DAY, id="e", ingested=NOON - 3 * DAY)
    second = row("bob", NOON - DAY, 2.0, id="e", ingested=NOON - DAY)
    others = [row("eve", NOON - days * DAY, id=f"o{days}", ingested=NOON - days * DAY) for days in range(2, 9)]
    settle(warm, [first, second, *others])
    assert warm.engine.rows("select user_id from sqlseg.events where event_id = 'e'") == [("bob",)]
    warm.write([first, *others])
    found = warm.read(NOON + HOUR)
    assert found.how == "days"
    assert warm.engine.rows("select user_id from sqlseg.events where event_id = 'e'") == [("ann",)]
    assert warm.users("touched_users") == {"ann", "bob"}
    assert warm.refused().total() == 0
    warm.write([first, second, *others])
    warm.read(NOON + HOUR)
    assert warm.engine.rows("select user_id from sqlseg.events where event_id = 'e'") == [("bob",)]
    assert [json.loads(text)["user_id"] for _, text in warm.refused()] == ["ann"]


def test_a_source_of_which_nothing_is_usable_any_more(warm):
    settle(warm, TWO_DAYS)
    before = warm.events()
    warm.write([row(None, NOON - DAY)])
    with pytest.raises(NoUsableEvents):
        warm.read()
    assert warm.events() == before


# -- the same as reading everything ------------------------------------------------------------------------------

USERS = ("ann", "bob", "eve", None, " ")
TIMES = st.one_of(
    st.integers(-80, 40).map(lambda hours: (NOON + hours * HOUR).isoformat(sep=" ")),
    st.sampled_from([None, "soon", "infinity", "9999-12-31", "2024-03-10T14:00:00+02:00"]),
)
IDS = st.sampled_from([None, None, "e1", "e2", "e3", "e4"])
PRICES = st.sampled_from([None, 0.0, -0.0, 1.0, 1.0, 2.0, -1.0, float("nan")])


@dataclass(frozen=True)
class Step:
    """What happens to a source before a refresh: rows arrive, rows are edited or go, the clock moves."""

    arriving: tuple[tuple[Any, ...], ...]
    again: tuple[int, ...]
    corrected: tuple[int, ...]
    edited: tuple[int, ...]
    gone: tuple[int, ...]
    hours: int
    full: bool


def steps(*, edits: bool) -> st.SearchStrategy[Step]:
    """With `edits`, anything goes. Without, `ingested_at` and the number of rows tell of everything within a day: no
    row is edited under its old time of arrival, and none goes while others come with an old one."""
    some = st.lists(st.integers(0, 10**6), max_size=3).map(tuple)
    none = st.just(())

    def step(again: st.SearchStrategy[Any], gone: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
        return st.builds(
            Step,
            arriving=st.lists(st.tuples(st.sampled_from(USERS), TIMES, IDS, PRICES), max_size=6).map(tuple),
            again=again,
            corrected=some,
            edited=some if edits else none,
            gone=gone,
            hours=st.sampled_from([0, 1, 2, 5, 30, -3, -40] if edits else [0, 1, 2]),
            full=st.sampled_from([False] * 9 + [True]),
        )

    return step(some, some) if edits else st.one_of(step(none, some), step(some, none))


def carried_out(step: Step, rows: list[Row], now: datetime) -> list[Row]:
    """Return the rows of a source after a step; rows arrive a little before now, and some of them twice."""
    left = list(rows)
    for place in step.gone if left else ():
        if left:
            left.pop(place % len(left))
    for place in step.edited if left else ():
        old = left[place % len(left)]
        left[place % len(left)] = (*old[:4], 5.0 if old[4] != 5.0 else 6.0, old[5])
    came = [(user, time, "view", id_, price, now - HOUR / 4) for user, time, id_, price in step.arriving]
    came += [left[place % len(left)] for place in step.again if left]
    came += [(*left[place % len(left)][:4], 8.0, now) for place in step.corrected if left]
    return left + came


def compare_histories(
    engines: tuple[Engine, Engine], first: Step, history: Sequence[Step], *, ingested: bool, timezone: str = "UTC"
) -> list[str]:
    """Carry a history out, read it step by step and as a whole, and return how much of it was read each time."""
    with TemporaryDirectory() as folder:
        warm = emptied(engines[0], Path(folder), timezone=timezone)
        now, rows = NOON, [row("ann", NOON - DAY, id="sure", ingested=NOON - DAY)]
        before: Counter[tuple[Any, ...]] = Counter()
        for step in (first, *history):
            now += step.hours * HOUR
            rows = carried_out(step, rows, now)
            # Whatever else comes and goes, one row can be used.
            rows = [one for one in rows if one[3] != "sure"] + [row("ann", NOON - 9 * DAY, id="sure", ingested=NOON)]
            warm.write(rows, ingested=ingested)
            through = warm.last.data_through if warm.last else datetime.min
            found = warm.read(now, full=step.full)
            cold = emptied(engines[1], Path(folder), timezone=timezone)
            whole = cold.read(now)
            events = warm.events()
            assert events == cold.events()
            assert warm.refused() == cold.refused()
            assert warm.days() == cold.days()
            assert replace(found.staged, rejected=dict(sorted(found.staged.rejected.items()))) == replace(
                whole.staged, rejected=dict(sorted(whole.staged.rejected.items()))
            )
            came, went = events - before, before - events
            assert (found.changes.events_new, found.changes.events_gone) == (came.total(), went.total())
            touched = {event[0] for event in (*came, *went)}
            assert warm.users("touched_users") == touched
            assert found.changes.users_touched == len(touched)
            if len(warm.readings) > 1:
                assert warm.users("late_users") == {event[0] for event in (*came, *went) if event[1] <= through}
                assert found.changes.events_late == sum(n for event, n in came.items() if event[1] <= through)
            before = events
        return [reading.how for reading in warm.readings]


few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(few, max_examples=40)
edited = given(steps(edits=True), st.lists(steps(edits=True), min_size=1, max_size=4))
arriving = given(steps(edits=False), st.lists(steps(edits=False), min_size=1, max_size=5))


@few
@edited
def test_comparing_days_comes_to_the_same_as_reading_everything(engines, first, history):
    # Without ingested_at nothing but the content says what is new.
    ways = compare_histories(engines, first, history, ingested=False, timezone="America/New_York")
    assert "arrivals" not in ways


@few
@arriving
def test_reading_what_arrived_comes_to_the_same_as_reading_everything(engines, first, history):
    compare_histories(engines, first, history, ingested=True)


@few
@given(st.lists(st.tuples(steps(edits=True), st.booleans()), min_size=2, max_size=5))
def test_comparing_new_files_comes_to_the_same_as_reading_everything(engines, history):
    """Of a log of a file a step; in some steps the last but one is written anew."""
    with TemporaryDirectory() as folder:
        warm = emptied(engines[0], Path(folder), text="select * from read_parquet('log*.parquet')")
        now, last = datetime(2100, 1, 1), [row("ann", NOON - 9 * DAY, id="sure", ingested=NOON)]
        warm.write(last, name="log.parquet")
        for number, (step, changed) in enumerate(history):
            now += abs(step.hours) * HOUR
            if changed and number > 0:
                warm.write(carried_out(replace(step, arriving=()), last, NOON), name=f"log{number - 1}.parquet")
            last = carried_out(replace(step, gone=(), edited=()), [], NOON)
            warm.write(last, name=f"log{number}.parquet")
            found = warm.read(now)
            cold = emptied(engines[1], Path(folder), text=warm.text)
            assert found.staged.fingerprint == cold.read(now).staged.fingerprint
            assert warm.events() == cold.events()
            assert warm.refused() == cold.refused()
            assert warm.days() == cold.days()


@pytest.mark.slow
@many
@edited
def test_comparing_days_comes_to_the_same_in_many_histories(engines, first, history):
    compare_histories(engines, first, history, ingested=False, timezone="America/New_York")


@pytest.mark.slow
@many
@arriving
def test_reading_what_arrived_comes_to_the_same_in_many_histories(engines, first, history):
    compare_histories(engines, first, history, ingested=True)
