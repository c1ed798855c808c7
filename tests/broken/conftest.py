"""A sound shop to break, as it was made and as it was after one refresh."""

import pytest
from broken_projects import EVENTS
from shops import CLUSTERS, RULES, new_shop


@pytest.fixture(scope="session")
def sound_shops(tmp_path_factory):
    """The same shop before and after its first refresh; for copying only."""
    fresh = new_shop(tmp_path_factory.mktemp("sound") / "shop", EVENTS, RULES + CLUSTERS)
    refreshed = fresh.copy(tmp_path_factory.mktemp("refreshed") / "shop")
    refreshed.refresh()
    return {False: fresh, True: refreshed}
