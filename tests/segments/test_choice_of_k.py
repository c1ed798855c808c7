import numpy as np
import pytest

from sqlseg.segments.algorithms import kmeans
from sqlseg.segments.choice_of_k import Trial, choose, choose_k


def planted(count, seed, users=2_000, inputs=10, apart=5.0, sizes=None):
    """Round groups of unlike size at random places, each at least `apart` standard deviations from the next."""
    random = np.random.default_rng(seed)
    centers = [random.normal(size=inputs) * apart / 2]
    while len(centers) < count:
        center = random.normal(size=inputs) * apart / 2
        if min(np.linalg.norm(center - other) for other in centers) >= apart:
            centers.append(center)
    shares = random.dirichlet(np.full(count, 8.0)) if sizes is None else np.array(sizes)
    truth = random.choice(count, users, p=np.maximum(shares, 0.03) / np.maximum(shares, 0.03).sum())
    return np.array(centers)[truth] + random.normal(size=(users, inputs))


def trial(k, recurrence, error=0.01, smallest=0.05, two=0.5, silhouette=0.2):
    return Trial(k, k, recurrence, error, 0.9, silhouette, 10.0, 1.0, 5.0, smallest, two / 2, two)


def test_the_number_of_well_separated_groups_is_found_most_of_the_time():
    tried = [(count, seed) for count in range(4, 9) for seed in range(2)]
    right = sum(choose_k(planted(count, seed), kmeans, k_min=4, k_max=9, seed=seed).k == count for count, seed in tried)
    assert right >= 9, f"{right} of {len(tried)}"


def test_a_cloud_without_groups_gets_a_moderate_number_and_a_plain_word():
    X = np.random.default_rng(0).normal(size=(2_000, 12))
    choice = choose_k(X, kmeans, k_min=4, k_max=8, seed=0)
    assert 4 <= choice.k <= 8
    assert "continuum" in choice.notes[0]
    chosen = next(t for t in choice.trials if t.k == choice.k)
    assert chosen.smallest_share >= 0.01 and chosen.two_largest_share <= 0.8


def test_every_number_tried_is_on_record():
    choice = choose_k(planted(5, 0), kmeans, k_min=4, k_max=7, seed=0)
    assert [t.k for t in choice.trials] == [4, 5, 6, 7]
    best = choice.trials[1]
    assert best.recurrence == pytest.approx(1.0, abs=0.05) and best.stability == pytest.approx(1.0, abs=0.05)
    assert best.silhouette == max(t.silhouette for t in choice.trials)
    assert best.calinski_harabasz == max(t.calinski_harabasz for t in choice.trials)
    assert best.davies_bouldin == min(t.davies_bouldin for t in choice.trials)
    assert [t.inertia for t in choice.trials] == sorted((t.inertia for t in choice.trials), reverse=True)
    assert choice.centers.shape == (5, 10)


def test_a_seed_has_one_choice():
    X = np.random.default_rng(0).normal(size=(400, 3))
    first, second = (choose_k(X, kmeans, k_min=4, k_max=5, seed=1) for _ in range(2))
    assert first.trials == second.trials and first.k == second.k


def test_the_largest_number_that_can_be_relied_on_is_taken():
    assert choose([trial(4, 0.95), trial(5, 0.60), trial(6, 0.80), trial(7, 0.50)])[0] == 6


def test_halves_of_a_group_that_recur_but_do_not_stand_apart_are_passed_over():
    groups = [trial(4, 0.9, silhouette=0.4), trial(5, 0.9, silhouette=0.5)]
    assert choose([*groups, trial(6, 0.8, silhouette=0.39)])[0] == 5
    assert choose([*groups, trial(6, 0.8, silhouette=0.41)])[0] == 6
    assert choose([trial(4, 0.9, silhouette=-0.1), trial(5, 0.8, silhouette=-0.11)])[0] == 5
    assert choose([trial(4, 0.9, silhouette=None), trial(5, 0.8, silhouette=None)])[0] == 5
    halves = [trial(4, 0.9, silhouette=0.5), trial(5, 0.9, silhouette=0.3)]
    assert choose(halves, previous_k=5)[0] == 4, "not even where it was the number before"


def test_a_number_that_may_recur_by_luck_is_passed_over():
    assert choose([trial(4, 0.9), trial(5, 0.77, error=0.06)])[0] == 4
    assert choose([trial(4, 0.9), trial(5, 0.77, error=0.01)])[0] == 5


def test_what_does_not_recur_sets_no_mark_for_standing_apart():
    assert choose([trial(4, 0.6, silhouette=0.9), trial(5, 0.9, silhouette=0.2)])[0] == 5


@pytest.mark.parametrize("groups", [6, 8, 11])
def test_round_groups_among_many_inputs_are_counted(groups):
    random = np.random.default_rng(groups)
    group = random.choice(groups, 3_000, p=random.dirichlet(np.full(groups, 5.0)))
    X = random.normal(size=(3_000, 64)) + random.normal(size=(groups, 64))[group] * 0.5
    choice = choose_k(X, kmeans, k_min=4, k_max=12, seed=0)
    assert choice.k == groups
    own = np.array([X[group == one].mean(axis=0) for one in range(groups)])
    apart = np.linalg.norm(own[:, None] - choice.centers, axis=2)
    assert len(set(apart.argmin(axis=1))) == groups, "one centroid for each group"


def test_crumbs_and_two_giants_are_passed_over_while_others_remain():
    assert choose([trial(4, 0.8), trial(5, 0.9, smallest=0.009), trial(6, 0.9, two=0.81)])[0] == 4
    assert choose([trial(4, 0.9, two=0.9), trial(5, 0.9, smallest=0.001)])[0] == 4
    assert choose([trial(4, 0.9, smallest=0.001), trial(5, 0.8, smallest=0.001)])[0] == 5


def test_on_a_continuum_the_largest_within_one_standard_error_is_taken():
    number, note = choose([trial(4, 0.60, error=0.05), trial(5, 0.56), trial(6, 0.50)])
    assert number == 5 and "continuum" in note
    assert choose([trial(4, 0.60, error=0.01), trial(5, 0.56)])[0] == 4


def test_a_refit_keeps_the_number_there_was_where_it_is_as_good():
    stable = [trial(4, 0.95), trial(5, 0.60), trial(6, 0.80)]
    assert choose(stable, previous_k=4)[0] == 4
    assert choose(stable, previous_k=5)[0] == 6
    continuum = [trial(4, 0.60, error=0.05), trial(5, 0.56), trial(6, 0.50)]
    number, note = choose(continuum, previous_k=4)
    assert number == 4 and "as before" in note
    assert choose(continuum, previous_k=6)[0] == choose(continuum, previous_k=11)[0] == 5


@pytest.mark.parametrize(
    ("X", "k", "note"),
    [
        (np.ones((1, 2)), 1, "1 user: too few for 4 segments, so there is 1."),
        (np.arange(10.0).reshape(5, 2), 1, "5 users: too few"),
        (np.ones((500, 2)), 1, "1 different user: too few for 4 segments, so there is 1."),
        (np.empty((500, 0)), 1, "1 different user:"),
        (np.repeat(np.eye(3), 50, axis=0), 3, "3 different users: too few for 4 segments, so there are 3."),
        (np.random.default_rng(0).normal(size=(25, 2)), 2, "25 users: too few"),
    ],
)
def test_few_users_get_few_segments_and_are_told(X, k, note):
    choice = choose_k(X, kmeans, k_min=4, k_max=12, seed=0)
    assert choice.k == k and choice.trials == () and note in choice.notes[0]


def test_as_many_different_users_as_segments_is_no_crash():
    X = np.repeat(np.random.default_rng(0).normal(size=(5, 3)), 40, axis=0)
    choice = choose_k(X, kmeans, k_min=4, k_max=12, seed=0)
    assert choice.k == 5 and [t.k for t in choice.trials] == [4, 5]
