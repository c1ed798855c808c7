"""Public holidays of the shop's country, as a small table that views may read."""

from datetime import date

import holidays
import pyarrow as pa

from sqlseg.engine.duckdb import Engine


def public_holidays(country: str, first: date, last: date) -> pa.Table:
    """Return the public holidays of a country (ISO 3166 code) in the years of both days: `date`, `name`.

    >>> public_holidays("GB", date(2011, 12, 25), date(2011, 12, 25)).num_rows > 5
    True
    """
    calendar = holidays.country_holidays(country, years=range(first.year, last.year + 1))
    days = sorted(calendar.items())
    return pa.table(
        {"date": pa.array([day for day, _ in days], pa.date32()), "name": pa.array([n for _, n in days], pa.string())}
    )


def keep_holidays(engine: Engine, country: str | None) -> None:
    """Replace `sqlseg.holidays` for the years of the events in use; empty where no country is set."""
    engine.execute('create or replace table sqlseg.holidays ("date" date, name varchar)')
    if country is None:
        return
    row = engine.row("select min(local_time)::date, max(local_time)::date from sqlseg.events")
    assert row is not None
    with engine.registered("public_holidays", public_holidays(country, *row)):
        engine.execute('insert into sqlseg.holidays select "date", name from public_holidays')
