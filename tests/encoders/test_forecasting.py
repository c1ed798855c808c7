"""Forecasts beside embeddings: what a manifest says of them, and who has none."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from sqlseg.encoders.forecasting import NoForecasts, open_forecaster
from sqlseg.encoders.manifest import Encoder, Manifest

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
