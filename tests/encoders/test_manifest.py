"""Manifests that are wrong, files that are not what they were, names that do not exist."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqlseg.encoders.manifest import (
    BadManifest,
    DamagedEncoder,
    DuplicateEncoder,
    Encoder,
    UnknownEncoder,
    find_encoders,
    load_encoder,
    load_manifest,
)
from sqlseg.encoders.session import open_session
from sqlseg.resources import resource_root

Spoiled = Callable[[Callable[[dict[str, Any]], None]], Path]


def test_the_shipped_encoder_is_found_with_and_without_prefix(encoder: Encoder) -> None:
    roots = [resource_root("onnx_models")]
    assert load_encoder("behavior@1", roots) == encoder
    assert (encoder.ref, encoder.table) == ("behavior@1", "behavior_v1")
    assert encoder.model_path.stat().st_size <= 2_000_000
    assert sorted(find_encoders([*roots, Path("nowhere")])) == ["behavior@1", "behavior@2", "behavior@3"]


def test_an_unknown_encoder_names_the_known(encoder: Encoder) -> None:
    with pytest.raises(UnknownEncoder, match="behavior@9") as caught:
        load_encoder("encoder:behavior@9", [resource_root("onnx_models")])
    assert caught.value.hint is not None and "behavior@1" in caught.value.hint


def test_a_damaged_model_is_refused_with_both_sums(spoiled: Spoiled, encoder: Encoder) -> None:
    root = spoiled(lambda manifest: None)
    model = root / "behavior_v1" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(DamagedEncoder, match=encoder.manifest.sha256) as caught:
        load_encoder("behavior@1", [root])
    assert (
        len([word for word in caught.value.message.replace(",", "").replace(".", "").split() if len(word) == 64]) == 2
    )
    with pytest.raises(DamagedEncoder):
        open_session(Encoder(model.parent, load_manifest(model.parent / "manifest.json")), "cpu")


def test_a_missing_model_is_named(spoiled: Spoiled) -> None:
    root = spoiled(lambda manifest: manifest.update(model="gone.onnx"))
    with pytest.raises(BadManifest, match=r"gone\.onnx"):
        load_encoder("behavior@1", [root])


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        (lambda m: m.pop("sequence"), "sequence"),
        (lambda m: m.update(sequence="behavior"), "sequence"),
        (lambda m: m.update(sha256="abc"), "sha256"),
        (lambda m: m.update(model="../model.onnx"), "model"),
        (lambda m: m.update(dimensions=0), "dimensions"),
        (lambda m: m.update(flavour="vanilla"), "flavour"),
        (lambda m: m["inputs"][0].update(dtype="float16"), "inputs.0.dtype"),
        (lambda m: m["inputs"].pop(), "inputs"),
        (lambda m: m["golden"].update(tolerance=0), "golden.tolerance"),
        (lambda m: m["columns"].pop(), "inputs"),
        (lambda m: m.update(dimensions=63), "output"),
        (lambda m: m["golden"]["rows"][0]["embedding"].pop(), "golden"),
        (lambda m: m.update(name="other"), "name"),
    ],
)
def test_a_wrong_manifest_names_the_key(spoiled: Spoiled, edit: Callable[[dict[str, Any]], None], key: str) -> None:
    root = spoiled(edit)
    with pytest.raises(BadManifest) as caught:
        load_encoder("behavior@1", [root])
    assert key in caught.value.message
    assert "manifest.json" in caught.value.message


def test_a_manifest_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BadManifest, match="is not JSON"):
        load_manifest(tmp_path / "manifest.json")


def test_the_same_version_twice_is_refused(spoiled: Spoiled) -> None:
    root = spoiled(lambda manifest: None)
    with pytest.raises(DuplicateEncoder, match="behavior@1"):
        find_encoders([resource_root("onnx_models"), root])
