"""Batches waste little, lose nobody, and change no answer."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.encoders.batching import ON_CPU, Batching, cut_batches, encode_ragged, pad_right
from sqlseg.encoders.bench import measure_throughput
from sqlseg.encoders.session import EncoderSession

LENGTHS = st.lists(st.integers(1, 64), max_size=200)


@given(LENGTHS, st.integers(1, 500), st.integers(0, 100))
def test_every_sequence_is_in_one_batch_within_the_budget(lengths: list[int], budget: int, start: int) -> None:
    batches = cut_batches(np.array(lengths, dtype=np.int64), Batching(budget, start))
    assert sorted(place for batch in batches for place in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[place] for place in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


@given(st.lists(st.integers(1, 12), min_size=1, max_size=40), st.integers(0, 60))
def test_no_other_cut_is_cheaper(lengths: list[int], start: int) -> None:
    """Every way to cut the distinct lengths, tried one by one."""
    sizes = sorted(set(lengths))

    def cost(ends: tuple[int, ...]) -> int:
        groups = [[n for n in lengths if low < n <= high] for low, high in zip((0, *ends), ends, strict=False)]
        return sum(len(group) * max(group) + start for group in groups)

    inner = sizes[:-1]
    every = ((*chosen, sizes[-1]) for count in range(len(inner) + 1) for chosen in itertools.combinations(inner, count))
    batches = cut_batches(np.array(lengths), Batching(10_000, start))
    found = sum(len(batch) * max(lengths[place] for place in batch) + start for batch in batches)
    assert found == min(map(cost, every))


def test_little_is_padded_in_a_call_of_the_database() -> None:
    """Short histories, 2,048 users a call: a tenth more tokens at most, and not a batch for each few users."""
    lengths = np.minimum(np.random.default_rng(0).geometric(1 / 5, 2_048), 64)
    batches = cut_batches(lengths, ON_CPU)
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert padded <= 1.1 * lengths.sum()
    assert len(batches) <= 30


def test_padding_is_on_the_right() -> None:
    values = np.arange(1, 9, dtype=np.float32).reshape(4, 2)
    padded = pad_right(values, np.array([1, 0]), np.array([1, 3]))
    assert padded.tolist() == [[[3, 4], [0, 0], [0, 0]], [[1, 2], [3, 4], [5, 6]]]


def test_batched_and_one_by_one_agree(session: EncoderSession, ragged: tuple[np.ndarray, np.ndarray]) -> None:
    values, offsets = ragged
    one_by_one = encode_ragged(values, offsets, session.run, 64, Batching(1, 0))
    with ThreadPoolExecutor(3) as executor:
        for batching in (Batching(100, 0), ON_CPU, Batching(100_000, 1_000_000)):
            batched = encode_ragged(values, offsets, session.run, 64, batching, executor)
            np.testing.assert_allclose(batched, one_by_one, atol=1e-6)
    lengths = np.diff(offsets)
    assert np.isnan(one_by_one[lengths == 0]).all()
    np.testing.assert_allclose(np.linalg.norm(one_by_one[lengths > 0], axis=1), 1, atol=1e-5)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 30), st.integers(0, 20))
def test_what_runs_is_what_padding_gives(lengths: list[int], budget: int, start: int) -> None:
    """Also where it is not copied, since the sequences of a batch are as long as each other and follow each other."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.random.default_rng(0).random((offsets[-1], 2), dtype=np.float32)
    place_of = {float(values[at, 0]): place for place, at in enumerate(offsets[:-1]) if lengths[place]}
    seen = []

    def run(tokens: np.ndarray, counts: np.ndarray) -> np.ndarray:
        places = [place_of[float(first)] for first in tokens[:, 0, 0]]
        assert counts.tolist() == [lengths[place] for place in places]
        assert tokens.flags.c_contiguous
        assert np.array_equal(tokens, pad_right(values, offsets[places], np.array(lengths)[places]))
        seen.extend(places)
        return np.array(places, np.float32)[:, None]

    found = encode_ragged(values, offsets, run, 1, Batching(budget, start))[:, 0]
    filled = np.flatnonzero(lengths)
    assert sorted(seen) == filled.tolist() == found[filled].tolist()
    assert np.isnan(found).sum() == len(lengths) - len(filled)


def test_nothing_to_encode() -> None:
    assert encode_ragged(np.empty((0, 3), np.float32), np.array([0]), pytest.fail, 64).shape == (0, 64)


def test_throughput_is_measured_by_the_clock_it_is_given(session: EncoderSession) -> None:
    ticks = iter([10.0, 12.0, 20.0, 24.0])
    short, mixed = measure_throughput(session, lambda: next(ticks), threads=2, users=100)
    assert (short.users_per_second, mixed.users_per_second) == (50, 25)
    assert short.mean_length < mixed.mean_length
    assert {short.provider, mixed.provider} == {"CPUExecutionProvider"}
