"""Commands called with what cannot be: projects, users, dates, numbers, files and outputs."""

import pytest
from broken_projects import Broken, explains_itself

LONG = "x" * 5000
HERE = "--project", "{shop}/data"


EVERY_TYPE = """select 1::hugeint as a, 1.5::decimal(38, 3) as b, interval '1 month 2 days' as c, time '24:00' as d,
    '\\xff'::blob as e, uuid() as f, [1, null] as g, {'a': 1} as h, map {'k': 1} as i, '101'::bit as j,
    'nan'::double as k, timestamptz '2024-01-01' as l, 'infinity'::timestamp as m, union_value(x := 1) as n,
    timetz '10:00:00+02' as o, 'infinity'::date as p, null as q, [timestamp '200000-01-01'] as r"""


def ids(content):
    return {"ids.txt": content}


def forget(*arguments):
    return "forget", *arguments


CASES = [
    # -- the project
    Broken(
        "a project that is not there",
        ("There is no folder {shop}/nowhere.", "There is one above, in {shop}: add `--project {shop}`. `sqlseg init"),
        arguments=("plan", "--project", "{shop}/nowhere"),
    ),
    Broken(
        "a folder within a project",
        ("No sqlseg.toml in {shop}/data.", "There is one above, in {shop}: add `--project {shop}`. `sqlseg init"),
        arguments=("plan", "--project", "{shop}/data"),
    ),
    Broken(
        "a file for a project",
        (
            "There is no folder {shop}/sql/events.sql.",
            "There is one above, in {shop}: add `--project {shop}`. `sqlseg init",
        ),
        arguments=("plan", "--project", "{shop}/sql/events.sql"),
    ),
    Broken(
        "a project of 5,000 letters",
        ("Invalid value for '--project' / '-p': this cannot be a path: File name too long",),
        arguments=("plan", "--project", LONG),
        code=2,
    ),
    Broken(
        "a project of nothing",
        ("No sqlseg.toml in {here}.", "`sqlseg init {here}` makes a project there."),
        arguments=("plan", "--project", ""),
    ),
    Broken(
        "a zero byte in a project",
        ("Invalid value for '--project' / '-p': Value error, embedded null byte",),
        arguments=("plan", "--project", "a\0b"),
        code=2,
    ),
    Broken(
        "a new project over an old one",
        (
            "{shop} already has sqlseg.toml, sql/events.sql; nothing was written.",
            "Choose another folder, or move these files away first.",
        ),
        arguments=("init", "{shop}"),
    ),
    Broken(
        "a new project in a file",
        ("The project cannot be written to {shop}/sqlseg.toml/new: Not a directory ({shop}/sqlseg.toml/new).",),
        arguments=("init", "{shop}/sqlseg.toml/new"),
    ),
    Broken(
        "a new project of 5,000 letters",
        ("Invalid value for 'DIR': this cannot be a path: File name too long",),
        arguments=("init", LONG),
        code=2,
    ),
    Broken(
        "a source that is not there",
        ("There is no file {shop}/orders.csv.",),
        arguments=("init", "{shop}/new", "--events", "{shop}/orders.csv"),
    ),
    Broken(
        "a source of another format",
        (
            "{shop}/orders.xlsx is no file that events can be read from.",
            "Parquet (.parquet) and CSV (.csv, .tsv, also .gz) files are, and tables:",
        ),
        {"orders.xlsx": b"PK\x03\x04" + bytes(500)},
        arguments=("init", "{shop}/new", "--events", "{shop}/orders.xlsx"),
    ),
    Broken(
        "an empty source",
        ("orders.csv has no rows.",),
        {"orders.csv": ""},
        arguments=("init", "{shop}/new", "--events", "{shop}/orders.csv"),
    ),
    Broken(
        "a truncated source",
        ("{shop}/orders.parquet cannot be read: Invalid Input Error: No magic bytes found at end of file",),
        {"orders.parquet": b"PAR1 and no more"},
        arguments=("init", "{shop}/new", "--events", "{shop}/orders.parquet"),
    ),
    Broken(
        "a source without users",
        (
            "Nothing in orders.csv looks like a user or the time of an event. Its columns:",
            "Give the columns telling names (user_id, event_time, event_type, ...), for",
        ),
        {"orders.csv": "colour,size\nred,1\nblue,2\n"},
        arguments=("init", "{shop}/new", "--events", "{shop}/orders.csv"),
    ),
    Broken(
        "a source in UTF-16 from the other end",
        ("{shop}/orders.csv is text in big-endian UTF-16.", "Save it as CSV in UTF-8."),
        {"orders.csv": b"\xfe\xff" + "user_id,event_time\nann,2024-03-01\n".encode("utf-16-be")},
        arguments=("init", "{shop}/new", "--events", "{shop}/orders.csv"),
    ),
    Broken(
        "a table that is not there",
        ("{shop}/warehouse.duckdb has no table 'ordes'.", "Choose one of: warehouse.duckdb::features.rfm,"),
        arguments=("init", "{shop}/new", "--events", "{shop}/warehouse.duckdb::ordes"),
        refreshed=True,
    ),
    Broken(
        "a folder without files",
        ("{shop}/sql/segments holds no Parquet or CSV file.", "Name one file, or a pattern such as 'data/*.parquet'."),
        arguments=("init", "{shop}/new", "--events", "{shop}/sql/segments"),
    ),
    Broken(
        "a pattern that matches nothing",
        ("No file matches {shop}/data/*.csv.",),
        arguments=("init", "{shop}/new", "--events", "{shop}/data/*.csv"),
    ),
    # -- refresh and plan
    Broken(
        "a month for a date",
        ("--as-of is no date: '2024-05'.", "Write it as 2024-05-31 or 2024-05-31T18:00:00."),
        arguments=("refresh", "--as-of", "2024-05"),
    ),
    Broken(
        "the 30th of February",
        ("--as-of is no date: '2024-02-30'.", "Write it as 2024-05-31 or 2024-05-31T18:00:00."),
        arguments=("refresh", "--as-of", "2024-02-30"),
    ),
    Broken(
        "the last day of the calendar",
        (
            "--as-of 9999-12-31 00:00:00 UTC lies in the future of the data, which speak of the time up to",
            "History only goes forward: a date too far ahead could not be taken back.",
        ),
        arguments=("refresh", "--as-of", "9999-12-31"),
    ),
    Broken(
        "the first day of the calendar",
        ("--as-of is no date: '0001-01-01T00:00:00+14:00'.", "Write it as 2024-05-31 or 2024-05-31T18:00:00."),
        arguments=("refresh", "--as-of", "0001-01-01T00:00:00+14:00"),
    ),
    Broken(
        "a far future",
        (
            "--as-of 2999-01-01 00:00:00 UTC lies in the future of the data, which speak of the time up to",
            "History only goes forward: a date too far ahead could not be taken back.",
        ),
        arguments=("refresh", "--as-of", "2999-01-01"),
    ),
    Broken(
        "an unknown segmentation to plan",
        ("No segmentation named 'tires' in sqlseg.toml.", "Choose one of: tier, groups."),
        arguments=("plan", "--segmentation", "tires"),
    ),
    Broken(
        "watching not a number of seconds",
        ("Invalid value for '--watch': Input should be less than or equal to 604800",),
        arguments=("refresh", "--watch", "nan"),
        code=2,
    ),
    Broken(
        "watching for ever",
        ("Invalid value for '--watch': Input should be less than or equal to 604800",),
        arguments=("refresh", "--watch", "inf"),
        code=2,
    ),
    Broken(
        "watching backwards",
        ("Invalid value for '--watch': Input should be greater than or equal to 1",),
        arguments=("refresh", "--watch", "-5"),
        code=2,
    ),
    Broken(
        "watching in words",
        ("Invalid value for '--watch': Input should be a valid number, unable to parse string as a number",),
        arguments=("refresh", "--watch", "often"),
        code=2,
    ),
    Broken(
        "watching a day of the past",
        ("goes with none of --as-of",),
        arguments=("refresh", "--watch", "60", "--as-of", "2024-03-05"),
        code=2,
    ),
    Broken(
        "an option that is close",
        ("No such option: --as_of (Possible options: --as-of, --json)",),
        arguments=("refresh", "--as_of", "2024-03-05"),
        code=2,
    ),
    Broken(
        "a command that nobody has",
        ("No such command 'lst'. Did you mean 'list'?",),
        arguments=("segments", "lst"),
        code=2,
    ),
    Broken("an argument too many", ("Got unexpected extra argument(s) (now)",), arguments=("refresh", "now"), code=2),
    # -- query
    Broken(
        "a query in a folder",
        ("{shop}/x.sql cannot be read: Is a directory.", "Check the path and its permissions."),
        {"x.sql/file": ""},
        arguments=("query", "{shop}/x.sql"),
        refreshed=True,
    ),
    Broken(
        "a query file that is not there",
        ("{shop}/nowhere.sql cannot be read: No such file or directory.", "Check the path and its permissions."),
        arguments=("query", "{shop}/nowhere.sql"),
        refreshed=True,
    ),
    Broken(
        "a query file in Latin-1",
        ("{shop}/q.sql:1: this is not UTF-8 text.", "Save the file as UTF-8."),
        {"q.sql": "select 'zoë'".encode("latin-1")},
        arguments=("query", "{shop}/q.sql"),
        refreshed=True,
    ),
    Broken(
        "a query that was not UTF-8",
        ("An argument is not UTF-8 text: b\"select '\\xff'\".",),
        arguments=("query", "select '\udcff'"),
        refreshed=True,
        code=2,
    ),
    Broken(
        "a query with a zero byte",
        ("the query:1: there is a zero byte in the text",),
        arguments=("query", "select 1 \0 as x"),
        refreshed=True,
    ),
    Broken(
        "a query of a file elsewhere",
        (
            "the query:1: '/etc/passwd' lies outside the folders that this project's SQL may read.",
            "Allowed: {shop}. Add its folder to paths under [events] in sqlseg.toml, such as",
        ),
        arguments=("query", "select * from read_csv('/etc/passwd')"),
        refreshed=True,
    ),
    Broken(
        "a query that attaches",
        (
            "the query:1: ATTACH is no SELECT, and exactly one SELECT is expected.",
            "Write one SELECT (WITH ... SELECT is fine). sqlseg makes the tables; sources",
        ),
        arguments=("query", "attach 'x.duckdb'"),
        refreshed=True,
    ),
    Broken(
        "a query nested without end",
        ('Parser Error: Max expression depth limit of 1000 exceeded. Use "SET max_expression_depth TO x" to',),
        arguments=("query", "select " + "abs(" * 2000 + "1" + ")" * 2000),
        refreshed=True,
    ),
    Broken(
        "a query of an unknown column",
        (
            'Binder Error: Referenced column "segment_nam" not found in FROM clause!',
            'Candidate bindings: "segment_name", "segment_id", "segmentation",',
        ),
        arguments=("query", "select segment_nam from segments.segment"),
        refreshed=True,
    ),
    Broken(
        "a query with a parameter",
        ("Values were not provided for the following",),
        arguments=("query", "select $1"),
        refreshed=True,
    ),
    Broken(
        "a query of times after the calendar",
        (),
        arguments=("query", "select timestamp '200000-01-01' as t"),
        refreshed=True,
        code=0,
    ),
    Broken(
        "a query of times before the calendar",
        (),
        arguments=("query", "select timestamp '0044-03-15 (BC)' as t", "--json"),
        refreshed=True,
        code=0,
    ),
    Broken(
        "a query of days after the calendar",
        (),
        arguments=("query", "select date '200000-01-01' as t", "--csv"),
        refreshed=True,
        code=0,
    ),
    Broken(
        "a query of every type",
        (),
        arguments=(
            "query",
            EVERY_TYPE,
            "--json",
        ),
        refreshed=True,
        code=0,
    ),
    Broken(
        "exact without CSV",
        ("Invalid value for --exact: says how to write CSV; add --csv.",),
        arguments=("query", "select 1", "--exact"),
        refreshed=True,
        code=2,
    ),
    Broken(
        "a published file that is none",
        (
            "{shop}/published/shop.duckdb cannot be read as a DuckDB database: IO Error: The file",
            "a damaged published file by `sqlseg refresh`.",
        ),
        {"published/shop.duckdb": "people edited this"},
        arguments=("query", "select 1"),
    ),
    # -- users
    Broken(
        "a user that nobody knows",
        ("No user 'anne' among the published memberships.", "Similar ids: ann, eve, bob."),
        arguments=("segments", "explain", "anne"),
        refreshed=True,
    ),
    Broken(
        "nobody",
        ("No user '' among the published memberships.", "Similar ids: ann, bob, eve."),
        arguments=("segments", "explain", ""),
        refreshed=True,
    ),
    Broken(
        "a user of bytes",
        ("An argument is not UTF-8 text: b'\\xff\\xfe'.",),
        arguments=("segments", "explain", "\udcff\udcfe"),
        refreshed=True,
        code=2,
    ),
    Broken(
        "a user of 5,000 letters",
        ("No user", "Similar ids: ann, bob, eve."),
        arguments=("segments", "explain", LONG),
        refreshed=True,
    ),
    Broken(
        "nobody to forget",
        ("No user is named.", "sqlseg forget USER..., or --file with one id a line."),
        arguments=forget(),
        refreshed=True,
    ),
    Broken(
        "white space to forget",
        ("No user is named.", "sqlseg forget USER..., or --file with one id a line."),
        arguments=forget("  "),
        refreshed=True,
    ),
    Broken(
        "a user of bytes to forget",
        ("An argument is not UTF-8 text: b'\\xff'.",),
        arguments=forget("\udcff"),
        refreshed=True,
        code=2,
    ),
    Broken(
        "a list of ids that is not there",
        (
            "The file of ids {shop}/nobody.txt cannot be read: [Errno 2] No such file or directory:",
            "One id a line, UTF-8.",
        ),
        arguments=forget("--file", "{shop}/nobody.txt"),
        refreshed=True,
    ),
    Broken(
        "a folder of ids",
        (
            "The file of ids {shop}/data cannot be read: [Errno 21] Is a directory: '{shop}/data'.",
            "One id a line, UTF-8.",
        ),
        arguments=forget("--file", "{shop}/data"),
        refreshed=True,
    ),
    Broken(
        "ids in Latin-1",
        (
            "The file of ids {shop}/ids.txt cannot be read: 'utf-8' codec can't decode byte 0xeb in position",
            "One id a line, UTF-8.",
        ),
        ids("zoë\n".encode("latin-1")),
        arguments=forget("--file", "{shop}/ids.txt"),
        refreshed=True,
    ),
    Broken(
        "ids in UTF-16",
        (
            "The file of ids {shop}/ids.txt cannot be read: 'utf-8' codec can't decode byte 0xff in position",
            "One id a line, UTF-8.",
        ),
        ids("ann\n".encode("utf-16")),
        arguments=forget("--file", "{shop}/ids.txt"),
        refreshed=True,
    ),
    Broken(
        "an empty list of ids",
        ("No user is named.", "sqlseg forget USER..., or --file with one id a line."),
        ids("\n\n"),
        arguments=forget("--file", "{shop}/ids.txt"),
        refreshed=True,
    ),
    # -- segments
    Broken(
        "a segmentation that nobody made",
        ("No segmentation named 'group' is published.", "Choose one of: groups, tier."),
        arguments=("segments", "show", "group"),
        refreshed=True,
    ),
    Broken(
        "a dialect without SQL",
        ("Invalid value for --dialect: says for which database to write SQL; add --sql.",),
        arguments=("segments", "show", "tier", "--dialect", "duckdb"),
        refreshed=True,
        code=2,
    ),
    Broken(
        "an unknown dialect",
        ("Invalid value for '--dialect': Value error, 'oracle' is not one of 'duckdb', 'postgres', 'spark',",),
        arguments=("segments", "show", "tier", "--sql", "--dialect", "oracle"),
        refreshed=True,
        code=2,
    ),
    Broken(
        "rules as SQL",
        (
            "'tier' cannot be written as SQL: only models are, and this is of kind rules.",
            "Its users stand in segments.membership, which each refresh brings up to date.",
        ),
        arguments=("segments", "show", "tier", "--sql"),
        refreshed=True,
    ),
    Broken(
        "a name of control characters",
        (
            "A segment name is one line of at most 200 printable characters, got 6: 'a\\x1b[31m'.",
            "Shorten it, or leave control characters and marks of direction out.",
        ),
        arguments=("segments", "rename", "tier-1", "a\x1b[31m"),
        refreshed=True,
    ),
    Broken(
        "a name of bytes",
        ("An argument is not UTF-8 text: b'\\xff'.",),
        arguments=("segments", "rename", "tier-1", "\udcff"),
        refreshed=True,
        code=2,
    ),
    Broken(
        "a name of 5,000 letters",
        (
            "A segment name is one line of at most 200 printable characters, got 5000:",
            "Shorten it, or leave control characters and marks of direction out.",
        ),
        arguments=("segments", "rename", "tier-1", LONG),
        refreshed=True,
    ),
    Broken(
        "a segment that nobody made",
        ("No segment in use has the id 'groups-77'.", "Segments in use: groups-1, groups-2, tier-1, tier-2, tier-3."),
        arguments=("segments", "rename", "groups-77", "Best"),
        refreshed=True,
    ),
    Broken(
        "a run that never was",
        ("No run speaks of 2019-01-01 or before: the oldest speaks of 2024-03-04 00:00:00 UTC.", "Name a later date."),
        arguments=("segments", "diff", "--from", "2019-01-01"),
        refreshed=True,
    ),
    Broken(
        "a run alone",
        (
            "There is no run before 20250101T000100-001 to compare it with.",
            "Every user was seen for the first time in it: `sqlseg segments list` shows",
        ),
        arguments=("segments", "diff"),
        refreshed=True,
    ),
    Broken(
        "runs of bytes",
        ("An argument is not UTF-8 text: b'\\xff'.",),
        arguments=("segments", "diff", "--from", "\udcff"),
        refreshed=True,
        code=2,
    ),
    # -- features and encoders
    Broken(
        "a view without version",
        ("'rfm' names no version of a view.", "Choose one of: rfm@1."),
        arguments=("features", "show", "rfm"),
    ),
    Broken(
        "a version that is not there",
        ("The feature view 'rfm' has no version 7.", "Choose one of: rfm@1."),
        arguments=("features", "show", "rfm@7"),
    ),
    Broken(
        "a version of 5,000 digits",
        (
            "'rfm@999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
            "Write name@version, as in rfm@1.",
        ),
        arguments=("features", "show", "rfm@" + "9" * 5000),
    ),
    Broken(
        "versions of nothing",
        (
            "No feature view named 'rmf'.",
            "Choose one of: rfm, rhythm, price, trend, funnel, returns, affinity, basket,",
        ),
        arguments=("features", "diff", "rfm@1", "rmf@1"),
    ),
    Broken(
        "an encoder that nobody has to measure",
        ("No encoder named 'mind@1'.", "Choose one of: behavior@1, behavior@2, behavior@3."),
        arguments=("encoders", "bench", "mind@1"),
    ),
    Broken(
        "no threads to measure with",
        ("Invalid value for '--threads': Input should be greater than or equal to 1",),
        arguments=("encoders", "bench", "behavior@1", "--threads", "0"),
        code=2,
    ),
    Broken(
        "tokens into a folder",
        (
            "behavior@1 reads stats.item_standing_v1, stats.shop_scale_v1, which the refreshes of this project do not",
            'Put "encoder:behavior@1" or "encoder:behavior@2" among the inputs of a segmentation in sqlseg.toml, and',
        ),
        arguments=("encoders", "tokens", "behavior@1", "--output", "{shop}/data"),
        refreshed=True,
    ),
    Broken(
        "tokens into nowhere",
        (
            "behavior@1 reads stats.item_standing_v1, stats.shop_scale_v1, which the refreshes of this project do not",
            'Put "encoder:behavior@1" or "encoder:behavior@2" among the inputs of a segmentation in sqlseg.toml, and',
        ),
        arguments=("encoders", "tokens", "behavior@1", "--output", "{shop}/no/where.parquet"),
        refreshed=True,
    ),
    Broken(
        "tokens before there are any",
        ("{shop}/warehouse.duckdb holds no refresh yet.", "Run `sqlseg refresh` first."),
        arguments=("encoders", "tokens", "behavior@1", "--output", "{shop}/t.parquet"),
    ),
    Broken(
        "checks before there is anything",
        ("{shop}/warehouse.duckdb holds no refresh yet.", "Run `sqlseg refresh` first."),
        arguments=("check",),
    ),
    Broken(
        "checks of views before there is anything",
        ("{shop}/warehouse.duckdb holds no refresh yet.", "Run `sqlseg refresh` first."),
        arguments=("features", "check"),
    ),
    # -- backtest
    Broken(
        "every no days",
        ("Invalid value: --every must be a number of days such as 30d, or of weeks such as 4w, got '0d'",),
        arguments=("backtest", "--every", "0d"),
        code=2,
    ),
    Broken(
        "every few days",
        ("Invalid value: --every must be a number of days such as 30d, or of weeks such as 4w, got 'few'",),
        arguments=("backtest", "--every", "few"),
        code=2,
    ),
    Broken(
        "a horizon of not a number",
        ("Invalid value: --horizon must be a number of days such as 30d, or of weeks such as 4w, got 'nan'",),
        arguments=("backtest", "--horizon", "nan"),
        code=2,
    ),
    Broken(
        "a horizon below zero",
        ("Invalid value: --horizon must be a number of days such as 30d, or of weeks such as 4w, got '-30d'",),
        arguments=("backtest", "--horizon", "-30d"),
        code=2,
    ),
    Broken(
        "a first day that is none",
        ("The events span 2 days: 90 days to look ahead leave none before.", "Take a shorter --horizon, such as 30d."),
        arguments=("backtest", "--from", "soon"),
    ),
    Broken(
        "the last day before the first",
        ("The events span 2 days: 90 days to look ahead leave none before.", "Take a shorter --horizon, such as 30d."),
        arguments=("backtest", "--from", "2024-03-02", "--to", "2024-03-01"),
    ),
    Broken(
        "too little history",
        ("The events span 2 days: 90 days to look ahead leave none before.", "Take a shorter --horizon, such as 30d."),
        arguments=("backtest",),
    ),
    # -- synth
    Broken(
        "a shop of nobody",
        ("Invalid value for '--users': Input should be greater than or equal to 1",),
        arguments=("synth", "{shop}/s.parquet", "--users", "0", "--events", "5"),
        code=2,
    ),
    Broken(
        "not a number of users",
        ("Invalid value for '--users': Input should be a valid integer, unable to parse string as an integer",),
        arguments=("synth", "{shop}/s.parquet", "--users", "nan", "--events", "5"),
        code=2,
    ),
    Broken(
        "fewer events than users",
        (
            "A shop of 50 users and 5 events cannot be simulated.",
            "Every user has at least one event: ask for one user or more, and no fewer",
        ),
        arguments=("synth", "{shop}/s.parquet", "--users", "50", "--events", "5"),
    ),
    Broken(
        "a seed below zero",
        ("Invalid value for '--seed': Input should be greater than or equal to 0",),
        arguments=("synth", "{shop}/s.parquet", "--users", "5", "--events", "50", "--seed", "-1"),
        code=2,
    ),
    Broken(
        "a shop into a folder",
        (
            "Cannot write {shop}/data: Failed to open local file '{shop}/data'. Detail: [errno 21] Is a",
            "Choose a folder that exists.",
        ),
        arguments=("synth", "{shop}/data", "--users", "5", "--events", "50"),
    ),
    Broken(
        "a shop into a file of 5,000 letters",
        ("Invalid value for 'FILE.parquet': this cannot be a path: File name too long",),
        arguments=("synth", LONG, "--users", "5", "--events", "50"),
        code=2,
    ),
    Broken(
        "more users than there are numbers",
        ("Invalid value for '--users': Input should be less than or equal to 10000000000",),
        arguments=("synth", "{shop}/s.parquet", "--users", "9" * 30, "--events", "9" * 31),
        code=2,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_wrong_with_a_call_is_explained(case, sound_shops, tmp_path):
    explains_itself(case, sound_shops, tmp_path / "shop")
