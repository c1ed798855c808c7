"""What users buy, as a few coordinates: TF-IDF of users by terms (categories, items), and a truncated SVD of it.

With c the weight of a term for a user, such as the number of orders it was in,

    x = ln(1 + c) * idf,   idf = ln((1 + users) / (1 + users who have the term)) + 1,

each user's x divided by its length, and projected onto the first right singular vectors of that matrix. The logarithm
keeps one term that somebody buys every week from hiding all others, the division a big customer from being unlike a
small one of the same taste (Salton & Buckley 1988; Deerwester et al. 1990). Everything is frozen with the model, so
new users are placed among those there were.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sqlseg.segments.blocks import FloatArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DIMENSIONS = 32
VOCABULARY = 2_000
"""Terms that are used, those that most users have: the rest say little of few."""

_SHARED_BY = 2
_NEGLIGIBLE = 1e-9
_DIGITS = 8


@dataclass(frozen=True)
class ContentProjection:
    """The frozen parameters of a content block: `components` is axes x terms, over TF-IDF rows of length 1.

    `center` is the mean of the users' coordinates, `scale` gives the block its weight, and `variance_kept` is the
    part of the sum of squares that the axes hold.
    """

    name: str
    terms: tuple[str, ...]
    idf: tuple[float, ...]
    components: tuple[tuple[float, ...], ...]
    center: tuple[float, ...]
    variance_kept: float
    scale: float

    def along(self, terms: Sequence[str], weights: "csr_array") -> FloatArray:
        """Return users x axes, before scaling and with 0 at the centre; NaN for a user who has none of the terms.

        `weights` is users x `terms`; terms that the model does not know are left out.
        """
        places = {term: place for place, term in enumerate(terms)}
        picked = np.array([(places[term], own) for own, term in enumerate(self.terms) if term in places])
        components = np.array(self.components).reshape(len(self.components), len(self.terms))
        coordinates = np.full((weights.shape[0], len(components)), np.nan)
        if picked.size == 0:
            return coordinates
        rows = tf_idf(weights[:, picked[:, 0]], np.array(self.idf)[picked[:, 1]])
        known = np.diff(rows.indptr) > 0
        coordinates[known] = (rows @ components[:, picked[:, 1]].T)[known] - np.array(self.center)
        return coordinates


def inverse_document_frequency(weights: "csr_array") -> FloatArray:
    """Return the idf of each column of users x terms, over the users who have any term.

    >>> from scipy.sparse import csr_array
    >>> inverse_document_frequency(csr_array(np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))).round(3)
    array([1.   , 1.405])
    """
    users = np.count_nonzero(np.diff(weights.indptr))
    having = np.bincount(weights.indices, minlength=weights.shape[1])
    result: FloatArray = np.log((1 + users) / (1 + having)) + 1
    return result


def tf_idf(weights: "csr_array", idf: FloatArray) -> "csr_array":
    """Return the rows ln(1 + weight) * idf, each of length 1; a row without any term stays empty."""
    from scipy.sparse import csr_array

    values = np.log1p(weights.data) * idf[weights.indices]
    owner = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    lengths = np.sqrt(np.bincount(owner, weights=values * values, minlength=weights.shape[0]))
    return csr_array((values / lengths[owner], weights.indices, weights.indptr), shape=weights.shape)


def fit_content(
    name: str, terms: Sequence[str], weights: "csr_array", weight: float, dimensions: int = DIMENSIONS
) -> ContentProjection | str:
    """Return the projection that these users give, or the reason why the block is of no use.

    `weights` is users x `terms`, all above 0 where stored. Terms of one user alone are left out, and all but the 2,000
    that most users have. There are as many axes as asked for, fewer where the terms give fewer. An axis has no
    direction of its own: its largest loading is made positive, so that refits agree.
    """
    from scipy.linalg import eigh

    having = np.bincount(weights.indices, minlength=weights.shape[1])
    order = sorted(range(len(terms)), key=lambda place: (-having[place], terms[place]))
    used = [place for place in order[:VOCABULARY] if having[place] >= _SHARED_BY]
    if not used:
        return "missing for every user" if weights.nnz == 0 else "nothing that two users have in common"
    some = weights[:, used]
    idf = np.round(inverse_document_frequency(some), _DIGITS)
    rows = tf_idf(some, idf)
    # Squared singular values and right singular vectors: exact and repeatable, where iterations would begin by chance.
    most = min(dimensions, len(used))
    squares, vectors = eigh((rows.T @ rows).toarray(), subset_by_index=[len(used) - most, len(used) - 1])
    squares, axes = squares[::-1].clip(min=0.0), vectors[:, ::-1].T
    axes = axes[squares > _NEGLIGIBLE * squares[0]]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).round(6).argmax(axis=1)])[:, None]
    axes = np.round(axes, _DIGITS)
    known = np.diff(rows.indptr) > 0
    coordinates = (rows @ axes.T)[known]
    center = coordinates.mean(axis=0)
    # Divided by all users: those without any term sit at the centre and count.
    variance = float(np.square(coordinates - center).sum()) / weights.shape[0]
    if variance <= _NEGLIGIBLE:
        return "the same for every user"
    return ContentProjection(
        name=name,
        terms=tuple(terms[place] for place in used),
        idf=tuple(idf.tolist()),
        components=tuple(tuple(axis) for axis in axes.tolist()),
        center=tuple(center.tolist()),
        variance_kept=float(squares[: len(axes)].sum()) / max(int(known.sum()), 1),
        scale=float(np.sqrt(weight / variance)),
    )
