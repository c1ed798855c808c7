"""A segmentation that is learned from users whose segment is known: a classifier, calibrated, as one JSON text."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg.errors import OtherModelFormat, SqlsegError
from sqlseg.segments.assignment import NOBODY, Assignment
from sqlseg.segments.blocks import Block, FloatArray, IntArray, rounded, user_count
from sqlseg.segments.boosting import BoostedTrees
from sqlseg.segments.calibration import Sigmoid, calibrated, calibration_error, fit_calibration
from sqlseg.segments.clustering import sampled_rows
from sqlseg.segments.drift import Drift, Reference, drift_by_feature, references
from sqlseg.segments.learners import LEARNERS, OTHERS_AT_MOST, Classifier, from_parts, to_parts
from sqlseg.segments.linear import LogisticRegression
from sqlseg.segments.model import FIT_USERS, ClusterModel, drift_columns
from sqlseg.segments.preparation import Learned, Preparation, learned
from sqlseg.segments.preprocessing import Preprocessing, fit_preprocessing
from sqlseg.segments.projection import Projection
from sqlseg.segments.shapes import concatenated
from sqlseg.settings import DriftLimits

SUPERVISED_ALGORITHMS = tuple(LEARNERS)
LABELLED_AT_LEAST = 20
"""Users that each class must have: under it, neither a class nor how well it is told can be learned."""

_FORMAT = 1
_ALL_OF_A_CLASS = 1_000
_HELD_OUT = 0.25
_LEARNED_FROM_AT_LEAST = 10
_FOLDS = 3
_USERS_AT_ONCE = 65_536

Fit = Callable[[FloatArray, IntArray], Learned]
"""Makes a classifier of users x inputs and their classes."""


class UnusableLabels(SqlsegError):
    """The labels are too few, or all alike, to learn from."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of the users: the number of the class (-1 for unknown) and, where it is told, when it was known.

    `when` is a number that grows with time, NaN where it is not known; None without such a column.
    """

    classes: tuple[str, ...]
    of_users: IntArray
    when: FloatArray | None = None
    fingerprint: str = ""

    def counts(self) -> IntArray:
        """Return the number of users of each class."""
        known = self.of_users[self.of_users != NOBODY]
        return np.bincount(known, minlength=len(self.classes)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class SupervisedModel:
    """A classifier over the inputs, the calibration of what it believes, and the permanent id of each class.

    The preprocessing says which inputs are used and how embeddings are turned; trees read readable columns as they
    are, unknown values too. `labels` is the fingerprint of the labels that the model was learned from.
    """

    algorithm: str
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    classifier: Classifier
    calibration: tuple[Sigmoid, ...]
    references: tuple[Reference, ...]
    seed: int
    fit_user_count: int
    labels: str
    segment_ids: tuple[str, ...] = ()
    projection: Projection | None = None
    """The axes that the inputs are turned onto before the classifier reads them, where they are."""

    @property
    def trees(self) -> BoostedTrees | None:
        """The classifier where it is made of trees."""
        return self.classifier if isinstance(self.classifier, BoostedTrees) else None

    @property
    def regression(self) -> LogisticRegression | None:
        """The classifier where it is linear, as weights of the inputs themselves, whatever axes it reads."""
        if not isinstance(self.classifier, LogisticRegression) or self.projection is None:
            return self.classifier if isinstance(self.classifier, LogisticRegression) else None
        weights = self.classifier.weights @ self.projection.axes
        return LogisticRegression(self.classifier.intercepts - weights @ self.projection.center, weights)

    def matrix(self, blocks: Sequence[Block]) -> FloatArray:
        """Return users x inputs, as the classifier or the projection before it reads them."""
        return _matrix(self.algorithm, self.preprocessing, blocks)

    def probabilities(self, blocks: Sequence[Block]) -> FloatArray:
        """Return users x classes, calibrated."""
        return self.calibrated(self.matrix(blocks))

    def calibrated(self, X: FloatArray) -> FloatArray:
        """Return users x classes for what `matrix` gives."""
        along = X if self.projection is None else self.projection.along(X)
        return calibrated(self.classifier.probabilities(along), self.calibration)

    def score(self, blocks: Sequence[Block], *, with_probability: bool = False) -> Assignment:
        """Return the likeliest class of each user, its probability as confidence, and the second; no distance.

        `with_probability` changes nothing: there are no refits to count.
        """
        users = user_count(blocks)
        parts = []
        for start in range(0, max(users, 1), _USERS_AT_ONCE):
            rows = slice(start, start + _USERS_AT_ONCE)
            parts.append(likeliest(self.probabilities([block.take(rows) for block in blocks])))
        return concatenated(parts)

    def drift(self, blocks: Sequence[Block], limits: DriftLimits | None = None) -> tuple[Drift, ...]:
        """Return how far each input of these users is from the users of the fit, one row a feature."""
        limits = limits or DriftLimits()
        columns = drift_columns(self.preprocessing, blocks)
        return drift_by_feature(self.references, columns.values(), psi_limit=limits.psi, ks_limit=limits.ks)

    def with_segment_ids(self, segment_ids: Sequence[str]) -> "SupervisedModel":
        """Return the model whose i-th class is the segment `segment_ids[i]`."""
        return replace(self, segment_ids=tuple(segment_ids))

    def to_json(self) -> str:
        """Return the model as JSON text; `from_json` gives back a model that places everybody alike."""
        data = {
            "format": _FORMAT,
            "kind": "supervised",
            "algorithm": self.algorithm,
            "preprocessing": self.preprocessing.to_dict(),
            "classes": self.classes,
            **to_parts(self.classifier),
            "calibration": [asdict(sigmoid) for sigmoid in self.calibration],
            "references": [known.to_dict() for known in self.references],
            "seed": self.seed,
            "fit_user_count": self.fit_user_count,
            "labels": self.labels,
            "segment_ids": self.segment_ids,
            **({} if self.projection is None else {"projection": self.projection.to_dict()}),
        }
        return json.dumps(data, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "SupervisedModel":
        """Return the model that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        if data.get("format") != _FORMAT:
            raise OtherModelFormat("model", data.get("format"), _FORMAT)
        return cls(
            algorithm=data["algorithm"],
            preprocessing=Preprocessing.from_dict(data["preprocessing"]),
            classes=tuple(data["classes"]),
            classifier=from_parts(data),
            calibration=tuple(Sigmoid(**sigmoid) for sigmoid in data["calibration"]),
            references=tuple(Reference.from_dict(known) for known in data["references"]),
            seed=data["seed"],
            fit_user_count=data["fit_user_count"],
            labels=data["labels"],
            segment_ids=tuple(data["segment_ids"]),
            projection=Projection.from_dict(data["projection"]) if "projection" in data else None,
        )


@dataclass(frozen=True, eq=False)
class SupervisedFit:
    """A model, where it puts all users, and how it does on labelled users that were held out.

    `metrics` are over all classes, `by_class` those of each: precision, recall, f1, auc where it is defined.
    """

    model: SupervisedModel
    assignment: Assignment
    metrics: dict[str, float]
    by_class: tuple[dict[str, float], ...]
    notes: tuple[str, ...]


def fit_supervised_model(
    blocks: Sequence[Block],
    labels: Labels,
    seed: int,
    algorithm: str = "gradient_boosting",
    preparation: Preparation | None = None,
) -> SupervisedFit:
    """Return the model that the labelled users give, and place all users with it.

    Rows must come in a fixed order (by user_id). Of very many labelled users some are learned from, drawn by the seed
    class by class. The measures are of a quarter of them, the newest where the labels have a time, else drawn class
    by class, that a second model, made in the same way of the others, has not seen: neither their labels nor them
    among users without one. Raises UnusableLabels.
    """
    check_labels(labels)
    how, learner = preparation or Preparation(), LEARNERS[algorithm]
    users, random = user_count(blocks), np.random.default_rng(seed)
    some = list(blocks)
    if users > FIT_USERS:
        rows = np.sort(random.choice(users, FIT_USERS, replace=False))
        some = [block.take(rows) for block in blocks]
    preprocessing = fit_preprocessing(some, repeated_above=how.correlation_limit)
    if not preprocessing.inputs:
        raise UnusableLabels("no input tells users apart, so there is nothing to learn from")
    rows = _learned_from(labels.of_users, learner.labelled, random)
    labelled = [block.take(rows) for block in blocks]
    preprocessing = preprocessing.without(_unknown(preprocessing, labelled))
    if not preprocessing.inputs:
        raise UnusableLabels("every input is missing for the users with a label, so there is nothing to learn from")
    X, y = _matrix(algorithm, preprocessing, labelled), labels.of_users[rows]
    notes = []
    unlabelled, others = X[:0], X[:0]
    if learner.others is not None:
        free = np.flatnonzero(labels.of_users == NOBODY)
        free = free[sampled_rows(free.size, OTHERS_AT_MOST, seed)]
        unlabelled = _matrix(algorithm, preprocessing, [block.take(free) for block in blocks])
        others = learner.others(unlabelled, seed)
        if not free.size:
            notes.append(f"Every user has a label, so {algorithm} has nobody else to learn from.")
    when = None if labels.when is None else labels.when[rows]
    held_out, said = _held_out(y, when, random)
    notes.extend(said)

    def fit(X: FloatArray, y: IntArray) -> Learned:
        def make(X: FloatArray, y: IntArray, others: FloatArray) -> Classifier:
            return learner.fit(X, y, others, seed)

        return learned(make, X, y, others, preprocessing.inputs, how)

    metrics, by_class = _measures(fit, X, y, held_out, len(labels.classes), seed)
    found, calibration = _calibrated(fit, X, y, seed)
    chosen = preprocessing.without(found.dropped, found.scores, how.selection.by)
    agreement = learner.agreement(found.classifier, found.reads(X), y, found.reads(unlabelled), seed)
    if agreement is not None:
        metrics["bridge_agreement"] = agreement
        notes.append(
            f"{algorithm} run on a sample and the segments of its users agree to {agreement:.2f} "
            "(adjusted Rand index; 1 is no loss)."
        )
    notes = [f"{one.column} is not used: {one.reason}." for one in chosen.dropped] + notes
    seen = references(drift_columns(chosen, some))
    model = SupervisedModel(
        algorithm=algorithm,
        preprocessing=chosen,
        classes=labels.classes,
        classifier=found.classifier,
        calibration=calibration,
        references=seen,
        seed=seed,
        fit_user_count=y.size,
        labels=labels.fingerprint,
        projection=found.projection,
    )
    metrics["labelled_users"] = float(labels.counts().sum())
    return SupervisedFit(model, model.score(blocks), metrics, by_class, tuple(notes))


_TOLD = 10
"""How many labels are told with their number of users, the rarest first."""


def check_labels(labels: Labels) -> None:
    """Raise UnusableLabels unless there are two classes, each with enough users."""
    counts = dict(zip(labels.classes, labels.counts().tolist(), strict=True))
    fewest = sorted(counts.items(), key=lambda one: one[1])[:_TOLD]
    told = ", ".join(f"{name!r} has {count:,}" for name, count in fewest) + ", ..." * (len(counts) > _TOLD)
    if len(counts) < 2:
        found = told or "no user has a label"
        raise UnusableLabels(f"at least two different labels are needed to learn from: {found}")
    if min(counts.values()) < LABELLED_AT_LEAST:
        raise UnusableLabels(f"each label needs at least {LABELLED_AT_LEAST} users to learn from: {told}")


def _matrix(algorithm: str, preprocessing: Preprocessing, blocks: Sequence[Block]) -> FloatArray:
    """Return users x inputs as the algorithm reads them: scaled, or readable columns as they are and NaN for unknown.

    Rounded to 1e-6, so that the order in which a database added up its doubles decides nothing.
    """
    if LEARNERS[algorithm].reads == "scaled":
        return preprocessing.transform(blocks)
    return rounded(np.column_stack(list(drift_columns(preprocessing, blocks).values())))


def _unknown(preprocessing: Preprocessing, labelled: Sequence[Block]) -> dict[str, str]:
    """Return the inputs of which nothing is known of any labelled user."""
    known: dict[str, bool] = {}
    for (name, _), column in drift_columns(preprocessing, labelled).items():
        known[name] = known.get(name, False) or not bool(np.isnan(column).all())
    return {name: "missing for every labelled user" for name, told in known.items() if not told}


def likeliest(probabilities: FloatArray) -> Assignment:
    """Return the likeliest and the second likeliest class, from users x classes."""
    users = np.arange(probabilities.shape[0])
    # In steps of 1e-9, so that a last digit does not decide between equals, and SQL comes to the same.
    others = np.floor(probabilities * 1e9 + 0.5)
    labels = others.argmax(axis=1)
    others[users, labels] = -1.0
    return Assignment(labels, np.full(users.size, np.nan), others.argmax(axis=1), probabilities[users, labels])


def _calibrated(fit: Fit, X: FloatArray, y: IntArray, seed: int) -> tuple[Learned, tuple[Sigmoid, ...]]:
    """Return what all of these users teach, calibrated by what those of two thirds teach says of the other third."""
    fold = _dealt(y, _FOLDS, np.random.default_rng(seed))
    believed = np.empty((y.size, int(y.max()) + 1))
    for number in range(_FOLDS):
        there = fold == number
        believed[there] = fit(X[~there], y[~there]).probabilities(X[there])
    return fit(X, y), fit_calibration(believed, y)


def _dealt(y: IntArray, parts: int, random: np.random.Generator) -> IntArray:
    """Deal the users of each class evenly to so many parts, by chance; return the part of each."""
    part = np.empty(y.size, dtype=np.int64)
    for one in np.unique(y):
        members = random.permutation(np.flatnonzero(y == one))
        part[members] = np.arange(members.size) % parts
    return part


def _learned_from(of_users: IntArray, at_most: int, random: np.random.Generator) -> IntArray:
    rows = np.flatnonzero(of_users != NOBODY)
    if rows.size <= at_most:
        return rows
    classes = np.unique(of_users[rows])
    share, fewest, kept = at_most / rows.size, min(_ALL_OF_A_CLASS, at_most // (2 * classes.size)), []
    for one in classes:
        members = rows[of_users[rows] == one]
        count = min(members.size, max(fewest, int(share * members.size)))
        kept.append(random.choice(members, count, replace=False))
    return np.sort(np.concatenate(kept))


def _held_out(y: IntArray, when: FloatArray | None, random: np.random.Generator) -> tuple[NDArray[np.bool_], list[str]]:
    notes = []
    if when is not None and not np.isnan(when).any():
        border = np.quantile(when, 1 - _HELD_OUT, method="higher")
        newest = when >= border
        counts = np.bincount(y[~newest], minlength=int(y.max()) + 1)
        if counts.min() >= _LEARNED_FROM_AT_LEAST and np.unique(y[newest]).size > 1:
            return newest, []
        notes.append("Held-out users are drawn by chance: too few of some label are old enough to hold out the newest.")
    elif when is not None:
        notes.append("Held-out users are drawn by chance: labelled_at is not known of all labelled users.")
    return _dealt(y, round(1 / _HELD_OUT), random) == 0, notes


def _measures(
    fit: Fit, X: FloatArray, y: IntArray, held_out: NDArray[np.bool_], count: int, seed: int
) -> tuple[dict[str, float], tuple[dict[str, float], ...]]:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

    classifier, calibration = _calibrated(fit, X[~held_out], y[~held_out], seed)
    probabilities = calibrated(classifier.probabilities(X[held_out]), calibration)
    truth, told = y[held_out], probabilities.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(truth, told, labels=range(count), zero_division=0)
    by_class = []
    for number in range(count):
        values = {"precision": precision[number], "recall": recall[number], "f1": f1[number]}
        is_class = truth == number
        if 0 < is_class.sum() < is_class.size:
            values["auc"] = roc_auc_score(is_class, probabilities[:, number])
        by_class.append({name: float(value) for name, value in values.items()})
    confidence = probabilities.max(axis=1)
    metrics = {
        "accuracy": float(accuracy_score(truth, told)),
        **{name: float(np.mean([one[name] for one in by_class])) for name in ("precision", "recall", "f1")},
        "auc": float(np.mean([one["auc"] for one in by_class if "auc" in one])),
        "calibration_error": calibration_error(confidence, (told == truth).astype(np.float64)),
        "held_out_users": float(truth.size),
    }
    return metrics, tuple(by_class)


def stored_model(text: str) -> ClusterModel | SupervisedModel:
    """Return the model of either kind that its `to_json` wrote."""
    return (
        SupervisedModel.from_json(text)
        if json.loads(text).get("kind") == "supervised"
        else ClusterModel.from_json(text)
    )
