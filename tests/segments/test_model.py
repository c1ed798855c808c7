import numpy as np
import pytest

from sqlseg.errors import SqlsegError
from sqlseg.segments import model as model_module
from sqlseg.segments import parts
from sqlseg.segments.blocks import embedding_block, feature_block
from sqlseg.segments.model import ClusterModel, FitSettings, fit_cluster_model


def shop(groups=5, users=2_000, seed=0):
    """Two views and an embedding of users who fall into groups, with gaps."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, groups, users)
    places = np.random.default_rng(99).normal(size=(groups, 12)) * 3
    known = places[truth] + random.normal(size=(users, 12))
    known[:, 0] = np.exp(known[:, 0])
    known[random.random(known.shape) < 0.02] = np.nan
    embedding = (np.random.default_rng(98).normal(size=(groups, 16))[truth]) + random.normal(size=(users, 16)) * 0.3
    embedding[::50] = np.nan
    return [
        feature_block("rfm@1", [f"rfm__{i}" for i in range(4)], known[:, :4]),
        feature_block("cadence@1", [f"cadence__{i}" for i in range(8)], known[:, 4:]),
        embedding_block("encoder:behavior@1", embedding),
    ], truth


@pytest.fixture(scope="module")
def fitted():
    return fit_cluster_model(shop()[0], FitSettings(k_max=8))


def test_groups_are_found_and_the_choice_is_on_record(fitted):
    truth = shop()[1]
    pairs = list(zip(truth, fitted.assignment.labels, strict=True))
    agreeing = sum(sorted(np.bincount([b for a, b in pairs if a == group]))[-1] for group in range(5))
    assert agreeing / len(pairs) > 0.97
    assert [t.k for t in fitted.tried] == [4, 5, 6, 7, 8]
    assert any("5 segments" in note for note in fitted.notes)


def test_a_model_survives_json_exactly(fitted):
    model = fitted.model.with_segment_ids([f"behavior-{i}" for i in (3, 1, 2, 9, 5)])
    again = ClusterModel.from_json(model.to_json())
    assert again == model
    assert again.to_json() == model.to_json()
    found = again.score(shop()[0], with_probability=True)
    for field in ("labels", "distance", "runner_up", "confidence", "probability"):
        assert np.array_equal(getattr(found, field), getattr(fitted.assignment, field))


def test_the_same_users_and_seed_give_the_same_model(fitted):
    assert fit_cluster_model(shop()[0], FitSettings(k_max=8)).model == fitted.model


def test_users_are_placed_alike_alone_and_together(fitted, monkeypatch):
    blocks = shop()[0]
    monkeypatch.setattr(parts, "USERS_AT_ONCE", 300)
    found = fitted.model.score(blocks)
    assert np.array_equal(found.labels, fitted.assignment.labels)
    assert found.distance == pytest.approx(fitted.assignment.distance)
    one = fitted.model.score([block.take(np.array([7])) for block in blocks])
    assert one.labels[0] == found.labels[7]
    assert fitted.model.score([block.take(np.array([], dtype=int)) for block in blocks]).labels.size == 0


def test_drift_is_seen_by_feature_and_an_embedding_is_one(fitted):
    blocks, _ = shop()
    calm = {row.feature: row for row in fitted.model.drift(shop(seed=1)[0])}
    assert set(calm) == {*blocks[0].columns, *blocks[1].columns, "encoder:behavior@1"}
    assert {row.status for row in calm.values()} == {"ok"}
    values = blocks[1].values.copy()
    values[:, 2] += 4
    moved = [
        blocks[0],
        feature_block("cadence@1", blocks[1].columns, values),
        embedding_block("encoder:behavior@1", blocks[2].values + 1),
    ]
    shifted = {row.feature for row in fitted.model.drift(moved) if row.status == "shift"}
    assert shifted == {"cadence__2", "encoder:behavior@1"}


def test_a_number_that_was_asked_for_is_kept_to():
    blocks, _ = shop(users=400)
    result = fit_cluster_model(blocks, FitSettings(k=3))
    assert len(result.model.centers) == 3 and result.tried == ()


def test_crumbs_are_merged_into_their_neighbours_and_noted(monkeypatch):
    blocks, _ = shop(users=1_000)
    monkeypatch.setattr(model_module, "SMALLEST_SHARE", 0.15)
    result = fit_cluster_model(blocks, FitSettings(k_min=8, k_max=8))
    shares = result.assignment.sizes(len(result.model.centers)) / 1_000
    assert shares.min() >= 0.15
    assert sum("merged into its neighbours" in note for note in result.notes) == 8 - len(shares)


def test_a_refit_that_begins_with_the_old_segments_moves_fewer_users():
    random = np.random.default_rng(0)
    cloud = random.normal(size=(3_000, 6))
    first = fit_cluster_model([feature_block("a@1", list("abcdef"), cloud)], FitSettings(k=5))
    later = [feature_block("a@1", list("abcdef"), cloud + random.normal(size=cloud.shape) * 0.05)]
    old = first.assignment.labels
    again = fit_cluster_model(later, FitSettings(k=5, seed=4), previous_labels=old)
    pairs = np.zeros((5, 5))
    np.add.at(pairs, (old, again.assignment.labels), 1)
    assert pairs.max(axis=1).sum() / 3_000 > 0.9


def test_a_large_shop_is_fitted_on_some_and_placed_in_full(monkeypatch):
    monkeypatch.setattr(model_module, "FIT_USERS", 500)
    blocks, _ = shop()
    result = fit_cluster_model(blocks, FitSettings(k=5), previous_labels=np.zeros(2_000, dtype=np.int64))
    assert result.model.fit_user_count == 500
    assert result.assignment.labels.shape == (2_000,)


@pytest.mark.parametrize("users", [1, 5, 60])
@pytest.mark.parametrize("k", ["auto", 4])
@pytest.mark.parametrize("alike", [True, False])
def test_small_shops_work_and_say_so(users, k, alike):
    random = np.random.default_rng(0)
    values = np.ones((users, 3)) if alike else random.normal(size=(users, 3))
    blocks = [feature_block("a@1", ["a__x", "a__y", "a__z"], values), embedding_block("encoder:e@1", values)]
    result = fit_cluster_model(blocks, FitSettings(k=k))
    count = len(result.model.centers)
    assert 1 <= count <= max(4, users)
    assert np.all(result.assignment.sizes(count) > 0)
    assert result.notes or count >= 4
    if count == 1:
        assert result.assignment.confidence.tolist() == [1.0] * users
    assert ClusterModel.from_json(result.model.to_json()) == result.model
    assert all(row.status == "ok" for row in result.model.drift(blocks))


def test_what_cannot_be_done_is_refused(fitted):
    for settings in ({"k": 0}, {"k_min": 5, "k_max": 4}, {"k_min": 0}):
        with pytest.raises(SqlsegError, match="must be"):
            FitSettings(**settings)
    with pytest.raises(SqlsegError, match="No algorithm named"):
        fit_cluster_model(shop(users=20)[0], FitSettings(algorithm="magic"))
    with pytest.raises(SqlsegError, match="no user"):
        fit_cluster_model([feature_block("a@1", ["a__x"], np.empty((0, 1)))], FitSettings())
    with pytest.raises(SqlsegError, match="different ids"):
        fitted.model.with_segment_ids(["behavior-1"] * 5)
    with pytest.raises(SqlsegError, match="format"):
        ClusterModel.from_json('{"format": 99}')
