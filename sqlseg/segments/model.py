"""A fitted cluster segmentation: everything needed to place a user again, as one JSON text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from sqlseg.errors import OtherModelFormat, SqlsegError
from sqlseg.segments.algorithms import FINDS_THE_NUMBER, algorithm, bridge_agreement
from sqlseg.segments.assignment import NOBODY, Assignment
from sqlseg.segments.blocks import Block, FloatArray, IntArray, user_count
from sqlseg.segments.choice_of_k import SMALLEST_SHARE, Criterion, Trial, choose_k
from sqlseg.segments.clustering import Algorithm, Clustering, one_thread
from sqlseg.segments.content import ContentProjection
from sqlseg.segments.drift import Drift, Reference, drift_by_feature, references
from sqlseg.segments.parts import by_parts
from sqlseg.segments.pinning import Pins, held, pinned_segments
from sqlseg.segments.preprocessing import REPEATED_ABOVE, FeatureScaling, Preprocessing, fit_preprocessing
from sqlseg.segments.refit import far_distance
from sqlseg.segments.resampling import Refits, bootstrap_refits
from sqlseg.segments.shapes import Centroids, Mixture, Representatives, Shape, concatenated
from sqlseg.settings import DriftLimits

FIT_USERS = 200_000
_FORMAT = 1
_AS_GOOD_AS = 1.01


@dataclass(frozen=True)
class FitSettings:
    """How to fit; `weights` by block name stand for 1 where they are left out."""

    k: int | Literal["auto"] = "auto"
    k_min: int = 4
    k_max: int = 12
    seed: int = 0
    algorithm: str = "kmeans"
    weights: Mapping[str, float] = field(default_factory=dict)
    criterion: Criterion = "recurrence"
    correlation_limit: float = REPEATED_ABOVE

    def __post_init__(self) -> None:
        if self.k != "auto" and self.k < 1:
            raise SqlsegError(f"k must be 'auto' or a number of 1 or more, got {self.k}.")
        if not 1 <= self.k_min <= self.k_max:
            raise SqlsegError(f"k_min and k_max must be 1 or more, in order, got {self.k_min} and {self.k_max}.")
        if self.algorithm in FINDS_THE_NUMBER and self.k != "auto":
            raise SqlsegError(f"{self.algorithm} finds the number of segments itself, so k must be 'auto'.")


@dataclass(frozen=True)
class ClusterModel:
    """Preprocessing, centroids in its space (k x inputs), and the permanent id of each; deciles for drift.

    `segment_ids` is empty until the clusters have been matched with the segments there were. `placement` is None
    where the nearest centroid decides; else it decides, and the centroids only tell where the segments lie.
    """

    algorithm: str
    preprocessing: Preprocessing
    centers: tuple[tuple[float, ...], ...]
    references: tuple[Reference, ...]
    seed: int
    fit_user_count: int
    segment_ids: tuple[str, ...] = ()
    far_distance: float | None = None
    """Beyond it a user is far from every segment; unknown of models of the first release."""
    placement: Mixture | Representatives | None = None
    refits: Refits | None = None
    """What resamples of the users came to; unknown of algorithms without centroids and models of the first release."""
    pinned: Mapping[str, int] = field(default_factory=dict)
    """The segments that users are pinned to, by the name that pins give; who they are, the model does not know."""

    @property
    def shape(self) -> Shape:
        """What places users."""
        return self.placement or Centroids(self.center_matrix)

    @property
    def noise_id(self) -> str | None:
        """The id of the segment of users who are unlike all others, where there is one."""
        noise = self.placement.noise if isinstance(self.placement, Representatives) else None
        return self.segment_ids[noise] if noise is not None and self.segment_ids else None

    @property
    def center_matrix(self) -> FloatArray:
        """The centroids as a matrix, k x inputs."""
        return np.array(self.centers, dtype=np.float64).reshape(len(self.centers), len(self.preprocessing.inputs))

    def score(
        self, blocks: Sequence[Block], *, with_probability: bool = False, pinned: IntArray | None = None
    ) -> Assignment:
        """Return the segment of each user, by position in `segment_ids`; a part of the users at a time.

        `pinned` has the segment that a user is pinned to, -1 for those who are free.
        """
        shape = self.shape
        refits = self.refits if with_probability else None

        def placed(rows: slice) -> Assignment:
            X = self.preprocessing.transform([block.take(rows) for block in blocks])
            found = shape.place(X)
            if refits is not None:
                found = replace(found, probability=refits.probability(X, found.labels))
            return found if pinned is None else held(found, X, shape.centers, pinned[rows])

        parts = by_parts(user_count(blocks), placed)
        return concatenated(parts or [shape.place(np.empty((0, len(self.preprocessing.inputs))))])

    def drift(self, blocks: Sequence[Block], limits: DriftLimits | None = None) -> tuple[Drift, ...]:
        """Return how far each input of these users is from the users of the fit, one row a feature."""
        limits = limits or DriftLimits()
        columns = drift_columns(self.preprocessing, blocks)
        return drift_by_feature(self.references, columns.values(), psi_limit=limits.psi, ks_limit=limits.ks)

    def far_count(self, distances: FloatArray) -> int | None:
        """Return how many of these distances are farther than almost all were at the fit, None where none are known."""
        return None if self.far_distance is None else int((distances > self.far_distance).sum())

    def with_segment_ids(self, segment_ids: Sequence[str]) -> "ClusterModel":
        """Return the model whose i-th centroid is the segment `segment_ids[i]`."""
        if len(segment_ids) != len(self.centers) or len(set(segment_ids)) != len(segment_ids):
            raise SqlsegError(f"{len(self.centers)} segments need as many different ids, got {list(segment_ids)}.")
        return replace(self, segment_ids=tuple(segment_ids))

    def to_json(self) -> str:
        """Return the model as JSON text; `from_json` gives back exactly this model."""
        data: dict[str, Any] = {
            "format": _FORMAT,
            "algorithm": self.algorithm,
            "preprocessing": self.preprocessing.to_dict(),
            "centers": self.centers,
            "references": [known.to_dict() for known in self.references],
            "seed": self.seed,
            "fit_user_count": self.fit_user_count,
            "segment_ids": self.segment_ids,
            "far_distance": self.far_distance,
        }
        if isinstance(self.placement, Mixture):
            data["mixture"] = self.placement.to_dict()
        elif isinstance(self.placement, Representatives):
            data["representatives"] = self.placement.to_dict()
        if self.refits is not None:
            data["refits"] = self.refits.to_list()
        if self.pinned:
            data["pinned"] = dict(self.pinned)
        return json.dumps(data, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "ClusterModel":
        """Return the model that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        if data.get("format") != _FORMAT:
            raise OtherModelFormat("model", data.get("format"), _FORMAT)
        preprocessing = Preprocessing.from_dict(data["preprocessing"])
        return cls(
            algorithm=data["algorithm"],
            preprocessing=preprocessing,
            centers=tuple(tuple(center) for center in data["centers"]),
            references=tuple(Reference.from_dict(known) for known in data["references"]),
            seed=data["seed"],
            fit_user_count=data["fit_user_count"],
            segment_ids=tuple(data["segment_ids"]),
            far_distance=data.get("far_distance"),
            placement=_placement(data),
            refits=Refits.from_list(data["refits"], len(preprocessing.inputs)) if "refits" in data else None,
            pinned=data.get("pinned", {}),
        )


def noise_id(text: str) -> str | None:
    """Return the segment of users unlike all others in a stored model of any kind, where it has one."""
    data = json.loads(text)
    if data.get("format") != _FORMAT:
        return None
    noise = data.get("representatives", {}).get("noise")
    return None if noise is None else data["segment_ids"][noise]


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted model, where it puts the users, the numbers of segments that were tried, and what to know of it.

    `bridge_agreement` is what representatives keep of the algorithm's own division, None where it needs none.
    """

    model: ClusterModel
    assignment: Assignment
    tried: tuple[Trial, ...]
    notes: tuple[str, ...]
    bridge_agreement: float | None = None


def fit_cluster_model(
    blocks: Sequence[Block],
    settings: FitSettings,
    previous_labels: IntArray | None = None,
    pins: Pins | None = None,
) -> FitResult:
    """Return the model that these users give, and place them with it.

    Rows must come in a fixed order (by user_id): the seed draws rows. More than 200,000 users are fitted on that
    many, drawn by the seed. With k = "auto", a cluster of under 1% of users is dissolved into its neighbours; a
    number that was asked for is kept to. `previous_labels` (0 and up, -1 for unknown) are the users' segments so
    far. Their number stays where it is as good as any; where as many are fitted again, their means are tried as a
    beginning and taken if they end within 1% of the best sum of squares: of two equally good divisions, the better
    moves fewer users. With `pins`, k-means finds segments around the pinned users, all of whom are fitted on.
    """
    users = user_count(blocks)
    if users == 0:
        raise SqlsegError("There is no user to cluster.", hint="No event is before as_of; check sql/events.sql.")
    fit = algorithm(settings.algorithm)
    some, previous = list(blocks), previous_labels
    if users > FIT_USERS:
        rows = np.sort(np.random.default_rng(settings.seed).choice(users, FIT_USERS, replace=False))
        if pins is not None:
            rows = np.union1d(rows, np.flatnonzero(pins.of_users != NOBODY))
        some = [block.take(rows) for block in blocks]
        previous = None if previous_labels is None else previous_labels[rows]
    some_pins = pins if pins is None or users <= FIT_USERS else pins.taking(rows)
    notes: list[str] = []
    places: tuple[int, ...] = ()
    with one_thread():
        preprocessing = fit_preprocessing(some, settings.weights, settings.correlation_limit)
        X = preprocessing.transform(some)
        notes.extend(f"{dropped.column} is not used: {dropped.reason}." for dropped in preprocessing.dropped)
        if some_pins is None:
            found, tried, said, refits = _segments(X, fit, settings, previous)
        else:
            around = pinned_segments(
                X,
                some_pins.of_users,
                k=settings.k,
                k_min=settings.k_min,
                k_max=settings.k_max,
                seed=settings.seed,
                criterion=settings.criterion,
                previous=previous,
            )
            found, tried, said, refits = around.found, around.tried, list(around.notes), around.refits
            places = around.positions
        notes.extend(said)
        agreement = bridge_agreement(settings.algorithm, X, found, settings.seed)
        if agreement is not None:
            notes.append(
                f"{settings.algorithm} on a sample and the segments of its users agree to {agreement:.2f} "
                "(adjusted Rand index; 1 is no loss)."
            )
        seen = references(drift_columns(preprocessing, some))
    model = ClusterModel(
        algorithm=settings.algorithm,
        preprocessing=preprocessing,
        centers=tuple(tuple(center) for center in found.centers.tolist()),
        references=seen,
        seed=settings.seed,
        fit_user_count=len(X),
        placement=None if isinstance(found.shape, Centroids) else found.shape,
        refits=refits,
        pinned={} if pins is None else dict(zip(pins.names, places, strict=True)),
    )
    pinned = None if pins is None else np.array([*places, NOBODY], dtype=np.int64)[pins.of_users]
    assignment = model.score(blocks, with_probability=True, pinned=pinned)
    model = replace(model, far_distance=far_distance(assignment.distance))
    return FitResult(model, assignment, tried, tuple(notes), agreement)


def _segments(
    X: FloatArray, fit: Algorithm, settings: FitSettings, previous: IntArray | None
) -> tuple[Clustering, tuple[Trial, ...], list[str], Refits | None]:
    if settings.algorithm in FINDS_THE_NUMBER:
        found = fit(X, settings.k_max, seed=settings.seed)
        return found, (), list(found.notes), None
    notes: list[str] = []
    tried: tuple[Trial, ...] = ()
    choice = None
    if settings.k == "auto":
        choice = choose_k(
            X,
            fit,
            k_min=settings.k_min,
            k_max=settings.k_max,
            seed=settings.seed,
            previous_k=_count(previous),
            criterion=settings.criterion,
        )
        k, tried = choice.k, choice.trials
        notes.extend(choice.notes)
    else:
        k = settings.k
    found = fit(X, k, seed=settings.seed, initial_centers=choice.centers if choice else None)
    found = _nearer_to_previous(X, found, fit, previous, settings.seed)
    if settings.k == "auto":
        found, merged = _without_crumbs(X, found, fit, settings.seed)
        notes.extend(merged)
    elif found.centers.shape[0] < k:
        notes.append(f"{k} segments were asked for, but the users form {found.centers.shape[0]} only.")
    if choice and choice.k == found.centers.shape[0]:
        refits = bootstrap_refits(X, found, fit, settings.seed, rows=choice.rows, known=choice.refits)
    else:
        refits = bootstrap_refits(X, found, fit, settings.seed)
    return found, tried, [*notes, *found.notes], refits


def _placement(data: Mapping[str, Any]) -> Mixture | Representatives | None:
    if "mixture" in data:
        return Mixture.from_dict(data["mixture"])
    return Representatives.from_dict(data["representatives"]) if "representatives" in data else None


def _count(previous: IntArray | None) -> int | None:
    return None if previous is None else np.unique(previous[previous >= 0]).size


def _nearer_to_previous(
    X: FloatArray, found: Clustering, fit: Algorithm, previous: IntArray | None, seed: int
) -> Clustering:
    if previous is None or X.shape[1] == 0:
        return found
    present = np.unique(previous[previous >= 0])
    if present.size != found.centers.shape[0]:
        return found
    means = np.stack([X[previous == label].mean(axis=0) for label in present])
    again = fit(X, present.size, seed=seed, initial_centers=means)
    as_good = again.inertia <= _AS_GOOD_AS * found.inertia and again.centers.shape == found.centers.shape
    return again if as_good else found


def _without_crumbs(X: FloatArray, found: Clustering, fit: Algorithm, seed: int) -> tuple[Clustering, list[str]]:
    notes: list[str] = []
    while (count := found.centers.shape[0]) > 1:
        share = float(np.mean(found.labels == count - 1))
        if share >= SMALLEST_SHARE:
            break
        notes.append(f"A segment of {share:.2%} of users was merged into its neighbours, being under 1%.")
        found = fit(X, count - 1, seed=seed, initial_centers=found.centers[:-1])
    return found, notes


def drift_columns(preprocessing: Preprocessing, blocks: Sequence[Block]) -> dict[tuple[str, int], FloatArray]:
    """Return what drift is measured on: readable columns as they are, all else along its axes."""
    given = {block.name: block for block in preprocessing.expanded(blocks)}
    columns: dict[tuple[str, int], FloatArray] = {}
    for fitted in preprocessing.blocks:
        values = given[fitted.name].values
        if isinstance(fitted, FeatureScaling):
            names = given[fitted.name].columns
            for column in fitted.columns:
                columns[column.name, 0] = given[fitted.name].figures[:, names.index(column.name)]
        else:
            along = (
                fitted.along(given[fitted.name].terms, values)
                if isinstance(fitted, ContentProjection)
                else fitted.along(values)
            )
            for axis in range(along.shape[1]):
                columns[fitted.name, axis] = along[:, axis]
    return columns
