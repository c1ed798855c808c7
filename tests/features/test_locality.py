"""Natural views pass, views that look across users, at the clock or at chance do not; slices of users decide."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from sqlseg.features.binding import WAREHOUSE, bound_sql
from sqlseg.features.checks import slice_of
from sqlseg.features.locality import locality_problems
from sqlseg.features.view import InvalidView
from sqlseg.sqltext import parse_select

AS_OF = datetime(2024, 1, 10)


def cases(name):
    """Return the views of a file, each under a line `---- title`, or `---- title => words of the message`."""
    text = (Path(__file__).parent / "locality" / name).read_text()
    return dict(re.findall(r"^---- (.*)\n([^\0]*?)(?=^----|\Z)", text, re.MULTILINE))


ACCEPTED = cases("accepted.sql")
REFUSED = {tuple(title.split(" => ")): text for title, text in cases("refused.sql").items()}

CALLS = {
    "clock": ["now()", "current_date", "current_timestamp", "today()", "get_current_timestamp()", "localtimestamp",
              "current_time", "current_localtimestamp()", "transaction_timestamp()"],
    "chance": ["random()", "uuid()", "gen_random_uuid()", "uuidv7()", "reservoir_quantile(price, 0.5)"],
    "session": ["nextval('s')", "getvariable('x')", "current_setting('threads')", "txid_current()", "current_user",
                "version()", "getenv('HOME')", "current_database()", "current_schema()"],
}  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_natural_views_are_accepted(text):
    assert locality_problems("features", parse_select(text)) == []


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_views_run_and_say_the_same_of_slices(text, view_of, warehouse):
    try:
        view = view_of(text)
    except InvalidView as error:  # names of columns are no matter of locality
        pytest.skip(error.message)

    def rows(source):
        return warehouse.execute(bound_sql(view, AS_OF, AS_OF, source)).fetchall()

    sliced = [row for number in range(8) for row in rows(slice_of(view, WAREHOUSE, number, 8))]
    assert sorted(map(repr, rows(WAREHOUSE))) == sorted(map(repr, sliced))


@pytest.mark.parametrize(("title", "words"), REFUSED)
def test_views_that_look_further_are_refused(title, words):
    text = REFUSED[title, words]
    problems = locality_problems("features", parse_select(text))
    assert [problem.message for problem in problems if words in problem.message], problems
    assert all(problem.instead.endswith(".") for problem in problems)
    assert len(problems) == 1, problems


@pytest.mark.parametrize(("kind", "call"), [(kind, call) for kind, calls in CALLS.items() for call in calls])
@pytest.mark.parametrize("of", ["features", "statistics", "sequences"])
def test_clock_chance_and_session_are_refused_everywhere(kind, call, of):
    problems = locality_problems(of, parse_select(f"select user_id,\n {call} as x from events"))
    assert [problem.line for problem in problems if kind in problem.message]


def test_statistics_look_across_users_but_not_at_limits_samples_or_files():
    across = "select category, median(price) as p, sum(count(*)) over () as n from events group by category"
    assert locality_problems("statistics", parse_select(across)) == []
    for text in ("select item_id from events limit 3", "select item_id from events using sample 3", "from glob('*')"):
        assert len(locality_problems("statistics", parse_select(text))) == 1


def test_only_sequences_are_independent_of_as_of():
    tree = parse_select("select user_id,\n 1 as position,\n local_as_of() as t\nfrom events")
    assert locality_problems("features", tree) == []
    (problem,) = locality_problems("sequences", tree)
    assert problem.line == 3 and "local_as_of()" in problem.message


def test_problems_come_with_their_lines():
    tree = parse_select("""
with a as (
    select user_id, row_number() over (
        order by event_time) as n
    from events
)
select a.user_id
from a
join users as u
    on u.country = a.n
group by n""")
    found = [(problem.line, problem.message.split(" ")[0]) for problem in locality_problems("features", tree)]
    assert found == [(3, "this"), (9, "u"), (11, "GROUP")]
