"""Views, rules, labels and pins that cannot be used: which file and line, and what to write instead."""

import pytest
from broken_projects import Broken, explains_itself, toml
from shops import CLUSTERS, RULES, bought

OWN = toml().replace('inputs = ["rfm@1"]', 'inputs = ["own@1"]')
LEARNED = RULES + '[segmentations.learned]\nkind = "supervised"\ninputs = ["rfm@1"]\nlabels = "sql/labels.sql"\n'
PINNED = RULES + CLUSTERS + 'pins = "sql/pins.sql"\n'


def view(text, name="features/own__v1"):
    """A view of the shop's own, and a segmentation that reads it."""
    return {f"sql/{name}.sql": text, "sqlseg.toml": OWN}


def feature(column, rest="from events group by user_id"):
    return view(f"-- A view.\nselect\n    user_id,\n    {column} as x\n{rest}\n")


def rule(select):
    return {"sql/segments/tier.sql": select}


def labels(select):
    return {"sql/labels.sql": select}


def pins(select):
    return {"sql/pins.sql": select}


def locked(shop):
    shop.write("sql/features/own__v1.sql", "-- A view.\nselect user_id, count(*) as x from events group by user_id\n")
    assert shop.sqlseg("features", "lock").code == 0
    shop.write("sql/features/own__v1.sql", "-- A view.\nselect user_id, sum(price) as x from events group by user_id\n")


def many_users(shop):
    shop.events(*(bought(f"u{n}", f"2024-03-0{n % 9 + 1} 10:00", n) for n in range(60)))


USER = "-- A.\nselect\n    user_id,\n    x\nfrom features.{}_v1\n"

CASES = [
    # -- views
    Broken(
        "an empty view",
        (
            "{shop}/sql/features/own__v1.sql:1:1: there is no SQL here.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        view(""),
    ),
    Broken(
        "a view of comments alone",
        (
            "{shop}/sql/features/own__v1.sql:1:1: there is no SQL here.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        view("-- A view.\n-- grain: user_id\n"),
    ),
    Broken(
        "a view in Latin-1",
        ("{shop}/sql/features/own__v1.sql:1: this is not UTF-8 text.", "Save the file as UTF-8."),
        {"sql/features/own__v1.sql": "-- Für alle.\nselect user_id from events".encode("latin-1")},
    ),
    Broken(
        "two statements in a view",
        (
            "{shop}/sql/features/own__v1.sql:5:29: one SELECT is expected, here are 2 statements.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        feature("count(*)", "from events group by user_id; select 1"),
    ),
    Broken(
        "a view that deletes",
        (
            "{shop}/sql/features/own__v1.sql:1:1: a SELECT is expected, this starts with 'delete'.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        view("delete from events"),
    ),
    Broken(
        "a view that sets",
        (
            "{shop}/sql/features/own__v1.sql:1:1: a SELECT is expected, this starts with 'set'.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        view("set threads = 8"),
    ),
    Broken(
        "a view that attaches",
        (
            "{shop}/sql/features/own__v1.sql:1:1: a SELECT is expected, this starts with 'attach'.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        view("attach 'x.duckdb' as x"),
    ),
    Broken(
        "a view that copies",
        (
            "{shop}/sql/features/own__v1.sql:1:1: a SELECT is expected, this starts with 'copy'.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        view("copy (select 1) to 'x.csv'"),
    ),
    Broken(
        "a view that reads a file",
        (
            "{shop}/sql/features/own__v1.sql:5: a view reads no files, and this calls read_csv().",
            "Bring what it needs in through sql/events.sql.",
        ),
        feature("count(*)", "from read_csv('/etc/passwd') group by user_id"),
    ),
    Broken(
        "a view that reads a file by name",
        (
            "{shop}/sql/features/own__v1.sql:5: a view reads no files, and this reads 'data/events.parquet'.",
            "Bring what it needs in through sql/events.sql.",
        ),
        feature("count(*)", "from 'data/events.parquet' group by user_id"),
    ),
    Broken(
        "a view that never ends a text",
        (
            "{shop}/sql/features/own__v1.sql:4:5: ' is opened here and never closed.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        feature("'abc"),
    ),
    Broken(
        "a view that never ends a comment",
        (
            "{shop}/sql/features/own__v1.sql:4:7: /* is opened here and never closed.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        feature("1 /* one"),
    ),
    Broken(
        "a bracket that is never closed",
        (
            "{shop}/sql/features/own__v1.sql:4:15: Expecting ), near 'as'.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        feature("sum(price"),
    ),
    Broken(
        "a bracket too many",
        (
            "{shop}/sql/features/own__v1.sql:4:15: this is not expected here, near ')'.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        feature("sum(price))"),
    ),
    Broken(
        "a view of all columns",
        (
            "{shop}/sql/features/own__v1.sql:2: `*` leaves open which columns the view has.",
            "List the columns of the last SELECT one by one.",
        ),
        view("-- A.\nselect * from events"),
    ),
    Broken(
        "a column without name",
        ("{shop}/sql/features/own__v1.sql:2: the column COUNT(*) has no name.", "Give it one with AS."),
        view("-- A.\nselect user_id, count(*)\nfrom events group by user_id\n"),
    ),
    Broken(
        "a column called like a feature",
        (
            "{shop}/sql/features/own__v1.sql:2: 'rfm__x' is not a name for a column of a view.",
            "Features go by <view>__<column>: use lower-case letters, digits and single",
        ),
        view("-- A.\nselect user_id, count(*) as rfm__x\nfrom events group by user_id\n"),
    ),
    Broken(
        "two columns of one name",
        ("{shop}/sql/features/own__v1.sql:4: two columns are named 'x'.", "Rename one of them."),
        feature("count(*) as x, sum(price)"),
    ),
    Broken(
        "a view without user_id",
        ("{shop}/sql/features/own__v1.sql:2: a feature view needs the column user_id.", "Select user_id."),
        view("-- A.\nselect count(*) as x from events"),
    ),
    Broken(
        "a view of another grain",
        ("{shop}/sql/features/own__v1.sql:2: the grain of a feature view is user_id, not item_id.",),
        view("-- A.\n-- grain: item_id\nselect user_id, count(*) as x from events group by user_id\n"),
    ),
    Broken(
        "a function that is not there",
        (
            "{shop}/sql/features/own__v1.sql: Catalog Error: Scalar Function with name summ does not exist!",
            'Did you mean "sum"?',
        ),
        feature("summ(price)"),
    ),
    Broken(
        "a function of too many arguments",
        (
            "{shop}/sql/features/own__v1.sql:4:17: The number of provided arguments (2) is greater than the",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        feature("sum(price, 1)"),
    ),
    Broken(
        "a cast that fails",
        ("{shop}/sql/features/own__v1.sql: Conversion Error: Could not convert string 'ann' to INT32 when",),
        feature("max(user_id)::int"),
    ),
    Broken(
        "a feature that is a list",
        (
            "{shop}/sql/features/own__v1.sql: own@1 has no column of numbers or text to cluster by.",
            "Take it out of inputs, or add a column that counts or measures.",
        ),
        feature("list(price)"),
    ),
    Broken(
        "a feature that is a struct",
        (
            "{shop}/sql/features/own__v1.sql: own@1 has no column of numbers or text to cluster by.",
            "Take it out of inputs, or add a column that counts or measures.",
        ),
        feature("{'a': sum(price)}"),
    ),
    Broken(
        "a feature that is a length of time",
        (
            "{shop}/sql/features/own__v1.sql: own@1 has no column of numbers or text to cluster by.",
            "Take it out of inputs, or add a column that counts or measures.",
        ),
        feature("max(event_time) - min(event_time)"),
    ),
    Broken(
        "a random feature",
        (
            "{shop}/sql/features/own__v1.sql:4: rand() is left to chance.",
            "Use hash(user_id) where you need a stable draw.",
        ),
        feature("random()"),
    ),
    Broken("an ordinary error", ("{shop}/sql/features/own__v1.sql: Invalid Input Error: no",), feature("error('no')")),
    Broken(
        "joined without user",
        (
            "{shop}/sql/features/own__v1.sql:5: users is joined to events without equating user_id, so users",
            "Add events.user_id = users.user_id, or USING (user_id). What looks across users",
        ),
        feature("count(*)", "from events join users on true group by user_id"),
    ),
    Broken(
        "a division by zero",
        (
            "{shop}/sql/features/own__v1.sql: x is infinite or not a number for 3 users.",
            "Guard the division: x / nullif(y, 0) gives NULL, which later steps fill in.",
        ),
        feature("count(*) / 0.0"),
    ),
    Broken(
        "a recursive view",
        (
            "{shop}/sql/features/own__v1.sql: views read each other in a circle: features.own_v1 ->",
            "Move what they share into a view that reads none of them.",
        ),
        view(USER.format("own")),
    ),
    Broken(
        "three views in a circle",
        (
            "{shop}/sql/features/a__v1.sql: views read each other in a circle: features.a_v1 -> features.b_v1",
            "Move what they share into a view that reads none of them.",
        ),
        {
            "sql/features/a__v1.sql": USER.format("b"),
            "sql/features/b__v1.sql": USER.format("c"),
            "sql/features/c__v1.sql": USER.format("a"),
        },
    ),
    Broken(
        "a view that reads an unknown one",
        (
            "{shop}/sql/features/own__v1.sql:5: there is no relation 'features.rmf_v1' to read.",
            "A feature view may read events, users, items, holidays, features.rfm_v1,",
        ),
        view(USER.format("rmf")),
    ),
    Broken(
        "a view that names no version",
        ("{shop}/sql/features/own__v1.sql:5: 'features.rfm' does not say which version.", "Write features.rfm_v1."),
        view(USER.format("rfm").replace("_v1", "")),
    ),
    Broken(
        "a published view that changed",
        (
            "{shop}/sql/features/own__v1.sql: own@1 is published, and now has columns changed: x.",
            "Copy the new text to own__v2.sql and restore own__v1.sql: its published text is",
        ),
        settings=RULES + CLUSTERS,
        breaks=locked,
    ),
    Broken(
        "a lock from an unfinished merge",
        (
            "{shop}/sql/features.lock:1: '<<<<<<< ours' belongs to no entry.",
            "Restore the file from version control; after a merge, keep the entries of both",
        ),
        {"sql/features.lock": "<<<<<<< ours\n"},
    ),
    Broken(
        "a lock of binary",
        ("{shop}/sql/features.lock:2: this is not UTF-8 text.", "Save the file as UTF-8."),
        {"sql/features.lock": bytes(range(256))},
    ),
    Broken(
        "a folder called like a view",
        ("{shop}/sql/features/own__v1.sql cannot be read: Is a directory.", "Check the path and its permissions."),
        breaks=lambda s: (s.directory / "sql/features/own__v1.sql").mkdir(parents=True),
    ),
    Broken(
        "upper case in the name of a view",
        (
            "{shop}/sql/features/Own__v1.sql: this is not the file name of a view.",
            "Name it <name>__v<version>.sql, as in rfm__v1.sql: lower-case letters, digits,",
        ),
        {"sql/features/Own__v1.sql": "-- A.\nselect user_id from events"},
    ),
    Broken(
        "a view of version zero",
        (
            "{shop}/sql/features/own__v0.sql: this is not the file name of a view.",
            "Name it <name>__v<version>.sql, as in rfm__v1.sql: lower-case letters, digits,",
        ),
        {"sql/features/own__v0.sql": "-- A.\nselect user_id from events"},
    ),
    Broken(
        "a check that cannot be read",
        ("{shop}/sql/features/own__v1.sql:4: column 'n': #range( is not closed.",),
        feature("count(*) as n, -- #range(1, of them\n    1"),
    ),
    Broken(
        "a range of words",
        ("{shop}/sql/features/own__v1.sql:4: column 'n': #range(few,many) wants two numbers, of which one",),
        feature("count(*) as n, -- #range(few,many)\n    1"),
    ),
    Broken(
        "a statistic without grain",
        (
            "{shop}/sql/statistics/top__v1.sql:1: a statistics view says what one row of it is, and this does",
            "Add a line to the comment on top: `-- grain: category`, or `-- grain: one row`.",
        ),
        {"sql/statistics/top__v1.sql": "-- Top.\nselect max(price) as top from events\n"},
    ),
    Broken(
        "a sequence that asks for the day",
        (
            "{shop}/sql/sequences/own__v1.sql:2: a sequence view is independent of time, and this calls",
            "Measure time between the user's own events, e.g. with lag(event_time).",
        ),
        {"sql/sequences/own__v1.sql": "-- S.\nselect user_id, 1 as position, as_of() as t from events\n"},
    ),
    Broken(
        "nested without end",
        (
            "{shop}/sql/features/own__v1.sql:1:1: expressions are nested too deeply in each other to be",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        feature("abs(" * 500 + "1" + ")" * 500),
    ),
    Broken(
        "a line of 20,000 letters",
        (
            "{shop}/sql/features/own__v1.sql:4:20012: something is missing here, near 'as'.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        feature("'" + "x" * 20_000 + "' + +"),
    ),
    # -- rules
    Broken(
        "an empty rule",
        (
            "{shop}/sql/segments/tier.sql:1:1: there is no SQL here.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        rule(""),
    ),
    Broken(
        "a rule of two statements",
        (
            "{shop}/sql/segments/tier.sql:1:9: one SELECT is expected, here are 2 statements.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        rule("select 1; select 2"),
    ),
    Broken(
        "a rule in UTF-16",
        ("{shop}/sql/segments/tier.sql:1: this is not UTF-8 text.", "Save the file as UTF-8."),
        rule("select user_id, 'A' as segment_name from features.rfm".encode("utf-16")),
    ),
    Broken(
        "a rule that reads a file",
        (
            "{shop}/sql/segments/tier.sql:1: '/etc/passwd' lies outside the folders that this project's SQL",
            "Allowed: {shop}. Add its folder to paths under [events] in sqlseg.toml, such as",
        ),
        rule("select user_id, 'A' as segment_name from read_csv('/etc/passwd')"),
    ),
    Broken(
        "a rule of an unknown feature",
        (
            "{shop}/sql/segments/tier.sql:1: rules and labels cannot read 'features.rmf'.",
            "They may read users, items, holidays, features.affinity, features.basket,",
        ),
        rule("select user_id, 'A' as segment_name from features.rmf"),
    ),
    Broken(
        "a rule for nobody",
        ("tier: tier.sql says nothing about 3 of 3 users: they are 'Unassigned'.",),
        rule("select user_id, 'A' as segment_name from features.rfm where false"),
        code=0,
    ),
    Broken(
        "a rule without names",
        ("tier: tier.sql says nothing about 3 of 3 users: they are 'Unassigned'.",),
        rule("select user_id, null as segment_name from features.rfm"),
        code=0,
    ),
    Broken(
        "names that differ in case",
        (
            "{shop}/sql/segments/tier.sql names segments 'HIGH' and 'High', which are one to readers.",
            "Spell the name in one way.",
        ),
        rule("select user_id, case when spend > 60 then 'High' else 'HIGH' end as segment_name from features.rfm"),
    ),
    Broken(
        "users that nobody knows",
        (
            "tier: tier.sql names 1 users without an event, such as 'zoe': left out.",
            "tier: tier.sql says nothing about 3 of 3 users: they are 'Unassigned'.",
        ),
        rule("select 'zoe' as user_id, 'A' as segment_name"),
        code=0,
    ),
    Broken(
        "a rule that fails on rows",
        ("{shop}/sql/segments/tier.sql: Invalid Input Error: boom",),
        rule("select user_id, case when spend > 0 then error('boom') else 'A' end as segment_name from features.rfm"),
    ),
    Broken(
        "a rule for some",
        ("tier: tier.sql says nothing about 2 of 3 users: they are 'Unassigned'.",),
        rule("select user_id, 'A' as segment_name from features.rfm where spend > 100"),
        code=0,
    ),
    Broken(
        "tiers that the rule does not have",
        ("tier: nobody is in the tier 'Top'; of the segments, 'Browsers', 'High' are no tiers, so their o",),
        settings=RULES + 'tiers = ["Low", "Top"]\n' + CLUSTERS,
        code=0,
    ),
    # -- labels
    Broken(
        "labels without column",
        ("{shop}/sql/labels.sql returns label, user_id.", "Return two columns: user_id and segment_name."),
        labels("select user_id, 'A' as label from users"),
        settings=LEARNED,
    ),
    Broken(
        "labels for nobody",
        ("{shop}/sqlseg.toml:18: segmentations.learned.labels: at least two different labels are needed to",),
        labels("select user_id, 'A' as segment_name from features.rfm where false"),
        settings=LEARNED,
    ),
    Broken(
        "one label for all",
        ("{shop}/sqlseg.toml:18: segmentations.learned.labels: at least two different labels are needed to",),
        labels("select user_id, 'A' as segment_name from features.rfm"),
        settings=LEARNED,
        breaks=many_users,
    ),
    Broken(
        "too few labels",
        ("{shop}/sqlseg.toml:18: segmentations.learned.labels: each label needs at least 20 users to learn",),
        labels("select user_id, user_id as segment_name from features.rfm"),
        settings=LEARNED,
        breaks=many_users,
    ),
    Broken(
        "two labels for one user",
        (
            "{shop}/sql/labels.sql gives user 'u0' two labels: 'A' and 'B'.",
            "Return one row a user, such as the newest: qualify row_number() over (partition",
        ),
        labels("select user_id, unnest(['A', 'B']) as segment_name from features.rfm"),
        settings=LEARNED,
        breaks=many_users,
    ),
    # -- pins
    Broken(
        "a user pinned twice",
        ("{shop}/sql/pins.sql pins user 'ann' twice: to 'Lost' and to 'VIP'.", "Return one row a user."),
        pins("select user_id, segment_name from (values ('ann', 'VIP'), ('ann', 'Lost')) as t(user_id, segment_name)"),
        settings=PINNED,
    ),
    Broken(
        "pins spelled in two ways",
        ("{shop}/sql/pins.sql names segments 'VIP' and 'vip', which are one to readers.", "Spell the name in one way."),
        pins("select unnest(['ann', 'bob']) as user_id, unnest(['VIP', 'vip']) as segment_name"),
        settings=PINNED,
    ),
    Broken(
        "more pinned segments than k",
        ("{shop}/sqlseg.toml:20: segmentations.groups.pins: pins name 3 segments, and k allows 2: pinned",),
        pins("select unnest(['ann', 'bob', 'eve']) as user_id, unnest(['A', 'B', 'C']) as segment_name"),
        settings=PINNED,
    ),
    Broken(
        "pins from features",
        (
            "{shop}/sql/pins.sql:1: pins cannot read 'features.rfm'.",
            "A pin is set by hand: list users in VALUES, in a file or in a source. Who is in",
        ),
        pins("select user_id, 'VIP' as segment_name from features.rfm"),
        settings=PINNED,
    ),
    Broken(
        "pins that cannot be parsed",
        (
            "{shop}/sql/pins.sql:1:20: Expected table name, near 'from'.",
            "Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        ),
        pins("select user_id as, from"),
        settings=PINNED,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_wrong_in_sql_is_explained(case, sound_shops, tmp_path):
    explains_itself(case, sound_shops, tmp_path / "shop")
