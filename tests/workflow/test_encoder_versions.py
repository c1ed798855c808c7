"""A version of an encoder is chosen in the settings, beside others."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from shops import bought, new_shop, viewed

from sqlseg.encoders.embedding import NUMBERED_USERS, number_users
from sqlseg.encoders.forecasting import open_forecaster
from sqlseg.encoders.manifest import load_encoder
from sqlseg.engine.duckdb import Engine
from sqlseg.features.registry import Registry
from sqlseg.resources import resource_root
from sqlseg.workflow.embedding import tokens_sql
from sqlseg.workflow.materialise import Moment

NOW = datetime(2024, 3, 4)

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("ann", "2024-03-03 10:00", 10),
    bought("bob", "2024-03-01 12:00", 50),
    viewed("eve", "2024-03-03 09:00"),
]
SEGMENTATIONS = "".join(
    f'[segmentations.groups_{k}]\nkind = "cluster"\ninputs = ["rfm@1", "encoder:behavior@{k}"]\nk = 2\n' for k in (1, 2)
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("versions") / "shop", EVENTS, SEGMENTATIONS)
    shop.refresh()
    return shop


def embeddings(shop, version):
    rows = shop.rows(f"select user_id, embedding from embeddings.behavior_v{version} order by user_id")
    return {user: np.array(embedding, dtype=np.float32) for user, embedding in rows}


def test_each_version_embeds_in_its_own_table(shop):
    first, second = embeddings(shop, 1), embeddings(shop, 2)
    assert list(first) == list(second) == ["ann", "bob", "eve"]
    for user, embedding in second.items():
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
        assert np.abs(embedding - first[user]).max() > 0.05


def test_both_serve_segments(shop):
    rows = shop.rows("select segmentation, inputs, user_count from segments.segmentation order by 1")
    assert [(name, users) for name, _, users in rows] == [("groups_1", 3), ("groups_2", 3)]
    assert ["encoder:behavior@1" in rows[0][1], "encoder:behavior@2" in rows[1][1]] == [True, True]


def test_kept_embeddings_are_foretold_from(shop):
    kept = embeddings(shop, 2)
    forecaster = open_forecaster(load_encoder("behavior@2", [resource_root("onnx_models")]))
    soon, late = (forecaster.forecasts(np.stack(list(kept.values())), np.full(3, age)) for age in (1, 400))
    chance = forecaster.described.quantities.index("order_probability")
    assert (soon[:, -1, chance] > late[:, -1, chance]).all()
    buyer, browser = list(kept).index("ann"), list(kept).index("eve")
    assert soon[buyer, -1, chance] > soon[browser, -1, chance]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_tokens_of_numbered_users_are_those_of_named_ones(shop, version):
    """A refresh has shipped sequences read places of users for their ids; a shop's own sequences read the ids."""
    encoder = load_encoder(f"behavior@{version}", [resource_root("onnx_models")])
    sequence = Registry.load([resource_root("sql")]).view("sequences", encoder.manifest.sequence)
    moment = Moment(NOW, NOW)
    with Engine.open(shop.directory / "warehouse.duckdb", read_only=True) as engine:
        number_users(engine, "sqlseg.population")
        by_place, numbered = tokens_sql(sequence, moment)
        by_id, of_a_shop = tokens_sql(replace(sequence, path=shop.directory / "sql/sequences/behavior__v1.sql"), moment)
        assert (numbered, of_a_shop) == (True, False)
        named = (
            f"select u.user_id, t.* exclude (user_id) from {by_place} as t "
            f"join {NUMBERED_USERS} as u on u.place = t.user_id"
        )
        rows = engine.rows(f"select * from {by_id} order by user_id, position")
        assert rows == engine.rows(f"select * from ({named}) order by user_id, position")
        assert {user for user, *_ in rows} == {"ann", "bob", "eve"}
