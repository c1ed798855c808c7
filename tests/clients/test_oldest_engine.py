"""The oldest DuckDB that sqlseg runs on comes to the same segments as the installed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from duckdb_libraries import library_of

from sqlseg.synth.writer import write_synthetic_events

pytestmark = pytest.mark.slow

OLDEST = "1.5.6"

COMPARED = {
    "segments": "select segment_id, segmentation, segment_name, description, user_count, round(share, 9), "
    "round(revenue, 6) from segments.segment order by 1",
    "memberships": "select user_id, segmentation, segment_id, round(confidence, 5), member_since "
    "from segments.membership order by 1, 2",
    "history": "select user_id, segmentation, segment_id, valid_from, valid_to, cause "
    "from segments.membership_history order by 1, 2, 4",
    "features": "select count(*), sum(recency_days), sum(orders), round(sum(spend), 6) from features.rfm",
    "runs": "select kind, status, events_total, users_total, users_embedded, users_moved "
    "from segments.run order by run_id",
}


def refreshed(place: Path, library: Path | None) -> dict[str, list[tuple[object, ...]]]:
    """Refresh a shop twice, the second time with later events; what the published file then says."""
    environment = os.environ | (
        {"PYTHONPATH": f"{library}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"} if library else {}
    )

    def sqlseg(*arguments: str) -> str:
        command = [sys.executable, "-m", "sqlseg", *arguments]
        run = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=180)
        assert run.returncode == 0, run.stderr
        return run.stdout

    (place / "data").mkdir(parents=True)
    write_synthetic_events(place / "all.parquet", 150, 3000, 0)
    later = "event_time >= timestamp '2025-11-01'"
    with duckdb.connect() as connection:
        for file, condition in (("data/earlier.parquet", f"not {later}"), ("later.parquet", later)):
            connection.execute(f"copy (select * from '{place / 'all.parquet'}' where {condition}) to '{place / file}'")
    sqlseg("init", "shop", "--events", "data")
    settings = place / "shop" / "sqlseg.toml"
    text = settings.read_text(encoding="utf-8")
    assert 'refit = "drift"' in text  # two months without a refresh: drift would ask for new models
    settings.write_text(text.replace('refit = "drift"', 'refit = "never"'), encoding="utf-8")
    sqlseg("refresh", "--project", "shop")
    (place / "later.parquet").rename(place / "data" / "later.parquet")
    outcome = json.loads(sqlseg("refresh", "--project", "shop", "--json"))
    assert outcome["kind"] == "warm"
    (file,) = (place / "shop" / "published").glob("*.duckdb")
    with duckdb.connect(str(file), read_only=True) as reader:
        versions = reader.execute("select json_extract_string(versions, '$.duckdb') from segments.run").fetchall()
        assert {version for (version,) in versions} == {OLDEST if library else duckdb.__version__}
        return {name: reader.execute(sql).fetchall() for name, sql in COMPARED.items()}


def test_the_oldest_duckdb_comes_to_the_same(tmp_path: Path) -> None:
    library = library_of(OLDEST)
    found, expected = refreshed(tmp_path / "oldest", library), refreshed(tmp_path / "installed", None)
    for name in COMPARED:
        assert found[name] == expected[name], name
