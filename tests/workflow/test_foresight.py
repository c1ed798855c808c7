"""What a new project takes as inputs, by how far back the purchases of its source go."""

import csv
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from shops import Shop

from sqlseg.engine.duckdb import Engine
from sqlseg.events.inspection import find_source, inspect_source
from sqlseg.events.project_files import Foresight
from sqlseg.settings import ClusterSegmentation, load_settings
from sqlseg.workflow.creating import create_project
from sqlseg.workflow.foresight import foresight

END = datetime(2024, 7, 1)
HABITS = ["rfm@1", "cadence@1", "basket@1", "trend@2", "encoder:behavior@3"]
WITH_FORECASTS = ["forecast:behavior@3", "rfm@1", "encoder:behavior@3"]


def source(path: Path, purchases: Iterable[tuple[str, datetime]], kind: str = "purchase") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "event_time", "event_type", "price", "quantity"])
        rows.writerows([user, f"{time:%Y-%m-%d %H:%M:%S}", kind, 20, 1] for user, time in purchases)
    return path


def seen_ahead(path: Path) -> Foresight:
    with Engine.open(None) as engine:
        return foresight(engine, inspect_source(engine, find_source(engine, str(path), path.parent)))


def regulars(users: int, history: int) -> list[tuple[str, datetime]]:
    """Users who buy every three to six days through all of a history that ends on the last of June."""
    return [
        (f"regular{number:03d}", END - timedelta(days=float(day) + number / 200))
        for number in range(users)
        for day in np.arange(0.5, history - 0.5, 3 + number % 4)
    ]


def mixed(history: int) -> list[tuple[str, datetime]]:
    """Forty regulars, and forty users who bought once or twice at the beginning and no more."""
    first = END - timedelta(days=history - 0.5)
    gone = [(f"gone{number:03d}", first + timedelta(days=number % 9)) for number in range(60)]
    return [*regulars(40, history), *gone[:40], *((user, time + timedelta(days=5)) for user, time in gone[:20])]


def test_a_long_history_supports_both_horizons(tmp_path):
    assert seen_ahead(source(tmp_path / "shop.csv", mixed(360))) == Foresight((30, 90), ())


def test_the_limits_are_those_of_a_refresh(tmp_path):
    def of(first: str) -> Foresight:
        purchases = [*mixed(80), ("first", datetime.fromisoformat(first)), ("last", datetime(2024, 6, 30, 12))]
        return seen_ahead(source(tmp_path / "shop.csv", purchases))

    # As of 1 July, 2 April is 90 days ago and 3 April 89.
    wanted = "30 days ahead want 90 days of purchases to learn from (two horizons and 30 days), and there are 89"
    assert of("2024-04-03 12:00").refusals[0] == wanted
    assert not of("2024-04-02 12:00").refusals[0].startswith("30 days ahead want")


def test_users_who_all_buy_are_none_to_learn_from(tmp_path):
    found = seen_ahead(source(tmp_path / "shop.csv", regulars(60, 360)))
    assert found.horizons == ()
    assert found.refusals[0] == (
        "30 days ahead: of 60 users at the newest moment to learn from, 60 ordered within them; 20 who do and 20 who "
        "do not are wanted"
    )


def test_users_and_buyers_by_hand(tmp_path):
    # 30 days before 1 July is 1 June, 60 days before is 2 May, 90 days before is 2 April.
    early = [(f"early{n}", datetime(2024, 1, 5, 12)) for n in range(50)]
    june = [(f"early{n}", datetime(2024, 6, 1, 0)) for n in range(25)]
    may = [(f"early{n}", datetime(2024, 5, 31, 23, 59)) for n in range(24, 44)]
    new = [(f"new{n}", datetime(2024, 6, 30, 12)) for n in range(9)]
    # At the newest moment 50 users, 25 buy in June. Before: at 2 May 50 of whom 20 buy, at 2 April and earlier none do.
    assert seen_ahead(source(tmp_path / "shop.csv", [*early, *june, *may, *new])).horizons == (30,)
    found = seen_ahead(source(tmp_path / "shop.csv", [*early, *june, *may[1:], *new]))
    assert found.horizons == ()
    assert ", 19 ordered within them" in found.refusals[0]


def test_a_source_without_purchases(tmp_path):
    assert seen_ahead(source(tmp_path / "clicks.csv", mixed(360), "view")) == Foresight(
        (), ("the source has no purchases",)
    )


def test_a_table_of_a_database_is_read_too(tmp_path):
    rows = source(tmp_path / "shop.csv", mixed(360))
    with Engine.open(tmp_path / "crm.duckdb") as engine:
        engine.execute(f"create table orders as from '{rows}'")
    with Engine.open(None) as engine:
        found = find_source(engine, "crm.duckdb::orders", tmp_path)
        assert foresight(engine, inspect_source(engine, found)).horizons == (30, 90)
        assert engine.rows("select table_name from duckdb_tables() union all select view_name from duckdb_views() "
                           "where not internal") == []  # fmt: skip


@pytest.mark.parametrize(
    ("history", "inputs", "why"),
    [
        (360, WITH_FORECASTS, "What users will do in the next 30 and 90 days, learned from the shop's own past"),
        (150, WITH_FORECASTS, "What users will do in the next 30 days, learned from the shop's own past"),
        (60, HABITS, "cannot be learned yet: 30 days ahead"),
    ],
)  # fmt: skip
def test_a_new_project_begins_with_what_its_past_supports(tmp_path, history, inputs, why):
    file = source(tmp_path / "shop.csv", mixed(history))
    create_project(tmp_path / "shop", str(file), tmp_path)
    text = (tmp_path / "shop" / "sqlseg.toml").read_text(encoding="utf-8")
    assert why in text.replace("\n# ", " ")
    behavior = load_settings(tmp_path / "shop").segmentations["behavior"]
    assert isinstance(behavior, ClusterSegmentation)
    assert [str(one) for one in behavior.inputs] == inputs
    assert set(behavior.weights) == (set(inputs) if inputs == WITH_FORECASTS else set())
    shop = Shop(tmp_path / "shop", now=END)
    shop.refresh()
    reasons = shop.rows("select distinct split_part(feature, '__', 1) from segments.reason order by 1")
    assert reasons
    assert (("forecast_behavior",) in reasons) == (inputs == WITH_FORECASTS)
