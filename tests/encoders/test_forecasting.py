"""Forecasts beside embeddings: what a manifest says of them, and what the shipped encoder foretells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from sqlseg.encoders import forecasting as forecasts_module
from sqlseg.encoders.forecasting import Forecaster, NoForecasts, open_forecaster
from sqlseg.encoders.manifest import DamagedEncoder, Encoder, Manifest, load_encoder, load_manifest
from sqlseg.encoders.onnxfile import NotOneFile
from sqlseg.encoders.session import EncoderNotRunnable, EncoderSession, open_session
from sqlseg.encoders.udf import token_encoder
from sqlseg.encoders.verify import verify_encoder

Spoiled = Callable[[Callable[[dict[str, Any]], object]], Path]

FORECASTS = {
    "age": {"name": "age", "dtype": "float32", "shape": ["batch"]},
    "output": {"name": "forecasts", "dtype": "float32", "shape": ["batch", 2, 1]},
    "horizons": [30, 90],
    "quantities": ["order_probability"],
    "model": "forecasts.onnx",
    "sha256": "0" * 64,
}


def described(encoder: Encoder, edit: Callable[[dict[str, Any]], object]) -> Manifest:
    """Return the encoder's manifest with made-up forecasts, edited."""
    content = encoder.manifest.model_dump(mode="json", exclude_none=True)
    content["forecasts"] = {**FORECASTS, "output": dict(FORECASTS["output"]), "age": dict(FORECASTS["age"])}  # type: ignore[call-overload]
    for row in content["golden"]["rows"]:
        row |= {"age": 3.5, "forecasts": [[0.1], [0.2]]}
    edit(content)
    return Manifest.model_validate(content)


def test_an_encoder_without_forecasts_says_so(encoder: Encoder) -> None:
    with pytest.raises(NoForecasts, match="behavior@1"):
        open_forecaster(encoder)


def test_a_manifest_may_describe_forecasts(encoder: Encoder) -> None:
    told = described(encoder, lambda content: None).forecasts
    assert told is not None
    assert (told.horizons, told.quantities) == ((30, 90), ("order_probability",))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda m: m["forecasts"].update(horizons=[90, 30]), "must ascend"),
        (lambda m: m["forecasts"].update(horizons=[30, 60, 90]), r"\[batch, 3, 1\]"),
        (lambda m: m["forecasts"].update(quantities=["churn"]), "order_probability"),
        (lambda m: m["forecasts"]["age"].update(dtype="int64"), "age must be float32"),
        (lambda m: m["forecasts"].update(sha256="0"), "sha256"),
        (lambda m: m["forecasts"].pop("model"), "model"),
        (lambda m: m["golden"]["rows"][0].pop("age"), "no age"),
        (lambda m: m["golden"]["rows"][0].update(age=-1), "greater than or equal to 0"),
        (lambda m: m["golden"]["rows"][0]["forecasts"].pop(), "2 horizons x 1 quantities"),
        (lambda m: m["golden"]["rows"][0]["forecasts"][0].append(1.0), "2 horizons x 1 quantities"),
        (lambda m: m.pop("forecasts"), "says nothing"),
    ],
)
def test_wrong_forecasts_are_refused(encoder: Encoder, edit: Callable[[dict[str, Any]], object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        described(encoder, edit)


@pytest.fixture(scope="module")
def session(forecasting: Encoder) -> EncoderSession:
    return open_session(forecasting, "cpu")


@pytest.fixture(scope="module")
def forecaster(forecasting: Encoder) -> Forecaster:
    return open_forecaster(forecasting)


@pytest.fixture(scope="module")
def embeddings(forecasting: Encoder) -> np.ndarray:
    return np.array([row.embedding for row in forecasting.manifest.golden.rows], dtype=np.float32)


def test_both_models_give_what_was_published(forecasting: Encoder) -> None:
    verification = verify_encoder(forecasting, "cpu")
    assert verification.passed
    assert verification.forecast_difference is not None
    assert verification.forecasts == "forecasts float32[batch, 6, 3]"
    assert "age float32[batch]" in verification.inputs
    assert {len(row.tokens) for row in forecasting.manifest.golden.rows} >= {1, 64}
    assert sum(path.stat().st_size for path, _ in forecasting.files) <= 2_000_000


@pytest.mark.parametrize(
    "shift",
    [
        lambda row: row["forecasts"][0].__setitem__(0, row["forecasts"][0][0] + 1e-3),
        lambda row: row.update(age=row["age"] + 20),
    ],
)
def test_wrong_golden_forecasts_do_not_pass(spoiled_forecasting: Spoiled, shift: Callable[[Any], object]) -> None:
    root = spoiled_forecasting(lambda manifest: shift(manifest["golden"]["rows"][0]))
    verification = verify_encoder(load_encoder("behavior@2", [root]), "cpu")
    assert not verification.passed
    assert verification.max_abs_difference <= verification.tolerance < verification.largest_difference


def test_a_damaged_or_missing_forecasting_model_is_refused(spoiled_forecasting: Spoiled) -> None:
    root = spoiled_forecasting(lambda manifest: None)
    model = root / "behavior_v2" / "forecasts.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedEncoder, match=r"forecasts\.onnx"):
        load_encoder("behavior@2", [root])
    with pytest.raises(NotOneFile, match=r"forecasts\.onnx"):
        model.write_bytes(b"nothing")
        open_forecaster(Encoder(model.parent, load_manifest(model.parent / "manifest.json")))


def test_a_forecasting_model_with_another_signature_is_refused(spoiled_forecasting: Spoiled) -> None:
    folder = spoiled_forecasting(lambda manifest: manifest["forecasts"]["age"].update(name="days")) / "behavior_v2"
    encoder = Encoder(folder, load_manifest(folder / "manifest.json"))
    for start in (open_forecaster, lambda one: open_session(one, "cpu")):
        with pytest.raises(EncoderNotRunnable, match="days"):
            start(encoder)


def test_an_age_changes_the_forecasts_and_never_the_embedding(session: EncoderSession) -> None:
    tokens = np.random.default_rng(0).normal(0, 0.5, (2, 5, 27)).astype(np.float32)
    lengths = np.array([5, 3])
    soon, late = (
        session.run_with_forecasts(tokens, lengths, np.array([age, age], dtype=np.float32)) for age in (1, 300)
    )
    np.testing.assert_array_equal(soon[0], late[0])
    np.testing.assert_array_equal(soon[0], session.run(tokens, lengths))
    assert np.abs(soon[1] - late[1]).max() > 0.01


def test_kept_embeddings_foretell_what_tokens_do(
    session: EncoderSession, forecaster: Forecaster, forecasting: Encoder
) -> None:
    for row in forecasting.manifest.golden.rows:
        tokens, ages = np.array([row.tokens], dtype=np.float32), np.array([17.25], dtype=np.float32)
        embedding, expected = session.run_with_forecasts(tokens, np.array([tokens.shape[1]]), ages)
        np.testing.assert_allclose(forecaster.forecasts(embedding, ages), expected, atol=1e-5, rtol=1e-5)


def test_forecasts_are_chances_and_amounts_that_grow_with_the_horizon(
    forecaster: Forecaster, embeddings: np.ndarray
) -> None:
    for age in (0.0, 3.0, 60.0, 1_000.0):
        found = forecaster.forecasts(embeddings, np.full(len(embeddings), age))
        assert found.shape == (len(embeddings), 6, 3)
        assert (np.diff(found, axis=1) >= 0).all()
        assert (found >= 0).all() and (found[:, :, 0] <= 1).all()


def test_who_has_been_away_for_long_is_less_likely_to_order(forecaster: Forecaster, embeddings: np.ndarray) -> None:
    month = forecaster.described.horizons.index(30)
    soon, late = (forecaster.forecasts(embeddings, np.full(len(embeddings), age))[:, month, 0] for age in (30.0, 500.0))
    assert (late < soon).all()


def test_users_are_foretold_one_by_one_as_together(
    forecaster: Forecaster, embeddings: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, ages = np.tile(embeddings, (5, 1)), np.arange(5 * len(embeddings), dtype=np.float64) / 3
    together = forecaster.forecasts(many, ages)
    for at in (0, 13, 39):
        np.testing.assert_allclose(
            forecaster.forecasts(many[at : at + 1], ages[at : at + 1])[0], together[at], atol=1e-6, rtol=1e-6
        )
    monkeypatch.setattr(forecasts_module, "_USERS", 7)
    np.testing.assert_allclose(forecaster.forecasts(many, ages), together, atol=1e-6, rtol=1e-6)


def test_unknown_users_have_no_forecasts(forecaster: Forecaster, embeddings: np.ndarray) -> None:
    some, ages = embeddings[:4].copy(), np.array([1.0, np.nan, 1.0, -3.0])
    some[2, 5] = np.nan
    found = forecaster.forecasts(some, ages)
    assert np.isnan(found[[1, 2]]).all()
    assert np.isfinite(found[[0, 3]]).all()
    np.testing.assert_array_equal(found[3], forecaster.forecasts(some[3:], np.zeros(1))[0])
    assert forecaster.forecasts(np.empty((0, 64)), np.empty(0)).shape == (0, 6, 3)


def test_the_function_that_embeds_gives_the_embedding_alone(session: EncoderSession) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 0.5, (9, 27)).astype(np.float32)
    placed = np.column_stack([np.arange(1, 10), values]).astype(np.float32)
    lists = pa.ListArray.from_arrays(
        pa.array([0, 9], pa.int32()), pa.FixedSizeListArray.from_arrays(pa.array(placed.ravel()), 28)
    )
    with token_encoder(session, threads=1) as function:
        (found,) = function(lists).to_pylist()
    np.testing.assert_allclose(found, session.run(values[None], np.array([9]))[0], atol=1e-6)
