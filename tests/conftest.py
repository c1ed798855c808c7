"""Fixtures for every test: small shops on disk."""

import pytest
from hypothesis import settings
from shops import RULES, new_busy_shop, new_shop

# A machine that is busy with other work must not fail a test.
settings.register_profile("sqlseg", deadline=None)
settings.load_profile("sqlseg")

LONGEST = "test_warm_equals_cold.py"


def pytest_collection_modifyitems(items):
    """Begin with the file that takes longest: begun last, it would leave the other workers with nothing to do."""
    items.sort(key=lambda item: item.path.name != LONGEST)


@pytest.fixture
def make_shop(tmp_path):
    """Return a function that makes a project from events: `make_shop(events, RULES)`."""
    return lambda events, more=RULES, timezone="UTC": new_shop(tmp_path / "shop", events, more, timezone)


@pytest.fixture(scope="session")
def busy_shop(tmp_path_factory):
    """A simulated shop that was refreshed twice; for reading only, `busy_shop.copy(tmp_path / "shop")` to change it."""
    return new_busy_shop(tmp_path_factory.mktemp("busy") / "shop")
