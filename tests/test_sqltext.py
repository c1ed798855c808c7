"""SQL text in, trees and SQL text out; what is written back is run by the real DuckDB."""

from datetime import date, datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg import sqltext
from sqlseg.errors import SqlsegError
from sqlseg.sqltext import UnreadableSql, bind, fingerprint, parse_select, same_tree, tables_read, to_sql

EVENTS = """
    create table events as
    select 'u' || (i % 5) as user_id, timestamp '2020-01-01' + interval (i * 7) hour as event_time,
        case i % 3 when 0 then 'purchase' else 'view' end as event_type, i::double as price, i % 7 as item
    from range(60) as t(i);
    create table prices as
    select 'u' || (i % 5) as user_id, timestamp '2020-01-01' + interval (i * 3) hour as event_time, i as p
    from range(60) as t(i);
"""

CONSTRUCTS = [
    "select list_transform([1, 2], lambda x: x + 1) as a, list_filter([1, 2], lambda y, i: y > i) as b",
    "select [1.0, 2.0]::FLOAT[2] as v, {'a': 1, 'b': 'x'} as s, array_distance([1]::float[1], [3]::float[1]) as d",
    "select e.user_id, p.p from events e asof join prices p on e.user_id = p.user_id and e.event_time >= p.event_time",
    "select user_id, p.p from events e asof left join prices p using (user_id, event_time)",
    "select user_id, quantile_cont(price, 0.9) as q, median(price) as m from events group by user_id",
    "select user_id, count(*) filter (where item > 3) as n, sum(price) filter (item = 1) as s from events group by all",
    "select user_id, row_number() over w as r from events "
    "window w as (partition by user_id order by event_time) qualify row_number() over w <= 3",
    "select user_id, date_diff('day', min(event_time)::date, max(event_time)::date) as d from events group by 1",
    "select event_time + interval 3 day as a, event_time - interval '3 days' as b, to_days(3) as c from events",
    "select ln(2.0) as a, 7 // 2 as b, 7 / 2 as c, -7 // 2 as d, 7 % 2 as e, 2 ** 3 as f, log(10) as g",
    "select user_id, arg_max(price, event_time) as a, max_by(item, event_time) as b, min_by(item, event_time) as c "
    "from events group by user_id",
    "select user_id, list(price order by event_time desc, item) as l, string_agg(event_type, ',' order by event_time) "
    "as s from events group by user_id",
    "select extract(dow from event_time) as a, isodow(event_time) as b, hour(event_time) as c, "
    "date_trunc('week', event_time) as d, date_part('hour', event_time) as e, epoch(event_time) as f from events",
    "select sum(price) over (partition by user_id order by event_time rows between 3 preceding and current row) as a, "
    "max(price) over (partition by user_id order by event_time range between interval 3 day preceding and current row) "
    "as b, lag(item) over (partition by user_id order by event_time) as c from events",
    "select item, rank() over (order by price desc nulls last) as a, ntile(4) over (order by price) as b, "
    "rank() over (order by price desc nulls first) as c from events",
    "from events select user_id, item where item > 2",
    "select user_id from events semi join prices using (user_id)",
    "select user_id, u.i from events cross join unnest(range(3)) as u(i)",
    "select user_id, entropy(item) as e, mad(price) as m, mode(user_id) as o from events group by user_id",
    "select user_id, max({'t': event_time, 'p': price}, 2) as m, max({'t': event_time}).t as n "
    "from events group by user_id",
    "select [x + 1 for x in [1, 2, 3] if x > 1] as a, [1, 2, 3][1:2] as b, list_sum([1, 2]) as c, len([1]) as d",
    "select if(1 > 2, 3, 4) as a, ifnull(null, 2) as b, nullif(1, 1) as c, greatest(1, null) as d, "
    "case 1 when 1 then 2 end as e, 1 is distinct from null as f",
    "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select n from r",
    "select user_id from events union select user_id from prices",
    "select user_id from events except all select user_id from prices",
    "select user_id, sum(price) as total, total / 2 as half from events group by user_id having total > 3",
    "select distinct on (user_id) user_id, price from events order by user_id, price",
    "select x.a.b as c from (select {'b': 2} as a) as x",
    "select * exclude (price) replace (item + 1 as item) from events",
    "select user_id ilike 'U%' as a, regexp_matches(user_id, 'u1') as b, user_id || 'x' as c, md5(user_id) as d, "
    "split_part(user_id, 'u', 2) as e, 'it''s' as f, $$dollar$$ as g, \"user_id\" as h from events",
    "select e.user_id, (select max(p.p) from prices p where p.user_id = e.user_id) as m from events e",
]


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        connection.execute(EVENTS)
        yield connection


def rows(database, sql):
    return sorted(map(repr, database.execute(sql).fetchall()))


@pytest.mark.parametrize("sql", CONSTRUCTS)
def test_what_is_written_back_gives_the_same_rows(database, sql):
    tree = parse_select(sql)
    for pretty in (True, False):
        assert rows(database, to_sql(tree, pretty)) == rows(database, sql)


@pytest.mark.parametrize("sql", CONSTRUCTS)
def test_writing_is_stable(sql):
    once = to_sql(parse_select(sql))
    assert to_sql(parse_select(once)) == once
    assert to_sql(bind(parse_select(once), {})) == once


@pytest.mark.parametrize("sql", CONSTRUCTS)
def test_a_bound_query_reads_the_other_relations(database, sql):
    tables = {"events": "(select * from events where item <> 99)", "prices": "main.prices"}
    bound = bind(parse_select(sql), tables)
    assert rows(database, to_sql(bound)) == rows(database, sql)


@pytest.mark.parametrize(
    ("sql", "place", "words"),
    [
        ("select a,\n  b c d\nfrom t", (2, 7), "not expected here, near 'd'"),
        ("\n\nselec 1", (3, 1), "starts with 'selec'"),
        ("select 'abc", (1, 8), "never closed"),
        ('select 1,\n  "abc', (2, 3), "never closed"),
        ("select '--' as x, 'it''s' as y\nfrom t /* open", (2, 8), "never closed"),
        ("select * from\n", (1, 10), "Expected table name"),
        ("select 1;\nselect 2", (1, 9), "2 statements"),
        ("-- only words", (1, 1), "no SQL"),
        ("create table x as select 1", (1, 1), "'create'"),
        ("with a as (select 1) insert into t from a", (1, 1), "INSERT"),
        ("copy t to 'x'", (1, 1), "'copy'"),
    ],
)
def test_an_unreadable_text_is_named_with_its_place(sql, place, words):
    with pytest.raises(UnreadableSql) as caught:
        parse_select(sql, "sql/features/x__v1.sql")
    assert (caught.value.line, caught.value.column) == place
    assert words in caught.value.message
    assert caught.value.message.startswith(f"sql/features/x__v1.sql:{place[0]}:{place[1]}: ")
    assert isinstance(caught.value, SqlsegError)


def test_one_trailing_semicolon_and_parentheses_are_fine():
    assert to_sql(parse_select("select 1 as a; -- done"), pretty=False) == "SELECT 1 AS a"
    assert sqltext.output_names(parse_select("(select 1 as a) union all (select 2)")) == ["a"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1 as x from events, Users u, features.rfm_v1 f", ("events", "features.rfm_v1", "users")),
        ("with e as (select * from events) select * from e", ("events",)),
        ("with events as (select * from events where a) select * from events", ("events",)),
        ("with a as (select 1), b as (select * from a) select * from b, c", ("c",)),
        ("with b as (select * from a), a as (select 1) select * from b", ("a",)),
        ("with a as (select 1 as x) select * from main.a", ("main.a",)),
        ("with recursive r as (select 1 as n union all select n + 1 from r) select * from r", ()),
        ("select * from (with a as (select 1) select * from a) s, a", ("a",)),
        ("select (select max(x) from t) as m, exists (from v) as e from range(3) as r(i)", ("t", "v")),
        ("select x from a where x in (with a as (select 1 as x) select x from a)", ("a",)),
    ],
)
def test_tables_read_leaves_out_what_the_query_defines_itself(sql, expected):
    assert tables_read(parse_select(sql)) == expected


def bound(sql, tables, functions=None):
    return to_sql(bind(parse_select(sql), tables, functions), pretty=False)


def test_bind_keeps_aliases_and_the_names_that_columns_are_qualified_with():
    tables = {"events": "(select * from sqlseg.events)", "features.rfm_v1": "sqlseg.feature_rfm_v1"}
    assert bound("select events.x from Events", tables) == (
        "SELECT events.x FROM (SELECT * FROM sqlseg.events) AS Events"
    )
    assert bound("select e.x from events as e", tables) == "SELECT e.x FROM (SELECT * FROM sqlseg.events) AS e"
    assert bound("select rfm_v1.x, features.rfm_v1.y from features.rfm_v1", tables) == (
        "SELECT rfm_v1.x, rfm_v1.y FROM sqlseg.feature_rfm_v1 AS rfm_v1"
    )
    assert bound("with events as (select * from events) select * from events", tables) == (
        "WITH events AS (SELECT * FROM (SELECT * FROM sqlseg.events) AS events) SELECT * FROM events"
    )


def test_bind_replaces_calls_without_arguments(database):
    functions = {"as_of": sqltext.literal(datetime(2020, 1, 3))}
    sql = bound("select as_of() - interval 1 day as a, AS_OF()::date as b, as_of(1) as c", {}, functions)
    assert "AS_OF(1)" in sql and sql.count("2020-01-03") == 2
    assert database.execute(sql.split(", AS_OF")[0]).fetchall() == [(datetime(2020, 1, 2), date(2020, 1, 3))]


def test_bind_leaves_the_given_tree_alone():
    tree = parse_select("select as_of() as a from events")
    before = to_sql(tree)
    bind(tree, {"events": "x.y"}, {"as_of": "1 + 1"})
    assert to_sql(tree) == before


def test_comments_are_told_from_texts():
    text = "-- head\nselect '-- no' as a, -- yes 'x\n  \"-- no\" as b /* -- no\n */\n  -- alone\n"
    found = [(c.line, c.column, c.text, c.trailing) for c in sqltext.comments(text)]
    assert found == [(1, 1, "head", False), (2, 22, "yes 'x", True), (5, 3, "alone", False)]


@pytest.mark.parametrize("value", [None, True, 0, -3, 1.5, "it's", date(2020, 2, 29), datetime(2020, 1, 1, 2, 3, 4, 5)])
def test_a_literal_is_read_back_as_the_value(database, value):
    read = database.execute(f"select {sqltext.literal(value)}, {sqltext.literal([value])}").fetchall()
    assert read == [(value, [value])]


def test_a_literal_of_no_number_and_of_an_unknown_type():
    assert sqltext.literal(float("inf")) == "'inf'::DOUBLE"
    with pytest.raises(TypeError):
        sqltext.literal({"a": 1})


@given(st.text(min_size=1).filter(lambda name: "\0" not in name))
def test_a_quoted_name_survives(name):
    assert sqltext.output_names(parse_select(f"select 1 as {sqltext.quote(name)}")) == [name]


# --- fingerprints -------------------------------------------------------------------------------------------------

BLANKS = st.sampled_from([" ", "\n", "\t ", "  \n  ", " -- a comment\n", " /* another */ ", "\n-- 'x' \"y\n\n"])


@given(sql=st.sampled_from(CONSTRUCTS), data=st.data())
def test_a_fingerprint_ignores_comments_spacing_and_the_case_of_words(sql, data):
    pieces = []
    end = 0
    for token in sqltext.sqlglot.tokenize(sql, read="duckdb"):
        word = sql[token.start : token.end + 1]
        if token.token_type not in sqltext._TEXT_TOKENS and data.draw(st.booleans()):
            word = word.upper()
        if token.start > end:
            pieces.append(data.draw(BLANKS))
        pieces.append(word)
        end = token.end + 1
    changed = "".join(pieces) + data.draw(BLANKS)
    assert fingerprint(parse_select(changed)) == fingerprint(parse_select(sql))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a > 1", "a > 2"),
        ("a > 1", "a >= 1"),
        ("a = 'x'", "a = 'X'"),
        ("a = ' x'", "a = 'x'"),
        ("a and b or c", "a and (b or c)"),
        ("a + b", "b + a"),
        ("a::int > 1", "a::bigint > 1"),
        ("a in (1, 2)", "a in (2, 1)"),
        ("a", "b"),
        ("a is null", "a is not null"),
    ],
)
def test_a_fingerprint_sees_what_changes_the_result(before, after):
    old, new = (parse_select(f"select x from t where {condition}") for condition in (before, after))
    assert not same_tree(old, new)


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from(["<", "<=", ">", "="]), st.sampled_from(["<", "="]))
def test_a_fingerprint_is_equal_only_for_the_same_literal_and_operator(a, b, first, second):
    one, other = (parse_select(f"select x from t where x {op} {n}") for op, n in ((first, a), (second, b)))
    assert same_tree(one, other) == ((a, first) == (b, second))


def test_a_fingerprint_treats_names_as_duckdb_does():
    assert same_tree(parse_select('select "User_ID" as X from T'), parse_select("SELECT user_id AS x FROM t"))
