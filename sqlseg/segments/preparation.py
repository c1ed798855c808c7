"""What happens to inputs before segments are learned from them: some are chosen, and they may be turned onto axes.

Both look at the labels, so both belong to learning: whoever measures a model on users held out, or calibrates it on
those of another fold, chooses and turns by the others alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.learners import Classifier
from sqlseg.segments.preprocessing import REPEATED_ABOVE
from sqlseg.segments.projection import ProjectedBy, Projection, discriminant_axes, principal_axes
from sqlseg.segments.selection import Selection, dropped_reasons, feature_scores


@dataclass(frozen=True)
class Preparation:
    """What is done to the inputs, as the settings have it."""

    selection: Selection = field(default_factory=Selection)
    projection: ProjectedBy = "none"
    correlation_limit: float = REPEATED_ABOVE


@dataclass(frozen=True, eq=False)
class Learned:
    """A classifier of the chosen `columns`, along the axes of a projection where there is one.

    `scores` says how much every feature told, and `dropped` why some were not chosen; both by feature.
    """

    columns: NDArray[np.bool_]
    projection: Projection | None
    classifier: Classifier
    scores: dict[str, float]
    dropped: dict[str, str]

    def reads(self, X: FloatArray) -> FloatArray:
        """Return what the classifier reads, for users x all inputs."""
        chosen = X[:, self.columns]
        return chosen if self.projection is None else self.projection.along(chosen)

    def probabilities(self, X: FloatArray) -> FloatArray:
        """Return users x classes for users x all inputs, not calibrated."""
        return self.classifier.probabilities(self.reads(X))


def learned(
    fit: Callable[[FloatArray, IntArray, FloatArray], Classifier],
    X: FloatArray,
    y: IntArray,
    others: FloatArray,
    inputs: Sequence[str],
    how: Preparation,
) -> Learned:
    """Return the classifier that `fit` makes of these users, their classes and the others, after choosing and turning.

    X and `others` are users x inputs; `inputs` names their columns.
    """
    scores = feature_scores(X, y, inputs, how.selection.by) if how.selection.by != "none" else {}
    dropped = dropped_reasons(scores, how.selection)
    columns = np.array([name not in dropped for name in inputs], dtype=bool)
    chosen = X[:, columns]
    projection = None
    if how.projection == "pca":
        projection = principal_axes(chosen)
    elif how.projection == "lda":
        projection = discriminant_axes(chosen, y)
    if projection is None:
        classifier = fit(chosen, y, others[:, columns])
    else:
        classifier = fit(projection.along(chosen), y, projection.along(others[:, columns]))
    return Learned(columns, projection, classifier, scores, dropped)
