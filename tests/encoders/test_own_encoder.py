"""An encoder of one's own: its manifest is written from its model, and whatever is wrong with it is told."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqlseg.encoders.describing import About, UnusableModel, described_encoder, manifest_text, write_manifest
from sqlseg.encoders.manifest import BadManifest, DamagedEncoder, Encoder, load_encoder, load_manifest
from sqlseg.encoders.onnxfile import NotOneFile, check_one_file
from sqlseg.encoders.session import EncoderNotRunnable, open_session
from sqlseg.encoders.verify import Verification, verify_encoder

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

ABOUT = About("A mean.", "nothing", "Apache-2.0", max_length=10)
COLUMNS = ("a", "b")
WEIGHTS = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)

INDICES = {"axis": 1, "zero": 0, "three": 3}

MEAN = [
    helper.make_node("ReduceSum", ["tokens", "axis"], ["total"], keepdims=0),
    helper.make_node("Cast", ["lengths"], ["count"], to=TensorProto.FLOAT),
    helper.make_node("Unsqueeze", ["count", "axis"], ["counts"]),
    helper.make_node("Div", ["total", "counts"], ["averages"]),
    helper.make_node("MatMul", ["averages", "weights"], ["embedding"]),
]


def model(nodes: list[Any] = MEAN, **shapes: Any) -> Any:
    """Return a model of two columns and three dimensions; `tokens`, `lengths`, `embedding` give (type, shape)."""
    told = {
        "tokens": (TensorProto.FLOAT, ["batch", "length", 2]),
        "lengths": (TensorProto.INT64, ["batch"]),
        "embedding": (TensorProto.FLOAT, ["batch", 3]),
    } | shapes
    tensors = {name: helper.make_tensor_value_info(name, *of) for name, of in told.items()}
    graph = helper.make_graph(
        nodes,
        "mean",
        [tensors[name] for name in tensors if name != "embedding"],
        [tensors["embedding"]],
        [
            onnx.numpy_helper.from_array(WEIGHTS, "weights"),
            *(helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in INDICES.items()),
        ],
    )
    domains = [helper.make_opsetid("", 18), *(helper.make_opsetid(n.domain, 1) for n in nodes if n.domain)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "onnx_models" / "means_v2"
    folder.mkdir(parents=True)
    onnx.save(model(), folder / "model.onnx")
    return folder


@pytest.fixture
def means(folder: Path) -> Encoder:
    write_manifest(folder, described_encoder(folder, "pairs@1", COLUMNS, ABOUT, "model.onnx"), replace=False)
    return load_encoder("means@2", [folder.parent])


def described(folder: Path, other: Any) -> Any:
    onnx.save(other, folder / "model.onnx")
    return described_encoder(folder, "pairs@1", COLUMNS, ABOUT, "model.onnx")


def test_a_model_and_a_sequence_are_enough(means: Encoder) -> None:
    manifest = means.manifest
    assert (manifest.dimensions, manifest.columns, manifest.sequence) == (3, COLUMNS, "pairs@1")
    assert [len(row.tokens) for row in manifest.golden.rows] == [1, 2, 3, 5, 8]
    row = manifest.golden.rows[2]
    np.testing.assert_allclose(row.embedding, np.mean(row.tokens, axis=0) @ WEIGHTS, rtol=1e-5)
    verification = verify_encoder(means, "cpu")
    assert verification.passed and verification.problems == []
    assert verification.max_abs_difference < 1e-6


def test_the_manifest_is_read_as_it_was_written(means: Encoder, folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    assert manifest_text(load_manifest(folder / "manifest.json")) == text
    assert len(text.splitlines()) < 60 and "\r" not in text


def test_a_manifest_is_not_written_over_unasked(means: Encoder, folder: Path) -> None:
    with pytest.raises(BadManifest, match="is there already"):
        write_manifest(folder, means.manifest, replace=False)
    assert write_manifest(folder, means.manifest, replace=True).is_file()


def test_the_folder_names_the_encoder(folder: Path) -> None:
    other = folder.rename(folder.with_name("means"))
    with pytest.raises(BadManifest, match="<name>_v<k>"):
        described_encoder(other, "pairs@1", COLUMNS, ABOUT, "model.onnx")


def test_sizes_that_the_model_leaves_open_come_from_its_answers(folder: Path) -> None:
    for size in (None, "any"):
        manifest = described(folder, model(embedding=(TensorProto.FLOAT, ["batch", size])))
        assert manifest.dimensions == 3
        write_manifest(folder, manifest, replace=True)
        assert verify_encoder(load_encoder("means@2", [folder.parent]), "cpu").passed


@pytest.mark.parametrize(
    ("about", "key"),
    [
        (About("A mean.", "nothing", "Apache-2.0", tolerance=0), "golden.tolerance"),
        (About("A mean.", "nothing", "Apache-2.0", max_length=0), "max_length"),
    ],
)
def test_what_is_said_beside_the_model_is_checked(folder: Path, about: About, key: str) -> None:
    with pytest.raises(BadManifest) as caught:
        described_encoder(folder, "pairs@1", COLUMNS, about, "model.onnx")
    assert key in caught.value.message


def test_a_model_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(NotOneFile, match="cannot be read"):
        described_encoder(folder, "pairs@1", COLUMNS, ABOUT, "other.onnx")


COPY = [*MEAN[:-1], helper.make_node("Slice", ["averages", "zero", "three", "axis"], ["embedding"])]
# Where the model says nothing of the columns, nobody can tell before it runs that five dimensions are not true.
LIE = {"tokens": (TensorProto.FLOAT, ["batch", "length", None]), "embedding": (TensorProto.FLOAT, ["batch", 5])}
TWICE = helper.make_node("Add", ["averages", "averages"], ["embedding"])
LAST = [
    helper.make_node("Cast", ["lengths"], ["count"], to=TensorProto.FLOAT),
    helper.make_node("ReduceMean", ["tokens", "axis"], ["averages"], keepdims=0),
    helper.make_node("MatMul", ["averages", "weights"], ["embedding"]),
]
LOGARITHM = [*MEAN[:-1], helper.make_node("Log", ["averages"], ["l"]), helper.make_node("MatMul", ["l", "weights"], ["embedding"])]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    ("other", "problem", "advice"),
    [
        (lambda: model(LAST), "when zeros are padded", "number of real tokens"),
        (lambda: model(LOGARITHM), "NaN or infinity", "below zero"),
        (lambda: model(tokens=(TensorProto.FLOAT, [1, "length", 2])), "fixed at 1", "dynamic_shapes"),
        (lambda: model(tokens=(TensorProto.FLOAT, ["batch", 64, 2])), "fixed at 64", "dynamic_shapes"),
        (lambda: model(COPY, tokens=(TensorProto.FLOAT, ["batch", "length", 4])), "4 columns a token", "sequence"),
        (lambda: model(lengths=(TensorProto.INT32, ["batch"])), "tensor(int32)", "int64"),
        (lambda: model(more=(TensorProto.FLOAT, ["batch"])), "3 inputs", "int64 lengths"),
        (lambda: model([*MEAN[:-1], TWICE], **LIE), "5 dimensions and gives 2", "output_names"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_serve_is_told_why(
    folder: Path, other: Callable[[], Any], problem: str, advice: str
) -> None:
    with pytest.raises(UnusableModel) as caught:
        described(folder, other())
    assert problem in caught.value.message and "model.onnx" in caught.value.message
    assert advice in (caught.value.hint or "")


def test_an_operator_of_nobody_is_named(folder: Path) -> None:
    custom = helper.make_node("Enchant", ["averages"], ["embedding"], domain="our.shop")
    with pytest.raises(NotOneFile, match=r"calls code that is not in it: our\.shop::Enchant") as caught:
        described(folder, model([*MEAN[:-1], custom]))
    assert "operators of ONNX alone" in (caught.value.hint or "")


def test_weights_in_another_file_are_refused(means: Encoder, folder: Path) -> None:
    onnx.save(model(), folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(NotOneFile, match=r"weights\.bin") as caught:
        check_one_file(folder / "model.onnx")
    assert "external_data=False" in (caught.value.hint or "")
    # Also where it lies outside of the folder, and where the manifest has the sum of the file that refers to it.
    escaping = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in escaping.graph.initializer:
        for entry in tensor.external_data:
            entry.value = entry.value.replace("weights.bin", "../../secret.bin")
    with pytest.raises(NotOneFile, match=r"\.\./\.\./secret\.bin"):
        described(folder, escaping)
    with pytest.raises(DamagedEncoder):
        open_session(means, "cpu")


def test_weights_in_another_file_are_found_in_attributes_too(folder: Path) -> None:
    hidden = model()
    weight = onnx.numpy_helper.from_array(WEIGHTS, "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="hidden.bin")
    hidden.graph.node.append(helper.make_node("Constant", [], ["unused"], value=weight))
    (folder / "model.onnx").write_bytes(hidden.SerializeToString())
    with pytest.raises(NotOneFile, match=r"hidden\.bin"):
        check_one_file(folder / "model.onnx")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "placeholder of Git LFS"),
        (b"this is no model at all", "is no ONNX model"),
        (model().SerializeToString()[:-7], "is no ONNX model, or cut short"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_model_is_told(folder: Path, content: bytes | None, problem: str) -> None:
    path = folder / "model.onnx"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotOneFile, match=problem) as caught:
        check_one_file(path)
    assert caught.value.hint


def test_a_file_beyond_what_protobuf_holds_is_told(folder: Path) -> None:
    path = folder / "model.onnx"
    with path.open("r+b") as file:
        file.truncate(2 * 1024**3)  # sparse: takes no room on the disk
    with pytest.raises(NotOneFile, match="2,147,483,648 bytes"):
        check_one_file(path)


def test_a_whole_model_is_whole(encoder: Encoder) -> None:
    check_one_file(encoder.model_path)


def spoil(folder: Path, edit: Callable[[Any], object]) -> Encoder:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return load_encoder("means@2", [folder.parent])


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda m: m["inputs"][1].update(name="sizes"), "the manifest names 'sizes'"),
        (lambda m: m["output"].update(name="answer"), "the manifest names 'answer'"),
        (lambda m: m["inputs"][0].update(dtype="int64"), r"'tokens' is float32\[any, any, 2\] in the model and int64"),
        (lambda m: m["inputs"][0].update(shape=[4, "length", 2]), None),
    ],
)
def test_a_signature_that_differs_is_told_from_both_sides(
    means: Encoder, folder: Path, edit: Callable[[Any], object], told: str | None
) -> None:
    spoiled = spoil(folder, edit)
    if told is None:  # a manifest may be narrower than its model
        open_session(spoiled, "cpu")
        return
    with pytest.raises(EncoderNotRunnable, match=told) as caught:
        open_session(spoiled, "cpu")
    assert "encoders manifest --replace" in (caught.value.hint or "")


def test_a_size_that_the_model_fixes_cannot_be_open_in_the_manifest(means: Encoder, folder: Path) -> None:
    onnx.save(model(tokens=(TensorProto.FLOAT, ["batch", 8, 2])), folder / "model.onnx")
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    with pytest.raises(EncoderNotRunnable, match=r"'tokens' is float32\[any, 8, 2\] in the model"):
        open_session(spoil(folder, lambda m: m.update(sha256=digest)), "cpu")


def test_golden_rows_that_differ_come_with_advice(means: Encoder, folder: Path) -> None:
    def shift(manifest: Any) -> None:
        manifest["golden"]["rows"][0]["embedding"][0] += 0.5

    verification = verify_encoder(spoil(folder, shift), "cpu")
    assert not verification.passed
    ((problem, advice),) = verification.problems
    assert "up to 5.0e-01" in problem and "--replace" in advice


def test_a_model_that_reads_its_padding_does_not_verify(means: Encoder, folder: Path) -> None:
    """Its golden rows are right one by one: only padding shows it."""
    onnx.save(model(LAST), folder / "model.onnx")

    def refit(manifest: Any) -> None:
        manifest["sha256"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        for row in manifest["golden"]["rows"]:
            row["embedding"] = (np.mean(row["tokens"], axis=0) @ WEIGHTS).tolist()

    problems = verify_encoder(spoil(folder, refit), "cpu").problems
    assert any("padding to the right" in problem and "lengths" not in problem for problem, _ in problems)


@pytest.mark.parametrize(("cosine", "passed"), [(9e-4, True), (2e-3, False), (float("nan"), False)])
def test_on_a_gpu_the_cosine_counts(cosine: float, passed: bool) -> None:
    verification = Verification(
        "means@2", "", "CUDAExecutionProvider", "", "", 8, 0.01, 1e-5, cosine_distance=cosine, padding_difference=1e-6
    )
    assert verification.passed is passed
