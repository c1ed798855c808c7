"""Regressions learned from labels, as SQL: DuckDB comes to the same segments, and every dialect can be parsed."""

import json

import numpy as np
import pytest
import sqlglot
from test_scoring_sql import rows_in_duckdb, shop

from sqlseg.segments.calibration import Sigmoid
from sqlseg.segments.preparation import Preparation
from sqlseg.segments.scoring_sql import DIALECTS, CannotCompile, InputTable, scoring_query, scoring_sql
from sqlseg.segments.selection import Selection
from sqlseg.segments.supervised import Labels, SupervisedModel, fit_supervised_model

NAMES = ("gold", "new", "silver", "tin")


def learned(blocks, classes, algorithm="logistic_regression", seed=0, **how):
    random = np.random.default_rng(seed)
    spend = np.log1p(blocks[0].values[:, 2]) + random.normal(0, 0.5, len(blocks[0].values))
    y = np.searchsorted(np.quantile(spend, np.arange(1, classes) / classes), spend)
    known = random.random(len(y)) < 0.5
    labels = Labels(NAMES[:classes], np.where(known, y, -1))
    model = fit_supervised_model(blocks, labels, seed, algorithm, Preparation(**how)).model
    return model.with_segment_ids([f"tier-{number}" for number in range(1, classes + 1)])


def assert_same(model, tables, blocks):
    found = rows_in_duckdb(model, tables)
    expected = model.score(blocks)
    assert [row[2] for row in found] == [model.segment_ids[label] for label in expected.labels]
    assert [row[6] for row in found] == [model.segment_ids[label] for label in expected.runner_up]
    assert {row[4] for row in found} == {None}
    assert np.abs(np.array([row[5] for row in found]) - expected.confidence).max() < 1e-12


HOWS = [
    {},
    {"projection": "lda"},
    {"projection": "pca"},
    {"selection": Selection("mutual_information", 4), "projection": "lda"},
    {"selection": Selection("chi_squared", 1)},
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("classes", [2, 4])
def test_the_database_comes_to_the_same_segments(classes, how):
    tables, blocks = shop(800, classes)
    model = learned(blocks, classes, **how)
    assert len(np.unique(model.score(blocks).labels)) == classes
    assert_same(model, tables, blocks)
    others, unseen = shop(600, 17)
    assert_same(SupervisedModel.from_json(model.to_json()), others, unseen)


def test_self_training_is_a_regression_too():
    tables, blocks = shop(600, 5)
    assert_same(learned(blocks, 3, "self_training"), tables, blocks)


@pytest.mark.parametrize("calibration", [(Sigmoid(60.0, 900.0),), (Sigmoid(0.0, 0.0),), (Sigmoid(50.0, -1200.0),)])
def test_certainty_and_doubt_do_not_overflow(calibration):
    tables, blocks = shop(300, 6)
    data = json.loads(learned(blocks, 2).to_json())
    data["regression"]["weights"] = (np.array(data["regression"]["weights"]) * 1e4).tolist()
    data["calibration"] = [vars(one) for one in calibration]
    with np.errstate(over="ignore"):
        assert_same(SupervisedModel.from_json(json.dumps(data)), tables, blocks)


def test_classes_that_nobody_can_tell_apart_go_to_the_first():
    tables, blocks = shop(300, 6)
    data = json.loads(learned(blocks, 3).to_json())
    data["calibration"] = [{"slope": 0.0, "intercept": -0.5}] * 3
    model = SupervisedModel.from_json(json.dumps(data))
    assert set(model.score(blocks).labels) == {0} and set(model.score(blocks).runner_up) == {1}
    assert_same(model, tables, blocks)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_reads_its_sql(dialect):
    _, blocks = shop(300, 3)
    for classes in (2, 3):
        model = learned(blocks, classes)
        tables = {name: InputTable(f"features.{name.replace('@', '_v')}") for name in ("rfm@1", "cadence@1")}
        names = dict(zip(model.segment_ids, NAMES, strict=False))
        query = scoring_query(model, "tier", tables, names=names, dialect=dialect)
        sqlglot.parse_one(scoring_sql(query, dialect), dialect=dialect)


def test_trees_and_graphs_are_no_formula():
    _, blocks = shop(300, 3)
    tables = {"rfm@1": InputTable("features.rfm_v1"), "cadence@1": InputTable("features.cadence_v1")}
    with pytest.raises(CannotCompile, match="boosted trees are no short SQL"):
        scoring_query(learned(blocks, 2, "gradient_boosting"), "tier", tables)
    with pytest.raises(CannotCompile, match="label_spreading places users by those they resemble"):
        scoring_query(learned(blocks, 2, "label_spreading"), "tier", tables)
