"""Checks return the rows that break them, and only those."""

from datetime import datetime

import pytest

from sqlseg.features.binding import bound_sql, every_user_sql
from sqlseg.features.checks import SliceDifference, check_queries, slice_differences

AS_OF = datetime(2024, 1, 10)

VIEW = """select
    user_id,                                                      -- #unique #not_null
    sum(price) as spend,                                          -- #range(1,10) #default(0)
    max(item_id) as item,                                         -- #accepted(cup, 'pen') #not_null
    any_value(order_id) as "order"                                -- #unique
from events group by user_id
"""


@pytest.fixture
def checks(view_of, warehouse):
    """Return a function that gives the rows which break each check of a view over given rows."""

    def failing(rows, text=VIEW, **options):
        queries = check_queries(view_of(text), f"({rows})", **options)
        return {query.name: len(warehouse.execute(query.sql).fetchall()) for query in queries}

    return failing


def row(user_id="'a'", spend="1.0", item="'cup'", order="'1'"):
    return f'select {user_id}::varchar as user_id, {spend}::double as spend, {item} as item, {order} as "order"'


def test_checks_are_named_by_view_column_and_tag(view_of):
    queries = check_queries(view_of(VIEW), "features.rfm_v1")
    assert [(query.name, query.severity) for query in queries] == [
        ("rfm@1.grain", "error"),
        ("rfm@1.user_id.not_null", "error"),
        ("rfm@1.spend.range", "warning"),
        ("rfm@1.item.accepted", "warning"),
        ("rfm@1.item.not_null", "error"),
        ("rfm@1.order.unique", "error"),
    ]
    assert {query.relation for query in queries} == {"features.rfm_v1"}


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        (row(), None),
        (row() + " union all " + row(order="2"), "grain"),
        (row(user_id="null"), "user_id.not_null"),
        (row(spend="0.5"), "spend.range"),
        (row(spend="10.5"), "spend.range"),
        (row(spend="'nan'"), "spend.range"),
        (row(spend="'inf'"), "spend.range"),
        (row(spend="null"), None),
        (row(item="'mug'"), "item.accepted"),
        (row(item="null"), "item.not_null"),
        (row() + " union all " + row(user_id="'b'"), "order.unique"),
        (row(order="null") + " union all " + row(user_id="'b'", order="null"), None),
    ],
)
def test_a_check_returns_what_breaks_it(checks, rows, broken):
    assert {name for name, count in checks(rows).items() if count} == ({f"rfm@1.{broken}"} if broken else set())


def test_filled_rows_are_no_failures(checks, view_of):
    filled = row(spend="0", item="null", order="null")
    assert not any(checks(filled, every_user=True).values())
    assert checks(row(spend="0", item="null"), every_user=True)["rfm@1.item.not_null"] == 1
    assert checks(filled)["rfm@1.spend.range"] == 1


def test_a_statistics_view_of_one_row_has_one(view_of, warehouse):
    view = view_of("-- grain: one row\nselect sum(price) as spend from events", "statistics")
    (query,) = check_queries(view, "(select 1 union all select 2)")
    assert warehouse.execute(query.sql).fetchall() == [(2,)]
    (query,) = check_queries(view, "(select 1 as spend)")
    assert warehouse.execute(query.sql).fetchall() == []


def test_checks_run_over_the_view_and_over_every_user(view_of, warehouse):
    view = view_of(VIEW)
    for rows, every_user in ((bound_sql(view, AS_OF, AS_OF), False), (every_user_sql(view, AS_OF, AS_OF), True)):
        for query in check_queries(view, f"({rows})", every_user=every_user):
            found = len(warehouse.execute(query.sql).fetchall())
            assert found == (1 if query.name.endswith("spend.range") else 0), query.name  # ann's 15


def test_slices_tell_a_local_view_from_one_that_looks_across_users(view_of, engine):
    local = view_of(
        "select user_id, sum(price) / 3 as x, list(price / 3 order by event_time)::float[] as l "
        "from events group by user_id"
    )
    assert slice_differences(engine, local, AS_OF, AS_OF) == []
    ranked = view_of(
        "select user_id, rank() over (order by user_id) as place, 1 as same from (select distinct user_id from events)"
    )
    assert slice_differences(engine, ranked, AS_OF, AS_OF)[0].columns == ("place",)
    some = view_of("select max(user_id) as user_id, 1 as x from events")
    assert SliceDifference("ann", ()) in slice_differences(engine, some, AS_OF, AS_OF, slices=64)


def test_slices_of_a_sequence_compare_by_position(view_of, engine):
    view = view_of(
        "select user_id, row_number() over (partition by user_id order by event_time) as position, price from events",
        "sequences",
    )
    assert slice_differences(engine, view, AS_OF, AS_OF) == []
