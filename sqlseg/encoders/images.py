"""An image encoder: the bytes of picture files in, one embedding each."""

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from sqlseg.encoders.image_manifest import ImageEncoder, Preprocessing, check_image_encoder
from sqlseg.encoders.manifest import BadManifest, Device
from sqlseg.encoders.session import CPU, EncoderNotRunnable, check_signature, start_on
from sqlseg.encoders.verify import Verification, compared
from sqlseg.errors import SqlsegError

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES_ON_CPU, PICTURES_ON_GPU = 8, 64
"""In one batch. On a CPU a few at a time stay in its caches."""


class UnreadableImage(SqlsegError):
    """The bytes of a file are no picture, or a damaged or oversized one."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"This is no readable image ({problem}).", hint="Export it again, as JPEG or PNG.")


def pixels(data: bytes, how: Preprocessing) -> np.ndarray:
    """Return float32 (height, width, 3) of the bytes of a picture file. Raises UnreadableImage."""
    from PIL import Image, ImageOps

    height, width = how.size
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    try:
        with Image.open(BytesIO(data)) as opened:
            image = _on_white(ImageOps.exif_transpose(opened))
        # Scaling the middle alone spares making a long strip larger before most of it is cut off.
        box = _middle(image.width, image.height, how)
        image = image.resize((width, height), filters[how.interpolation], box=box)
        values = np.asarray(image, dtype=np.float32)
    except Exception as error:  # Pillow's readers of formats raise whatever a broken file leads them to
        raise UnreadableImage(" ".join(str(error).split()) or type(error).__name__) from error
    if how.channels == "bgr":
        values = values[:, :, ::-1]
    mean, std = (np.array(given, dtype=np.float32) for given in (how.mean, how.std))
    scaled: np.ndarray = (values * np.float32(how.white / 255) - mean) / std
    return scaled


def _on_white(image: "Image") -> "Image":
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def _middle(width: int, height: int, how: Preprocessing) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the part of a picture that is used."""
    wide, high = width * how.crop, height * how.crop
    if how.keep_shape:
        scale = min(wide / how.size[1], high / how.size[0])
        wide, high = how.size[1] * scale, how.size[0] * scale
    left, top = max((width - wide) / 2, 0.0), max((height - high) / 2, 0.0)
    return left, top, min(left + wide, width), min(top + high, height)


@dataclass(frozen=True)
class StartedImageEncoder:
    """A started image encoder. It computes with one thread; with an executor, batches run side by side."""

    encoder: ImageEncoder
    provider: str
    _session: onnxruntime.InferenceSession
    executor: Executor | None = None

    def embeddings(self, pictures: Sequence[bytes]) -> np.ndarray:
        """Return float32 (pictures, dimensions); NaN for bytes that are no readable picture."""
        described = self.encoder.manifest
        most = PICTURES_ON_CPU if self.provider == CPU else PICTURES_ON_GPU
        most = 1 if described.input.shape[0] == 1 else most
        batches = [pictures[start : start + most] for start in range(0, len(pictures), most)]
        found = map(self._embedded, batches) if self.executor is None else self.executor.map(self._embedded, batches)
        return np.concatenate([np.empty((0, described.dimensions), np.float32), *found])

    def _embedded(self, pictures: Sequence[bytes]) -> np.ndarray:
        described = self.encoder.manifest
        result = np.full((len(pictures), described.dimensions), np.nan, dtype=np.float32)
        known, readable = [], []
        for place, picture in enumerate(pictures):
            try:
                readable.append(pixels(picture, described.preprocessing))
            except UnreadableImage:
                continue  # it stays NaN
            known.append(place)
        if readable:
            result[known] = self._run(np.stack(readable))
        return result

    def _run(self, values: np.ndarray) -> np.ndarray:
        described, path = self.encoder.manifest, self.encoder.model_path
        if described.channels_first:
            values = values.transpose(0, 3, 1, 2)
        feed = {described.input.name: np.ascontiguousarray(values, dtype=np.float32)}
        try:
            [found] = self._session.run([described.output.name], feed)
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise EncoderNotRunnable(path, " ".join(str(error).split())) from error
        given = found.shape
        if described.pooling == "mean":
            found = found.mean(axis=1) if found.ndim == 3 else found.mean(axis=(2, 3))
        elif described.pooling == "first":
            found = found[:, 0]
        found = found.reshape(len(found), -1)
        if found.shape != (len(values), described.dimensions):
            expected = f"{described.dimensions} numbers for each of {len(values)} images"
            raise EncoderNotRunnable(path, f"it gave {given} instead of {expected}")
        if not np.isfinite(found).all():
            raise EncoderNotRunnable(path, "it gave numbers that are not finite")
        if described.normalize:
            found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        result: np.ndarray = found.astype(np.float32)
        return result


@contextmanager
def image_encoder(encoder: ImageEncoder, device: Device = "auto", threads: int = 1) -> Iterator[StartedImageEncoder]:
    """Start an image encoder on so many threads, for as long as the block runs.

    Raises MissingPackage, DamagedEncoder, DeviceUnavailable or EncoderNotRunnable.
    """
    check_image_encoder(encoder)
    from PIL import Image

    described = encoder.manifest
    session, provider = start_on(encoder.model_path, device, described.output.name)
    check_signature(encoder.model_path, session, (described.input, described.output), gives_more=True)
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="encode") as executor,
    ):
        warnings.filterwarnings("ignore", module="PIL")
        # A file of some kilobytes can unpack to gigabytes; Pillow warns of what is far larger than any photo.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield StartedImageEncoder(encoder, provider, session, executor if provider == CPU else None)


def verify_image_encoder(encoder: ImageEncoder, device: Device = "auto") -> Verification:
    """Return how the answers here compare with the published ones; raises what starting the encoder raises."""
    described = encoder.manifest
    paths = [encoder.folder / row.image for row in described.golden.rows]
    try:
        pictures = [path.read_bytes() for path in paths]
    except OSError as error:
        problem = f"{error.filename} cannot be read ({error.strerror or error})"
        raise BadManifest(encoder.folder / "manifest.json", "golden.rows", problem) from error
    with image_encoder(encoder, device) as images:
        found = images.embeddings(pictures)
        provider = images.provider
    unreadable = [path.name for path, row in zip(paths, found, strict=True) if np.isnan(row).any()]
    if unreadable:
        problem = f"{unreadable[0]} is no readable image"
        raise BadManifest(encoder.folder / "manifest.json", "golden.rows", problem)
    published = np.array([row.embedding for row in described.golden.rows])
    tensors = ((described.input,), described.output)
    return compared(encoder.ref, described.sha256, provider, tensors, found, published, described.golden.tolerance)
