"""Do users whom a model is unsure of move more when it is fitted again? Online Retail, month by month.

    SQLSEG_DATA=... python benchmarks/calibration.py DIR

makes the project in DIR (a new folder) as `sqlseg init` proposes it, refreshes it at the first of seven months with a
new fit each time, and prints as Markdown, by `assignment_probability` and by `confidence`, the share of users in
another segment

- where the fit of that day is made again, with as many segments, on the other half of the users (ten random halves),
- at the next month's refit, by the new model (cause `model` in segments.membership_history),
- at the next month's refit, for whatever cause.

Ids are matched as in every refresh. AUC: of two users, one of whom moved, how often the less sure one did.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
from evaluation.shops import SHOPS
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from sqlseg.engine.duckdb import Engine
from sqlseg.segments.identity import match_segments
from sqlseg.segments.model import FitSettings, fit_cluster_model
from sqlseg.workflow.inputs import read_blocks, read_users
from sqlseg.workflow.narration import Clock, Silence
from sqlseg.workflow.outcome import Options
from sqlseg.workflow.project import open_project
from sqlseg.workflow.refresh import refresh
from sqlseg.workflow.warehouse import open_warehouse

NAME = "behavior"
DAYS = tuple(f"2011-{month:02}-01" for month in range(5, 12))
DIVISIONS = 5
GROUPS = {
    "assignment_probability": (0.0, 0.45, 0.65, 0.85, 0.95, 1.01),
    "confidence": (0.5, 0.55, 0.6, 0.7, 0.8, 1.01),
}
TITLES = {
    "assignment_probability": ("0 to 0.4", "0.5, 0.6", "0.7, 0.8", "0.9", "1"),
    "confidence": ("0.5 to 0.55", "to 0.6", "to 0.7", "to 0.8", "to 1"),
}


@dataclass(frozen=True, eq=False)
class Users:
    """The users of a day: how sure the model is of each, their segment, and how often fits on others differ."""

    ids: NDArray[np.object_]
    sureness: dict[str, NDArray[np.float64]]
    segment: NDArray[np.object_]
    cause: NDArray[np.object_]
    moved_by_others: NDArray[np.float64]


def users_of(directory: Path, day: str, seed: int) -> Users:
    """Refresh the project as of a day with a new fit, and fit halves of its users beside it."""
    clock = Clock(now=lambda: datetime.now(UTC).replace(tzinfo=None), seconds=perf_counter)
    refresh(directory, Options(as_of=day, refit="always"), clock, Silence())
    project = open_project(directory)
    segmentation = project.settings.segmentations[NAME]
    assert segmentation.kind == "cluster"
    with Engine.open(directory / "warehouse.duckdb", read_only=True) as engine:
        rows = engine.table(
            "select m.user_id, m.segment_id, m.confidence, m.assignment_probability, h.cause "
            "from segments.membership as m join segments.membership_history as h using (user_id, segmentation) "
            f"where m.segmentation = '{NAME}' and h.valid_to is null order by m.user_id"
        )
    with open_warehouse(project) as engine:
        blocks, users = read_blocks(engine, project, segmentation), read_users(engine)
    found = {column: rows[column].to_numpy(zero_copy_only=False) for column in rows.column_names}
    assert list(found["user_id"]) == list(users)
    segment = found["segment_id"].astype(object)
    moved = np.zeros(len(users))
    random = np.random.default_rng(seed)
    settings = FitSettings(k=len(set(segment)), algorithm=segmentation.algorithm, weights=segmentation.weights)
    halves = [half for _ in range(DIVISIONS) for half in np.array_split(random.permutation(len(users)), 2)]
    for half in map(np.sort, halves):
        again = fit_cluster_model([block.take(half) for block in blocks], settings).model
        labels = again.score(blocks).labels
        others = np.setdiff1d(np.arange(len(users)), half)
        matching = match_segments(
            NAME, users, list(segment), users, labels, new_count=len(again.centers), next_number=1_000
        )
        moved[others] += (np.array(matching.segment_ids, dtype=object)[labels] != segment)[others]
    sureness = {measure: found[measure].astype(float) for measure in GROUPS}
    return Users(users, sureness, segment, found["cause"].astype(object), moved / DIVISIONS)


def moves(before: Users, after: Users) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Return which users of before are there after, and of those who moved by the model and who at all (0 or 1)."""
    position = {user: number for number, user in enumerate(after.ids)}
    there = np.array([user in position for user in before.ids])
    now = np.array([position[user] for user in before.ids[there]], dtype=int)
    moved = after.segment[now] != before.segment[there]
    return there, (moved & (after.cause[now] == "model")).astype(float), moved.astype(float)


def table(measure: str, sureness: NDArray[np.float64], moved: Sequence[NDArray[np.float64]]) -> str:
    """Return the shares of users who moved, by how sure the model was, as Markdown."""
    group = np.digitize(sureness, GROUPS[measure][1:-1])
    lines = [
        f"| `{measure}` | users | fitted on others | next month: by the model | for any cause |",
        "|---|--:|--:|--:|--:|",
    ]
    for number, title in enumerate(TITLES[measure]):
        mine = group == number
        shares = [f"{values[mine].mean():.1%}" if mine.any() else "" for values in moved]
        lines.append(f"| {title} | {mine.sum():,} | {' | '.join(shares)} |")
    areas = [f"{_area(sureness, values):.2f}" for values in moved]
    return "\n".join([*lines, f"| AUC | {len(sureness):,} | {' | '.join(areas)} |"])


def _area(sureness: NDArray[np.float64], moved: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve; a user whom two of five fits move counts as two fifths moved."""
    weights = np.concatenate([moved, 1.0 - moved])
    answers = np.repeat([1, 0], len(moved))
    return float(roc_auc_score(answers, np.tile(-sureness, 2), sample_weight=weights))


def main() -> None:
    """Make the project and print the tables."""
    directory = Path(sys.argv[1])
    SHOPS["online_retail"][1](directory)
    days = [users_of(directory, day, seed) for seed, day in enumerate(DAYS)]
    found = [moves(before, after) for before, after in pairwise(days)]
    moved = [
        np.concatenate([day.moved_by_others[there] for day, (there, *_) in zip(days[:-1], found, strict=True)]),
        np.concatenate([by_model for _, by_model, _ in found]),
        np.concatenate([at_all for _, _, at_all in found]),
    ]
    for measure in GROUPS:
        sureness = [day.sureness[measure][there] for day, (there, *_) in zip(days[:-1], found, strict=True)]
        print(table(measure, np.concatenate(sureness), moved), end="\n\n")


if __name__ == "__main__":
    main()
