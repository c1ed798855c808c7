"""A version of an encoder is chosen in the settings, beside others."""

import numpy as np
import pytest
from shops import bought, new_shop, viewed

from sqlseg.encoders.forecasting import open_forecaster
from sqlseg.encoders.manifest import load_encoder
from sqlseg.resources import resource_root

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
