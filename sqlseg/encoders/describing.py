"""Writes the manifest of an encoder of one's own from its model and the sequence that it reads."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sqlseg.encoders.manifest import BadManifest, Encoder, Manifest, checked_manifest, folder_ref
from sqlseg.encoders.onnxfile import check_one_file
from sqlseg.encoders.session import CPU, EncoderSession, signature, started
from sqlseg.encoders.verify import PADDING, padding_difference
from sqlseg.errors import SqlsegError

GOLDEN_LENGTHS = (1, 2, 3, 5, 8, 16, 64)


class UnusableModel(SqlsegError):
    """A model cannot serve as an encoder as it is."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem}.", hint=hint)


@dataclass(frozen=True)
class About:
    """What a model does not say of itself."""

    description: str
    training_data: str
    license: str
    max_length: int = 64
    tolerance: float = 1e-5


def described_encoder(folder: Path, sequence: str, columns: Sequence[str], about: About, model: str) -> Manifest:
    """Return the manifest of the model in a folder named <name>_v<k>: signature, SHA-256 and golden rows.

    The golden rows are random sequences of several lengths (no user's), and what the model answers on this CPU.
    Raises NotOneFile, EncoderNotRunnable, UnusableModel, or BadManifest for the folder's name.
    """
    name, version = folder_ref(folder)
    path = folder / model
    check_one_file(path)
    session = started(path, [CPU])
    tensors = _tensors(path, session, len(columns))
    rng = np.random.default_rng(0)
    lengths = [length for length in GOLDEN_LENGTHS if length <= max(1, about.max_length)]
    sequences = [rng.normal(0, 0.5, (length, len(columns))).round(3).astype(np.float32) for length in lengths]
    # The number of dimensions may be told by the answers only, so the first is asked without knowing it.
    feed = {tensors["inputs"][0]["name"]: sequences[0][None], tensors["inputs"][1]["name"]: np.array([1])}
    try:
        first = session.run([tensors["output"]["name"]], feed)[0]
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        told = " ".join(str(error).split())
        raise UnusableModel(path, f"it does not run on one sequence of one token: {told}", _SIGNATURE) from error
    if first.ndim != 2 or len(first) != 1:
        raise UnusableModel(path, f"of one sequence it gives an array of the shape {list(first.shape)}", _SIGNATURE)
    dimensions = int(first.shape[1])
    said = tensors["output"]["shape"][1]
    if said not in (None, dimensions):
        told = f"its output says that it has {said} dimensions and gives {dimensions}"
        raise UnusableModel(path, told, "Export it again, with output_names and shapes of this model.")
    tensors["output"]["shape"] = ["batch", dimensions]
    found = {
        "name": name, "version": version, "description": about.description, "sequence": sequence, "model": model,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **tensors, "columns": list(columns),
        "dimensions": dimensions, "max_length": about.max_length, "training_data": about.training_data,
        "license": about.license,
    }  # fmt: skip
    rows = [{"tokens": sequence.tolist(), "embedding": [0.0] * dimensions} for sequence in sequences]
    golden = {"tolerance": about.tolerance, "rows": rows}
    encoder = Encoder(folder, checked_manifest(folder / "manifest.json", {**found, "golden": golden}))
    encoding = EncoderSession(encoder, CPU, session)
    for row, sequence_tokens in zip(rows, sequences, strict=True):
        answer = encoding.run(sequence_tokens[None], np.array([len(sequence_tokens)]))[0]
        if not np.isfinite(answer).all():
            raise UnusableModel(
                path,
                f"of {len(sequence_tokens)} tokens it gives NaN or infinity",
                "Look for divisions by zero and for logarithms and roots of what can be below zero.",
            )
        row["embedding"] = [float(f"{figure:.8g}") for figure in answer.tolist()]
    apart = padding_difference(encoding, sequences)
    if apart > about.tolerance:
        raise UnusableModel(
            path, f"the answer for a sequence changes by {apart:.2g} when zeros are padded to its right", PADDING
        )
    return checked_manifest(folder / "manifest.json", {**found, "golden": golden})


_SIGNATURE = (
    "An encoder takes float32 tokens [batch, length, columns] and int64 lengths [batch], both with any batch and "
    "length, and gives one float32 output [batch, dimensions]."
)


def _tensors(path: Path, session: onnxruntime.InferenceSession, columns: int) -> dict[str, Any]:
    """Return inputs and output as a manifest has them, after checking that they can be an encoder's."""
    found = signature(session)
    names = [node.name for node in session.get_inputs()], [node.name for node in session.get_outputs()]
    if (len(names[0]), len(names[1])) != (2, 1):
        told = (
            f"it has {len(names[0])} inputs ({', '.join(names[0])}) and {len(names[1])} outputs ({', '.join(names[1])})"
        )
        raise UnusableModel(path, told, _SIGNATURE)
    expected = (("float32", 3), ("int64", 1), ("float32", 2))
    for name, (dtype, rank) in zip((*names[0], *names[1]), expected, strict=True):
        kind, shape = found[name]
        if kind != dtype or (len(shape) != rank and name != names[1][0]):
            given = f"{kind}[{', '.join('any' if size is None else str(size) for size in shape)}]"
            raise UnusableModel(path, f"{name} is {given}, where {dtype} with {rank} dimensions is needed", _SIGNATURE)
    (tokens, lengths), (output,) = names
    fixed = [size for size in (*found[tokens][1][:2], *found[lengths][1]) if size is not None]
    if fixed:
        raise UnusableModel(
            path,
            f"batch or length is fixed at {fixed[0]}",
            "Export with both of any size: dynamic_shapes in torch.onnx.export, None in skl2onnx.",
        )
    width = found[tokens][1][2]
    if width not in (None, columns):
        raise UnusableModel(
            path,
            f"{tokens} has {width} columns a token, the sequence has {columns}",
            "Name the sequence that the model was trained on, or train it on this one.",
        )
    return {
        "inputs": [
            {"name": tokens, "dtype": "float32", "shape": ["batch", "length", columns]},
            {"name": lengths, "dtype": "int64", "shape": ["batch"]},
        ],
        "output": {"name": output, "dtype": "float32", "shape": ["batch", (*found[output][1], None)[1]]},
    }


def manifest_text(manifest: Manifest) -> str:
    """Return manifest.json with one line a golden row."""
    content = manifest.model_dump(mode="json", exclude_none=True)
    rows = content["golden"].pop("rows")
    text = json.dumps(content, indent=2)
    listed = ",\n      ".join(json.dumps(row) for row in rows)
    last = f'"tolerance": {json.dumps(content["golden"]["tolerance"])}'
    head, _, tail = text.rpartition(last)
    return f'{head}{last},\n    "rows": [\n      {listed}\n    ]{tail}\n'


def write_manifest(folder: Path, manifest: Manifest, *, replace: bool) -> Path:
    """Write manifest.json into the encoder's folder. Raises BadManifest where one is, unless `replace`."""
    path = folder / "manifest.json"
    if path.exists() and not replace:
        raise BadManifest(path, "", "is there already; a trained model that is in use gets a new version and folder")
    try:
        path.write_text(manifest_text(manifest), encoding="utf-8", newline="\n")
    except OSError as error:
        raise BadManifest(path, "", f"cannot be written ({error.strerror or error})") from error
    return path
