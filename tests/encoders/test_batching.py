"""Batches waste little, lose nobody, and change no answer."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.encoders.batching import cut_batches, encode_ragged, pad_right
from sqlseg.encoders.bench import measure_throughput
from sqlseg.encoders.session import EncoderSession


@given(st.lists(st.integers(1, 64), max_size=200), st.integers(1, 500))
def test_every_sequence_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = cut_batches(np.array(lengths, dtype=np.int64), budget)
    assert sorted(place for batch in batches for place in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[place] for place in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


def test_padding_is_on_the_right() -> None:
    values = np.arange(1, 9, dtype=np.float32).reshape(4, 2)
    padded = pad_right(values, np.array([1, 0]), np.array([1, 3]))
    assert padded.tolist() == [[[3, 4], [0, 0], [0, 0]], [[1, 2], [3, 4], [5, 6]]]


def test_batched_and_one_by_one_agree(session: EncoderSession, ragged: tuple[np.ndarray, np.ndarray]) -> None:
    values, offsets = ragged
    one_by_one = encode_ragged(values, offsets, session.run, 64, token_budget=1)
    with ThreadPoolExecutor(3) as executor:
        for budget in (100, 1_536, 100_000):
            batched = encode_ragged(values, offsets, session.run, 64, budget, executor)
            np.testing.assert_allclose(batched, one_by_one, atol=1e-6)
    lengths = np.diff(offsets)
    assert np.isnan(one_by_one[lengths == 0]).all()
    np.testing.assert_allclose(np.linalg.norm(one_by_one[lengths > 0], axis=1), 1, atol=1e-5)


def test_nothing_to_encode() -> None:
    assert encode_ragged(np.empty((0, 3), np.float32), np.array([0]), pytest.fail, 64).shape == (0, 64)


def test_throughput_is_measured_by_the_clock_it_is_given(session: EncoderSession) -> None:
    ticks = iter([10.0, 12.0])
    measured = measure_throughput(session, lambda: next(ticks), threads=2, users=100)
    assert measured.users_per_second == 50
    assert measured.provider == "CPUExecutionProvider"
