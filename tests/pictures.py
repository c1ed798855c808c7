"""A small image encoder made on the spot, and pictures of one colour for it."""

import hashlib
import json
from io import BytesIO
from pathlib import Path

import numpy as np

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
RED, BLUE = (220, 20, 30), (10, 40, 230)


def picture(colour, size=(12, 8), form="PNG", mode="RGB"):
    from PIL import Image

    out = BytesIO()
    Image.new(mode, size, colour).save(out, form)
    return out.getvalue()


def network():
    """A convolution, the mean over the places as `middle`, and two classes as `classes`."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = {
        "kernel": random.normal(size=(5, 3, 3, 3)).astype(np.float32),
        "head": random.normal(size=(5, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["middle"]),
        helper.make_node("MatMul", ["middle", "head"], ["classes"]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "looks",
        [tensor("x", TensorProto.FLOAT, ["batch", 3, 4, 4])],
        [tensor("classes", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString(), weights


def worked_out(colour, weights):
    """What `middle` is for a picture of one colour, by hand: it is the same after any scaling or cutting."""
    x = np.broadcast_to(((np.array(colour) / 255 - MEAN) / STD)[:, None, None], (3, 4, 4))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    places = [[padded[:, i : i + 3, j : j + 3] for j in range(4)] for i in range(4)]
    found = np.array([[[(kernel * place).sum() for place in row] for row in places] for kernel in weights["kernel"]])
    return np.maximum(found, 0).mean(axis=(1, 2))


def described(content, **changes):
    vector = worked_out(RED, network()[1])
    return {
        "kind": "image",
        "name": "looks",
        "version": 1,
        "description": "Colours.",
        "model": "model.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "preprocessing": {"size": [4, 4], "mean": MEAN, "std": STD},
        "input": {"name": "x", "dtype": "float32", "shape": ["batch", 3, 4, 4]},
        "output": {"name": "middle", "dtype": "float32", "shape": ["batch", 5]},
        "normalize": False,
        "dimensions": 5,
        "training_data": "none",
        "license": "MIT",
        "golden": {"tolerance": 1e-5, "rows": [{"image": "red.png", "embedding": list(vector)}]},
    } | changes


def write_encoder(root: Path, **changes):
    model, _ = network()
    manifest = described(model, **changes)
    folder = root / f"{manifest['name']}_v{manifest['version']}"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "red.png").write_bytes(picture(RED))
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
