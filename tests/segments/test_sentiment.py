"""How pleased reviews sound, by the words of rated ones; held against scikit-learn."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sqlseg.segments.sentiment import NotLearned, RatedReviews, SentimentModel, _divided, _regressed, fit_sentiment

GOOD = ["lovely", "great", "perfect", "works well", "very happy"]
BAD = ["broken", "awful", "returned it", "waste of money", "very poor"]
OTHER = ["this tea", "the pot", "a gift for my mother", "came in a box", "the colour", "for the kitchen"]


def reviews(count=600, told=0.85, share=0.7, users=120, seed=0):
    """Reviews that say by their words, `told` of the times rightly, whether they are pleased."""
    random = np.random.default_rng(seed)
    pleased = random.random(count) < share
    texts = []
    for one in pleased:
        words = GOOD if (one if random.random() < told else not one) else BAD
        said = [*random.choice(OTHER, 2), random.choice(words)]
        random.shuffle(said)
        texts.append(", ".join(said))
    writers = np.array([f"u{n}" for n in random.integers(0, users, count)], dtype=object)
    times = np.datetime64("2024-01-01") + random.integers(0, 300, count).astype("timedelta64[D]")
    return RatedReviews(texts, pleased, writers, times)


@pytest.fixture(scope="module")
def fitted():
    return fit_sentiment(reviews(), seed=0)


def test_the_regression_is_scikit_learns_on_its_tfidf():
    some = reviews(300)
    ours = _regressed(some, 10.0)
    words = TfidfVectorizer(min_df=2, ngram_range=(1, 2), sublinear_tf=True)
    theirs = LogisticRegression(C=10, max_iter=2_000, class_weight="balanced")
    theirs.fit(words.fit_transform(some.texts), some.pleased)
    assert list(ours.terms) == sorted(words.vocabulary_)
    new = [*reviews(50, seed=9).texts, "Nothing known", ""]
    np.testing.assert_allclose(ours.eta(new), theirs.decision_function(words.transform(new)), atol=2e-3)


def test_measures_are_those_of_later_reviews_by_other_users_that_were_not_learned_from(fitted):
    learn, test = _divided(reviews(), seed=0)
    assert not set(learn.users) & set(test.users) and learn.times.max() < test.times.min()
    told = fitted.measures
    assert (told["learned_from"], told["tested_on"]) == (len(learn.texts), len(test.texts))
    # 85% are told rightly by their words, and no model can do better than that by chance alone.
    assert 0.72 < told["accuracy"] < 0.95 and told["auc"] > 0.75
    assert told["accuracy_of_usual_answer"] == pytest.approx(max(test.pleased.mean(), 1 - test.pleased.mean()))


def test_chances_are_true_and_as_many_are_called_displeased_as_are():
    fitted = fit_sentiment(reviews(2_000, users=500, seed=1), seed=0)
    new = reviews(4_000, seed=5)
    chances = fitted.model.chances(new.texts)
    assert roc_auc_score(new.pleased, chances) > 0.78
    assert chances.mean() == pytest.approx(new.pleased.mean(), abs=0.04)
    for low, high in ((0.0, 0.5), (0.5, 1.0)):
        part = (chances >= low) & (chances < high)
        assert new.pleased[part].mean() == pytest.approx(chances[part].mean(), abs=0.07)
    assert (chances < fitted.model.displeased_below).mean() == pytest.approx(1 - new.pleased.mean(), abs=0.06)


def test_a_model_read_from_its_json_says_the_same(fitted):
    texts = reviews(50, seed=3).texts
    read = SentimentModel.from_json(fitted.model.to_json())
    assert read == fitted.model and (read.chances(texts) == fitted.model.chances(texts)).all()
    assert fit_sentiment(reviews(), seed=0).model == fitted.model


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (reviews(150), "it takes 200 rated reviews, and there are 150"),
        (reviews(share=1.0), "two thirds of the writers, 0 writers were displeased, and it takes 10"),
        (reviews(users=12), "writers were pleased, and it takes 10"),
        (reviews(told=0.5, seed=2), "their words do not tell who was pleased"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_the_reason(given, why):
    found = fit_sentiment(given, seed=0)
    assert isinstance(found, NotLearned) and why in found.reason
