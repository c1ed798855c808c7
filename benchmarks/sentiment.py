"""What sentence vectors know of mood: good reviews told from others, beside counting words.

    SQLSEG_DATA=... python benchmarks/sentiment.py [REVIEWS]

draws so many reviews (2,500) of each of two data sets, fits a logistic regression on their vectors, one on TF-IDF of
words and pairs, and one on both (vectors at half their length), and prints the area under the ROC curve and the
balanced accuracy on reviews held out, as means of five divisions: of other users and later where users and days are
known, else a third at random. Good are four and five stars. Needs the extra text.
"""

import os
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from sqlseg.encoders.content_manifest import load_text_encoder
from sqlseg.encoders.sentences import sentence_encoder
from sqlseg.engine.duckdb import Engine
from sqlseg.resources import resource_root

DIVISIONS = 5
WHO_AND_WHEN = {"musical_instruments_reviews": "user_id, review_date", "womens_clothing_reviews": "null, null"}


def held_out(users: np.ndarray, days: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return which reviews to learn from and which to test on."""
    if users[0] is None:
        test = random.random(len(users)) < 1 / 3
        return ~test, test
    names = np.unique(users.astype(str))
    others = np.isin(users.astype(str), random.choice(names, len(names) // 3, replace=False))
    order = np.argsort(days, kind="stable")
    late = np.zeros(len(days), dtype=bool)
    late[order[int(0.6 * len(days)) :]] = True
    return ~others & ~late, others & late


def main(data: Path, count: int) -> None:
    encoder = load_text_encoder("minilm@1", [resource_root("onnx_models")])
    print("| reviews | learnt from | tested on | good | vectors: AUC, balanced | words | both |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, known in WHO_AND_WHEN.items():
        with Engine.open(None) as engine:
            rows = engine.rows(
                f"select review_text, rating, {known} from read_parquet($file) where trim(review_text) <> '' "
                "order by md5(review_text), 1, 2",
                {"file": str(data / f"{name}.parquet")},
            )[:count]
        texts, stars, users, days = (np.array(column, dtype=object) for column in zip(*rows, strict=True))
        good = stars.astype(float) >= 4
        with sentence_encoder(encoder, threads=os.cpu_count() or 1) as sentences:
            vectors = sentences.embeddings(list(texts))
        found = []
        for seed in range(DIVISIONS):
            train, test = held_out(users, days, np.random.default_rng(seed))
            words = TfidfVectorizer(min_df=2, ngram_range=(1, 2), sublinear_tf=True).fit(texts[train]).transform(texts)
            row = [train.sum(), test.sum(), good[test].mean()]
            for X in (vectors, words, csr_matrix(hstack([words, csr_matrix(vectors / 2)]))):
                model = LogisticRegression(C=10, max_iter=2_000, class_weight="balanced").fit(X[train], good[train])
                told = model.decision_function(X[test])
                row += [roc_auc_score(good[test], told), balanced_accuracy_score(good[test], told > 0)]
            found.append(row)
        learnt, tested, share, *figures = np.mean(found, axis=0)
        cells = [f"{auc:.3f}, {balanced:.3f}" for auc, balanced in zip(figures[::2], figures[1::2], strict=True)]
        print(f"| {name} | {learnt:,.0f} | {tested:,.0f} | {share:.0%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(Path(os.environ["SQLSEG_DATA"]), int(sys.argv[1]) if len(sys.argv) > 1 else 2_500)
