"""Learns from a shop's past who buys again, and asks it of other users at a later moment.

Split by time: what is learned from ended before the moment that is asked about. Split by user: nobody is asked about
whose past was learned from. A seed draws the users' folds and seeds the learners.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from evaluation.history import Outcome, Snapshot
from evaluation.measures import Floats

FOLDS = 3
AS_GOOD_AS = 0.002
"""Learners whose AUC is as near to the best one's are told apart by chance; the plainest of them is taken."""
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Moment:
    """A snapshot with what came after it, cut down to the users of whom something is asked."""

    snapshot: Snapshot
    outcome: Outcome
    asked: NDArray[np.int64]

    @property
    def users(self) -> NDArray[Any]:
        """The users who are asked about."""
        return self.snapshot.users[self.asked]

    @property
    def bought(self) -> Bools:
        """Whether they bought in the days after."""
        return self.outcome.bought[self.asked]

    @property
    def spend(self) -> Floats:
        """ln(1 + what they spent in the days after)."""
        return np.log1p(self.outcome.spend[self.asked])

    def values(self, names: Sequence[str]) -> Floats:
        """Return users x columns of these blocks."""
        return self.snapshot.matrix(names)[self.asked]


def signed_log(values: Floats) -> Floats:
    """Return sign(x) ln(1 + |x|)."""
    return np.sign(values) * np.log1p(np.abs(values))


def logistic(strength: float) -> Callable[[int], Any]:
    """Return a maker of logistic regressions on standardised logs; `strength` is C, the inverse of the penalty."""
    return lambda seed: make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        FunctionTransformer(signed_log),
        StandardScaler(),
        LogisticRegression(C=strength, solver="newton-cholesky", max_iter=100),
    )


class KnownColumns(BaseEstimator, TransformerMixin):
    """Leaves out columns that are unknown for everyone, which the trees refuse; others keep their NaN."""

    def fit(self, X: Floats, y: object = None) -> "KnownColumns":
        """Remember which columns are known for somebody."""
        self.columns_ = np.flatnonzero(~np.isnan(X).all(axis=0))
        return self

    def transform(self, X: Floats) -> Floats:
        """Return those columns."""
        return X[:, self.columns_]


def boosting(seed: int) -> Any:
    """Return gradient boosted trees for a yes or no."""
    return make_pipeline(KnownColumns(), HistGradientBoostingClassifier(**_TREES, random_state=seed))


def boosted_amount(seed: int) -> Any:
    """Return gradient boosted trees for an amount."""
    return make_pipeline(KnownColumns(), HistGradientBoostingRegressor(**_TREES, random_state=seed))


_TREES = {"max_iter": 60, "learning_rate": 0.08, "max_leaf_nodes": 12, "min_samples_leaf": 40, "max_bins": 63}

LEARNERS: dict[str, Callable[[int], Any]] = {
    "logistic, C=0.003": logistic(0.003),
    "logistic, C=0.03": logistic(0.03),
    "gradient boosting": boosting,
}


def stacked(past: Sequence[Moment], names: Sequence[str]) -> tuple[Floats, Bools, NDArray[Any]]:
    """Return values, whether they bought, and the user of each row, over all past moments."""
    return (
        np.vstack([moment.values(names) for moment in past]),
        np.concatenate([moment.bought for moment in past]),
        np.concatenate([moment.users for moment in past]),
    )


def best_learner(past: Sequence[Moment], names: Sequence[str]) -> str:
    """Return the plainest learner with as good an AUC as any among users it has not seen, within the past alone.

    The more held back comes first: of two that do equally well, chance would else decide for or against a baseline.
    """
    X, y, users = stacked(past, names)
    score = dict.fromkeys(LEARNERS, 0.0)
    for train, test in GroupKFold(3).split(X, y, users):
        if y[train].all() or not y[train].any() or y[test].all() or not y[test].any():
            continue
        for name, make in LEARNERS.items():
            score[name] += roc_auc_score(y[test], make(0).fit(X[train], y[train]).predict_proba(X[test])[:, 1])
    return next(name for name in LEARNERS if score[name] >= max(score.values()) - 3 * AS_GOOD_AS)


def folds(users: Sequence[NDArray[Any]], seed: int) -> list[NDArray[np.int64]]:
    """Return the fold of each user, the same for one user everywhere, evenly drawn by the seed."""
    everyone = np.unique(np.concatenate(users))
    fold = np.random.default_rng(seed).permutation(len(everyone)) % FOLDS
    return [fold[np.searchsorted(everyone, some)] for some in users]


def forecast(past: Sequence[Moment], now: Moment, names: Sequence[str], learner: str, seed: int) -> Floats:
    """Return the probability to buy for each user of `now`, by a model that saw other users' past only."""
    X, y, users = stacked(past, names)
    asked = now.values(names)
    in_past, in_now = folds([users, now.users], seed)
    found = np.empty(len(asked))
    for fold in range(FOLDS):
        train, test = in_past != fold, in_now == fold
        if y[train].all() or not y[train].any():
            found[test] = y[train].mean()
            continue
        found[test] = LEARNERS[learner](seed).fit(X[train], y[train]).predict_proba(asked[test])[:, 1]
    return found


def control_forecasts(past: Sequence[Moment], now: Moment, names: Sequence[str], seed: int) -> Floats:
    """Return (users, 2): probability to buy and expected ln(1 + spend), by trees on the shop's own past.

    The back-dated control for segments: as in a shop's daily work it learns from the past of the users it then
    places, all of which lies before the moment. Every user of the snapshot gets a row.
    """
    X, y, _ = stacked(past, names)
    everyone = now.snapshot.matrix(names)
    columns = [boosting(seed).fit(X, y).predict_proba(everyone)[:, 1]]
    spend = np.concatenate([moment.spend for moment in past])
    if np.isfinite(spend).all():
        columns.append(boosted_amount(seed).fit(X, spend).predict(everyone))
    return np.column_stack(columns)
