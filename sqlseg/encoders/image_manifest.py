"""What an encoder of images says of itself, with how a picture becomes the numbers that it takes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sqlseg.encoders.content_manifest import Sha256, check_package, load_content_manifest, model_file
from sqlseg.encoders.manifest import (
    BadManifest,
    Described,
    DuplicateEncoder,
    Tensor,
    UnknownEncoder,
    check_files,
    encoder_folders,
)

Channels = tuple[float, float, float]


class Preprocessing(Described):
    """How a picture becomes numbers: the middle of it at a size, then (value - mean) / std of each channel.

    `size` is height and width. `crop` is the part of each side that is kept, from the middle; with `keep_shape` the
    part has the shape of `size`, else it is stretched to it. A black pixel has the value 0, a white one `white`. `mean`
    and `std` are in the order of `channels`. What is transparent counts as white.
    """

    size: tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]]
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    keep_shape: bool = True
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    channels: Literal["rgb", "bgr"] = "rgb"
    white: Annotated[float, Field(gt=0)] = 1.0
    mean: Channels = (0.0, 0.0, 0.0)
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class GoldenImage(Described):
    """A picture in the folder of the manifest, and the embedding that the model gave it when it was published."""

    image: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    embedding: tuple[float, ...]


class GoldenImages(Described):
    """Pictures to replay on another machine, and how far an answer may lie from the published one."""

    tolerance: Annotated[float, Field(gt=0)]
    rows: tuple[GoldenImage, ...] = Field(min_length=1)


class ImageManifest(Described):
    """The contents of the manifest.json of an image encoder.

    The model takes pictures (batch, 3, height, width) or (batch, height, width, 3), of which the batch may be fixed to
    1. `output` may be any tensor within the model, so that of a classifier the layer before its classes can be taken.
    With `pooling` none it is a vector for each picture; mean is taken over parts (batch, parts, dimensions) or places
    (batch, dimensions, height, width), and first is the first of the parts. `package` names an installed package that
    holds the model file, if the folder does not.
    """

    kind: Literal["image"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    version: Annotated[int, Field(ge=1)]
    description: str
    package: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] | None = None
    model: Annotated[str, Field(pattern=r"^[\w.-]+\.onnx$")]
    sha256: Sha256
    preprocessing: Preprocessing
    input: Tensor
    output: Tensor
    pooling: Literal["mean", "first", "none"] = "none"
    normalize: bool
    dimensions: Annotated[int, Field(ge=1)]
    training_data: str
    license: str
    golden: GoldenImages

    @property
    def channels_first(self) -> bool:
        """Whether the model takes (batch, 3, height, width)."""
        return self.input.shape[1] == 3

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        shape, size = self.input.shape, self.preprocessing.size
        sides = shape[2:] if len(shape) == 4 and shape[1] == 3 else shape[1:3]
        if self.input.dtype != "float32" or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise ValueError(
                "input: must be float32 of the shape [batch, 3, height, width] or [batch, height, width, 3]"
            )
        if isinstance(shape[0], int) and shape[0] != 1:
            raise ValueError("input: the number of pictures must have a name or be 1")
        if any(isinstance(side, int) and side != given for side, given in zip(sides, size, strict=True)):
            raise ValueError(f"input: takes {list(sides)}, but preprocessing.size is {list(size)}")
        given = self.output.shape[1:]
        fits = {
            "none": given[:1] == (self.dimensions,) and all(side == 1 for side in given[1:]),
            "mean": given[1:] == (self.dimensions,) or (len(given) == 3 and given[0] == self.dimensions),
            "first": len(given) == 2 and given[1] == self.dimensions,
        }
        if self.output.dtype != "float32" or not fits[self.pooling]:
            raise ValueError(f"output: its shape does not fit pooling {self.pooling} and dimensions {self.dimensions}")
        if any(len(row.embedding) != self.dimensions for row in self.golden.rows):
            raise ValueError(f"golden: a row has not {self.dimensions} dimensions")
        return self


@dataclass(frozen=True)
class ImageEncoder:
    """One version of an image encoder: its folder and what its manifest says."""

    folder: Path
    manifest: ImageManifest

    @property
    def ref(self) -> str:
        """How settings name it, such as looks@1."""
        return f"{self.manifest.name}@{self.manifest.version}"

    @property
    def table(self) -> str:
        """The name of its table in the schema embeddings, such as image_looks_v1."""
        return f"image_{self.manifest.name}_v{self.manifest.version}"

    @property
    def fingerprint(self) -> str:
        """Changes with anything that decides an embedding."""
        deciding = {"sha256", "preprocessing", "output", "pooling", "normalize"}
        return hashlib.sha256(self.manifest.model_dump_json(include=deciding).encode()).hexdigest()

    @cached_property
    def model_path(self) -> Path:
        """The ONNX file. Raises MissingPackage."""
        return model_file(self.folder, self.manifest.model, self.manifest.package, f"The image encoder {self.ref}")


def find_image_encoders(roots: Sequence[Path]) -> dict[str, ImageEncoder]:
    """Return every image encoder in folders named <name>_v<k> under the roots, by ref."""
    found: dict[str, ImageEncoder] = {}
    for folder in encoder_folders(roots, "image"):
        path = folder / "manifest.json"
        encoder = ImageEncoder(folder, load_content_manifest(path, ImageManifest))
        if encoder.table != f"image_{folder.name}":
            raise BadManifest(path, "name", f"says {encoder.ref}, but the folder is {folder.name}")
        if encoder.ref in found:
            raise DuplicateEncoder(encoder.ref, [found[encoder.ref].folder, folder])
        found[encoder.ref] = encoder
    return found


def load_image_encoder(ref: str, roots: Sequence[Path]) -> ImageEncoder:
    """Return the image encoder that settings name, after checking its file.

    Raises UnknownEncoder, BadManifest, MissingPackage or DamagedEncoder.
    """
    known = find_image_encoders(roots)
    if ref not in known:
        raise UnknownEncoder(ref, known)
    check_image_encoder(known[ref])
    return known[ref]


def check_image_encoder(encoder: ImageEncoder) -> None:
    """Raise DamagedEncoder unless the model has the SHA-256 that the manifest names, MissingPackage without Pillow."""
    check_package("PIL", f"The image encoder {encoder.ref}", "pillow", "'sqlseg[image]'")
    check_files(encoder.folder, [(encoder.model_path, encoder.manifest.sha256)])
