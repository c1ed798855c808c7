"""Encoders that cannot be used: manifests with mistakes, model files that are damaged or refer to others."""

import hashlib
import json

import pytest
from broken_projects import Broken, explains_itself, toml

from sqlseg.resources import resource_root

SHIPPED = resource_root("onnx_models") / "behavior_v1"
MANIFEST = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))
MODEL = (SHIPPED / "model.onnx").read_bytes()
USED = toml().replace('inputs = ["rfm@1"]', 'inputs = ["encoder:mind@1"]')


def varint(number):
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def message(field, content):
    """One field of a protobuf message, as bytes or as a text."""
    raw = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def model_with(node=b"", tensor=b""):
    """The bytes of an ONNX model of one node and one tensor."""
    graph = message(1, node) * bool(node) + message(5, tensor) * bool(tensor) + message(2, "g")
    return b"\x08\x08" + message(7, graph)


FOREIGN = model_with(node=message(4, "Run") + message(7, "com.example.shell"))
ELSEWHERE = model_with(tensor=message(8, "w") + message(13, message(1, "location") + message(2, "../../weights.bin")))


def mind(manifest=None, model=MODEL, folder="mind_v1", **changes):
    """An encoder of the shop's own that a segmentation reads: the shipped one with changes; None takes a key out."""
    told = {**MANIFEST, "name": "mind", **changes}
    if "sha256" not in changes and model is not None:
        told["sha256"] = hashlib.sha256(model).hexdigest()
    told = {key: value for key, value in told.items() if value is not None}
    text = json.dumps(told) if manifest is None else manifest
    files = {f"onnx_models/{folder}/manifest.json": text, "sqlseg.toml": USED}
    return files | ({f"onnx_models/{folder}/model.onnx": model} if model is not None else {})


def golden(**changes):
    return {"golden": {**MANIFEST["golden"], **changes}}


def huge(shop):
    """2 GiB of nothing, of which a disk keeps no block."""
    with (shop.directory / "onnx_models/mind_v1/model.onnx").open("wb") as file:
        file.truncate(2 * 1024**3)


def model_folder(shop):
    (shop.directory / "onnx_models/mind_v1/model.onnx").mkdir()


VERIFY = ("encoders", "verify", "mind@1")

CASES = [
    # -- manifest.json
    Broken(
        "a manifest that is no JSON",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: is not JSON (Expecting property name enclosed in double",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind("{name: mind}"),
    ),
    Broken(
        "a manifest cut short",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: is not JSON (Unterminated string starting at: line 1",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(json.dumps(MANIFEST)[:500]),
    ),
    Broken(
        "an empty manifest",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: is not JSON (Expecting value: line 1 column 1 (char 0)).",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(""),
    ),
    Broken(
        "a manifest in UTF-16",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: is not JSON ('utf-8' codec can't decode byte 0xff in",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(json.dumps(MANIFEST).encode("utf-16")),
    ),
    Broken(
        "a manifest that is a list",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: must be a valid dictionary or instance of Manifest, got",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind("[1, 2]"),
    ),
    Broken(
        "a manifest nested without end",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: is nested too deeply to be read.",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind("[" * 5000 + "]" * 5000),
    ),
    Broken(
        "a manifest with a number of 5,000 digits",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: is not JSON (Exceeds the limit (4300 digits) for",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind('{"version": ' + "9" * 5000 + "}"),
    ),
    Broken(
        "a manifest without dimensions",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'dimensions': is missing.",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(dimensions=None),
    ),
    Broken(
        "a manifest without golden rows",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'golden.rows': tuple must have at least 1 item",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(golden={"tolerance": 1e-5, "rows": []}),
    ),
    Broken(
        "a key too many",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'author': is no key of a manifest; take it out, or",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(author="me"),
    ),
    Broken(
        "dimensions in words",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'dimensions': must be a valid integer, unable to",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(dimensions="many"),
    ),
    Broken(
        "other dimensions than the model",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: output: embedding must have the shape [batch, 32].",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(dimensions=32),
    ),
    Broken(
        "a checksum of another length",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'sha256': string must match pattern",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(sha256="abc"),
    ),
    Broken(
        "a model in another folder",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'model': string must match pattern",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(model=MODEL)
        | {
            "onnx_models/mind_v1/manifest.json": json.dumps(
                {**MANIFEST, "name": "mind", "model": "../behavior_v1/model.onnx"}
            )
        },
    ),
    Broken(
        "a name that the folder does not have",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'name': says spirit@1, but the folder is mind_v1.",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(name="spirit"),
    ),
    Broken(
        "a folder of another version",
        (
            "{shop}/onnx_models/mind_v2/manifest.json, key 'name': says mind@1, but the folder is mind_v2.",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(folder="mind_v2"),
    ),
    Broken(
        "the name of a shipped encoder",
        (
            "Encoder behavior@1 exists twice",
            "A published version never changes: give your own encoder another name or",
        ),
        mind(name="behavior", folder="behavior_v1"),
    ),
    Broken(
        "a sequence that is not there",
        ("No sequence view named 'thoughts'.", "Choose one of: behavior."),
        mind(sequence="thoughts@1"),
    ),
    Broken(
        "columns that the sequence does not have",
        (
            "Encoder mind@1 reads the sequence behavior@1, whose columns differ from its manifest:",
            "A sequence view never changes; another order or set of columns is a new version",
        ),
        mind(columns=[*MANIFEST["columns"][:-1], "mood"]),
    ),
    Broken(
        "a tolerance that is not a number",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'golden.tolerance': must be greater than 0, got nan.",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(**golden(tolerance=float("nan"))),
    ),
    Broken(
        "an encoder of a kind that nobody knows",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'kind': is no key of a manifest; take it out, or",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(kind="sound"),
    ),
    # -- model.onnx
    Broken(
        "a model that is not there",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'model': {shop}/onnx_models/mind_v1/model.onnx",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(model=None),
    ),
    Broken(
        "a model that is a folder",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'model': {shop}/onnx_models/mind_v1/model.onnx",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(model=None),
        breaks=model_folder,
    ),
    Broken(
        "a model that was exchanged",
        (
            "{shop}/onnx_models/mind_v1/model.onnx is damaged or was exchanged: its SHA-256 is",
            "Restore the file. A retrained model is a new version with a folder of its own;",
        ),
        mind(model=MODEL + b"\0", sha256=MANIFEST["sha256"]),
    ),
    Broken(
        "a model cut short",
        ("{shop}/onnx_models/mind_v1/model.onnx is no ONNX model, or cut short.", "Export the model again."),
        mind(model=MODEL[:-5000]),
    ),
    Broken(
        "a model of text",
        ("{shop}/onnx_models/mind_v1/model.onnx is no ONNX model, or cut short.", "Export the model again."),
        mind(model=b"This is a model, trust me. " * 100),
    ),
    Broken(
        "an empty model",
        ("{shop}/onnx_models/mind_v1/model.onnx is empty.", "Export the model again."),
        mind(model=b""),
    ),
    Broken(
        "a placeholder of Git LFS",
        ("{shop}/onnx_models/mind_v1/model.onnx is a placeholder of Git LFS, not the model.", "Run `git lfs pull`."),
        mind(model=b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    ),
    Broken(
        "a model that calls code from elsewhere",
        (
            "{shop}/onnx_models/mind_v1/model.onnx calls code that is not in it: com.example.shell::Run.",
            "Export it with the operators of ONNX alone, or with the functions that it calls",
        ),
        mind(model=FOREIGN),
    ),
    Broken(
        "a model with weights in another file",
        (
            "{shop}/onnx_models/mind_v1/model.onnx keeps weights in other files, which its SHA-256 does not",
            "Export it as one file: torch.onnx.export(..., external_data=False), or",
        ),
        mind(model=ELSEWHERE),
    ),
    Broken(
        "a model of 2 GiB",
        (
            "{shop}/onnx_models/mind_v1/model.onnx has 2,147,483,648 bytes; an ONNX file holds 2,147,483,647",
            "Use a smaller model.",
        ),
        mind(model=None),
        breaks=huge,
    ),
    Broken(
        "a model without inputs",
        ("{shop}/onnx_models/mind_v1/model.onnx cannot be run: Load model from", "Run `sqlseg encoders verify`."),
        mind(model=model_with(node=message(4, "Identity"))),
    ),
    # -- commands
    Broken(
        "golden answers of another model",
        (
            "mind@1: answers differ from the golden rows by up to 5.3e-01, over the manifest's 1e-05.",
            "  If the model was exported anew, its manifest is an older one: give it a new version, or while",
        ),
        mind(**golden(rows=[{**row, "embedding": [0.0] * 64} for row in MANIFEST["golden"]["rows"]])),
        arguments=VERIFY,
        prints=True,
    ),
    Broken(
        "an exchanged model to verify",
        (
            "{shop}/onnx_models/mind_v1/model.onnx is damaged or was exchanged: its SHA-256 is",
            "Restore the file. A retrained model is a new version with a folder of its own;",
        ),
        mind(model=MODEL + b"\0", sha256=MANIFEST["sha256"]),
        arguments=VERIFY,
    ),
    Broken(
        "a manifest for no folder",
        ("{shop}/nowhere_v1/model.onnx cannot be read (No such file or directory).", "Put the model there."),
        arguments=("encoders", "manifest", "{shop}/nowhere_v1", "--sequence", "behavior@1"),
    ),
    Broken(
        "a manifest for a folder of another name",
        (
            "{shop}/data/manifest.json, key 'name': the folder must be called <name>_v<k>, such as habits_v1.",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        arguments=("encoders", "manifest", "{shop}/data", "--sequence", "behavior@1"),
    ),
    Broken(
        "a manifest over another",
        (
            "{shop}/onnx_models/mind_v1/manifest.json: is there already; a trained model that is in use gets a",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(),
        arguments=("encoders", "manifest", "{shop}/onnx_models/mind_v1", "--sequence", "behavior@1"),
    ),
    Broken(
        "a manifest for an unknown sequence",
        ("No sequence view named 'behaviour'.", "Choose one of: behavior."),
        mind(),
        arguments=("encoders", "manifest", "{shop}/onnx_models/mind_v1", "--sequence", "behaviour@1"),
    ),
    Broken(
        "a manifest for a model that is cut short",
        ("{shop}/onnx_models/mind_v1/model.onnx is no ONNX model, or cut short.", "Export the model again."),
        mind(model=MODEL[:-5000]),
        arguments=("encoders", "manifest", "{shop}/onnx_models/mind_v1", "--sequence", "behavior@1", "--replace"),
    ),
    Broken(
        "a manifest with a tolerance of nothing",
        (
            "{shop}/onnx_models/mind_v1/manifest.json, key 'golden.tolerance': must be greater than 0, got nan.",
            "See the manifest of a shipped encoder for a complete one.",
        ),
        mind(),
        arguments=(
            "encoders",
            "manifest",
            "{shop}/onnx_models/mind_v1",
            "--sequence",
            "behavior@1",
            "--replace",
            "--tolerance",
            "nan",
        ),
    ),
    Broken(
        "a file instead of the folder of encoders",
        ("{shop}/sqlseg.toml:17: segmentations.groups.inputs[0]: No encoder named 'mind@1'. Choose one of:",),
        {"onnx_models": "no folder", "sqlseg.toml": USED},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_wrong_with_an_encoder_is_explained(case, sound_shops, tmp_path):
    explains_itself(case, sound_shops, tmp_path / "shop")
