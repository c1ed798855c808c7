"""The shops of the evaluation, made into projects as `sqlseg init`, `demo` and `synth` make them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlseg.synth import write_synthetic_events
from sqlseg.workflow.creating import create_demo, create_project

SYNTHETIC_SEEDS = (910_001, 910_002)
"""Far from every seed that pretraining draws its shops with."""

_USERS, _EVENTS = 2_500, 75_000


class DataMissing(Exception):
    """The data of a shop are not on this machine."""


def _real(file: str) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        folder = os.environ.get("SQLSEG_DATA")
        if not folder or not (Path(folder) / file).is_file():
            raise DataMissing(f"SQLSEG_DATA names no folder with {file}")
        create_project(directory, str(Path(folder).resolve() / file), directory.parent)

    return make


def _simulated(seed: int) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        data = directory.parent / f"{directory.name}-data"
        data.mkdir(parents=True)
        write_synthetic_events(data / "events.parquet", _USERS, _EVENTS, seed)
        create_project(directory, str(data / "events.parquet"), directory.parent)

    return make


SHOPS: Mapping[str, tuple[str, Callable[[Path], None]]] = {
    "online_retail": ("Online Retail 2010-11", _real("online_retail_2011.parquet")),
    "complete_journey": ("Complete Journey", create_demo),
    "taobao": ("Taobao (funnels only)", _real("taobao_userbehavior.parquet")),
    **{f"synthetic_{n}": (f"Simulated shop {n}", _simulated(s)) for n, s in enumerate(SYNTHETIC_SEEDS, start=1)},
}
"""By the name on the command line: the title, and what makes the project in an empty place."""
