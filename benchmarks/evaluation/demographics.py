"""Who users are, which no event says: what behaviour and what is bought know about it (Complete Journey)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from evaluation.findings import Row, Table
from evaluation.learning import signed_log
from evaluation.measures import Counts, Figure, Floats, areas, figure, mean_figure, resamples

_OLDER = ("45-54", "55-64", "65+")
_RICHER = ("50-74K", "75-99K", "100-124K", "125-149K", "150-174K", "175-199K", "200-249K", "250K+")


def demographic_targets(attributes: Mapping[str, Sequence[Any]], users: NDArray[Any]) -> dict[str, Floats]:
    """Return yes, no or NaN (unknown) for each user by question; empty for shops whose users.sql has other columns."""
    if not {"age", "income", "kids_count"} <= set(attributes):
        return {}
    at = {user: row for row, user in enumerate(attributes["user_id"])}
    found = {name: np.full(len(users), np.nan) for name in ("aged 45 or over", "income of 50K or more", "kids at home")}
    for number, user in enumerate(users):
        if user not in at:
            continue
        age, income, kids = (attributes[name][at[user]] for name in ("age", "income", "kids_count"))
        if age is not None:
            found["aged 45 or over"][number] = str(age) in _OLDER
        if income is not None:
            found["income of 50K or more"][number] = str(income) in _RICHER
        # The data set leaves the count out, or says "None/Unknown", where there are no kids.
        found["kids at home"][number] = str(kids).strip()[:1].isdigit() and str(kids).strip() != "0"
    return found


def known_by(values: Floats, truth: NDArray[np.bool_], seed: int) -> Floats:
    """Return each user's probability from a logistic regression on the other four fifths of the users.

    Its penalty is chosen within those four fifths. Columns are logged and standardised; what is unknown is the median.
    """
    found = np.empty(len(truth))
    for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(values, truth):
        model = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            FunctionTransformer(signed_log),
            StandardScaler(),
            LogisticRegressionCV(
                Cs=[0.001, 0.01, 0.1], cv=3, scoring="roc_auc", max_iter=400, l1_ratios=(0,), use_legacy_attributes=True
            ),
        )
        found[test] = model.fit(values[train], truth[train]).predict_proba(values[test])[:, 1]
    return found


def membership(labels: NDArray[np.int64]) -> Floats:
    """Return users x segments, 1 for the segment of the user."""
    return (labels[:, None] == np.unique(labels)[None, :]).astype(np.float64)


def demographics(
    targets: Mapping[str, Floats], by_set: Mapping[str, Sequence[Floats]], seeds: int, bootstraps: int
) -> tuple[Table, dict[str, Figure]]:
    """Return the AUC by question and set of columns (one matrix a seed, or one for all), and the mean over questions.

    The questions are asked of the users about whom all answers are known: resamples are then the same for all.
    """
    known = ~np.isnan(np.column_stack(list(targets.values()))).any(axis=1)
    counts: Counts = resamples(int(known.sum()), bootstraps, seed=1)
    rows, means = [], {}
    for name, matrices in by_set.items():
        by_target = {}
        for target, answers in targets.items():
            truth = answers[known].astype(bool)
            scores = [known_by(matrices[min(seed, len(matrices) - 1)][known], truth, seed) for seed in range(seeds)]
            by_target[target] = figure([lambda c, s=s, t=truth: areas(t, s, c) for s in scores], counts)
        means[name] = mean_figure(list(by_target.values()))
        rows.append(Row(name, {"mean": means[name], **by_target}))
    note = f"{known.sum()} users who told all three. AUC of a logistic regression on the other four fifths of them."
    return Table("Who users are", "what is known", ("mean", *targets), tuple(rows), note), means
