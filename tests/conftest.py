"""Fixtures for every test: a function that makes small shops on disk."""

import pytest
from shops import RULES, new_shop


@pytest.fixture
def make_shop(tmp_path):
    """Return a function that makes a project from events: `make_shop(events, RULES)`."""
    return lambda events, more=RULES, timezone="UTC": new_shop(tmp_path / "shop", events, more, timezone)
