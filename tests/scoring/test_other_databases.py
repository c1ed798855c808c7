"""The SQL that `segments show --sql --dialect` prints, run by the databases it is meant for, row by row."""

import csv
import io
import os
import shutil
import tempfile
from pathlib import Path

import duckdb
import pytest
from postgres_server import postgres_server

pytestmark = pytest.mark.slow

POSTGRES_TYPES = {
    "VARCHAR": "text",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "UTINYINT": "smallint",
    "TINYINT": "smallint",
    "UINTEGER": "bigint",
}


def feature_tables(shop):
    """The published feature tables that the printed SQL reads, with their columns and types."""
    inputs = shop.published(
        "select distinct unnest(inputs::json::varchar[]) from segments.segmentation where kind <> 'rules'"
    )
    tables = [ref.replace("@", "_v") for (ref,) in inputs]
    assert tables
    return {
        table: dict(
            shop.published(
                "select column_name, data_type from duckdb_columns() "
                f"where schema_name = 'features' and table_name = '{table}' order by column_index"
            )
        )
        for table in tables
    }


def scoring(shop, name, dialect):
    printed = shop.sqlseg("segments", "show", name, "--sql", "--dialect", dialect)
    assert printed.code == 0, printed.err
    return printed.out.rstrip().removesuffix(";")


def assert_same(shop, name, found):
    """`found` has the rows of the printed SQL as values of Python, in any order."""
    expected = shop.published(
        "select user_id, segmentation, segment_id, segment_name, distance, confidence, runner_up_segment_id "
        f"from segments.membership where segmentation = '{name}' order by user_id"
    )
    found = sorted(found)
    assert len(found) == len(expected) > 900
    for mine, theirs in zip(expected, found, strict=True):
        assert (*mine[:4], mine[6]) == (*theirs[:4], theirs[6])
        assert theirs[4:6] == pytest.approx(mine[4:6], abs=1e-6)


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as server:
        yield server


def test_postgres(scored, postgres):
    postgres.sql("drop schema if exists features cascade; create schema features;")
    for table, columns in feature_tables(scored).items():
        kinds = ", ".join(f'"{name}" {POSTGRES_TYPES.get(kind, kind)}' for name, kind in columns.items())
        with tempfile.TemporaryDirectory() as place, duckdb.connect(str(scored.published_file), read_only=True) as file:
            file.execute(f"copy features.{table} to '{place}/rows.csv' (header false)")
            rows = Path(place, "rows.csv").read_text(encoding="utf-8")
        postgres.sql(
            f"create table features.{table} ({kinds});\ncopy features.{table} from stdin (format csv);\n{rows}\\.\n"
        )
    for name in scored.fitted:
        answer = postgres.sql(f"copy ({scoring(scored, name, 'postgres')}) to stdout (format csv);")
        rows = csv.reader(io.StringIO(answer, newline=""))
        assert_same(
            scored, name, [(*row[:4], float(row[4]) if row[4] else None, float(row[5]), row[6] or None) for row in rows]
        )


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    pyspark = pytest.importorskip("pyspark.sql", reason="PySpark is not installed (pip install 'sqlseg[spark]')")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17, and there is no Java here")
    place = tmp_path_factory.mktemp("spark")
    session = (
        pyspark.SparkSession.builder.master("local[1]")
        .config("spark.sql.warehouse.dir", str(place))
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield session
    session.stop()


def test_spark(scored, spark, tmp_path):
    spark.sql("drop database if exists features cascade")
    spark.sql("create database features")
    for table in feature_tables(scored):
        with duckdb.connect(str(scored.published_file), read_only=True) as file:
            file.execute(f"copy features.{table} to '{tmp_path / table}.parquet'")
        spark.read.parquet(f"{tmp_path / table}.parquet").write.saveAsTable(f"features.{table}")
    for name in scored.fitted:
        assert_same(scored, name, [tuple(row) for row in spark.sql(scoring(scored, name, "spark")).collect()])
