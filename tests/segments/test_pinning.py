"""k-means around pinned users: they stay, everybody else is where k-means would have them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import feature_block, rounded
from sqlseg.segments.explain import pinned_first, user_reasons
from sqlseg.segments.identity import match_counts
from sqlseg.segments.model import ClusterModel, FitSettings, fit_cluster_model
from sqlseg.segments.pinning import PinnedKMeans, Pins, TooManyPins, held, pinned_kmeans, pinned_segments


def islands(count, users=600, apart=6.0, seed=0):
    random = np.random.default_rng(seed)
    truth = np.arange(users) % count
    centers = np.zeros((count, 4))
    centers[np.arange(count), np.arange(count) % 4] = apart * (1 + np.arange(count) // 4)
    return rounded(centers[truth] + random.normal(size=(users, 4))), truth


def free(users):
    return np.full(users, -1, dtype=np.int64)


def naive(X, owner, centers):
    """Constrained k-means as the paper has it, user by user."""
    while True:
        labels = np.array(
            [
                owner[i] if owner[i] >= 0 else int(np.argmin([((x - center) ** 2).sum() for center in centers]))
                for i, x in enumerate(X)
            ]
        )
        means = np.stack([X[labels == k].mean(axis=0) for k in range(len(centers))])
        if np.allclose(means, centers, rtol=0, atol=1e-12):
            return labels, means
        centers = means


def test_all_groups_pinned_is_constrained_kmeans_from_the_means_of_the_pinned():
    X, truth = islands(3, users=120, apart=2.5)
    owner = free(120)
    owner[[0, 3, 6]], owner[[1, 4]], owner[[2, 5, 9]] = 0, 1, 2  # user 9 is of the first island
    found, positions = pinned_kmeans(X, owner, 3, seed=0)
    labels, means = naive(X, owner, np.stack([X[owner == k].mean(axis=0) for k in range(3)]))
    number = np.array(positions)
    assert np.array_equal(found.labels, number[labels])
    assert found.centers[number] == pytest.approx(means, abs=1e-6)
    inertia = float(((X - means[labels]) ** 2).sum())
    assert found.inertia == pytest.approx(inertia, rel=1e-5)
    assert found.labels[9] == number[2] and truth[9] == 0


def test_pinned_groups_come_first_and_free_ones_are_found_beside_them():
    X, truth = islands(5)
    owner = free(600)
    owner[[2, 7]] = 0  # of the third island
    found, (vip,) = pinned_kmeans(X, owner, 5, seed=0)
    assert adjusted_rand_score(truth, found.labels) == 1.0
    assert np.all(found.labels[truth == 2] == vip)
    theirs = KMeans(5, n_init=10, random_state=0).fit(X)
    assert found.inertia == pytest.approx(theirs.inertia_, rel=1e-6)


def test_a_pin_against_the_data_is_kept_and_confidence_says_so():
    X, _ = islands(3)
    owner = free(600)
    owner[[0, 3, 6]], owner[1] = 0, 0  # user 1 is of another island
    pins = Pins(("VIP",), owner)
    fit = fit_cluster_model([feature_block("f@1", list("abcd"), X)], FitSettings(k=3), None, pins)
    own = fit.model.pinned["VIP"]
    found = fit.assignment
    assert np.all(found.labels[[0, 1, 3, 6]] == own)
    assert found.confidence[0] > 0.5 > found.confidence[1]
    Z = fit.model.preprocessing.transform([feature_block("f@1", list("abcd"), X)])
    squared = ((Z[1] - fit.model.center_matrix) ** 2).sum(axis=1)
    nearest_other = min(k for k in range(3) if k != own and squared[k] == min(np.delete(squared, own)))
    assert found.runner_up[1] == nearest_other == fit.assignment.labels[4]
    assert found.distance[1] == pytest.approx(np.sqrt(squared[own]))
    assert found.confidence[1] == pytest.approx(squared[nearest_other] / (squared[nearest_other] + squared[own]))
    assert np.all(found.probability[[0, 1, 3, 6]] == 1.0)
    free_users = owner == -1
    nearest = assign(Z, fit.model.center_matrix)
    for part in ("labels", "distance", "runner_up", "confidence"):
        assert np.array_equal(getattr(found, part)[free_users], getattr(nearest, part)[free_users])


def test_the_model_survives_json_and_knows_no_user():
    X, _ = islands(3)
    owner = free(600)
    owner[[0, 5]] = 0, 1
    blocks = [feature_block("f@1", list("abcd"), X)]
    fit = fit_cluster_model(blocks, FitSettings(k=4), None, Pins(("A", "B"), owner))
    model = fit.model.with_segment_ids(["s-1", "s-2", "s-3", "s-4"])
    again = ClusterModel.from_json(model.to_json())
    assert again == model and set(again.pinned) == {"A", "B"}
    pinned = np.array([again.pinned["A"], again.pinned["B"], -1])[owner]
    assert np.array_equal(again.score(blocks, pinned=pinned).labels, fit.assignment.labels)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_pinned_users_stay_whatever_they_are_like(data):
    users = data.draw(st.integers(1, 40))
    row = st.lists(st.integers(-3, 3), min_size=2, max_size=2)
    X = rounded(np.array(data.draw(st.lists(row, min_size=users, max_size=users)), dtype=np.float64))
    groups = data.draw(st.integers(1, min(3, users)))
    owner = free(users)
    owner[:groups] = np.arange(groups)
    for user in range(groups, users):
        owner[user] = data.draw(st.integers(-1, groups - 1))
    k = data.draw(st.integers(groups, 6))
    found, positions = pinned_kmeans(X, owner, k, seed=0)
    number = np.array([*positions, -1])
    assert np.array_equal(found.labels[owner >= 0], number[owner][owner >= 0])
    assert len(set(positions)) == groups <= len(found.centers) <= k
    assert np.bincount(found.labels, minlength=len(found.centers)).min() >= 1
    placed = held(assign(X, found.centers), X, found.centers, number[owner])
    assert np.array_equal(placed.labels, found.labels)
    assert np.all((placed.confidence >= 0) & (placed.confidence <= 1))
    assert np.all(placed.runner_up != placed.labels)


def test_a_seed_has_one_result_and_the_order_of_users_changes_nothing():
    X, _ = islands(4, apart=3.0)
    owner = free(600)
    owner[:4] = [0, 1, 0, 1]
    one, other = (pinned_kmeans(X, owner, 4, seed=5)[0] for _ in range(2))
    assert np.array_equal(one.labels, other.labels)
    order = np.random.default_rng(1).permutation(600)
    mixed = pinned_kmeans(X[order], owner[order], 4, seed=5)[0]
    assert adjusted_rand_score(one.labels[order], mixed.labels) > 0.98


def test_many_users_are_begun_on_a_sample_that_holds_all_pins():
    X, truth = islands(3, users=15_000, apart=8.0)
    owner = free(15_000)
    owner[[14_998, 14_999]] = 0, 1
    found, positions = pinned_kmeans(X, owner, 3, seed=0)
    assert adjusted_rand_score(truth, found.labels) == 1.0
    assert found.labels[14_998] == positions[0] and found.labels[14_999] == positions[1]


def around(X, owner, **other):
    given = {"k": "auto", "k_min": 2, "k_max": 7, "seed": 0, "criterion": "recurrence", "previous": None}
    return pinned_segments(X, owner, **(given | other))


def test_the_number_counts_pinned_groups_and_is_at_least_as_many():
    X, truth = islands(5)
    owner = free(600)
    owner[[0, 1]] = 0, 1
    found = around(X, owner)
    assert len(found.found.centers) == 5 and adjusted_rand_score(truth, found.found.labels) == 1.0
    assert [trial.k for trial in found.tried] == [2, 3, 4, 5, 6, 7]
    owner[:6] = np.arange(6)
    assert [trial.k for trial in around(X, owner).tried] == [6, 7]
    assert found.refits is not None and found.refits.centers.shape == (10, 5, 4)


def test_more_pinned_groups_than_segments_are_refused():
    X, _ = islands(5)
    owner = free(600)
    owner[:4] = np.arange(4)
    with pytest.raises(TooManyPins, match="pins name 4 segments, and k allows 3"):
        around(X, owner, k=3)
    with pytest.raises(TooManyPins, match="k_max allows 3"):
        around(X, owner, k_max=3)


def test_few_users_have_fewer_segments_but_all_that_are_pinned():
    X = rounded(np.arange(12.0).reshape(6, 2))
    owner = np.array([0, 1, 2, -1, -1, -1])
    found = around(X, owner, k_min=4, k_max=6)
    assert len(found.found.centers) == 3 and "too few" in found.notes[0]
    assert len(around(X[:1], owner[:1], k=4).found.centers) == 1
    alike = around(np.ones((20, 2)), np.r_[0, 1, free(18)], k=4)
    assert len(alike.found.centers) == 2 and "the users form 2 only" in alike.notes[0]


def test_free_segments_stay_near_where_they_were_and_free_crumbs_are_merged():
    X, _ = islands(4, apart=2.0)
    owner = free(600)
    owner[[0, 4]] = 0
    before = around(X, owner, k=4).found.labels
    again = around(X, owner, k=4, previous=before, seed=9)
    assert adjusted_rand_score(before, again.found.labels) > 0.95
    few = np.vstack([X, np.full((3, 4), 60.0)])
    found = around(few, np.r_[owner, free(3)], k_min=5, k_max=5)
    assert len(found.found.centers) == 4 and "under 1%" in found.notes[-1]
    kept = around(few, np.r_[owner, [1, 1, -1]], k_min=5, k_max=5)
    assert len(kept.found.centers) == 5 and kept.found.labels[-1] == kept.positions[1]


def test_company_is_there_whoever_else_is():
    X, truth = islands(3)
    company = PinnedKMeans(X[[2, 5]], np.array([0, 0]))
    found = company(X[truth != 2], 3, seed=0)
    assert len(found.centers) == 2 or np.bincount(found.labels).min() > 0
    assert adjusted_rand_score(truth, company(X, 3, seed=0).labels) == 1.0


def test_the_pin_is_the_first_reason_and_the_inputs_follow():
    X, _ = islands(3)
    owner = free(600)
    owner[[0, 1]] = 0
    blocks = [feature_block("f@1", list("abcd"), X)]
    fit = fit_cluster_model(blocks, FitSettings(k=3), None, Pins(("A",), owner))
    reasons = user_reasons(fit.model, blocks, fit.assignment)
    found = pinned_first(reasons, owner)
    for user in (0, 1, 2):
        mine = found.user == user
        names = [found.features[feature] for feature in found.feature[mine]]
        ranks = found.rank[mine].tolist()
        order = np.argsort(ranks)
        assert sorted(ranks) == list(range(1, len(ranks) + 1))
        assert (names[order[0]] == "pinned") == (user != 2)
    assert found.user.size == reasons.user.size + 2
    assert found.contribution.sum() == pytest.approx(reasons.contribution.sum())
    assert np.array_equal(found.user, np.sort(found.user))


def test_named_clusters_take_their_ids_whatever_they_share():
    shared = np.array([[90, 5, 0], [3, 80, 0], [0, 0, 70]])
    found = match_counts(
        "b", ["b-1", "b-2", "b-3"], shared, np.array([93, 85, 70]), next_number=10, named={0: "b-2", 2: "b-9"}
    )
    assert found.segment_ids == ("b-2", "b-10", "b-9")
    told = {(line.from_segment_id, line.to_segment_id, line.relation) for line in found.lineage}
    assert {("b-2", "b-2", "kept"), ("b-3", "b-9", "split"), ("b-3", "b-9", "merged")} <= told
    found = match_counts("b", ["b-1", "b-2"], shared[:2, :2], np.array([93, 85]), next_number=3, named={1: "b-1"})
    assert found.segment_ids == ("b-3", "b-1")
