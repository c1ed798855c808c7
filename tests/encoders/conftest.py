"""The shipped encoders, and copies of the first to spoil."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqlseg.encoders.manifest import Encoder, load_encoder
from sqlseg.encoders.session import EncoderSession, open_session
from sqlseg.resources import resource_root

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder("encoder:behavior@1", [resource_root("onnx_models")])


@pytest.fixture(scope="session")
def forecasting() -> Encoder:
    """The encoder that gives forecasts, too."""
    return load_encoder("encoder:behavior@2", [resource_root("onnx_models")])


@pytest.fixture(scope="session")
def session(encoder: Encoder) -> EncoderSession:
    return open_session(encoder, "cpu")


def spoiled_copy(encoder: Encoder, directory: Path, edit: Edit) -> Path:
    """Return a root in the directory that holds a copy of the encoder whose manifest was edited."""
    folder = directory / "onnx_models" / encoder.table
    shutil.copytree(encoder.folder, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder.parent


@pytest.fixture
def spoiled(tmp_path: Path, encoder: Encoder) -> Callable[[Edit], Path]:
    """Return a root that holds a copy of the first encoder whose manifest was edited."""
    return lambda edit: spoiled_copy(encoder, tmp_path, edit)


@pytest.fixture
def spoiled_forecasting(tmp_path: Path, forecasting: Encoder) -> Callable[[Edit], Path]:
    """Return a root that holds a copy of the forecasting encoder whose manifest was edited."""
    return lambda edit: spoiled_copy(forecasting, tmp_path, edit)


@pytest.fixture
def ragged(encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    """Return random tokens of 300 users, of lengths 0 to 64, and their offsets."""
    rng = np.random.default_rng(0)
    lengths = np.concatenate([[64, 0, 1], rng.integers(0, 65, 297)])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return rng.normal(0, 0.5, (offsets[-1], len(encoder.manifest.columns))).astype(np.float32), offsets
