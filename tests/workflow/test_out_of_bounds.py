"""Moments and amounts that cannot be: refused, with nothing spoiled for the refreshes after."""

import json
from datetime import datetime

import pytest
from shops import CLUSTERS, RULES, bought, new_shop, viewed

from sqlseg.workflow.as_of import BadAsOf

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("bob", "2024-03-01 12:00", 50),
    bought("dan", "2024-03-02 12:00", 70),
    viewed("eve", "2024-03-03 09:00"),
]
EXPORTED = '[events]\nexported_at = "2024-03-04 15:00:00"\n'
NEXT = [*EVENTS, bought("bob", "2024-03-04 12:00", 60)]
STATE = "select user_id, segment_name, as_of, member_since from segments.membership order by 1"


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A shop bounded by the clock, which shows 1 January 2025, and one by the moment of its export; both refreshed."""
    folder = tmp_path_factory.mktemp("bounds")
    shops = new_shop(folder / "now", EVENTS), new_shop(folder / "export", EVENTS, EXPORTED + RULES)
    for shop in shops:
        shop.refresh()
    return shops


@pytest.mark.parametrize(
    ("number", "latest"), [(0, datetime(2025, 1, 2)), (1, datetime(2024, 3, 5))], ids=["now", "exported_at"]
)
def test_an_as_of_in_the_future_is_refused_and_the_next_refresh_works_as_before(originals, tmp_path, number, latest):
    shop = originals[number].copy(tmp_path / "shop")
    before = shop.rows(STATE)
    with pytest.raises(BadAsOf, match="future"):
        shop.plan(as_of="2124-03-04")
    for asked in ("2124-03-04", f"{latest:%Y-%m-%d}T00:00:01"):
        with pytest.raises(BadAsOf, match="future") as error:
            shop.refresh(as_of=asked)
        assert f"{latest:%Y-%m-%d}" in error.value.message
    assert shop.rows(STATE) == shop.published(STATE) == before
    assert shop.refresh().plan.kind == "noop"
    shop.events(*NEXT)
    done = shop.refresh()
    assert (done.plan.kind, done.plan.as_of) == ("warm", datetime(2024, 3, 5))
    assert shop.rows(STATE) == [
        ("ann", "High", datetime(2024, 3, 5), datetime(2024, 3, 3, 9)),
        ("bob", "High", datetime(2024, 3, 5), datetime(2024, 3, 4, 12)),
        ("dan", "Low", datetime(2024, 3, 5), datetime(2024, 3, 3, 9)),
        ("eve", "Browsers", datetime(2024, 3, 5), datetime(2024, 3, 3, 9)),
    ]
    # The first midnight after is the last moment that may be asked for.
    assert shop.refresh(as_of=f"{latest:%Y-%m-%d}").plan.as_of == latest


def test_a_first_refresh_in_the_future_is_refused(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    with pytest.raises(BadAsOf):
        shop.refresh(as_of="2026-01-01")
    assert not shop.published_file.exists()
    assert shop.refresh().plan.kind == "cold"
    assert shop.rows("select status from segments.run order by run_id") == [("failed",), ("done",)]


def test_the_midnight_is_that_of_the_shop(tmp_path):
    # The clock shows midnight UTC of 1 January, which in New York is the evening before.
    shop = new_shop(tmp_path / "shop", EVENTS, timezone="America/New_York")
    with pytest.raises(BadAsOf):
        shop.refresh(as_of="2025-01-02")
    assert shop.refresh(as_of="2025-01-01").plan.as_of == datetime(2025, 1, 1, 5)


def test_amounts_that_no_sum_survives_are_quarantined(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS, RULES + CLUSTERS)
    bad = [
        bought("ann", "2024-03-01 11:00", 1.7e308),
        bought("ann", "2024-03-01 12:00", 1, quantity=1e300),
        bought("ann", "2024-03-01 13:00", 2, discount=-1.7e308),
        bought("whale", "2024-03-02 14:00", 1e7, quantity=1e6),
    ]
    largest = bought("giant", "2024-03-02 15:00", 1e6, quantity=1e6)
    shop.events(*EVENTS, largest, *bad)
    shop.refresh()
    assert shop.published("select reason, row_count from quality.rejection") == [("amount over 1e12", 4)]
    rejected = [json.loads(row) for (row,) in shop.rows('select "row" from quality.rejected_events')]
    assert sorted(row["event_time"][:19] for row in rejected) == [
        "2024-03-01 11:00:00",
        "2024-03-01 12:00:00",
        "2024-03-01 13:00:00",
        "2024-03-02 14:00:00",
    ]
    assert float(next(row for row in rejected if row["event_time"][11:13] == "11")["price"]) == 1.7e308
    assert any("amount over 1e12: 4" in note for note in shop.notes)
    # Nothing of it is in any sum.
    assert shop.segments_of() == {"ann": "High", "bob": "Low", "dan": "Low", "eve": "Browsers", "giant": "High"}
    assert shop.rows("select user_id, spend from features.rfm where spend <> 0 order by 1") == [
        ("ann", 150),
        ("bob", 50),
        ("dan", 70),
        ("giant", 1e12),
    ]
    assert shop.published("select sum(revenue) from segments.daily where segmentation = 'tier'") == [(1e12 + 270,)]
