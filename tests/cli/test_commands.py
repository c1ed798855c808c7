"""Every command: its options, its exit code, data on stdout and narration on stderr."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from shops import bought, call_sqlseg, new_shop, viewed

import sqlseg
from sqlseg import __version__
from sqlseg.cli.main import app


def commands(group: click.Group, path: tuple[str, ...] = ()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))

PROMISED = [
    ("init",),
    ("demo",),
    ("synth",),
    ("plan",),
    ("refresh",),
    ("query",),
    ("doctor",),
    ("features", "list"),
    ("features", "show"),
    ("features", "diff"),
    ("features", "check"),
    ("features", "lock"),
    ("segments", "list"),
    ("segments", "show"),
    ("segments", "explain"),
    ("segments", "rename"),
    ("encoders", "list"),
    ("encoders", "verify"),
    ("encoders", "bench"),
]


def options(command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts}


def test_the_promised_commands_are_there():
    assert set(PROMISED) <= COMMANDS.keys()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_takes_a_project_and_gives_json(path):
    assert {"--project", "--json"} <= options(COMMANDS[path])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_says_what_it_is_for(path):
    ran = call_sqlseg(*path, "--help")
    assert ran.code == 0
    assert ran.err == ""
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            assert getattr(parameter, "help", None), f"{' '.join(path)}: {parameter.name}"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_wrong_usage(path):
    ran = call_sqlseg(*path, "--no-such-option")
    assert (ran.code, ran.out) == (2, "")
    assert "--no-such-option" in ran.err


def test_refresh_takes_what_is_promised():
    promised = {"--as-of", "--refit", "--segmentation", "--full", "--require-gpu"}
    assert promised <= options(COMMANDS["refresh",])
    assert {"--users", "--events", "--seed"} <= options(COMMANDS["synth",])
    assert "--events" in options(COMMANDS["init",])


def test_version():
    ran = call_sqlseg("--version")
    assert (ran.code, ran.out) == (0, f"sqlseg {__version__}\n")


def test_help_without_a_command():
    assert "refresh" in call_sqlseg("--help").out


READING = [
    ("plan",),
    ("query", "select * from segments.segment order by segment_id"),
    ("query", "select user_id, confidence, as_of, null as x, 'nan'::double as y from segments.membership"),
    ("segments", "list"),
    ("segments", "show", "groups"),
    ("segments", "show", "tier"),
    ("segments", "explain", "u0000001"),
    ("encoders", "list"),
    ("encoders", "verify"),
    ("doctor",),
    ("refresh",),
]


@pytest.fixture(scope="module")
def shop(busy_shop, tmp_path_factory):
    return busy_shop.copy(tmp_path_factory.mktemp("commands") / "shop")


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_stdout_is_data(shop, arguments):
    ran = shop.sqlseg(*arguments, "--json")
    assert ran.code == 0, ran.err
    json.loads(ran.out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    people = shop.sqlseg(*arguments)
    assert people.code == 0
    assert people.out.strip()
    assert "Traceback" not in people.err


def test_what_a_refresh_tells_machines(shop):
    told = json.loads(shop.sqlseg("refresh", "--json").out)
    assert (told["kind"], told["users_total"], told["moves"], told["published"]) == ("noop", 120, [], None)
    told = json.loads(shop.sqlseg("plan", "--refit", "always", "--json").out)
    assert told["kind"] == "refit"
    assert [one["action"] for one in told["segmentations"]] == ["fit", "rules"]


def test_narration_goes_to_stderr(make_shop):
    shop = make_shop([bought("ann", "2024-03-01 10:00", 5), bought("bad", "2024-03-01 10:00", -5)])
    ran = shop.sqlseg("refresh", "--json")
    assert json.loads(ran.out)["events"] == {
        "accepted": 1,
        "new": 1,
        "late": 0,
        "gone": 0,
        "rejected": {"negative price": 1},
    }
    assert "negative price: 1" in ran.err


def test_a_query_as_csv_and_from_a_file(shop, tmp_path):
    select = "select segment_name, user_count from segments.segment where segmentation = 'tier' order by 1"
    expected = shop.published(select)
    printed = shop.sqlseg("query", select, "--csv").out
    assert "\r" not in printed and printed.endswith("\n")
    rows = list(csv.reader(io.StringIO(printed)))
    assert rows == [["segment_name", "user_count"], *[[name, str(count)] for name, count in expected]]
    file = tmp_path / "question.sql"
    file.write_text(select)
    assert json.loads(shop.sqlseg("query", str(file), "--json").out) == [
        {"segment_name": name, "user_count": count} for name, count in expected
    ]


def test_ends_of_lines_within_a_csv_are_kept(shop):
    text = "select chr(13) as a, 'x' || chr(10) || 'y' as b, 'p' || chr(13) || chr(10) || 'q' as c"
    printed = shop.sqlseg("query", text, "--csv", "--exact").out
    assert printed == 'a,b,c\n"\r","x\ny","p\r\nq"\n'


@pytest.mark.parametrize("module", ["sqlseg", "sqlseg.cli.main"])
def test_python_runs_the_package(module):
    run = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, f"sqlseg {__version__}\n"), run.stderr


def test_a_refresh_imports_no_pandas(tmp_path):
    """pyarrow would, where it is installed; here is one that leaves a note when it is imported."""
    shop = new_shop(tmp_path / "shop", [bought("ann", "2024-05-01T10:00", 10), viewed("bob", "2024-05-02T10:00")])
    note = tmp_path / "imported"
    (tmp_path / "pandas.py").write_text(f"open({str(note)!r}, 'w').close()\n")
    path = os.pathsep.join([str(tmp_path), str(Path(sqlseg.__file__).parents[1])])
    run = subprocess.run(
        [sys.executable, "-m", "sqlseg", "refresh", "--project", str(shop.directory)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, note.exists()) == (0, False), run.stderr


def test_a_query_changes_nothing_and_sees_no_events(shop):
    before = shop.published_file.read_bytes()
    for text in ("drop table segments.segment", "attach 'x.db'", "copy (select 1) to 'x.csv'", "pragma version"):
        ran = shop.sqlseg("query", text)
        assert (ran.code, ran.out) == (1, ""), text
    assert shop.sqlseg("query", "from sqlseg.events").code == 1
    assert shop.published_file.read_bytes() == before


def test_explain_names_the_segment_and_why(shop):
    [[name, segment]] = shop.published(
        "select segment_name, segment_id from segments.membership "
        "where user_id = 'u0000001' and segmentation = 'groups'"
    )
    ran = shop.sqlseg("segments", "explain", "u0000001")
    assert name in ran.out and segment in ran.out
    groups = next(
        one
        for one in json.loads(shop.sqlseg("segments", "explain", "u0000001", "--json").out)
        if one["segmentation"] == "groups"
    )
    assert groups["segment_id"] == segment
    assert groups["stays"][-1]["valid_to"] is None
    assert {reason["feature"].partition("__")[0] for reason in groups["reasons"]} >= {"rfm"}


STEERING = "select user_id, chr(27) || '[31m' || user_id as segment_name from features.rfm"


def test_text_from_the_data_cannot_steer_the_terminal(make_shop):
    shop = make_shop([viewed(user, "2024-03-01 10:00") for user in ("\x1b[2Jann", "[red]bob", "[/]")])
    shop.write("sql/segments/tier.sql", STEERING)
    assert shop.sqlseg("refresh").code == 0
    for arguments in (("segments", "list"), ("query", "from segments.membership"), ("segments", "explain", "[red]bob")):
        ran = shop.sqlseg(*arguments)
        assert ran.code == 0
        assert "\x1b" not in ran.out + ran.err
        assert "[red]bob" in ran.out
    assert "[/]" in shop.sqlseg("segments", "explain", "[/]").out


def test_a_project_from_a_file_refreshes(busy_shop, tmp_path):
    source = busy_shop.directory / "data" / "events.parquet"
    ran = call_sqlseg("init", str(tmp_path / "new"), "--events", str(source), "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["events_sql"]
    ran = call_sqlseg("refresh", "--project", str(tmp_path / "new"), "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["users_total"] == 120


def test_a_folder_may_have_brackets(tmp_path):
    folder = tmp_path / "[/]" / "[bold]"
    ran = call_sqlseg("init", str(folder))
    assert ran.code == 0
    assert str(folder) in ran.out


def test_doctor_where_nothing_is(tmp_path):
    ran = call_sqlseg("doctor", "--project", str(tmp_path), "--json")
    assert ran.code == 0
    assert {one["what"]: one["fine"] for one in json.loads(ran.out)}["project"] is None


def test_doctor_finds_a_failed_refresh_and_a_damaged_file(shop, tmp_path):
    broken = shop.copy(tmp_path / "broken")
    broken.change(
        "update segments.run set status = 'failed', error = 'boom' "
        "where run_id = (select max(run_id) from segments.run)"
    )
    broken.published_file.chmod(0o644)
    broken.published_file.write_bytes(b"damaged")
    ran = broken.sqlseg("doctor", "--json")
    assert ran.code == 1
    found = {one["what"]: one for one in json.loads(ran.out)}
    assert "boom" in found["warehouse"]["found"] and found["warehouse"]["fine"] is False
    assert found["published file"]["fine"] is False


@pytest.fixture
def small_shop(tmp_path):
    return new_shop(tmp_path / "shop", [bought("anna", "2025-01-01T10:00", 20.0), viewed("ben", "2025-01-02T10:00")])


@pytest.mark.parametrize("wrong", [("--full",), ("--as-of", "2025-01-01"), ("--refit", "always")])
def test_a_watch_takes_what_comes_and_no_orders_beside(small_shop, wrong):
    ran = small_shop.sqlseg("refresh", "--watch", "60", *wrong)
    assert ran.code == 2
    assert "--as-of" in ran.err
    assert ran.out == ""


def test_a_watch_tells_of_its_rounds_until_it_is_stopped(small_shop, monkeypatch):
    def stopped(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", stopped)
    monkeypatch.setattr("signal.signal", lambda *arguments: None)  # of the process that runs the tests
    small_shop.write("sql/events.sql", "select * from read_parquet('data/events.parquet') where event_type <> 'view'")
    told = small_shop.sqlseg("refresh", "--watch", "60", "--json")
    assert told.code == 0
    (line,) = told.out.splitlines()
    assert json.loads(line)["round"] == 1
    assert json.loads(line)["status"] == "done"
    assert "Stopped. Rounds: 1" in told.err
    small_shop.write("sql/events.sql", "select * from read_parquet('data/events.parquet')")
    told = small_shop.sqlseg("refresh", "--watch", "60")
    assert told.code == 0
    assert "new events" in told.out
    (small_shop.directory / "data" / "events.parquet").rename(small_shop.directory / "data" / "away.parquet")
    told = small_shop.sqlseg("refresh", "--watch", "60")
    assert told.code == 0
    assert "round 1 failed; the next one is in 120 s" in told.err
    assert "events.parquet" in told.err
