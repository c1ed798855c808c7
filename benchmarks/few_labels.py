"""What are few labels worth? Complete Journey: what 801 households told of themselves, learned from 200 or 400.

    python benchmarks/few_labels.py DIR

makes the demo's project in DIR (a new folder) with two ways of looking at a household, and prints as Markdown how well
each algorithm of kind "supervised" tells the other households that told it: AUC (with its standard error) and accuracy,
means of six draws of the labelled, and `bridge_agreement`. The households that told nothing are those without a label.
"""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from sqlseg.engine.duckdb import Engine
from sqlseg.segments.blocks import Block
from sqlseg.segments.learners import LEARNERS
from sqlseg.segments.supervised import Labels, fit_supervised_model
from sqlseg.workflow.creating import create_demo
from sqlseg.workflow.inputs import read_blocks, read_users
from sqlseg.workflow.narration import Clock, Silence
from sqlseg.workflow.outcome import Options
from sqlseg.workflow.project import open_project
from sqlseg.workflow.refresh import refresh
from sqlseg.workflow.warehouse import open_warehouse

DRAWS = 6
LABELLED = (200, 400)
SETTINGS = """
[segmentations.how]
kind = "cluster"
k = 5
inputs = ["rfm@1", "cadence@1", "basket@1", "price@1", "trend@1", "encoder:behavior@3"]

[segmentations.what]
kind = "cluster"
k = 5
inputs = ["rfm@1", "basket@1", "price@1", "content:category@1"]
"""
UNDER_35 = {"Under 15K", "15-24K", "25-34K"}
UNDER_75 = {"35-49K", "50-74K"}
ANSWERS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "children": ("kids_count", lambda kids: "no" if kids == "0" else "yes"),
    "household of one": ("household_size", lambda size: "yes" if size == "1" else "no"),
    "size of household": ("household_size", lambda size: size if size in ("1", "2") else "3+"),
    "income": ("income", lambda told: "low" if told in UNDER_35 else "middle" if told in UNDER_75 else "high"),
}

Told = tuple[float, float]
"""AUC and accuracy."""


def read_project(
    directory: Path,
) -> tuple[dict[str, tuple[Block, ...]], NDArray[np.object_], dict[str, dict[str, str]]]:
    """Make and refresh the project; return the inputs by segmentation, the users, and what they told by column."""
    create_demo(directory)
    file = directory / "sqlseg.toml"
    head = file.read_text(encoding="utf-8").partition("# Groups found in how households shop.")[0]
    file.write_text(head + SETTINGS, encoding="utf-8")
    clock = Clock(now=lambda: datetime.now(UTC).replace(tzinfo=None), seconds=perf_counter)
    refresh(directory, Options(), clock, Silence())
    project = open_project(directory)
    with open_warehouse(project) as engine:
        inputs = {
            name: read_blocks(engine, project, segmentation)
            for name, segmentation in project.settings.segmentations.items()
            if segmentation.kind == "cluster"
        }
        columns = {column for column, _ in ANSWERS.values()}
        return inputs, read_users(engine), {column: _told(engine, column) for column in columns}


def _told(engine: Engine, column: str) -> dict[str, str]:
    return dict(engine.rows(f"select user_id, {column} from sqlseg.users where {column} is not null"))


def told_right(blocks: tuple[Block, ...], answers: NDArray[np.int64], count: int, seed: int) -> dict[str, Told]:
    """Return how each algorithm, and the most common answer, does on those who are not drawn."""
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(answers >= 0))
    known, asked = drawn[:count], drawn[count:]
    rows = np.setdiff1d(np.arange(answers.size), asked)  # who is asked about is no user without a label either
    labels = np.where(np.isin(rows, known), answers[rows], -1)
    names = tuple(f"{number}" for number in range(answers.max() + 1))
    truth = answers[asked]
    common = np.bincount(answers[known]).argmax()
    found: dict[str, Told] = {"(most common)": (0.5, float(np.mean(truth == common)))}
    for algorithm in LEARNERS:
        fit = fit_supervised_model([block.take(rows) for block in blocks], Labels(names, labels), seed, algorithm)
        said = fit.model.probabilities([block.take(asked) for block in blocks])
        auc = float(np.mean([roc_auc_score(truth == one, said[:, one]) for one in range(said.shape[1])]))
        found[algorithm] = auc, float(np.mean(said.argmax(axis=1) == truth))
        if "bridge_agreement" in fit.metrics:
            found["bridge_agreement"] = fit.metrics["bridge_agreement"], np.nan
    return found


def main(directory: Path) -> None:
    """Print a table for each way of looking at a household."""
    inputs, users, told = read_project(directory)
    for name, blocks in inputs.items():
        print(f"\n{name}: {', '.join(block.name for block in blocks)}\n")
        for count in LABELLED:
            print(f"| {count} labelled | {' | '.join(ANSWERS)} |\n|---|{'--:|' * len(ANSWERS)}")
            cells: dict[str, list[str]] = {}
            for column, answer in ANSWERS.values():
                given = [answer(told[column][user]) if user in told[column] else None for user in users]
                kinds = sorted({one for one in given if one is not None})
                answers = np.array([-1 if one is None else kinds.index(one) for one in given])
                draws = [told_right(blocks, answers, count, seed) for seed in range(DRAWS)]
                for row in draws[0]:
                    auc = np.array([draw[row][0] for draw in draws])
                    right = np.array([draw[row][1] for draw in draws])
                    text = f"{auc.mean():.3f} ± {auc.std(ddof=1) / np.sqrt(DRAWS):.3f}"
                    if row == "(most common)":
                        text = "0.500"
                    cells.setdefault(row, []).append(text if np.isnan(right).any() else f"{text}, {right.mean():.1%}")
            for row, texts in cells.items():
                print(f"| {row} | {' | '.join(texts)} |", flush=True)
            print()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
