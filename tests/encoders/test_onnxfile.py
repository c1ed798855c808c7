"""A model file is whole in itself: no code and no weights from elsewhere."""

from typing import Any

import pytest

from sqlseg.encoders.onnxfile import NotOneFile, check_one_file, foreign_operators
from sqlseg.resources import resource_root

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402


def model(nodes, functions=(), domains=("", "shop.ops")) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    imports = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    return helper.make_model(graph, functions=list(functions), opset_imports=imports)


def branch(node, name):
    return helper.make_graph([node], name, [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n"])])


PLAIN = helper.make_node("Relu", ["x"], ["y"])
CUSTOM = helper.make_node("Run", ["x"], ["y"], domain="shop.ops")
INSIDE = helper.make_node(
    "If",
    ["c"],
    ["y"],
    then_branch=branch(helper.make_node("Relu", ["x"], ["z"]), "a"),
    else_branch=branch(helper.make_node("Steal", ["x"], ["z"], domain="ai.onnx.contrib"), "b"),
)
FUNCTION = helper.make_function(
    "shop.ops", "Run", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)]
)
HIDING = helper.make_function(
    "shop.ops",
    "Run",
    ["a"],
    ["b"],
    [helper.make_node("Other", ["a"], ["b"], domain="other.ops")],
    [helper.make_opsetid("", 17), helper.make_opsetid("other.ops", 1)],
)


@pytest.mark.parametrize(
    ("made", "foreign"),
    [
        (model([PLAIN]), []),
        (model([CUSTOM]), ["shop.ops::Run"]),
        (model([INSIDE]), ["ai.onnx.contrib::Steal"]),
        (model([CUSTOM], [FUNCTION]), []),
        (model([CUSTOM], [HIDING]), ["other.ops::Other"]),
    ],
    ids=["plain", "custom", "in a branch", "a function of its own", "in a function"],
)
def test_operators_from_elsewhere_are_refused(tmp_path, made, foreign):
    path = tmp_path / "model.onnx"
    onnx.save(made, path)
    assert list(foreign_operators(path.read_bytes())) == foreign
    if not foreign:
        check_one_file(path)
        return
    with pytest.raises(NotOneFile, match=f"calls code that is not in it: {foreign[0]}"):
        check_one_file(path)


def test_shipped_models_are_whole():
    models = sorted(resource_root("onnx_models").glob("*/*.onnx"))
    assert models
    for path in models:
        check_one_file(path)
