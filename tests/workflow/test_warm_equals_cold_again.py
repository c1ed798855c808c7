"""Random histories as in test_warm_equals_cold.py, lived through by one process that keeps what it has read."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from test_warm_equals_cold import fitted_shop, histories, lived

__all__ = ["fitted_shop"]


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories(watched=True))
def test_many_watched_shops_end_where_full_refreshes_do(fitted_shop, history):
    with TemporaryDirectory() as folder:
        lived(fitted_shop, history, Path(folder), watched=True)
