"""Shops whose segmentation is scored elsewhere: a simulated one, and the real data sets where they are."""

import os
import re
from pathlib import Path

import pytest
from shops import Shop, call_sqlseg

from sqlseg.synth.writer import write_synthetic_events

DATA_SETS = (
    "online_retail_2011",
    "taobao_userbehavior",
    "taobao_buy_cart_fav",
    "eshop_clothing_2008",
    "amazon_grocery_interactions",
)

HABITS = """-- A column of each type that a feature may have.
-- grain: user_id
select
    user_id,                                                    -- #unique #not_null the user
    count(*) > 30 as busy,                                      -- #default(false) whether there are many events
    sum(price)::decimal(18, 2) as "order",                      -- the prices of everything seen, NULL where none
    nullif(count(*) filter (event_type = 'purchase'), 0)::utinyint as bought,  -- purchases, NULL where none
    avg(price)::float as price                                  -- the usual price
from events
group by user_id
"""

SIMULATED = """
[project]
name = "simulated"

[warehouse]
threads = 1

[segmentations.behavior]
kind = "cluster"
inputs = ["rfm@1", "cadence@1", "funnel@1", "habits@1"]
k = 6

[segmentations.mixed]
kind = "cluster"
inputs = ["rfm@1", "habits@1"]
algorithm = "gaussian_mixture"
k = 4

[segmentations.worth]
kind = "supervised"
inputs = ["rfm@1", "cadence@1", "habits@1"]
labels = "sql/labels/worth.sql"
algorithm = "logistic_regression"
projection = "lda"
"""

LABELS = """
select user_id, if(spend > 300, 'High', if(spend > 100, 'Middle', 'Low')) as segment_name
from features.rfm
where hash(user_id) % 4 = 0
"""


class Scored(Shop):
    """A refreshed shop whose clusters, and what is learned from labels, are made from features alone."""

    @property
    def published_file(self) -> Path:
        (file,) = (self.directory / "published").glob("*.duckdb")
        return file

    @property
    def fitted(self) -> list[str]:
        """The segmentations that can be written as SQL."""
        rows = self.published("select segmentation from segments.segmentation where kind <> 'rules' order by 1")
        return [name for (name,) in rows]


def on_features_alone(settings: str) -> str:
    """Take out of what `init` wrote all that has no SQL: with forecasts it has the habits of users behind `#`."""
    habits = re.search(r"^# (inputs = .*cadence.*)$", settings, re.MULTILINE)
    if habits and re.search(r'^inputs = \["forecast', settings, re.MULTILINE):
        settings = re.sub(r'^inputs = \["forecast.*$', habits[1], settings, flags=re.MULTILINE)
        settings = re.sub(r"^weights = .*\n", "", settings, flags=re.MULTILINE)
    settings, count = re.subn(r'^(inputs = .*), "encoder:behavior@3"', r"\1", settings, flags=re.MULTILINE)
    assert count == 1
    return settings


@pytest.fixture(scope="session", params=["simulated", *DATA_SETS])
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    name = request.param
    place = tmp_path_factory.mktemp(name)
    shop = Scored(place / "shop")
    if name == "simulated":
        shop.write("sqlseg.toml", SIMULATED)
        write_synthetic_events(shop.directory / "events.parquet", users=3000, events=60_000, seed=5)
        shop.write("sql/features/habits__v1.sql", HABITS)
        shop.write("sql/labels/worth.sql", LABELS)
        shop.write("sql/events.sql", "select * exclude (true_group) from read_parquet('events.parquet')")
    else:
        folder = os.environ.get("SQLSEG_DATA")
        if not folder:
            pytest.skip("the real data are elsewhere: SQLSEG_DATA is not set")
        made = call_sqlseg("init", str(shop.directory), "--events", str(Path(folder) / f"{name}.parquet"))
        assert made.code == 0, made.err
        settings = shop.directory / "sqlseg.toml"
        settings.write_text(on_features_alone(settings.read_text(encoding="utf-8")), encoding="utf-8")
    done = shop.sqlseg("refresh")
    assert done.code == 0, done.err
    return shop
