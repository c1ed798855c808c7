"""How well do rules of three conditions imitate segments that are made of features alone?

    SQLSEG_DATA=... python benchmarks/rules.py DIR

makes five shops in DIR (a new folder) as `sqlseg init` and `sqlseg demo` propose them, gives `behavior` feature views
alone as inputs, refreshes them, and prints as Markdown

- the fidelity: of three users in ten, whom the rules were not made from, the share whom they put where the model does,
- that of a decision tree of scikit-learn made from the same seven in ten, which may ask for as many conditions as it
  likes, one feature at a time: its smallest leaf is the one of 1, 3, 5 and 10 users that does best on the three.
"""

import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from sqlseg.engine.duckdb import Engine
from sqlseg.insight.rules import HELD_OUT, imitate
from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.workflow.creating import create_demo, create_project
from sqlseg.workflow.inputs import read_readable
from sqlseg.workflow.narration import Clock, Silence
from sqlseg.workflow.outcome import Options
from sqlseg.workflow.project import open_project
from sqlseg.workflow.refresh import refresh
from sqlseg.workflow.warehouse import open_warehouse

SHOPS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "Online Retail 2010-11": ("online_retail_2011.parquet", ("rfm@1", "cadence@1", "basket@1", "trend@1")),
    "Complete Journey": (None, ("rfm@1", "cadence@1", "basket@1", "price@1", "trend@1")),
    "Taobao": ("taobao_userbehavior.parquet", ("sessions@1", "cadence@1", "funnel@1", "rhythm@1", "affinity@1")),
    "Clothing clicks 2008": ("eshop_clothing_2008.parquet", ("sessions@1", "affinity@1")),
    "Amazon grocery": ("amazon_grocery_interactions.parquet", ("sessions@1",)),
}
"""By title: the file (None for the demo), and the inputs."""
NAME = "behavior"
_GROWN_ON = 10_000


def features_alone(directory: Path, inputs: tuple[str, ...]) -> tuple[dict[str, FloatArray], IntArray]:
    """Refresh a project with these inputs; return the readable features and the segments of its users."""
    settings = directory / "sqlseg.toml"
    text = settings.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^inputs = .*$", f"inputs = {json.dumps(inputs)}", text)
    settings.write_text(re.sub(r"(?m)^weights = .*$", "", text), encoding="utf-8")
    clock = Clock(now=lambda: datetime.now(UTC).replace(tzinfo=None), seconds=perf_counter)
    refresh(directory, Options(), clock, Silence())
    project = open_project(directory)
    segmentation = project.settings.segmentations[NAME]
    assert segmentation.kind == "cluster"
    with open_warehouse(project) as engine:
        views = [project.registry.view("features", one.ref) for one in segmentation.inputs]
        values = read_readable(engine, views).values
        return values, _segments(engine)


def _segments(engine: Engine) -> IntArray:
    table = engine.table(f"select segment_id from segments.membership where segmentation = '{NAME}' order by user_id")
    return np.unique(table["segment_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1].astype(np.int64)


def unbounded(columns: dict[str, FloatArray], labels: IntArray, seed: int = 0) -> float:
    """Return the fidelity of a tree without bound, on the very users that the rules are measured on."""
    drawn = np.random.default_rng(seed).permutation(labels.size)[:_GROWN_ON]
    border = round(len(drawn) * (1 - HELD_OUT))
    made_from, held_out = np.sort(drawn[:border]), np.sort(drawn[border:])
    X = np.clip(np.column_stack(list(columns.values())), -3e38, 3e38)
    return max(
        DecisionTreeClassifier(min_samples_leaf=users, random_state=0)
        .fit(X[made_from], labels[made_from])
        .score(X[held_out], labels[held_out])
        for users in (1, 3, 5, 10)
    )


def main() -> None:
    """Make the shops and print the table."""
    root = Path(sys.argv[1])
    root.mkdir(parents=True)
    print("| shop | users | features | segments | ways a segment | fidelity | a tree without bound |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for number, (title, (file, inputs)) in enumerate(SHOPS.items()):
        directory = root / str(number)
        if file is None:
            create_demo(directory)
        else:
            create_project(directory, str(Path(os.environ["SQLSEG_DATA"]).resolve() / file), root)
        values, labels = features_alone(directory, inputs)
        found = imitate(values, labels, int(labels.max()) + 1, 0)
        assert found is not None
        ways = np.mean([len(rule.ways) for rule in found.rules])
        print(
            f"| {title} | {labels.size:,} | {len(values)} | {len(found.rules)} | {ways:.1f} | {found.fidelity:.3f} "
            f"| {unbounded(values, labels):.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
