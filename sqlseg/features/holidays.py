"""Makes the table of public holidays that views may read."""

import difflib
from collections.abc import Iterable
from datetime import date

import pyarrow as pa

from sqlseg.errors import SqlsegError

HOLIDAY_SCHEMA = pa.schema([("date", pa.date32()), ("name", pa.string())])


class UnknownCountry(SqlsegError):
    """The project names a country without known public holidays."""

    def __init__(self, country: str, known: Iterable[str]) -> None:
        codes = sorted(known)
        close = difflib.get_close_matches(country.upper(), codes, n=5, cutoff=0.3)
        super().__init__(
            f"No public holidays are known for country {country!r}.",
            hint=f"Use a two-letter code such as {', '.join(close or ['GB', 'DE', 'US'])}, "
            "with a subdivision where they differ (GB-SCT, DE-BY), or leave the country out.",
        )


def holiday_table(country: str | None, years: Iterable[int]) -> pa.Table:
    """Return (date, name) of the public holidays of a country, `GB`, or of a part of it, `GB-SCT`; none without one.

    >>> holiday_table("DE", [2024]).slice(0, 1).to_pylist()
    [{'date': datetime.date(2024, 1, 1), 'name': "New Year's Day"}]
    """
    found: dict[date, str] = {}
    if country is not None:
        import holidays  # a tenth of a second, for projects that have a country
        from holidays.registry import EntityLoader

        code, _, part = country.upper().partition("-")
        codes = frozenset(EntityLoader.get_country_codes())
        if code not in codes:
            raise UnknownCountry(country, codes)
        known = getattr(holidays, code)
        if part and part not in known.subdivisions:
            raise UnknownCountry(country, [code, *(f"{code}-{subdivision}" for subdivision in known.subdivisions)])
        # Without a language the names would follow the machine's.
        language = "en_US" if "en_US" in known.supported_languages else None
        days = holidays.country_holidays(code, subdiv=part or None, years=sorted(years), language=language)
        found = {day: str(name) for day, name in days.items()}
    ordered = sorted(found)
    return pa.table({"date": ordered, "name": [found[day] for day in ordered]}, schema=HOLIDAY_SCHEMA)
