import numpy as np
import pytest
from sklearn import metrics

from sqlseg.insight import quality
from sqlseg.insight.quality import segment_quality
from sqlseg.segments.blocks import embedding_block, feature_block
from sqlseg.segments.model import FitSettings, fit_cluster_model


def fitted(users=600, groups=4, k=4):
    random = np.random.default_rng(0)
    values = np.repeat(random.normal(size=(groups, 5)) * 4, users // groups, axis=0) + random.normal(size=(users, 5))
    blocks = [feature_block("a@1", [f"a__{i}" for i in range(5)], values)]
    result = fit_cluster_model(blocks, FitSettings(k=k))
    return blocks, result.model, result.assignment


def test_the_measures_are_those_of_scikit_learn():
    blocks, model, found = fitted()
    X = model.preprocessing.transform(blocks)
    measured = segment_quality(model, blocks, found, seed=0, stability=0.9)
    assert measured["silhouette"] == pytest.approx(metrics.silhouette_score(X, found.labels))
    assert measured["calinski_harabasz"] == pytest.approx(metrics.calinski_harabasz_score(X, found.labels))
    assert measured["davies_bouldin"] == pytest.approx(metrics.davies_bouldin_score(X, found.labels))
    inertia = ((X - model.center_matrix[found.labels]) ** 2).sum()
    assert measured["inertia"] == pytest.approx(inertia)
    assert measured["explained_variance"] == pytest.approx(1 - inertia / ((X - X.mean(0)) ** 2).sum(), abs=1e-6)
    sizes = np.bincount(found.labels) / 600
    assert (measured["smallest_share"], measured["largest_share"]) == (sizes.min(), sizes.max())
    assert measured["mean_confidence"] == pytest.approx(found.confidence.mean())
    assert (measured["segment_count"], measured["stability"]) == (4, 0.9)


def test_a_sample_comes_near_and_a_seed_repeats_it(monkeypatch):
    blocks, model, found = fitted()
    exact = segment_quality(model, blocks, found, seed=0)["silhouette"]
    monkeypatch.setattr(quality, "_SILHOUETTE_USERS", 200)
    sampled = [segment_quality(model, blocks, found, seed=seed)["silhouette"] for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]
    assert sampled == pytest.approx([exact] * 3, abs=0.05)


def test_one_segment_has_sizes_and_no_more():
    blocks, model, found = fitted(k=1)
    measured = segment_quality(model, blocks, found, seed=0)
    assert "silhouette" not in measured and "stability" not in measured
    assert measured["explained_variance"] == pytest.approx(0, abs=1e-9)
    assert measured["smallest_share"] == 1


def test_each_input_has_its_share_and_what_the_segments_explain_of_it():
    """One input of two groups, one of noise that no segment can follow: the figures tell them apart."""
    random = np.random.default_rng(0)
    groups = np.repeat([[-4.0], [4.0]], 300, axis=0) + random.normal(size=(600, 2))
    blocks = [
        feature_block("a@1", ["a__x", "a__y"], groups),
        embedding_block("encoder:noise@1", 50 * random.normal(size=(600, 3))),
    ]
    result = fit_cluster_model(blocks, FitSettings(k=2, weights={"a@1": 3.0}))
    measured = segment_quality(result.model, blocks, result.assignment, seed=0)
    assert measured["block_share[a@1]"] == pytest.approx(0.75, abs=1e-4)
    assert measured["block_share[encoder:noise@1]"] == pytest.approx(0.25, abs=1e-4)
    X, labels = result.model.preprocessing.transform(blocks), result.assignment.labels
    for name, part in (("a@1", X[:, :2]), ("encoder:noise@1", X[:, 2:])):
        between = sum((labels == s).mean() * (part[labels == s].mean(0) - part.mean(0)) ** 2 for s in (0, 1)).sum()
        assert measured[f"explained_variance[{name}]"] == pytest.approx(between / part.var(axis=0).sum())
    assert measured["explained_variance[a@1]"] > 0.85
    assert measured["explained_variance[encoder:noise@1]"] < 0.05
