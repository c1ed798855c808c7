"""Ids, categories, names and texts from anybody go through every command and the published file, harmlessly."""

import csv
import io
import json
import re
import unicodedata

import duckdb
import pytest
from shops import bought, call_sqlseg, event, new_shop

from sqlseg.cli.console import printable, spreadsheet_safe

CORPUS = [
    "o'brien",
    'the "one"',
    "'; drop table segments.membership; --",
    "x') or ('1' = '1",
    "$$; select 1; $$",
    "$user_id {braces} %s %(n)s",
    "back\\slash\\",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2Jcleared",
    "bell\x07 and\rback",
    "two\nlines\tand a tab",
    "\u202egnirts desrever",
    "zero\u200bwidth\u2066 isolate\u2069",
    "[bold red]loud[/]",
    "[/] closes what is open",
    "[link=https://example.com]here[/link]",
    ":smile: :warning:",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>&amp;",
    "=1+1",
    "+44 20 7946 0000",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=cmd|'/c calc'!A0",
    '  =HYPERLINK("https://example.com")',
    "../../etc/passwd",
    "null",
    "NaN",
    "Ünïcödé 日本 עברית 🙂",
    "long " * 60,
    "%00%0a",
]
VIEW = """-- What a user last looked at.
-- grain: user_id
select
    user_id,  -- the user
    max_by(category, (event_time, event_id)) as last_category  -- with 'quotes', a ; and <b>markup</b>
from events
group by user_id
"""
RULE = """select u.user_id, u.called as segment_name from users as u
"""
SETTINGS = """
[segmentations.tier]
kind = "rules"
sql = "sql/segments/tier.sql"

[segmentations.groups]
kind = "cluster"
inputs = ["rfm@1", "own@1", "content:category@1"]
k = 3
"""


def call(shop, *arguments):
    """Call a command whose arguments may begin with a dash."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    return call_sqlseg(*arguments[:place], "--project", str(shop.directory), *arguments[place:])


def acts(text: str) -> list[str]:
    """The characters of a text that a terminal acts upon."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def as_in_a_cell(text: str) -> str:
    """A text as a table shows it, without the line breaks that the width of the table brings."""
    return re.sub(r"\s+", "", printable(text))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop where every text that comes from outside is one of the corpus, refreshed twice."""
    events = []
    for number, text in enumerate(CORPUS):
        more = {"category": CORPUS[-number], "item_id": text, "order_id": text, "session_id": text, "text": text}
        day = 1 + number % 20
        events.append(bought(text, f"2024-03-{day:02} 10:00", 10.0 + number, event_id=f"1{text}", **more))
        events.append(event(text, f"2024-03-{day:02} 11:00", "search", event_id=f"2{text}", **more))
        events.append(event(text, f"2024-03-{day:02} 12:00", text, event_id=f"3{text}", **more))
        events.append(bought(text, f"2024-03-{day:02} 13:00", -1, event_id=f"4{text}", **more))
    made = new_shop(tmp_path_factory.mktemp("untrusted") / "shop", events, SETTINGS)
    names = "select distinct user_id, 'a ' || user_id as called from read_parquet('data/events.parquet')"
    made.write("sql/users.sql", names)
    made.write("sql/segments/tier.sql", RULE)
    made.write("sql/features/own__v1.sql", VIEW)
    made.refresh()
    made.events(*events[:-4], event(CORPUS[0], "2024-03-25 10:00", "view", event_id="new"))
    made.refresh()
    return made


READING = [
    ("plan",),
    ("plan", "--refit", "always"),
    ("refresh",),
    ("query", "select * from segments.membership order by all"),
    ("query", "select * from segments.segment order by all"),
    ("query", "select * from features.own order by all"),
    ("query", 'select 1 as "[red]\x1b[31m=cmd"'),
    ("query", "select content from (values ('\x1b[31m'), ('[/]')) as t(content)"),
    ("segments", "list"),
    ("segments", "show", "tier"),
    ("segments", "show", "groups"),
    ("segments", "diff"),
    ("features", "list"),
    ("features", "show", "own@1"),
    ("features", "show", "own@1", "--sql"),
    ("features", "check"),
    ("check",),
    ("doctor",),
    ("encoders", "list"),
]


@pytest.mark.parametrize("arguments", READING, ids=lambda one: " ".join(one)[:40].encode("unicode_escape").decode())
def test_no_command_prints_what_acts(shop, arguments):
    for more in ((), ("--json",)):
        ran = shop.sqlseg(*arguments, *more)
        assert ran.code in (0, 1 if arguments[0] == "doctor" else 0), ran.err
        assert acts(ran.out) == []
        assert acts(ran.err) == []
        if more:
            json.loads(ran.out)


@pytest.mark.parametrize("text", CORPUS[:-1], ids=lambda text: text[:20].encode("unicode_escape").decode())
def test_every_id_is_itself_everywhere(shop, text):
    literal = "'" + text.replace("'", "''") + "'"
    query = f"select user_id, segment_name from segments.membership where segmentation = 'tier' and user_id = {literal}"
    wanted = {"user_id": text, "segment_name": f"a {text}".strip()}
    told = json.loads(shop.sqlseg("query", query, "--json").out)
    assert told == [wanted]
    shown = shop.sqlseg("query", query.replace(", segment_name", "")).out
    assert as_in_a_cell(text) in re.sub(r"[\s│┃━╇┼─]+", "", shown)
    rows = list(csv.reader(io.StringIO(shop.sqlseg("query", query, "--csv", "--exact").out, newline="")))
    assert rows[1] == list(wanted.values())
    safe = list(csv.reader(io.StringIO(shop.sqlseg("query", query, "--csv").out, newline="")))
    assert safe[1] == [spreadsheet_safe(value) for value in wanted.values()]
    explained = call(shop, "segments", "explain", "--json", "--", text)
    assert explained.code == 0, explained.err
    assert {place["user_id"] for place in json.loads(explained.out)} == {text}
    for_people = call(shop, "segments", "explain", "--", text)
    assert (for_people.code, acts(for_people.out)) == (0, [])
    assert as_in_a_cell(text) in re.sub(r"\s+", "", for_people.out)


def test_no_cell_of_a_csv_is_a_formula(shop):
    for table in (
        "segments.membership",
        "segments.segment",
        "features.own",
        "segments.reason",
        "segments.groups_users",
    ):
        out = shop.sqlseg("query", f"select * from {table}", "--csv").out
        for row in csv.DictReader(io.StringIO(out, newline="")):
            for column, cell in row.items():
                number = re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", cell)
                assert number or not cell.lstrip(" \n").startswith(("=", "+", "-", "@", "\t", "\r")), (column, cell)


def test_a_csv_as_it_is_goes_with_csv_only(shop):
    assert shop.sqlseg("query", "select 1", "--exact").code == 2


def test_the_published_file_holds_every_text_as_it_was(shop):
    users = dict(shop.published("select user_id, segment_name from segments.membership where segmentation = 'tier'"))
    assert users == {text: f"a {text}".strip() for text in CORPUS[:-1]}
    with duckdb.connect(str(shop.published_file), read_only=True) as connection:
        comments = connection.execute("select comment from duckdb_columns() where comment is not null").fetchall()
        assert ("with 'quotes', a ; and <b>markup</b>",) in comments
        for schema, view in connection.execute(
            "select schema_name, view_name from duckdb_views() where not internal"
        ).fetchall():
            connection.execute(f'select * from {schema}."{view}"').fetchall()
    assert {row[0] for row in shop.published("select segment_name from segments.segment where retired_at is null")} >= {
        f"a {text}".strip() for text in CORPUS[:-1]
    }


def test_the_rule_of_every_segment_still_selects_its_users(shop):
    rows = shop.published("select segment_name, rule_sql from segments.segment where rule_sql is not null")
    for name, rule in rows:
        assert shop.published(rule), name


def test_scoring_as_sql_takes_every_category_for_a_text(shop):
    live = shop.rows("select count(*) from duckdb_views() where view_name = 'groups_live'")[0][0]
    ran = shop.sqlseg("segments", "show", "groups", "--sql")
    assert (ran.code, live) in [(0, 1), (1, 0)]
    if live:
        assert shop.published("select count(*) from segments.groups_live")[0][0] == len(CORPUS) - 1


def test_refused_rows_are_kept_as_they_were(shop):
    rows = shop.rows("select row from quality.rejected_events")
    assert {json.loads(row)["user_id"] for (row,) in rows} == set(CORPUS[:-1])


@pytest.mark.parametrize("text", CORPUS[::4], ids=lambda text: text[:20].encode("unicode_escape").decode())
def test_a_name_by_hand_is_any_text(shop, tmp_path, text):
    copy = shop.copy(tmp_path / "shop")
    (segment,) = copy.published("select min(segment_id) from segments.segment where segmentation = 'groups'")[0]
    ran = call(copy, "segments", "rename", "--", segment, text)
    assert (acts(ran.out), acts(ran.err)) == ([], [])
    named = copy.published(f"select segment_name from segments.segment where segment_id = '{segment}'")
    fit = text.strip().isprintable() and len(text) <= 200
    assert (ran.code, named == [(text.strip(),)]) == ((0, True) if fit else (1, False)), ran.err


def test_a_source_with_hostile_names_is_proposed_harmlessly(tmp_path):
    names = [
        "user_id",
        "event_time",
        "event_type",
        "it''em",
        'cat"egory',
        "\x1b[31mprice",
        "[red]x[/]",
        "=cmd",
        "\u202eid",
    ]
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select * from (values ('ann', timestamp '2024-03-01 10:00', '\x1b[31m<b>', 'x', 'y', 1.5, 'z', "
            f"'w', 'v')) as t({columns})) to '{tmp_path}/orders''; select.parquet'"
        )
    ran = call_sqlseg("init", str(tmp_path / "made"), "--events", str(tmp_path / "orders'; select.parquet"))
    assert (acts(ran.out), acts(ran.err)) == ([], [])
    assert ran.code == 0, ran.err
    ran = call_sqlseg("plan", "--project", str(tmp_path / "made"))
    assert (ran.code, acts(ran.out), acts(ran.err)) == (0, [], []), ran.err


@pytest.mark.parametrize("text", CORPUS, ids=lambda text: text[:20].encode("unicode_escape").decode())
def test_errors_show_what_was_given_harmlessly(shop, text):
    for arguments in (
        ("segments", "show", "--", text),
        ("segments", "explain", "--", f"{text} nobody"),
        ("query", "--", text),
        ("refresh", f"--segmentation={text}"),
        ("plan", f"--as-of={text}"),
    ):
        ran = call(shop, *arguments)
        assert ran.code in (1, 2), arguments
        assert (acts(ran.out), acts(ran.err)) == ([], []), arguments
