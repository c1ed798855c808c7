"""How pleased a review sounds: a logistic regression on its words, learned from reviews with ratings, kept as numbers.

    eta(text) = intercept + sum over terms of weight * tfidf(term, text)
    chance that it is rated as pleased = 1 / (1 + exp(-(shift + slope * eta)))

Terms are words and pairs of words; TF-IDF is that of scikit-learn's TfidfVectorizer with sublinear_tf. Shift and slope
are Platt's correction (1999), fitted on reviews whose writers the regression did not know.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

LEAST_REVIEWS = 200
"""Rated reviews that a model needs at least."""

LEAST_WRITERS = 10
"""Writers of pleased reviews, and of displeased ones, that are needed among those learned from and those tested on."""

_MOST_TERMS = 20_000
_STRENGTHS = (1.0, 10.0)
_ALMOST_FREE = 1e6
_FOLDS = 3
_WORD = re.compile(r"\b\w\w+\b")

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class RatedReviews:
    """Reviews with who wrote them, when, and whether the rating says that they were pleased; one element each."""

    texts: Sequence[str]
    pleased: BoolArray
    users: NDArray[Any]
    times: NDArray[Any]

    def take(self, rows: BoolArray | NDArray[np.int64]) -> "RatedReviews":
        """Return some of the reviews."""
        places = np.arange(len(self.texts))[rows]
        texts = [self.texts[place] for place in places]
        return RatedReviews(texts, self.pleased[rows], self.users[rows], self.times[rows])


@dataclass(frozen=True)
class SentimentModel:
    """The words that tell, and what they weigh; under the chance `displeased_below` a review counts as such."""

    terms: tuple[str, ...]
    idf: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    shift: float = 0.0
    slope: float = 1.0
    displeased_below: float = 0.5

    def eta(self, texts: Sequence[str]) -> FloatArray:
        """Return the regression's answer for each text."""
        inputs = _tfidf(texts, {term: place for place, term in enumerate(self.terms)}, np.array(self.idf))
        result: FloatArray = inputs @ np.array(self.weights) + self.intercept
        return result

    def chances(self, texts: Sequence[str]) -> FloatArray:
        """Return for each text the chance that who wrote it was pleased, rounded to 1e-6.

        >>> model = SentimentModel(("fine",), (1.0,), (2.0,), 0.0)
        >>> [float(chance) for chance in model.chances(["A fine tea", "No word of it"])]
        [0.880797, 0.5]
        """
        told: FloatArray = np.round(1.0 / (1.0 + np.exp(-(self.shift + self.slope * self.eta(texts)))), 6)
        return told

    def to_json(self) -> str:
        """Return everything needed to read reviews again."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "SentimentModel":
        """Return what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(**{**data, **{name: tuple(data[name]) for name in ("terms", "idf", "weights")}})


@dataclass(frozen=True)
class NotLearned:
    """Why there is no model."""

    reason: str


@dataclass(frozen=True)
class FittedSentiment:
    """A model of all reviews, and how one of the earlier part did on later reviews by other writers."""

    model: SentimentModel
    measures: Mapping[str, float]


def fit_sentiment(reviews: RatedReviews, seed: int) -> FittedSentiment | NotLearned:
    """Return the model that rated reviews give, and its measures; or why they give none.

    Measured on the last 40% of the reviews, by a third of the writers, with a model of the others' first 60%.
    """
    kinds = int(reviews.pleased.sum()), int((~reviews.pleased).sum())
    if sum(kinds) < LEAST_REVIEWS:
        return NotLearned(f"it takes {LEAST_REVIEWS} rated reviews, and there are {sum(kinds):,}")
    learn, test = _divided(reviews, seed)
    for part, name in ((learn, "earlier reviews by two thirds of the writers"), (test, "later ones by the others")):
        for kind, wanted in (("pleased", True), ("displeased", False)):
            writers = len(np.unique(part.users[part.pleased == wanted].astype(str)))
            if writers < LEAST_WRITERS:
                return NotLearned(f"among {name}, {writers} writers were {kind}, and it takes {LEAST_WRITERS}")
    tried = _fitted(learn, seed)
    model = _fitted(reviews, seed)
    for one in (tried, model):
        if isinstance(one, NotLearned):
            return one
    assert isinstance(tried, SentimentModel) and isinstance(model, SentimentModel)
    return FittedSentiment(model, {**_measures(tried, test), "learned_from": float(len(learn.texts))})


def terms_of(text: str) -> list[str]:
    """Return the words of a text and the pairs of neighbours, in lower case; a word has two characters or more.

    >>> terms_of("Not a good tea")
    ['not', 'good', 'tea', 'not good', 'good tea']
    """
    words = _WORD.findall(text.lower())
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def _divided(reviews: RatedReviews, seed: int) -> tuple[RatedReviews, RatedReviews]:
    writers = np.unique(reviews.users.astype(str))
    kept_aside = np.random.default_rng(seed).choice(writers, max(1, len(writers) // 3), replace=False)
    others = np.isin(reviews.users.astype(str), kept_aside)
    order = np.sort(reviews.times)
    late = reviews.times >= order[int(0.6 * len(order))]
    return reviews.take(~others & ~late), reviews.take(others & late)


def _fitted(reviews: RatedReviews, seed: int) -> SentimentModel | NotLearned:
    """Return the model of the better strength, by reviews whose writers were left out, corrected on these."""
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    divided = list(folds.split(reviews.texts, reviews.pleased, reviews.users.astype(str)))
    best: tuple[float, SentimentModel] | None = None
    for strength in _STRENGTHS:
        etas = np.empty(len(reviews.texts))
        for learn, test in divided:
            part = reviews.take(learn)
            if part.pleased.all() or not part.pleased.any():
                return NotLearned("too few people wrote the reviews of one kind")
            model = _regressed(part, strength)
            if model is None:
                return NotLearned("no word is in two reviews")
            etas[test] = model.eta(reviews.take(test).texts)
        platt = _regression(_ALMOST_FREE).fit(etas[:, None], reviews.pleased)
        shift, slope = float(platt.intercept_[0]), float(platt.coef_[0, 0])
        chances = 1.0 / (1.0 + np.exp(-(shift + slope * etas)))
        loss = float(log_loss(reviews.pleased, chances))
        if slope > 0 and (best is None or loss < best[0]):
            whole = _regressed(reviews, strength)
            assert whole is not None
            below = float(np.quantile(chances, float((~reviews.pleased).mean())))
            best = loss, replace(whole, shift=round(shift, 6), slope=round(slope, 6), displeased_below=round(below, 6))
    if best is None:
        return NotLearned("their words do not tell who was pleased")
    return best[1]


def _regressed(reviews: RatedReviews, strength: float) -> SentimentModel | None:
    """Return the uncorrected model, None where no term is in two reviews."""
    counts = Counter(term for text in reviews.texts for term in set(terms_of(text)))
    usual = sorted((term for term, count in counts.items() if count > 1), key=lambda term: (-counts[term], term))
    terms = tuple(sorted(usual[:_MOST_TERMS]))
    if not terms:
        return None
    idf = np.round(np.log((1 + len(reviews.texts)) / (1 + np.array([counts[term] for term in terms]))) + 1, 6)
    inputs = _tfidf(reviews.texts, {term: place for place, term in enumerate(terms)}, idf)
    fitted = _regression(strength, balanced=True).fit(inputs, reviews.pleased)
    weights = np.round(fitted.coef_[0], 6)
    return SentimentModel(terms, tuple(idf.tolist()), tuple(weights.tolist()), round(float(fitted.intercept_[0]), 6))


def _regression(strength: float, *, balanced: bool = False) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=2_000, class_weight="balanced" if balanced else None)


def _tfidf(texts: Sequence[str], places: Mapping[str, int], idf: FloatArray) -> "csr_array":
    """Return (texts, terms): (1 + ln count) * idf, each row divided by its length."""
    from scipy.sparse import csr_array

    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for text in texts:
        counts = Counter(place for term in terms_of(text) if (place := places.get(term)) is not None)
        row = (1.0 + np.log(np.fromiter(counts.values(), float, len(counts)))) * idf[list(counts)]
        columns += counts
        values += (row / max(float(np.linalg.norm(row)), 1e-12)).tolist()
        ends.append(len(columns))
    return csr_array((values, columns, ends), shape=(len(texts), len(places)))


def _measures(model: SentimentModel, test: RatedReviews) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, roc_auc_score

    chances = model.chances(test.texts)
    told = chances >= model.displeased_below
    actual = float(test.pleased.mean())
    return {
        "auc": float(roc_auc_score(test.pleased, chances)),
        "accuracy": float(accuracy_score(test.pleased, told)),
        "accuracy_of_usual_answer": max(actual, 1 - actual),
        "balanced_accuracy": float(balanced_accuracy_score(test.pleased, told)),
        "brier": float(brier_score_loss(test.pleased, chances)),
        "mean_sentiment": float(chances.mean()),
        "mean_actual": actual,
        "tested_on": float(len(test.texts)),
    }
