"""What users buy tells who they are: demographics of Complete Journey from behaviour, from content and from both.

    python benchmarks/content.py DIR

makes the demo project with content inputs in DIR (a new folder; about a minute) and prints the area under the ROC curve
of a logistic regression in five folds, on the households that answered: mean and standard deviation over five
divisions into folds. No input knows any answer, so all are fitted on all households. Needs the extras demo and text.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sqlseg.engine.duckdb import Engine
from sqlseg.segments.blocks import Block, feature_block
from sqlseg.segments.preprocessing import fit_preprocessing
from sqlseg.workflow.creating import create_demo
from sqlseg.workflow.inputs import read_blocks, read_readable, read_users
from sqlseg.workflow.narration import Clock, Silence
from sqlseg.workflow.outcome import Options
from sqlseg.workflow.project import open_project
from sqlseg.workflow.refresh import refresh
from sqlseg.workflow.warehouse import open_warehouse

CONTENT = """
[segmentations.content]
kind = "cluster"
inputs = ["encoder:behavior@1", "content:category@1", "content:item@1", "content:titles@1"]
k = 5
"""
QUESTIONS = {
    "age 45 or more": "age in ('45-54', '55-64', '65+')",
    "children at home": "kids_count <> '0'",
    "income of 50,000 or more": "income not in ('Under 15K', '15-24K', '25-34K', '35-49K')",
}
DIVISIONS = range(5)


def input_blocks(directory: Path) -> tuple[np.ndarray, dict[str, Block]]:
    """Return users and their inputs: all readable features as one block, the embedding, and the content."""
    project = open_project(directory)
    with open_warehouse(project) as engine:
        segmentation = project.settings.segmentations["content"]
        assert segmentation.kind == "cluster"
        blocks = {block.name: block for block in read_blocks(engine, project, segmentation)}
        values = read_readable(engine, project.views_beside("content")).values
        blocks["behaviour"] = feature_block("behaviour", list(values), np.column_stack(list(values.values())))
        return read_users(engine), blocks


def answers(directory: Path, users: np.ndarray) -> dict[str, np.ndarray]:
    """Return 0 or 1 for each user and question; NaN for who was not asked."""
    with Engine.open(directory / "warehouse.duckdb", read_only=True) as engine:
        told = {
            question: dict(engine.rows(f"select user_id, {sql} from sqlseg.users"))
            for question, sql in QUESTIONS.items()
        }
    return {
        question: np.array([np.nan if known.get(user) is None else float(known[user]) for user in users])
        for question, known in told.items()
    }


def auc(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the mean AUC over five folds, for each division into folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000))
    folds = [StratifiedKFold(5, shuffle=True, random_state=seed) for seed in DIVISIONS]
    return np.array([cross_val_score(model, X, y, cv=cv, scoring="roc_auc").mean() for cv in folds])


def main(directory: Path) -> None:
    if not directory.exists():
        create_demo(directory)
        with (directory / "sqlseg.toml").open("a", encoding="utf-8") as settings:
            settings.write(CONTENT)
        clock = Clock(lambda: datetime.now(UTC).replace(tzinfo=None), perf_counter)
        refresh(directory, Options(), clock, Silence())
    users, blocks = input_blocks(directory)
    category, item, titles = ("content:category@1", "content:item@1", "content:titles@1")
    sets = [
        ("behaviour",),
        ("encoder:behavior@1",),
        (category,),
        (item,),
        (titles,),
        (category, item),
        (category, titles),
        ("behaviour", category),
        ("behaviour", category, item),
        ("behaviour", category, titles),
    ]
    told = answers(directory, users)
    print(f"| inputs | {' | '.join(QUESTIONS)} |\n|---|{'--:|' * len(QUESTIONS)}")
    for names in sets:
        some = [blocks[name] for name in names]
        X = fit_preprocessing(some).transform(some)
        cells = []
        for y in told.values():
            asked = ~np.isnan(y)
            found = auc(X[asked], y[asked])
            cells.append(f"{found.mean():.3f} ± {found.std(ddof=1):.3f}")
        print(f"| {' + '.join(names)} | {' | '.join(cells)} |", flush=True)
    asked = {question: y[~np.isnan(y)] for question, y in told.items()}
    print("\n" + "; ".join(f"{question}: {y.mean():.0%} of {len(y)}" for question, y in asked.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
