"""Where an encoder really runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from sqlseg.encoders import session as sessions
from sqlseg.encoders.batching import encode_ragged
from sqlseg.encoders.manifest import Encoder, load_manifest
from sqlseg.encoders.session import (
    CPU,
    CUDA,
    DeviceUnavailable,
    EncoderNotRunnable,
    EncoderSession,
    missing_gpu_library,
    open_session,
)
from sqlseg.encoders.verify import verify_encoder

without_gpu = pytest.mark.skipif(missing_gpu_library() is None, reason="a GPU starts here")
with_gpu = pytest.mark.skipif(missing_gpu_library() is not None, reason="no GPU starts here")


@without_gpu
def test_a_demanded_gpu_fails_loudly_with_the_reason(encoder: Encoder) -> None:
    with pytest.raises(DeviceUnavailable, match="'cuda'") as caught:
        open_session(encoder, "cuda")
    assert ".so" in caught.value.message or ".dll" in caught.value.message or "no CUDA provider" in caught.value.message


@without_gpu
def test_auto_falls_back_quietly_and_says_so(encoder: Encoder, capfd: pytest.CaptureFixture[str]) -> None:
    assert open_session(encoder, "auto").provider == CPU
    assert capfd.readouterr() == ("", "")


def test_a_gpu_that_falls_back_by_itself_is_noticed(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine whose libraries load and whose device then does not answer.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(sessions, "missing_gpu_library", lambda: None)
    start = sessions.started
    monkeypatch.setattr(sessions, "started", lambda path, providers, output=None: start(path, [CPU], output))
    assert open_session(encoder, "auto").provider == CPU
    with pytest.raises(DeviceUnavailable, match="fell back"):
        open_session(encoder, "cuda")


@with_gpu
def test_the_gpu_gives_the_published_answers(encoder: Encoder) -> None:
    verification = verify_encoder(encoder, "cuda")
    assert verification.provider == CUDA
    assert verification.max_abs_difference < 1e-3


@with_gpu
def test_cpu_and_gpu_agree(encoder: Encoder, ragged: tuple[np.ndarray, np.ndarray]) -> None:
    values, offsets = ragged
    by_cpu, by_gpu = (
        encode_ragged(values, offsets, one.run, 64, one.batching)
        for one in (open_session(encoder, "cpu"), open_session(encoder, "cuda"))
    )
    cosine = (by_cpu * by_gpu).sum(axis=1) / np.linalg.norm(by_cpu, axis=1) / np.linalg.norm(by_gpu, axis=1)
    assert np.nanmin(cosine) >= 1 - 1e-3


def test_a_gpu_that_fails_at_the_start_is_not_taken(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(sessions, "missing_gpu_library", lambda: None)
    start = onnxruntime.InferenceSession

    def broken(path: str, options: Any, providers: list[Any], **given: Any) -> onnxruntime.InferenceSession:
        if providers != [CPU]:
            raise RuntimeError("CUDA failure 999: unknown error")
        return start(path, options, providers, **given)

    monkeypatch.setattr(onnxruntime, "InferenceSession", broken)
    assert open_session(encoder, "auto").provider == CPU
    with pytest.raises(DeviceUnavailable, match="CUDA failure 999"):
        open_session(encoder, "cuda")
    assert capfd.readouterr() == ("", "")


def test_bound_inputs_give_the_same_answer(session: EncoderSession) -> None:
    tokens = np.random.default_rng(0).normal(size=(5, 7, 27)).astype(np.float32)
    lengths = np.array([7, 1, 3, 7, 2])
    bound = session.run_bound({"tokens": tokens, "lengths": lengths}, "cpu")
    np.testing.assert_array_equal(bound, session.run(tokens, lengths))


def test_a_run_that_fails_names_the_model(session: EncoderSession) -> None:
    with pytest.raises(EncoderNotRunnable, match=r"model\.onnx cannot be run") as caught:
        session.run(np.zeros((2, 3, 26), np.float32), np.array([1, 2]))
    assert "26" in caught.value.message


def test_a_model_with_another_signature_is_refused(spoiled: Callable[[Callable[[Any], None]], Path]) -> None:
    folder = spoiled(lambda manifest: manifest["inputs"][1].update(name="sizes")) / "behavior_v1"
    with pytest.raises(EncoderNotRunnable, match="sizes"):
        open_session(Encoder(folder, load_manifest(folder / "manifest.json")), "cpu")


def test_golden_rows_are_reproduced(encoder: Encoder) -> None:
    verification = verify_encoder(encoder, "cpu")
    assert verification.passed
    assert verification.golden_rows == 8
    assert verification.provider == CPU
    assert {len(row.tokens) for row in encoder.manifest.golden.rows} >= {1, 64}


def test_wrong_golden_rows_do_not_pass(spoiled: Callable[[Callable[[Any], None]], Path]) -> None:
    def shift(manifest: Any) -> None:
        manifest["golden"]["rows"][0]["embedding"][0] += 1e-3

    folder = spoiled(shift) / "behavior_v1"
    verification = verify_encoder(Encoder(folder, load_manifest(folder / "manifest.json")), "cpu")
    assert not verification.passed
    assert verification.max_abs_difference == pytest.approx(1e-3, rel=0.01)
