"""A published file answers alike in every DuckDB that people may have, from 0.10.3 on."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdb_libraries import library_of

from sqlseg.synth.writer import write_synthetic_events

pytestmark = pytest.mark.slow

VERSIONS = ["0.10.3", "1.0.0", "1.1.3", "1.2.2", "1.3.2", "1.4.4", "1.5.6"]

HASHES_OTHERWISE = ("0.10.3", "1.0.0", "1.1.3", "1.2.2")
"""Their hash of a text is another one, so that they cannot tell whether a file is whole."""

IS_WHOLE = re.findall(
    r"```sql\n(.*?is_whole.*?)```",
    (Path(__file__).parents[2] / "docs" / "reliability.md").read_text("utf-8"),
    re.DOTALL,
)[0]

QUESTIONS = {
    "memberships": "select segmentation, count(*), count(distinct user_id), sum(length(user_id)) "
    "from segments.membership group by 1 order by 1",
    "segments": "select * exclude (rule_sql) from segments.segment order by segment_id",
    "nullable text": "select count(*), count(description), count(rule_sql), count(retired_at) from segments.segment",
    "money": "select round(sum(revenue), 6), round(avg(share), 9) from segments.segment",
    "features": "select count(*), count(recency_days), sum(orders), round(sum(spend), 6) from features.rfm",
    "versions": "select (select count(*) from features.rfm) = (select count(*) from features.rfm_v1)",
    "chart": "select segment_name, count(*), round(avg(rfm__spend), 6) from segments.behavior_users "
    "group by 1 order by 1",
    "live": "select segment_name, count(*), round(sum(confidence), 6) from segments.plain_live group by 1 order by 1",
    "live is the membership": "select count(*), sum((m.segment_id = l.segment_id)::int) from segments.membership as m "
    "join segments.plain_live as l using (user_id) where m.segmentation = 'plain'",
    "daily": "select min(date), max(date), sum(orders), round(sum(revenue), 4) from segments.daily",
    "times": "select max(data_through), max(as_of), typeof(max(as_of)) from segments.run where status = 'done'",
    "json": "select json_extract_string(parameters, '$.k') is null, length(parameters) from segments.model",
    "joined": "select s.segment_name, count(*) from segments.membership as m "
    "join segments.segment as s using (segment_id) group by 1 order by 1",
    "tables": "select schema_name, table_name, estimated_size from duckdb_tables() where not internal order by 1, 2",
    "views": "select schema_name, view_name from duckdb_views() where not internal order by 1, 2",
    "columns": "select table_schema, table_name, column_name, data_type from information_schema.columns "
    "order by table_schema, table_name, ordinal_position",
    "comments on tables": "select schema_name, table_name, comment from duckdb_tables() order by 1, 2",
    "rows of every table": "select relation, row_count from quality.content order by 1",
    "comments on columns": "select schema_name, table_name, column_name, comment from duckdb_columns() "
    "where not internal order by 1, 2, column_index",
}

PLAIN = """
[segmentations.plain]
kind = "cluster"
inputs = ["rfm@1", "cadence@1"]
k = 4
"""

CLIENT = """
import json, sys
import duckdb
file, questions = sys.argv[1], json.load(sys.stdin)
connection = duckdb.connect(file, read_only=True)
answers = {name: connection.execute(sql).fetchall() for name, sql in questions.items()}
connection.close()
connection = duckdb.connect()
connection.execute("attach '" + file + "' as shop (read_only)")
answers["attached"] = connection.execute("select count(*) from shop.segments.segment").fetchall()
json.dump({"version": duckdb.__version__, "answers": answers}, sys.stdout, default=str)
"""


def ask(file: Path, library: Path | None = None) -> dict[str, Any]:
    """Ask every question in a process of its own; `library` holds another DuckDB than the installed one."""
    environment = os.environ | ({"PYTHONPATH": str(library)} if library else {})
    run = subprocess.run(
        [sys.executable, "-c", CLIENT, str(file)],
        input=json.dumps(QUESTIONS | {"is it whole": IS_WHOLE}),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clients")
    write_synthetic_events(place / "events.parquet", 120, 2500, 0)
    for arguments in (["init", "shop", "--events", "events.parquet"], ["refresh", "--project", "shop"]):
        command = [sys.executable, "-c", "from sqlseg.cli.main import main; main()", *arguments]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
        if arguments[0] == "init":
            with (place / "shop" / "sqlseg.toml").open("a", encoding="utf-8") as settings:
                settings.write(PLAIN)
    (file,) = (place / "shop" / "published").glob("*.duckdb")
    return file


@pytest.fixture(scope="module")
def expected(published: Path) -> dict[str, Any]:
    answers: dict[str, Any] = ask(published)["answers"]
    return answers


def test_the_answers_hold_something(expected: dict[str, Any]) -> None:
    assert [row[:2] for row in expected["memberships"]] == [["behavior", 120], ["plain", 120], ["value", 120]]
    assert expected["live is the membership"] == [[120, 120]]
    assert expected["features"][0][0] == 120
    assert expected["is it whole"][0][1] is True
    assert expected["times"][0][2] == "TIMESTAMP"
    assert all(comment for _, _, comment in expected["comments on tables"])
    assert all(comment for *_, comment in expected["comments on columns"])
    assert {kind for *_, kind in expected["columns"]} <= {
        *("VARCHAR", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "BOOLEAN", "TIMESTAMP", "DATE", "HUGEINT"),
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_alike(version: str, published: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    found = ask(published, library_of(version, tmp_path / version))
    assert found["version"] == version
    ((_, whole),) = found["answers"].pop("is it whole")
    assert whole is (None if version in HASHES_OTHERWISE else True)
    for question, answer in expected.items():
        if question == "is it whole":
            continue
        assert found["answers"][question] == answer, question
    assert published.stat().st_mode & 0o222 == 0


def test_the_file_has_known_views_only_and_no_key(published: Path) -> None:
    with duckdb.connect(str(published), read_only=True) as connection:
        views = connection.execute("select schema_name, view_name from duckdb_views() where not internal").fetchall()
        in_use = {("features", name) for schema, name in views if schema == "features" and "_v" not in name}
        known = {("segments", "plain_live"), ("segments", "reason"), ("quality", "content")}
        assert set(views) == known | in_use and len(in_use) >= 10
        for listing in ("duckdb_indexes()", "duckdb_types()", "duckdb_sequences()"):
            condition = "where not internal" if listing == "duckdb_types()" else ""
            assert connection.execute(f"select count(*) from {listing} {condition}").fetchone() == (0,), listing
        constraints = "select count(*) from duckdb_constraints() where constraint_type <> 'NOT NULL'"
        assert connection.execute(constraints).fetchone() == (0,)
