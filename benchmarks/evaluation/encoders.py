"""The encoders to evaluate, and copies of them that have learned nothing."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from sqlseg.encoders.manifest import Encoder, find_encoders, load_encoder
from sqlseg.resources import resource_root


def shipped_encoders(name: str) -> list[Encoder]:
    """Return the shipped versions of an encoder, the newest first; model files are checked."""
    roots = [resource_root("onnx_models")]
    refs = [ref for ref in find_encoders(roots) if ref.partition("@")[0] == name]
    found = [load_encoder(ref, roots) for ref in refs]
    return sorted(found, key=lambda encoder: -encoder.manifest.version)


def random_encoder(encoder: Encoder, folder: Path, seed: int, called: str = "random") -> Encoder:
    """Write a copy of an encoder whose weights are shuffled, matrix by matrix, and return it.

    The architecture, the number of parameters and the distribution of the weights stay; what they had learned goes.
    Vectors (biases, norms) stay as they are, as do the constants of shapes and masks. Its name ends in the seed.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(encoder.model_path))
    rng = np.random.default_rng(seed)
    shuffled = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2 or int(np.prod(tensor.dims)) < 64:
            continue
        values = numpy_helper.to_array(tensor)
        mixed = rng.permutation(values.ravel()).reshape(values.shape)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(mixed), tensor.name))
        shuffled += 1
    if shuffled == 0:
        raise ValueError(f"{encoder.ref} keeps no weights where they can be shuffled")
    manifest = json.loads((encoder.folder / "manifest.json").read_text(encoding="utf-8"))
    name = f"{called}{seed}"
    there = folder / f"{name}_v1"
    there.mkdir(parents=True)
    path = there / manifest["model"]
    onnx.save(model, str(path))
    forecasts = manifest.get("forecasts")
    if forecasts:
        shutil.copyfile(encoder.folder / forecasts["model"], there / forecasts["model"])
    manifest |= {"name": name, "version": 1, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (there / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return load_encoder(f"{name}@1", [folder])
