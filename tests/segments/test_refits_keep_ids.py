"""Ids through refits: other seeds, and groups that split, merge, come and go among users who can be told apart."""

import numpy as np
import pytest

from sqlseg.segments.blocks import feature_block
from sqlseg.segments.identity import match_segments, segment_number_order
from sqlseg.segments.model import FitSettings, fit_cluster_model

PLACES = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]])


def users_at(*groups, start=0):
    """Ids and features of users: `groups` are (place, how many), a place being three coordinates."""
    random = np.random.default_rng(5)
    values = np.concatenate([random.normal(size=(count, 3)) + place for place, count in groups])
    return np.array([f"u{start + n:05}" for n in range(len(values))], dtype=object), values


def refit(before, users, values, *, k, seed=1, used=5):
    """Fit these users anew, and match the clusters with the segments of `before` (user to segment)."""
    known = sorted(set(before.values()), key=segment_number_order)
    previous = np.array([known.index(before[user]) if user in before else -1 for user in users])
    blocks = [feature_block("x@1", ["x__a", "x__b", "x__c"], values)]
    fitted = fit_cluster_model(blocks, FitSettings(k=k, seed=seed), previous if known else None)
    found = match_segments(
        "g",
        np.array(list(before), dtype=object),
        list(before.values()),
        users,
        fitted.assignment.labels,
        new_count=len(fitted.model.centers),
        next_number=used + 1,
    )
    ids = np.array(found.segment_ids, dtype=object)[fitted.assignment.labels]
    return dict(zip(users, ids, strict=True)), found


@pytest.fixture(scope="module")
def beginning():
    users, values = users_at(*((place, 300) for place in PLACES))
    before, _ = refit({}, users, values, k=5, seed=0, used=0)
    assert sorted(set(before.values())) == ["g-1", "g-2", "g-3", "g-4", "g-5"]
    return users, values, before


def descents(found):
    return {(row.relation, row.from_segment_id, row.to_segment_id) for row in found.lineage if row.relation != "kept"}


def test_twenty_seeds_keep_nearly_everybody_in_their_id(beginning):
    users, values, before = beginning
    for seed in range(1, 21):
        after, found = refit(before, users, values, k=5, seed=seed)
        kept = np.mean([after[user] == before[user] for user in users])
        assert kept >= 0.95, f"seed {seed}: {kept:.1%} keep their id"
        assert descents(found) == set()


def test_twenty_seeds_without_the_warm_start(beginning):
    users, values, before = beginning
    blocks = [feature_block("x@1", ["x__a", "x__b", "x__c"], values)]
    for seed in range(1, 21):
        fitted = fit_cluster_model(blocks, FitSettings(k=5, seed=seed))
        old = np.array([before[user] for user in users], dtype=object)
        labels = fitted.assignment.labels
        found = match_segments("g", users, old, users, labels, new_count=5, next_number=6)
        assert np.mean(np.array(found.segment_ids, dtype=object)[labels] == old) >= 0.95


def test_a_group_that_truly_splits_is_told_as_a_split(beginning):
    users, values, before = beginning
    parent = before[users[0]]
    # 120 of the 300 at the first place move on together.
    values = values.copy()
    values[:120] += [-9, -9, 0]
    after, found = refit(before, users, values, k=6)
    assert descents(found) == {("split", parent, "g-6")}
    assert {after[user] for user in users[:120]} == {"g-6"}
    assert np.mean([after[user] == before[user] for user in users[120:]]) >= 0.95


def test_groups_that_merge_are_told_as_a_merger(beginning):
    users, values, before = beginning
    large, small = before[users[0]], before[users[1499]]
    # The last group, of which 100 have left, joins the first one.
    users, values = users[:1400], values[:1400].copy()
    values[1200:] -= PLACES[4]
    after, found = refit(before, users, values, k=4)
    assert descents(found) == {("merged", small, large)}
    assert set(after.values()) == set(before.values()) - {small}


def test_new_users_of_a_new_kind_are_a_birth(beginning):
    users, values, before = beginning
    more, far = users_at(([-9, -9, -9], 200), start=5_000)
    after, found = refit(before, np.append(users, more), np.concatenate([values, far]), k=6)
    assert descents(found) == {("born", None, "g-6")}
    assert {after[user] for user in more} == {"g-6"}


def test_a_group_that_leaves_is_retired_and_its_id_never_comes_back(beginning):
    users, values, before = beginning
    gone = before[users[1499]]
    after, found = refit(before, users[:1200], values[:1200], k=4)
    assert descents(found) == {("retired", gone, None)}
    # The same kind of users come again, as other people: that is another segment, as the first is on record as ended.
    more, there = users_at((PLACES[4], 300), start=5_000)
    again, found = refit(after, np.append(users[:1200], more), np.concatenate([values[:1200], there]), k=5)
    assert {again[user] for user in more} == {"g-6"}
    assert gone not in again.values()
