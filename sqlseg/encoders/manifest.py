"""What a shipped or a shop's own encoder says of itself, and whether its model file is the one it speaks of."""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sqlseg.encoders.onnxfile import check_size
from sqlseg.errors import SqlsegError

Device = Literal["auto", "cpu", "cuda"]
"""Where an encoder is to run."""

_FOLDER_NAME = re.compile(r"^(?P<name>[a-z][a-z0-9_]*)_v(?P<version>[1-9][0-9]{0,8})$")


class UnknownEncoder(SqlsegError):
    """A setting or command names an encoder that does not exist."""

    def __init__(self, ref: str, known: Collection[str]) -> None:
        hint = f"Choose one of: {', '.join(sorted(known))}." if known else "No encoder is installed."
        super().__init__(f"No encoder named {ref!r}.", hint=hint)


class DuplicateEncoder(SqlsegError):
    """Two folders hold the same version of an encoder."""

    def __init__(self, ref: str, folders: Sequence[Path]) -> None:
        super().__init__(
            f"Encoder {ref} exists twice: {' and '.join(str(folder) for folder in folders)}.",
            hint="A published version never changes: give your own encoder another name or version.",
        )


class BadManifest(SqlsegError):
    """A manifest.json cannot be read, or a key in it is wrong."""

    def __init__(self, path: Path, key: str, problem: str) -> None:
        where = f", key {key!r}" if key else ""
        super().__init__(f"{path}{where}: {problem}.", hint="See the manifest of a shipped encoder for a complete one.")


class DamagedEncoder(SqlsegError):
    """A model file is not the one that its manifest describes."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path} is damaged or was exchanged: its SHA-256 is {found}, its manifest says {expected}.",
            hint="Restore the file. A retrained model is a new version with a folder of its own; while nothing uses it "
            "yet, `sqlseg encoders manifest --replace` describes the new file.",
        )


class Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Tensor(Described):
    """An input or output of the model; a dimension without a fixed size has a name."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int | str, ...]


Quantity = Literal["order_probability", "expected_orders", "expected_spend"]
"""What is foretold: the chance of any order, the number of orders, and their worth in the shop's median orders."""


class Forecasts(Described):
    """What an encoder foretells of a user, `age` days after the user's last token.

    The model gives them beside the embedding, and takes `age` for them as a third input. A second ONNX file gives the
    same from a kept embedding and an age alone, so that time can pass without anybody being embedded again.
    `horizons` are days, ascending; the output has the shape (batch, horizons, quantities).
    """

    age: Tensor
    output: Tensor
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    quantities: tuple[Quantity, ...] = Field(min_length=1)
    model: Annotated[str, Field(pattern=r"^[\w.-]+\.onnx$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.age.dtype != "float32" or len(self.age.shape) != 1:
            raise ValueError(f"age: {self.age.name} must be float32 of the shape [batch]")
        if list(self.horizons) != sorted(set(self.horizons)):
            raise ValueError("horizons: must ascend")
        if len(set(self.quantities)) != len(self.quantities):
            raise ValueError("quantities: must differ")
        expected = (len(self.horizons), len(self.quantities))
        if self.output.dtype != "float32" or len(self.output.shape) != 3 or self.output.shape[1:] != expected:
            raise ValueError(
                f"output: {self.output.name} must be float32 of the shape [batch, {expected[0]}, {expected[1]}]"
            )
        return self


class GoldenRow(Described):
    """A token sequence, and the embedding that the model gave it when it was published.

    Where the encoder forecasts: also an age in days, and the forecasts, horizons x quantities.
    """

    tokens: tuple[tuple[float, ...], ...] = Field(min_length=1)
    embedding: tuple[float, ...]
    age: Annotated[float, Field(ge=0)] | None = None
    forecasts: tuple[tuple[float, ...], ...] | None = None


class Golden(Described):
    """Rows to replay on another machine, and how far an answer may lie from the published one."""

    tolerance: Annotated[float, Field(gt=0)]
    rows: tuple[GoldenRow, ...] = Field(min_length=1)


class Manifest(Described):
    """The contents of manifest.json.

    `columns` are the columns of the sequence view after user_id and position, in its order. The model takes right
    padded tokens (batch, length, columns) and the number of real ones (batch,).
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    version: Annotated[int, Field(ge=1)]
    description: str
    sequence: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*@[1-9][0-9]*$")]
    model: Annotated[str, Field(pattern=r"^[\w.-]+\.onnx$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    inputs: tuple[Tensor, Tensor]
    output: Tensor
    columns: tuple[str, ...] = Field(min_length=1)
    dimensions: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=1)]
    training_data: str
    license: str
    golden: Golden
    forecasts: Forecasts | None = None

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        tokens, lengths = self.inputs
        if len(tokens.shape) != 3 or tokens.shape[2] != len(self.columns):
            raise ValueError(f"inputs: {tokens.name} must have the shape [batch, length, {len(self.columns)}]")
        if len(lengths.shape) != 1 or lengths.dtype != "int64":
            raise ValueError(f"inputs: {lengths.name} must be int64 of the shape [batch]")
        if len(self.output.shape) != 2 or self.output.shape[1] != self.dimensions:
            raise ValueError(f"output: {self.output.name} must have the shape [batch, {self.dimensions}]")
        for row in self.golden.rows:
            if len(row.embedding) != self.dimensions or any(len(token) != len(self.columns) for token in row.tokens):
                raise ValueError(f"golden: a row has not {len(self.columns)} columns and {self.dimensions} dimensions")
            if len(row.tokens) > self.max_length:
                raise ValueError(f"golden: a row has more than {self.max_length} tokens")
            self._check_forecasts(row)
        return self

    def _check_forecasts(self, row: GoldenRow) -> None:
        told = self.forecasts
        if told is None:
            if row.age is not None or row.forecasts is not None:
                raise ValueError("golden: a row has forecasts, of which the manifest says nothing else")
        elif (
            row.age is None
            or row.forecasts is None
            or len(row.forecasts) != len(told.horizons)
            or any(len(figures) != len(told.quantities) for figures in row.forecasts)
        ):
            raise ValueError(
                "golden: a row has no age, or not the forecasts of "
                f"{len(told.horizons)} horizons x {len(told.quantities)} quantities"
            )


@dataclass(frozen=True)
class Encoder:
    """One version of an encoder: its folder and what its manifest says."""

    folder: Path
    manifest: Manifest

    @property
    def ref(self) -> str:
        """How settings name it after `encoder:`, such as behavior@1."""
        return f"{self.manifest.name}@{self.manifest.version}"

    @property
    def table(self) -> str:
        """The name of its table in the schema embeddings, such as behavior_v1."""
        return f"{self.manifest.name}_v{self.manifest.version}"

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.folder / self.manifest.model

    @property
    def files(self) -> tuple[tuple[Path, str], ...]:
        """Every ONNX file and the SHA-256 that it must have."""
        told = self.manifest.forecasts
        more = () if told is None else ((self.folder / told.model, told.sha256),)
        return ((self.model_path, self.manifest.sha256), *more)


def load_manifest(path: Path) -> Manifest:
    """Return the checked contents of a manifest.json; raises BadManifest with the key that is wrong."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadManifest(path, "", f"cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise BadManifest(path, "", f"is not JSON ({error})") from error
    except RecursionError as error:
        raise BadManifest(path, "", "is nested too deeply to be read") from error
    return checked_manifest(path, content)


def checked_manifest(path: Path, content: object) -> Manifest:
    """Return a manifest from what a file holds, or is to hold; raises BadManifest with the key that is wrong."""
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise bad_manifest(path, error) from error


def bad_manifest(path: Path, error: ValidationError) -> BadManifest:
    """Return the error for the first key of a manifest that is wrong: what is wrong with it, and what it holds."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "missing":
            return BadManifest(path, key, "is missing")
        case "extra_forbidden":
            return BadManifest(path, key, "is no key of a manifest; take it out, or correct its name")
        case "value_error":
            return BadManifest(path, key, first["msg"].removeprefix("Value error, "))
    given = repr(first["input"])
    told = first["msg"].removeprefix("Input ").replace("should be", "must be").replace("should", "must")
    shown = given if len(given) <= 60 else f"{given[:60]}..."
    return BadManifest(path, key, f"{told[0].lower()}{told[1:]}, got {shown}")


def folder_ref(folder: Path) -> tuple[str, int]:
    """Return name and version of an encoder by its folder, <name>_v<k>. Raises BadManifest for other names."""
    named = _FOLDER_NAME.match(folder.resolve().name)
    if named is None:
        raise BadManifest(folder / "manifest.json", "name", "the folder must be called <name>_v<k>, such as habits_v1")
    return named["name"], int(named["version"])


def find_encoders(roots: Sequence[Path]) -> dict[str, Encoder]:
    """Return every encoder in folders named <name>_v<k> under the roots, by ref; roots that are missing are empty."""
    found: dict[str, Encoder] = {}
    for folder in encoder_folders(roots, "sequence"):
        path = folder / "manifest.json"
        encoder = Encoder(folder, load_manifest(path))
        if encoder.table != folder.name:
            raise BadManifest(path, "name", f"says {encoder.ref}, but the folder is {folder.name}")
        if encoder.ref in found:
            raise DuplicateEncoder(encoder.ref, [found[encoder.ref].folder, folder])
        found[encoder.ref] = encoder
    return found


def encoder_folders(roots: Sequence[Path], kind: Literal["sequence", "text", "image"]) -> list[Path]:
    """Return the folders named <name>_v<k> under the roots whose manifest says it is of this kind.

    Without a kind it is of sequences, and so is what is no JSON object, which is then refused by name.
    """
    folders = []
    # In a checkout of sqlseg the shipped encoders and those of the folder are the same.
    for root in dict.fromkeys(root.resolve() for root in roots):
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            path = folder / "manifest.json"
            if _FOLDER_NAME.match(folder.name) and path.is_file() and _kind(path) == kind:
                folders.append(folder)
    return folders


def _kind(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "sequence"  # reading it says what is wrong
    told = re.search(r'"kind"\s*:\s*"(text|image)"', text)
    return told[1] if told else "sequence"


def load_encoder(ref: str, roots: Sequence[Path]) -> Encoder:
    """Return the encoder that settings name, as `encoder:behavior@1` or `behavior@1`, after checking its files.

    Raises UnknownEncoder, DuplicateEncoder, BadManifest or DamagedEncoder.
    """
    known = find_encoders(roots)
    encoder = known.get(ref.removeprefix("encoder:"))
    if encoder is None:
        raise UnknownEncoder(ref, known)
    check_model_file(encoder)
    return encoder


def check_model_file(encoder: Encoder) -> None:
    """Raise DamagedEncoder unless the model files have the SHA-256 that the manifest names."""
    check_files(encoder.folder, encoder.files)


def check_files(folder: Path, files: Sequence[tuple[Path, str]]) -> None:
    """Raise DamagedEncoder unless each file has the SHA-256 that the manifest of the folder names.

    A file that is too large for a model is not read: NotOneFile.
    """
    for path, expected in files:
        try:
            check_size(path, path.stat().st_size)
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            problem = f"{path} cannot be read ({error.strerror or error})"
            raise BadManifest(folder / "manifest.json", "model", problem) from error
        if found != expected:
            raise DamagedEncoder(path, expected, found)
