"""Public holidays as a table."""

from datetime import date

import pytest

from sqlseg.features.holidays import HOLIDAY_SCHEMA, UnknownCountry, holiday_table


def test_days_are_in_order_and_named():
    table = holiday_table("gb", [2011, 2010])
    rows = table.to_pylist()
    assert table.schema == HOLIDAY_SCHEMA
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    assert {"date": date(2011, 12, 26), "name": "Boxing Day"} in rows


def test_a_part_of_a_country_has_its_own():
    assert date(2024, 11, 30) not in holiday_table("GB", [2024])["date"].to_pylist()
    assert len(holiday_table("GB-SCT", [2024])) != len(holiday_table("GB", [2024]))


def test_no_country_no_holidays():
    assert holiday_table(None, [2024]).num_rows == 0
    assert holiday_table("GB", []).num_rows == 0


@pytest.mark.parametrize(("country", "near"), [("UKK", "UA"), ("GB-XYZ", "GB-SCT"), ("", "GB")])
def test_an_unknown_country_is_refused(country, near):
    with pytest.raises(UnknownCountry, match="No public holidays are known"):
        holiday_table(country, [2024])
