from dataclasses import replace

import numpy as np
import pytest

from sqlseg.segments.blocks import embedding_block, feature_block
from sqlseg.segments.counterfactual import single_changes
from sqlseg.segments.model import FitSettings, fit_cluster_model


@pytest.fixture(scope="module")
def fitted():
    random = np.random.default_rng(5)
    values = np.column_stack([random.gamma(1.0, 50.0, 400), random.poisson(4, 400), random.normal(0, 3, 400)])
    values[::7, 2] = np.nan
    blocks = [
        feature_block("a@1", ["a__money", "a__orders", "a__trend"], values),
        embedding_block("encoder:e@1", random.normal(size=(400, 5))),
    ]
    return fit_cluster_model(blocks, FitSettings(k=5)), blocks


def labels_with(model, blocks, position, tried):
    block = blocks[0]
    values = np.repeat(block.values, len(tried), axis=0)
    values[:, position] = tried
    others = [replace(other, values=np.repeat(other.values, len(tried), axis=0)) for other in blocks[1:]]
    return model.score([replace(block, values=values), *others]).labels


def test_changes_are_the_nearest_that_a_search_finds(fitted):
    result, blocks = fitted
    model = result.model
    ranges = {column.name: column for column in model.preprocessing.blocks[0].columns}
    assert ranges["a__money"].log
    found_any = 0
    for user in range(0, 400, 8):
        mine = [block.take(np.array([user])) for block in blocks]
        own = result.assignment.labels[user]
        found = {change.feature: change for change in single_changes(model, mine)}
        for position, name in enumerate(blocks[0].columns):
            column = ranges[name]
            tried = np.linspace(column.low, column.high, 20_001)
            step = tried[1] - tried[0]
            elsewhere = tried[labels_with(model, mine, position, tried) != own]
            z = lambda v, column=column: (np.log1p(v) if column.log else v) / column.std  # noqa: E731
            given = np.clip(np.nan_to_num(mine[0].values[0, position], nan=column.median), column.low, column.high)
            if not elsewhere.size:
                # what is left may be a sliver at the very end of the range
                assert (
                    name not in found or min(abs(found[name].value - edge) for edge in (column.low, column.high)) < step
                )
                continue
            found_any += 1
            change = found[name]
            effort = np.abs(z(elsewhere) - z(given)).min()
            assert change.effort == pytest.approx(effort, abs=2 * step / column.std + 1e-5)
            assert labels_with(model, mine, position, [change.value])[0] == change.segment != own
    assert found_any > 20


def test_the_easiest_comes_first(fitted):
    result, blocks = fitted
    for user in range(30):
        efforts = [c.effort for c in single_changes(result.model, [block.take(np.array([user])) for block in blocks])]
        assert efforts == sorted(efforts)
        assert all(effort > 0 for effort in efforts)


def test_a_single_segment_cannot_be_left():
    blocks = [feature_block("a@1", ["a__x"], [[1.0], [2.0], [3.0]])]
    model = fit_cluster_model(blocks, FitSettings(k=1)).model
    assert single_changes(model, [blocks[0].take(np.array([0]))]) == ()
