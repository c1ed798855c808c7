"""The years of events are those that looking at every one of them finds."""

from datetime import datetime

import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.events.years import years_of_events


@pytest.mark.parametrize(
    "years", [[], [2024], [2023, 2024], [2019, 2021, 2024], [1, 2024], [1975, 2024], [1974, 1999, 2024], [9998, 9999]]
)
def test_years_are_those_with_an_event(years):
    with Engine.open(None) as engine:
        engine.execute("create schema sqlseg; create table sqlseg.events (local_time timestamp)")
        for year in years:
            for moment in (datetime(year, 1, 1), datetime(year, 12, 31, 23, 59, 59, 999_999)):
                engine.execute("insert into sqlseg.events values ($moment)", {"moment": moment})
        assert years_of_events(engine) == years
