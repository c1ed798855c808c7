"""Fixtures for every test: small shops on disk."""

import pytest
from hypothesis import settings
from shops import RULES, new_busy_shop, new_shop

# A machine that is busy with other work must not fail a test.
settings.register_profile("sqlseg", deadline=None)
settings.load_profile("sqlseg")


@pytest.fixture
def make_shop(tmp_path):
    """Return a function that makes a project from events: `make_shop(events, RULES)`."""
    return lambda events, more=RULES, timezone="UTC": new_shop(tmp_path / "shop", events, more, timezone)


@pytest.fixture(scope="session")
def busy_shop(tmp_path_factory):
    """A simulated shop that was refreshed twice; for reading only, `busy_shop.copy(tmp_path / "shop")` to change it."""
    return new_busy_shop(tmp_path_factory.mktemp("busy") / "shop")
