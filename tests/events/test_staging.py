"""Source rows in, canonical events and quarantine out; every row is accounted for."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.events import duplicates
from sqlseg.events.staging import (
    Changes,
    NoUsableEvents,
    SourceSqlFailed,
    Staged,
    UnusableSource,
    all_new,
    changes_since,
    drop_staged,
    keep_attributes,
    keep_events,
    stage_events,
)
from sqlseg.names import EVENT_COLUMNS
from sqlseg.resources import UnreadableFile

EXPORTED_AT = datetime(2024, 6, 1)


@dataclass
class Source:
    """A project with nothing but SQL files, and a warehouse in memory; rows are staged in place or in a table aside."""

    directory: Path
    engine: Engine
    in_place: bool
    timezone: str = "UTC"

    def stage(self, select: str, *, exported_at: datetime = EXPORTED_AT, max_quantity: float | None = None) -> Staged:
        path = self.directory / "events.sql"
        path.write_text(select, encoding="utf-8")
        return stage_events(
            self.engine,
            path,
            self.directory,
            exported_at=exported_at,
            max_quantity=max_quantity,
            in_place=self.timezone if self.in_place else None,
        )

    def kept(self, columns: str = "*") -> list[tuple]:
        keep_events(self.engine, run_id="run-1", timezone=self.timezone)
        return self.engine.rows(f"select {columns} from sqlseg.events order by all")

    def refused(self) -> list[tuple[str, dict]]:
        rows = self.engine.rows('select reason, "row" from quality.rejected_events order by 1, 2')
        return [(reason, json.loads(row)) for reason, row in rows]


@pytest.fixture(scope="module")
def warehouse():
    with Engine.open(None, threads=1) as engine:
        prepare_warehouse(engine)
        yield engine


@pytest.fixture(params=["aside", "in place"])
def source(warehouse, tmp_path, request):
    in_place = request.param == "in place"
    yield Source(tmp_path, warehouse, in_place)
    if in_place:  # what a transaction would roll back
        warehouse.execute("drop view if exists staged_events; drop table if exists sqlseg.staged_events")
    drop_staged(warehouse)
    for table in ("quality.rejected_events", "quality.rejection"):
        warehouse.execute(f"delete from {table}")


def row(**values: str) -> str:
    """A SELECT of one good row, with some of its columns replaced by SQL expressions."""
    columns = {"user_id": "'ann'", "event_time": "timestamp '2024-05-01 10:00'", "event_type": "'purchase'", **values}
    return "select " + ", ".join(f"{expression} as {name}" for name, expression in columns.items())


GOOD = row(user_id="'good'")

REASONS = {
    "no user": [row(user_id="null::varchar"), row(user_id="''"), row(user_id="'   '")],
    "no time": [row(event_time="null::timestamp")],
    "unreadable time": [
        row(event_time="'yesterday'"),
        row(event_time="'2024-02-30 10:00'"),
        row(event_time="''"),
        row(event_time="timestamp 'infinity'"),
        row(event_time="timestamp '-infinity'"),
    ],
    "no event type": [row(event_type="null::varchar"), row(event_type="' '")],
    "unreadable ingested_at": [row(ingested_at="'soon'")],
    "unreadable price": [row(price="'12,50'"), row(price="'£5'")],
    "unreadable quantity": [row(quantity="'a dozen'")],
    "unreadable discount": [row(discount="'10%'")],
    "unreadable duration": [row(duration="'1 min'")],
    "time after exported_at": [
        row(event_time="timestamp '2024-06-01 00:00:00.000001'"),
        row(event_time="timestamp '9999-12-31'"),
        row(event_time="timestamp '294246-01-01'"),
    ],
    "negative price": [row(price="-0.01")],
    "price is not finite": [
        row(price="'nan'::double"),
        row(price="'inf'::double"),
        row(price="'-inf'::double"),
        row(price="'NaN'"),
    ],
    "amount over 1e12": [
        row(price="1.7e308"),
        row(price="1e11", quantity="11"),
        row(discount="-1e13"),
    ],
    "negative quantity": [row(quantity="-1")],
    "quantity is not finite": [row(quantity="'inf'::double"), row(quantity="'nan'::float")],
    "quantity over max_quantity": [row(quantity="100.5")],
    "discount is not finite": [row(discount="'nan'::double")],
    "duration is not finite": [row(duration="'inf'::double")],
    "negative duration": [row(duration="-5")],
}


@pytest.mark.parametrize(
    ("reason", "select"), [(reason, select) for reason, selects in REASONS.items() for select in selects]
)
def test_a_row_that_cannot_be_used_is_refused_with_its_reason(source, reason, select):
    # One column at a time, so that its type in the source is the one given.
    staged = source.stage(f"{select} union all by name {GOOD}", max_quantity=100)
    assert (staged.rows_read, staged.accepted, staged.rejected) == (2, 1, {reason: 1})
    assert source.kept("user_id") == [("good",)]
    assert [found for found, _ in source.refused()] == [reason]
    assert source.engine.rows("select run_id, reason, row_count from quality.rejection") == [("run-1", reason, 1)]


def test_what_is_just_within_bounds_is_kept(source):
    selects = [
        row(event_id="'1'", event_time="timestamp '2024-06-01 00:00:00'"),
        row(event_id="'2'", price="0.0", quantity="0"),
        row(event_id="'3'", quantity="100"),
        row(event_id="'4'", discount="-3.5"),
        row(event_id="'5'", duration="0"),
        row(event_id="'6'", event_type="'teleport'"),
        row(event_id="'7'", event_time="timestamp '0001-01-01'"),
        row(event_id="'8'", user_id="' ann '"),
        row(event_id="'9'", price="1e12", quantity="1"),
    ]
    staged = source.stage(" union all by name ".join(selects), max_quantity=100)
    assert (staged.accepted, staged.rejected, staged.newest) == (9, {}, datetime(2024, 6, 1))


def test_the_quarantine_shows_the_row_as_the_source_gave_it(source):
    bad = row(event_time="'31/02/2024'", price="'12,50'", item_id="42", text="'say \"hi\"'")
    source.stage(f"{bad} union all by name {GOOD}")
    source.kept()
    [(reason, refused)] = source.refused()
    assert reason == "unreadable time"
    assert refused["event_time"] == "31/02/2024"
    assert refused["price"] == "12,50"
    assert refused["item_id"] == "42"
    assert refused["text"] == 'say "hi"'
    assert refused["quantity"] is None


def test_a_row_with_several_faults_is_refused_once(source):
    staged = source.stage(f"{row(user_id='null', price='-1', quantity='-1')} union all by name {GOOD}")
    assert staged.rejected == {"no user": 1}


def test_of_one_event_id_the_newest_ingested_stays(source):
    staged = source.stage("""
        select 'ann' as user_id, event_time, 'purchase' as event_type, event_id, price, ingested_at from (values
            ('e1', timestamp '2024-05-01 10:00', 10.0, timestamp '2024-05-02'),
            ('e1', timestamp '2024-05-01 11:00', 12.0, timestamp '2024-05-04'),   -- the correction
            ('e1', timestamp '2024-05-01 12:00', 11.0, timestamp '2024-05-03'),
            ('e1', timestamp '2024-05-01 13:00', 99.0, null),                     -- not known when: the oldest
            ('e2', timestamp '2024-05-01 10:00', 10.0, null)
        ) as t(event_id, event_time, price, ingested_at)
    """)
    assert (staged.rows_read, staged.accepted, staged.rejected) == (5, 2, {"duplicate": 3})
    assert source.kept("event_id, price") == [("e1", 12.0), ("e2", 10.0)]
    assert sorted(row["price"] for _, row in source.refused()) == ["10.0", "11.0", "99.0"]


def test_a_refused_row_does_not_push_out_a_usable_one_of_its_event_id(source):
    staged = source.stage("""
        select 'ann' as user_id, timestamp '2024-05-01' as event_time, 'purchase' as event_type, 'e1' as event_id, *
        from (values (5.0, timestamp '2024-05-02'), (-5.0, timestamp '2024-05-03')) as t(price, ingested_at)
    """)
    assert staged.rejected == {"negative price": 1}
    assert source.kept("price") == [(5.0,)]


def test_without_ids_only_rows_equal_in_every_column_are_duplicates(source):
    staged = source.stage("""
        select 'ann' as user_id, timestamp '2024-05-01' as event_time, 'purchase' as event_type, *
        from (values
            ('cup', 5.0, null), ('cup', 5.0, null), ('cup', 5.0, null),
            ('cup', 5.0, 1.0),                      -- NULL counts as 1, yet the rows differ
            ('pen', 5.0, null), (null, 5.0, null), (null, 5.0, null)
        ) as t(item_id, price, quantity)
    """)
    assert (staged.rows_read, staged.accepted, staged.rejected) == (7, 4, {"duplicate": 3})
    assert source.kept("item_id, price, quantity") == [
        ("cup", 5.0, 1.0),
        ("cup", 5.0, None),
        ("pen", 5.0, None),
        (None, 5.0, None),
    ]


def test_the_database_finds_the_same_duplicates_where_keys_are_too_many_to_be_sorted(source, monkeypatch):
    select = """
        select 'u' || (i % 7) as user_id, timestamp '2024-05-01' + interval (i % 5) hour as event_time,
            'purchase' as event_type, case when i % 3 > 0 then 'e' || (i % 11) end as event_id, i % 2 * 1.5 as price
        from range(200) as t(i)
    """
    staged, found = source.stage(select), []
    found.append(source.engine.rows("select row_number from duplicate_events order by 1"))
    monkeypatch.setattr(duplicates, "SORTED_AT_ONCE", 199)
    assert source.stage(select) == staged
    found.append(source.engine.rows("select row_number from duplicate_events order by 1"))
    with_id, without = 133, len({(i % 7, i % 5, i % 2) for i in range(0, 200, 3)})
    assert found[0] == found[1]
    assert len(found[0]) == (with_id - 11) + (67 - without) == staged.rejected["duplicate"]


def test_minus_zero_is_the_same_event_as_zero(source):
    selects = [row(price="0.0::double"), row(price="-0.0::double")]
    assert source.stage(" union all by name ".join(selects)).rejected == {"duplicate": 1}
    fingerprint = source.stage(selects[0]).fingerprint
    assert source.stage(selects[1]).fingerprint == fingerprint


def test_an_event_id_that_only_looks_equal_is_another(source):
    staged = source.stage(
        " union all by name ".join([row(event_id="'e1'"), row(event_id="'E1'"), row(event_id="'e1 '")])
    )
    assert staged.rejected == {}


@pytest.mark.parametrize(
    ("given_time", "utc"),
    [
        ("'2024-05-01T10:00:00+02:00'", datetime(2024, 5, 1, 8)),
        ("'2024-05-01T10:00:00Z'", datetime(2024, 5, 1, 10)),
        ("'2024-05-01 10:00:00-05'", datetime(2024, 5, 1, 15)),
        ("'2024-05-01 10:00:00'", datetime(2024, 5, 1, 10)),
        ("'2024-05-01'", datetime(2024, 5, 1)),
        ("date '2024-05-01'", datetime(2024, 5, 1)),
        ("timestamptz '2024-05-01 10:00:00+02:00'", datetime(2024, 5, 1, 8)),
        ("timestamp_s '2024-05-01 10:00:00'", datetime(2024, 5, 1, 10)),
        ("timestamp_ms '2024-05-01 10:00:00.5'", datetime(2024, 5, 1, 10, 0, 0, 500000)),
        ("timestamp_ns '2024-05-01 10:00:00.123456'", datetime(2024, 5, 1, 10, 0, 0, 123456)),
    ],
)
def test_times_of_every_type_become_utc(source, given_time, utc):
    assert source.stage(row(event_time=given_time)).newest == utc
    assert source.kept("event_time") == [(utc,)]


def test_local_time_is_the_clock_on_the_shops_wall(source):
    source.timezone = "Europe/London"
    source.stage(
        " union all by name ".join(
            [
                row(event_time="timestamp '2024-03-31 00:59:59'"),  # clocks in London go from 1:00 to 2:00
                row(event_time="timestamp '2024-03-31 01:00:00'"),
            ]
        )
    )
    assert source.kept("event_time, local_time") == [
        (datetime(2024, 3, 31, 0, 59, 59), datetime(2024, 3, 31, 0, 59, 59)),
        (datetime(2024, 3, 31, 1), datetime(2024, 3, 31, 2)),
    ]


@pytest.mark.parametrize(
    "user",
    [
        "O'Brien",
        'say "hi"',
        "café ☕ 👩‍👧",
        "a" * 9999,
        "'; drop table sqlseg.events; --",
        "%s $1 {x}",
        "نور",
        "\x07bell",
    ],
    ids=["quote", "double-quote", "placeholders", "emoji", "10kB", "sql", "right-to-left", "control"],
)
def test_ids_are_kept_as_they_are(source, user):
    quoted = user.replace("'", "''")
    source.stage(row(user_id=f"'{quoted}'", item_id=f"'{quoted}'"))
    assert source.kept("user_id, item_id") == [(user, user)]


def test_numbers_as_ids_become_text(source):
    source.stage(row(user_id="17850", item_id="85123", order_id="536365::bigint", event_id="uuid()"))
    assert source.kept("user_id, item_id, order_id") == [("17850", "85123", "536365")]


def test_column_names_may_be_written_in_capitals(source):
    source.stage("select 'ann' as \"USER_ID\", timestamp '2024-05-01' as \"Event_Time\", 'view' as \"EVENT_TYPE\"")
    assert source.kept("user_id") == [("ann",)]


def test_extra_columns_are_named_and_left_out(source):
    staged = source.stage(row(coupon_code="'X'", **{'"Shop Id"': "1"}))
    assert staged.ignored_columns == ("coupon_code", "Shop Id")
    assert "coupon_code" not in source.engine.columns("sqlseg", "events")


def test_relative_paths_start_at_the_project_whatever_the_working_folder(source, tmp_path, monkeypatch):
    (tmp_path / "events.csv").write_text("user_id,event_time,event_type\nann,2024-05-01 10:00,view\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert source.stage("select * from read_csv('events.csv')").accepted == 1
    assert Path.cwd() == elsewhere


def test_the_fingerprint_depends_on_the_rows_and_not_on_their_order(source):
    one, two, three = row(user_id="'a'"), row(user_id="'b'"), row(user_id="'c'")
    first = source.stage(f"{one} union all {two}").fingerprint
    assert source.stage(f"{two} union all {one}").fingerprint == first
    assert source.stage(f"{one} union all {three}").fingerprint != first


# -- what is wrong with a source ---------------------------------------------------------------------------------


def told(error: pytest.ExceptionInfo) -> str:
    return f"{error.value.message}\n{error.value.hint}"


@pytest.mark.parametrize(
    ("select", "failure", "fragment"),
    [
        ("select 1 as x where false", UnusableSource, "has no column user_id, event_time, event_type"),
        (f"{GOOD} limit 0", NoUsableEvents, "returns no rows"),
        (row(price="-1"), NoUsableEvents, "none is usable (negative price: 1)"),
        ("select 'ann' as user_id, 'view' as event_type", UnusableSource, "has no column event_time"),
        (row(event_time="1714557600"), UnusableSource, "event_time is INTEGER, not a time"),
        (row(event_time="1714557600.5"), UnusableSource, "make_timestamp(event_time"),
        (row(event_time="time '10:00'"), UnusableSource, "not a time"),
        (row(ingested_at="20240501"), UnusableSource, "ingested_at is INTEGER"),
        ("select user_id,\n  event_time,\n  evnt_type\nfrom (select 1 as user_id)", SourceSqlFailed, "line 2"),
        ("select *\nfrom read_parquet('nowhere.parquet')", SourceSqlFailed, "nowhere.parquet"),
        ("select 1\nfrom where", SourceSqlFailed, "events.sql, line 2: Parser Error"),
        ("selec 1", SourceSqlFailed, "syntax error"),
        ("", SourceSqlFailed, "exactly one SELECT"),
        ("-- only a comment", SourceSqlFailed, "exactly one SELECT"),
        (f"{GOOD}; {GOOD}", SourceSqlFailed, "exactly one SELECT, got: SELECT, SELECT"),
        ("create table x as select 1", SourceSqlFailed, "exactly one SELECT, got: CREATE"),
        ("drop schema quality cascade", SourceSqlFailed, "exactly one SELECT, got: DROP"),
        (row(price="error('boom')::double"), SourceSqlFailed, "boom"),
    ],
)
def test_an_unusable_source_is_explained(source, select, failure, fragment):
    with pytest.raises(failure) as error:
        source.stage(select)
    assert fragment in told(error)
    assert "events.sql" in told(error)


def test_a_file_that_is_not_utf8(source):
    path = source.directory / "events.sql"
    path.write_bytes("select 'é' as user_id".encode("latin-1"))
    with pytest.raises(UnreadableFile, match=r"events.sql:1: this is not UTF-8"):
        stage_events(source.engine, path, source.directory, exported_at=EXPORTED_AT, max_quantity=None)


@pytest.mark.parametrize("more", ["", row(price="-1"), GOOD], ids=["all usable", "one refused", "one repeated"])
def test_the_events_have_their_columns_and_nothing_else_is_left(source, more):
    source.stage(" union all by name ".join(part for part in (GOOD, more) if part))
    source.kept()
    assert list(source.engine.describe("sqlseg.events")) == [
        *(column.name for column in EVENT_COLUMNS),
        "local_time",
        "event_hash",
    ]
    assert not source.engine.relation_exists("sqlseg", "staged_events")


# -- what is new -------------------------------------------------------------------------------------------------


def test_changes_count_events_and_users_against_the_run_before(source):
    def at(user: str, day: int, item: str = "'cup'") -> str:
        return row(user_id=f"'{user}'", event_time=f"timestamp '2024-05-{day:02} 10:00'", item_id=item)

    source.stage(" union all ".join([at("ann", 1), at("ann", 2), at("bob", 2), at("eve", 3)]))
    source.kept()
    drop_staged(source.engine)

    # bob's event is gone, ann has a new one, eve's has another item (gone and new, and late), dan is late.
    source.stage(" union all ".join([at("ann", 1), at("ann", 2), at("ann", 9), at("eve", 3, "'pen'"), at("dan", 1)]))
    found = changes_since(source.engine, datetime(2024, 5, 3, 10))
    assert found == Changes(events_new=3, events_gone=2, users_touched=4, events_late=2)
    assert names(source, "touched_users") == {"ann", "bob", "eve", "dan"}
    assert names(source, "late_users") == {"bob", "eve", "dan"}


def names(source: Source, table: str) -> set[str]:
    rows = source.engine.rows(f"select user_id from {table}")
    assert len(rows) == len(set(rows))
    return {user for (user,) in rows}


def test_at_first_every_user_is_touched(source):
    staged = source.stage(" union all by name ".join([GOOD, row(), row(price="5"), row(user_id="'bad'", price="-1")]))
    assert all_new(source.engine, staged) == Changes(events_new=3, events_gone=0, users_touched=2, events_late=0)
    assert names(source, "touched_users") == {"good", "ann"}


def test_nothing_is_new_in_the_same_rows(source):
    select = f"{row()} union all by name {row(price='5')}"
    source.stage(select)
    source.kept()
    drop_staged(source.engine)
    source.stage(select)
    assert changes_since(source.engine, EXPORTED_AT) == Changes(0, 0, 0, 0)


def test_the_quarantine_is_of_the_last_look_and_its_counts_of_every_run(source):
    source.stage(f"{row(price='-1')} union all by name {GOOD}")
    keep_events(source.engine, run_id="run-1", timezone="UTC")
    source.stage(f"{row(quantity='-1')} union all by name {GOOD}")
    keep_events(source.engine, run_id="run-2", timezone="UTC")
    assert [reason for reason, _ in source.refused()] == ["negative quantity"]
    assert source.engine.rows("select run_id, reason, row_count from quality.rejection order by 1") == [
        ("run-1", "negative price", 1),
        ("run-2", "negative quantity", 1),
    ]


# -- attributes --------------------------------------------------------------------------------------------------


def attributes(source: Source, select: str | None, kind: str = "users") -> int:
    path = None if select is None else source.directory / f"{kind}.sql"
    if path is not None:
        path.write_text(select)
    return keep_attributes(source.engine, kind, path, source.directory)


def test_attributes_have_the_id_first_as_text(source):
    skipped = attributes(source, "select 'GB' as country, 7 as \"User_Id\" union all select 'DE', null")
    assert skipped == 1
    assert next(iter(source.engine.columns("sqlseg", "users").items())) == ("user_id", "VARCHAR")
    assert source.engine.rows("select user_id, country from sqlseg.users") == [("7", "GB")]


def test_without_a_file_attributes_are_empty(source):
    attributes(source, "select 1 as item_id", "items")
    attributes(source, None, "items")
    assert source.engine.rows("select * from sqlseg.items") == []


@pytest.mark.parametrize(
    ("select", "fragment"),
    [
        ("select 1 as user_id union all select 1", "returns user_id '1' 2 times"),
        ("select 1 as user_id union all select '1'", "returns user_id '1' 2 times"),
        ("select 1 as id", "has no column user_id; it returns: id"),
    ],
)
def test_attributes_that_cannot_be_used(source, select, fragment):
    with pytest.raises(UnusableSource, match=r"users\.sql") as error:
        attributes(source, select)
    assert fragment in told(error)


def test_an_attribute_file_that_does_not_run(source):
    with pytest.raises(SourceSqlFailed, match=r"users\.sql, line 2"):
        attributes(source, "select 1 as user_id,\n  nothing as here")


# -- in = kept + rejected, whatever comes ------------------------------------------------------------------------

_rows = st.lists(
    st.tuples(
        st.sampled_from([None, "", " ", "ann", "bob", "O'B"]),
        st.sampled_from([None, "2024-05-01 10:00", "2024-05-01 12:00:00+02", "2999-01-01", "nonsense"]),
        st.sampled_from([None, "view", "purchase"]),
        st.sampled_from([None, "e1", "e2"]),
        st.sampled_from([None, -1.0, 0.0, -0.0, 2.0, float("nan"), float("inf")]),
        st.sampled_from([None, "2024-05-02", "2024-05-03"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_rows)
def test_every_row_is_kept_or_refused(source, rows):
    def literal(value: object) -> str:
        if value is None:
            return "null"
        return f"'{value}'::double" if isinstance(value, float) else "'" + str(value).replace("'", "''") + "'"

    values = ", ".join(f"({', '.join(literal(value) for value in line)})" for line in rows)
    texts = ", ".join(f"{name}::varchar as {name}" for name in ("user_id", "event_time", "event_type", "event_id"))
    try:
        staged = source.stage(
            f"select {texts}, price::double as price, ingested_at::varchar as ingested_at "
            f"from (values {values}) as t(user_id, event_time, event_type, event_id, price, ingested_at)"
        )
    except NoUsableEvents:
        assert all(not usable(line) for line in rows)
        return
    kept = source.kept("user_id, event_time, event_type, event_id, price, ingested_at")
    # Worked out without SQL: of usable rows one for each event_id, and one of all that are equal without one.
    good = [line for line in rows if usable(line)]
    keys = {line[3] or (line[0], instant(line[1]), *line[2:]) for line in good}
    assert len(kept) == len(keys) == staged.accepted
    assert staged.accepted + sum(staged.rejected.values()) == len(rows) == staged.rows_read
    assert len(source.refused()) == sum(staged.rejected.values())


def instant(text: str) -> str:
    return "2024-05-01 10:00" if text.endswith("+02") else text


def usable(line: tuple) -> bool:
    user, time, kind, _, price, _ = line
    return (
        user is not None
        and user.strip() != ""
        and time in ("2024-05-01 10:00", "2024-05-01 12:00:00+02")
        and kind is not None
        and (price is None or 0 <= price < float("inf"))
    )
