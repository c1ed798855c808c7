from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sqlseg.segments.identity import (
    Lineage,
    match_counts,
    match_segments,
    next_segment_number,
    segment_number_order,
)
from sqlseg.segments.measures import jaccard


def ids(*numbers):
    return [f"behavior-{number}" for number in numbers]


def match(shared, *, old=None, sizes=None, next_number=None, distances=None):
    shared = np.array(shared)
    old = ids(*range(1, len(shared) + 1)) if old is None else old
    sizes = shared.sum(axis=0) if sizes is None else np.array(sizes)
    number = len(shared) + 1 if next_number is None else next_number
    return match_counts("behavior", old, shared, sizes, next_number=number, distances=distances)


@st.composite
def refits(draw):
    """Users with a segment before and a cluster after; some known on one side only."""
    count = draw(st.integers(0, 40))
    old_count, new_count = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    old = np.array(draw(st.lists(st.integers(0, old_count - 1), min_size=count, max_size=count)), dtype=np.int64)
    new = np.array(draw(st.lists(st.integers(0, new_count - 1), min_size=count, max_size=count)), dtype=np.int64)
    users = np.array([f"u{number}" for number in range(count)], dtype=object)
    gone, come = draw(st.integers(0, count)), draw(st.integers(0, count))
    return users[gone:], old[gone:], users[: count - come], new[: count - come], new_count


def matched(refit, next_number=6):
    old_users, old, new_users, new, new_count = refit
    old_ids = [f"behavior-{label + 1}" for label in old]
    return match_segments("behavior", old_users, old_ids, new_users, new, new_count=new_count, next_number=next_number)


@given(refits(), st.randoms(use_true_random=False))
def test_a_renumbering_of_the_clusters_changes_no_users_segment(refit, random):
    old_users, old, new_users, new, new_count = refit
    before = dict(zip(old_users, old, strict=True))
    shared = np.zeros((5, new_count), dtype=int)
    for user, label in zip(new_users, new, strict=True):
        if user in before:
            shared[before[user], label] += 1
    # Equally good matchings, and new clusters of one size, are told apart by their numbers only.
    assume(not _has_ties(shared) and len(set(np.bincount(new, minlength=new_count))) == new_count)
    numbers = list(range(new_count))
    random.shuffle(numbers)
    renumbered = np.array([numbers[label] for label in new], dtype=np.int64)
    first = matched(refit)
    second = matched((old_users, old, new_users, renumbered, new_count))
    assert [first.segment_ids[label] for label in new] == [second.segment_ids[label] for label in renumbered]


def _has_ties(shared):
    """Whether different one-to-one matchings of overlapping pairs reach the best sum, by trying them all."""
    table = jaccard(shared)
    if table.shape[0] > table.shape[1]:
        table = table.T
    matchings = {}
    for chosen in permutations(range(table.shape[1]), table.shape[0]):
        pairs = frozenset((row, column) for row, column in enumerate(chosen) if table[row, column] > 0)
        matchings[pairs] = round(sum(table[pair] for pair in pairs), 9)
    return list(matchings.values()).count(max(matchings.values())) > 1


@given(refits())
def test_the_same_division_keeps_every_id(refit):
    users, old = refit[0], refit[1]
    present = np.unique(old)
    again = np.searchsorted(present, old)
    found = matched((users, old, users, again, len(present)))
    assert list(found.segment_ids) == ids(*(present + 1))
    assert [row.relation for row in found.lineage] == ["kept"] * len(present)
    assert all(row.overlap == 1.0 for row in found.lineage)
    assert found.next_number == 6


@given(refits(), st.integers(1, 30))
def test_ids_are_unique_and_never_used_again(refit, next_number):
    old = {f"behavior-{label + 1}" for label in refit[1]}
    found = matched(refit, next_number)
    assert len(set(found.segment_ids)) == refit[4]
    fresh = set(found.segment_ids) - old
    assert all(segment_number_order(segment)[1] >= next_number for segment in fresh)
    assert found.next_number > max(segment_number_order(segment)[1] for segment in {*found.segment_ids, *old})


@given(refits())
def test_every_old_and_new_id_has_its_one_line_of_descent(refit):
    found = matched(refit)
    old = {f"behavior-{label + 1}" for label in refit[1]}
    beginnings = [row for row in found.lineage if row.relation in ("kept", "split", "born")]
    endings = [row for row in found.lineage if row.relation in ("kept", "merged", "retired")]
    assert sorted(row.to_segment_id for row in beginnings) == sorted(found.segment_ids)
    assert sorted(row.from_segment_id for row in endings) == sorted(old)
    assert all(0 <= row.overlap <= 1 for row in found.lineage)
    for row in found.lineage:
        assert (row.from_segment_id == row.to_segment_id) == (row.relation == "kept")


def test_a_split_names_its_parent():
    found = match([[60, 40], [0, 0]], old=ids(1, 7), sizes=[60, 40], next_number=9)
    assert found.segment_ids == ("behavior-1", "behavior-9")
    assert found.lineage == (
        Lineage("behavior-1", "behavior-1", "kept", 0.6),
        Lineage("behavior-1", "behavior-9", "split", 1.0),
        Lineage("behavior-7", None, "retired", 0.0),
    )
    assert found.next_number == 10


def test_a_merger_names_its_heir():
    found = match([[60], [40]])
    assert found.segment_ids == ("behavior-1",)
    assert found.lineage == (
        Lineage("behavior-1", "behavior-1", "kept", 0.6),
        Lineage("behavior-2", "behavior-1", "merged", 1.0),
    )


def test_too_little_in_common_is_a_birth_and_a_retirement():
    # Each of three clusters takes a third of each of three segments: Jaccard 30 / 150 = 0.2.
    found = match([[30, 30, 30]] * 3)
    assert found.segment_ids == tuple(ids(4, 5, 6))
    assert {row.relation for row in found.lineage} == {"born", "retired"}
    assert [row.overlap for row in found.lineage] == pytest.approx([1 / 3] * 6)


def test_half_in_common_between_two_of_a_size_is_still_the_same_segment():
    # Each pair shares 50 of 100 both ways: 50 / 150 is one third.
    shared = [[50, 25, 25], [25, 50, 25], [25, 25, 50]]
    assert match(shared).segment_ids == tuple(ids(1, 2, 3))


def test_new_ids_go_to_the_largest_first():
    found = match(np.zeros((0, 3), dtype=int), old=[], sizes=[5, 90, 30], next_number=1)
    assert found.segment_ids == tuple(ids(3, 1, 2))
    assert {row.relation for row in found.lineage} == {"born"}


def test_distance_settles_what_users_leave_open():
    shared = [[50, 50], [0, 0]]
    near_second = np.array([[9.0, 1.0], [5.0, 5.0]])
    assert match(shared, distances=near_second).segment_ids[1] == "behavior-1"
    assert match(shared, distances=near_second[:, ::-1]).segment_ids[0] == "behavior-1"


def test_place_decides_where_no_user_is_left():
    """All users are others: each cluster is the segment that the old model would see in its mean user."""
    centers = {"behavior-4": np.array([0.0, 0.0]), "behavior-7": np.array([10.0, 0.0])}

    def found(*places):
        users = np.array([f"n{n}" for n in range(3 * len(places))], dtype=object)
        return match_segments(
            "behavior",
            np.array(["a", "b"]),
            ids(4, 7),
            users,
            np.repeat(np.arange(len(places)), 3),
            new_count=len(places),
            next_number=9,
            old_centers=centers,
            new_centers=np.array(places, dtype=float),
        )

    assert found([9, 1], [1, -1]).segment_ids == tuple(ids(7, 4))
    assert found([9, 1], [1, -1]).lineage[0] == Lineage("behavior-7", "behavior-7", "kept", 0.0)
    # Two in the place of one: the nearer goes on. Nobody is in the place of the other, which ends.
    split = found([3, 0], [1, 0])
    assert split.segment_ids == ("behavior-9", "behavior-4")
    assert {row.relation for row in split.lineage if row.from_segment_id == "behavior-7"} == {"retired"}


def test_place_never_overrules_users():
    # All of 1's users are in the first cluster, however near the second, of new users, lies.
    found = match([[9, 0]], sizes=[9, 5], distances=np.array([[8.0, 0.1]]))
    assert found.segment_ids == tuple(ids(1, 2))
    # And an old segment whose place is unknown is matched with nobody.
    found = match([[0]], sizes=[5], distances=np.array([[np.inf]]))
    assert found.segment_ids == tuple(ids(2))


def test_live_segments_without_users_are_retired():
    found = match_segments(
        "behavior",
        np.array(["a", "b"]),
        ids(2, 2),
        np.array(["a", "b"]),
        np.array([0, 0]),
        new_count=1,
        next_number=11,
        live_ids=ids(2, 10),
    )
    assert found.segment_ids == ("behavior-2",)
    assert found.lineage[1] == Lineage("behavior-10", None, "retired", 0.0)


def test_numbers_count_every_id_ever_given():
    assert next_segment_number("a", []) == 1
    assert next_segment_number("a", ["a-3", "a-b-12", "a-2"]) == 4
    assert match([[1]], old=ids(7), next_number=2).next_number == 8
    assert sorted(ids(10, 2), key=segment_number_order) == ids(2, 10)
