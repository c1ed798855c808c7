import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from sqlseg.segments.blocks import embedding_block, feature_block
from sqlseg.segments.model import ClusterModel, FitSettings, fit_cluster_model
from sqlseg.segments.preprocessing import FeatureScaling, Preprocessing
from sqlseg.segments.scaling import ColumnScaling
from sqlseg.segments.scoring_sql import DIALECTS, CannotCompile, InputTable, scoring_query, scoring_sql

GOLDEN = Path(__file__).parents[1] / "golden" / "scoring"

COLUMNS = "user_id, segmentation, segment_id, segment_name, distance, confidence, runner_up_segment_id"


def numbered(model):
    return model.with_segment_ids([f"groups-{number}" for number in range(1, len(model.centers) + 1)])


def rows_in_duckdb(model, tables, names=None, columns=COLUMNS):
    """What DuckDB makes of the SQL, by user_id; `tables` are Arrow tables without user_id, by block name."""
    with duckdb.connect() as connection:
        connection.execute("create schema features; create schema segments")
        read = {}
        for number, (name, table) in enumerate(tables.items()):
            relation = f"features.view{number}"
            users = pa.array([f"u{row:05}" for row in range(len(table))])
            connection.register("given", table.append_column("user_id", users))
            # Shuffled: the rows of two views need not stand in one order.
            connection.execute(f"create table {relation} as select * from given order by hash(user_id || '{number}')")
            kinds = dict(zip(table.column_names, table.schema.types, strict=True))
            read[name] = InputTable(relation, frozenset(c for c, kind in kinds.items() if kind == pa.bool_()))
        segments = pa.table(
            {"segment_id": [*model.segment_ids], "segment_name": [s.upper() for s in model.segment_ids]}
        )
        connection.register("named", segments)
        connection.execute("create table segments.segment as select * from named")
        sql = scoring_sql(scoring_query(model, "groups", read, names=names))
        return connection.execute(f"select {columns} from ({sql}) order by user_id").fetchall()


def assert_same(model, tables, blocks):
    found = rows_in_duckdb(model, tables)
    expected = model.score(blocks)
    ids = [*model.segment_ids, None]
    assert [row[0] for row in found] == [f"u{row:05}" for row in range(len(expected.labels))]
    assert [row[2] for row in found] == [ids[label] for label in expected.labels]
    assert [row[6] for row in found] == [ids[label] for label in expected.runner_up]
    assert [row[4] for row in found] == expected.distance.tolist()
    assert [row[5] for row in found] == expected.confidence.tolist()
    assert {(row[1], row[3] == row[2].upper()) for row in found} == {("groups", True)}


def shop(users, seed):
    """Two views with whatever a column may be like: skewed, with gaps, whole, true or false, constant, repeated."""
    random = np.random.default_rng(seed)
    spend = np.exp(random.normal(3, 1.5, users)).round(2)
    gaps = np.where(random.random(users) < 0.3, np.nan, random.gamma(2, 20, users))
    member = np.where(random.random(users) < 0.1, None, random.random(users) < 0.4)
    rfm = {
        "recency_days": pa.array(random.integers(0, 400, users)),
        "orders": pa.array(random.poisson(3, users).astype("int8")),
        "spend": pa.array(spend),
        "again": pa.array(spend * 2),
    }
    cadence = {
        "gap": pa.array(gaps, mask=np.isnan(gaps)),
        "order": pa.array(member.tolist(), pa.bool_()),
        "trend": pa.array(random.normal(size=users), pa.float32()),
        "same": pa.array(np.ones(users)),
    }
    tables = {"rfm@1": pa.table(rfm), "cadence@1": pa.table(cadence)}
    blocks = []
    for name, table in tables.items():
        view = name.partition("@")[0]
        values = np.column_stack([column.cast(pa.float64()).to_numpy() for column in table.columns])
        blocks.append(feature_block(name, [f"{view}__{column}" for column in table.column_names], values))
    return tables, blocks


@pytest.mark.parametrize(("k", "seed"), [(1, 0), (2, 1), (3, 2), (7, 3)])
def test_the_database_comes_to_the_same_segments(k, seed):
    tables, blocks = shop(800, seed)
    model = numbered(fit_cluster_model(blocks, FitSettings(k=k, weights={"rfm@1": 3.0})).model)
    assert {column.log for block in model.preprocessing.blocks for column in block.columns} == {True, False}
    assert len(model.centers) == k
    assert_same(model, tables, blocks)


def test_users_the_model_never_saw_are_placed_alike():
    _, blocks = shop(500, 4)
    model = numbered(fit_cluster_model(blocks, FitSettings(k=4)).model)
    tables, others = shop(700, 5)
    tables["rfm@1"] = tables["rfm@1"].set_column(2, "spend", pa.array(np.linspace(0.0, 1e9, 700)))
    others[0].values[:, 2] = np.linspace(0.0, 1e9, 700)
    assert_same(model, tables, others)


def test_without_any_input_all_are_in_one_segment():
    tables = {"rfm@1": pa.table({"orders": pa.array([1, 1, 1])})}
    blocks = [feature_block("rfm@1", ["rfm__orders"], np.ones((3, 1)))]
    model = numbered(fit_cluster_model(blocks, FitSettings(k=1)).model)
    assert model.preprocessing.blocks == ()
    assert_same(model, tables, blocks)


def by_hand(centers, log=False):
    """A model whose coordinates are the columns themselves, up to a cap of three."""
    columns = tuple(ColumnScaling(f"rfm__{name}", 0.5, -9.0, 9.0, False, 0.0, 1.0) for name in ("a", "b"))
    if log:
        columns = (columns[0], ColumnScaling("rfm__b", 2.0, 0.0, 9.0, True, 1.25, 0.5))
    preprocessing = Preprocessing((FeatureScaling("rfm@1", columns, 1.0),), ())
    ids = tuple(f"groups-{number}" for number in range(1, len(centers) + 1))
    return ClusterModel("kmeans", preprocessing, centers, (), 0, 9, ids)


def test_ties_go_to_the_first_in_both():
    grid = np.array([(a / 10, b / 10) for a in range(-35, 36) for b in range(-35, 36)])
    model = by_hand(((0.123457, 0.0), (-0.123457, 0.0), (0.0, 0.123457), (0.0, -0.123457), (2.0, 2.0), (2.0, -2.0)))
    blocks = [feature_block("rfm@1", ["rfm__a", "rfm__b"], grid)]
    assert_same(model, {"rfm@1": pa.table({"a": grid[:, 0], "b": grid[:, 1]})}, blocks)


def test_a_user_worked_out_by_hand():
    model = by_hand(((0.0, 0.0), (0.0, 2.0)))
    table = pa.table({"a": pa.array([None, 30.0]), "b": pa.array([1.5, -1.0])})
    near, far = rows_in_duckdb(model, {"rfm@1": table})
    # The missing a is 0.5: squares 0.25 + 2.25 and 0.25 + 0.25.
    assert near[2:] == ("groups-2", "GROUPS-2", pytest.approx(0.5**0.5), pytest.approx(2.5 / 3.0), "groups-1")
    # The a of 30 is cut to 3: squares 9 + 1 and 9 + 9.
    assert far[2:] == ("groups-1", "GROUPS-1", pytest.approx(10**0.5), pytest.approx(18.0 / 28.0), "groups-2")


def test_names_may_be_written_in():
    model = by_hand(((0.0, 0.0), (0.0, 2.0)))
    table = pa.table({"a": [0.0, 0.0], "b": [0.0, 2.0]})
    names = {"groups-1": "It's \\ 'near'", "groups-2": "Far -- away"}
    found = rows_in_duckdb(model, {"rfm@1": table}, names, "segment_name")
    assert found == [("It's \\ 'near'",), ("Far -- away",)]


def test_an_embedding_has_no_formula():
    _, blocks = shop(100, 6)
    vectors = embedding_block("encoder:behavior@1", np.random.default_rng(0).normal(size=(100, 4)))
    model = numbered(fit_cluster_model([blocks[0], vectors], FitSettings(k=2)).model)
    with pytest.raises(CannotCompile, match=r"'groups' cannot be written as SQL: encoder:behavior@1 is an embedding"):
        scoring_query(model, "groups", {"rfm@1": InputTable("features.rfm_v1")})


@pytest.mark.parametrize("algorithm", ["minibatch_kmeans", "bisecting_kmeans"])
def test_every_algorithm_with_centroids_is_the_same_formula(algorithm):
    tables, blocks = shop(300, 8)
    model = numbered(fit_cluster_model(blocks, FitSettings(k=4, algorithm=algorithm)).model)
    assert_same(model, tables, blocks)


@pytest.mark.parametrize("algorithm", ["gaussian_mixture", "gaussian_mixture_diagonal"])
def test_a_mixture_gives_the_posterior(algorithm):
    tables, blocks = shop(600, 9)
    model = numbered(fit_cluster_model(blocks, FitSettings(k=4, algorithm=algorithm)).model)
    found, expected = rows_in_duckdb(model, tables), model.score(blocks)
    ids = [*model.segment_ids, None]
    assert [row[2] for row in found] == [ids[label] for label in expected.labels]
    assert [row[6] for row in found] == [ids[label] for label in expected.runner_up]
    assert [row[4] for row in found] == pytest.approx(expected.distance.tolist(), abs=1e-9)
    assert [row[5] for row in found] == pytest.approx(expected.confidence.tolist(), abs=1e-9)
    assert min(expected.confidence) < 0.9 and len(set(expected.labels)) == len(model.centers) > 1


def test_an_algorithm_without_a_formula_is_told_by_its_name():
    tables, blocks = shop(300, 8)
    model = numbered(fit_cluster_model(blocks, FitSettings(k=3, algorithm="agglomerative")).model)
    with pytest.raises(CannotCompile, match="'groups' cannot be written as SQL: agglomerative "):
        scoring_query(model, "groups", {name: InputTable(f"features.{name[:-2]}_v1") for name in tables})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_text_for_each_database(dialect):
    """To renew after a change that is meant: write what the test found into the file."""
    model = by_hand(((-1.0, 0.25), (1.5, 0.0), (0.0, -2.0)), log=True)
    names = None if dialect == "duckdb" else {"groups-1": "One's", "groups-2": "Two", "groups-3": "Three \\"}
    tables = {"rfm@1": InputTable("features.rfm_v1", frozenset({"a"}))}
    sql = scoring_sql(scoring_query(model, "groups", tables, names=names, dialect=dialect), dialect)
    assert f"{sql};\n" == (GOLDEN / f"{dialect}.sql").read_text(encoding="utf-8")


def test_a_stored_model_gives_the_same_text():
    _, blocks = shop(100, 7)
    model = numbered(fit_cluster_model(blocks, FitSettings(k=3)).model)
    tables = {block.name: InputTable(f"features.{block.name[:-2]}_v1") for block in blocks}
    stored = ClusterModel.from_json(json.dumps(json.loads(model.to_json())))
    assert scoring_sql(scoring_query(stored, "g", tables)) == scoring_sql(scoring_query(model, "g", tables))
