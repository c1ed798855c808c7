"""Text columns among the inputs of a segmentation."""

import json

import numpy as np
import pytest

from sqlseg.errors import SqlsegError
from sqlseg.segments.blocks import feature_block
from sqlseg.segments.categories import Category, fit_category
from sqlseg.segments.model import ClusterModel, FitSettings, fit_cluster_model
from sqlseg.segments.preprocessing import fit_preprocessing


def texts(*values):
    return np.array(values, dtype=object)


def countries(users=200):
    """Half GB, a third FR, some others too rare for a column of their own, some unknown."""
    usual = ["GB", "GB", "GB", "FR", "FR", None]
    values = np.array([usual[i % 6] for i in range(users)], dtype=object)
    values[:6] = ["MT", "MT", "CY", "IS", "IS", "IS"]
    return values


def block(values, extra=None):
    numbers = np.arange(float(len(values)))[:, None] if extra is None else extra
    return feature_block("who@1", ["who__age"], numbers, {"who__country": values})


def test_rare_levels_are_pooled_and_the_order_is_that_of_their_size():
    category = fit_category("who@1", "who__country", countries())
    assert category == Category("who@1", "who__country", ("GB", "FR"), True)
    assert category.names == ("who__country=GB", "who__country=FR", "who__country=(other)")
    placed = category.indicators(texts("FR", "MT", "never seen", None, "GB"))
    assert placed.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_only_the_twenty_most_usual_levels_have_a_column():
    values = texts(*(f"level {i % 30:02}" for i in range(600)), *["level 29"] * 10)
    category = fit_category("who@1", "who__x", values)
    assert len(category.levels) == 20 and category.levels[:2] == ("level 29", "level 00") and category.pooled


def test_what_tells_nobody_apart_is_left_out_with_the_reason():
    nobody = block(texts(*[None] * 60))
    each = block(texts(*(f"user {i}" for i in range(60))))
    same = block(texts(*["GB"] * 60))
    for one, reason in ((nobody, "missing for every user"), (each, "none of its 60 levels"), (same, "the same for")):
        fitted = fit_preprocessing([one])
        assert fitted.inputs == ("who__age",)
        assert [row.reason for row in fitted.dropped if reason in row.reason]


def test_a_category_weighs_as_one_column_and_transforms_users_who_come_later():
    values = countries(3_000)
    fitted = fit_preprocessing([block(values, np.random.default_rng(0).normal(size=(3_000, 1)))])
    X = fitted.transform([block(values, np.random.default_rng(0).normal(size=(3_000, 1)))])
    levels = [i for i, name in enumerate(fitted.inputs) if "=" in name]
    assert X[:, levels].var(axis=0).sum() == pytest.approx(X[:, 0].var(), rel=0.05)
    later = fitted.transform([block(texts("GB", "somewhere new", None), np.zeros((3, 1)))])
    assert np.array_equal(later[1], later[2]) and not np.array_equal(later[0], later[1])
    with pytest.raises(SqlsegError, match="does not have as text"):
        fitted.transform([feature_block("who@1", ["who__age"], np.zeros((3, 1)))])


def test_groups_that_differ_by_a_text_only_are_found_and_stored():
    values = texts(*(["GB", "FR", "DE"][i % 3] for i in range(300)))
    blocks = [block(values, np.random.default_rng(0).normal(size=(300, 1)) * 0.1)]
    result = fit_cluster_model(blocks, FitSettings(k=3, weights={"who@1": 1.0}))
    model = result.model
    again = ClusterModel.from_json(model.to_json())
    assert again == model
    assert json.loads(model.to_json())["preprocessing"]["categories"][0]["levels"] == ["DE", "FR", "GB"]
    assert np.array_equal(again.score(blocks).labels, result.assignment.labels)
    assert {row.feature for row in model.drift(blocks)} == set(model.preprocessing.inputs)
    moved = model.drift([block(texts(*["GB"] * 300), blocks[0].values)])
    assert {row.feature for row in moved if row.status == "shift"} == {f"who__country={c}" for c in ("GB", "FR", "DE")}


def test_a_model_without_texts_is_stored_as_before():
    fitted = fit_preprocessing([feature_block("a@1", ["a__x"], np.arange(50.0)[:, None])])
    assert "categories" not in fitted.to_dict()
