"""What the second behaviour encoder is trained to foretell, worked out by hand."""

import importlib.util
import sys
from collections.abc import Iterator
from datetime import datetime
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sqlseg.encoders.manifest import Encoder
from sqlseg.engine.duckdb import Engine
from sqlseg.synth.simulate import SCHEMA


@pytest.fixture(scope="module")
def tokens(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The module beside the model; its training needs torch, this does not."""
    folder = request.getfixturevalue("forecasting").folder
    spec = importlib.util.spec_from_file_location("behavior_v2_tokens", folder / "tokens.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def row(user: str, day: str, kind: str, price: float | None = None, order: str | None = None) -> dict[str, Any]:
    return {
        **dict.fromkeys(SCHEMA.names),
        **{"user_id": user, "event_time": datetime.fromisoformat(day), "event_type": kind, "price": price},
        **{"item_id": "i", "order_id": order},
    }


EVENTS = [
    row("ann", "2024-01-01", "purchase", 10, "a1"),
    row("ann", "2024-01-21", "view", 10),
    row("ann", "2024-02-03", "purchase", 30, "a2"),
    row("ann", "2024-02-03", "purchase", 10, "a2"),
    row("ann", "2024-02-25", "purchase", 5, "a3"),
    row("ann", "2024-02-26", "return", 5, "a3"),
    row("bob", "2024-01-05", "purchase", 30, "b1"),
    row("cat", "2024-02-10", "purchase", 99, "c1"),
]


@pytest.fixture(scope="module")
def shot(tokens: ModuleType) -> Any:
    with Engine.open(None, threads=1) as engine:
        tokens.load_shop(engine, pa.Table.from_pylist(EVENTS, schema=SCHEMA))
        return tokens.snapshot(engine, datetime(2024, 1, 31), datetime(2024, 3, 2))  # 31 days


def test_users_are_those_seen_before_the_cut(shot: Any) -> None:
    assert shot.users == ["ann", "bob"]
    assert shot.offsets.tolist() == [0, 2, 3]


def test_orders_and_their_worth_are_counted_within_each_horizon(tokens: ModuleType, shot: Any) -> None:
    assert tokens.HORIZONS[:3] == (7, 14, 30)
    assert shot.orders[:, :3].tolist() == [[1, 1, 2], [0, 0, 0]]  # on the days 3 and 25 after the cut
    np.testing.assert_allclose(shot.spend[0, :3], [40 / 20, 40 / 20, 45 / 20])  # the median of 10 and 30 is 20


def test_horizons_that_end_after_the_data_are_not_observed(shot: Any) -> None:
    assert shot.observed.tolist() == [True, True, True, False, False, False]


def test_an_age_counts_from_any_token(shot: Any) -> None:
    assert shot.recency_days.tolist() == [10.0, 26.0]  # a view is the last of ann's


def test_the_manifest_names_the_horizons_of_the_training(tokens: ModuleType, forecasting: Encoder) -> None:
    assert forecasting.manifest.forecasts is not None
    assert forecasting.manifest.forecasts.horizons == tokens.HORIZONS


def test_simulated_shops_repeat_by_seed(tokens: ModuleType) -> None:
    (_, first), (_, again), (_, other) = (tokens.simulated_shop(seed, 30) for seed in (7, 7, 8))
    assert first.equals(again)
    assert not first.equals(other)
