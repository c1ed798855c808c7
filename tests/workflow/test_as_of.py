"""as_of: the first midnight of the shop after its newest event, and never backwards."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.workflow.as_of import BadAsOf, first_midnight_after, local, parse_as_of, resolve_as_of

ZONES = ["UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]


@pytest.mark.parametrize(
    ("newest", "timezone", "midnight"),
    [
        (datetime(2024, 5, 1, 10), "UTC", datetime(2024, 5, 2)),
        (datetime(2024, 5, 1), "UTC", datetime(2024, 5, 2)),  # an event at midnight belongs to the day that begins
        (datetime(2024, 5, 1, 23, 59, 59, 999999), "UTC", datetime(2024, 5, 2)),
        (datetime(2024, 5, 1, 3, 59), "America/New_York", datetime(2024, 5, 1, 4)),  # still 30 April there
        (datetime(2024, 5, 1, 4, 0), "America/New_York", datetime(2024, 5, 2, 4)),
        (datetime(2024, 3, 31, 0, 30), "Europe/London", datetime(2024, 3, 31, 23)),  # a day of 23 hours
        (datetime(2024, 10, 27, 0, 30), "Europe/London", datetime(2024, 10, 28)),  # a day of 25 hours
        (datetime(2024, 10, 26, 23, 30), "Europe/London", datetime(2024, 10, 28)),
        (datetime(2024, 5, 1, 18, 29), "Asia/Kolkata", datetime(2024, 5, 1, 18, 30)),
    ],
)
def test_the_first_midnight_after_the_newest_event(newest, timezone, midnight):
    assert first_midnight_after(newest, timezone) == midnight


def test_where_a_day_begins_at_one_the_wall_shows_one():
    # Summer time begins at midnight in Cairo: 26 April 2024 has no 00:00.
    found = first_midnight_after(datetime(2024, 4, 25, 12), "Africa/Cairo")
    assert local(found, "Africa/Cairo").date() == datetime(2024, 4, 26).date()
    assert datetime(2024, 4, 25, 21) <= found <= datetime(2024, 4, 25, 22)


@given(
    newest=st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)),
    timezone=st.sampled_from(ZONES),
)
def test_every_event_is_before_it_and_on_the_day_that_it_ends(newest, timezone):
    as_of = first_midnight_after(newest, timezone)
    assert newest < as_of
    ends, begins = local(newest, timezone), local(as_of, timezone)
    assert begins.date() > ends.date()
    assert (begins.hour, begins.minute) == (0, 0) or timezone in ("Pacific/Apia", "Australia/Lord_Howe")


@pytest.mark.parametrize(
    ("text", "timezone", "instant"),
    [
        ("2024-07-10", "Europe/London", datetime(2024, 7, 9, 23)),
        ("2024-07-10T18:00:00", "Europe/London", datetime(2024, 7, 10, 17)),
        ("2024-07-10T18:00:00Z", "Europe/London", datetime(2024, 7, 10, 18)),
        ("2024-07-10T18:00:00+05:30", "UTC", datetime(2024, 7, 10, 12, 30)),
        ("20240710", "UTC", datetime(2024, 7, 10)),
    ],
)
def test_what_is_asked_for_is_in_the_zone_of_the_project_unless_it_has_its_own(text, timezone, instant):
    assert parse_as_of(text, timezone) == instant


@pytest.mark.parametrize("text", ["", "tomorrow", "2024-13-01", "10.07.2024", "2024-07-10 25:00", "1720569600"])
def test_what_is_no_date_is_refused(text):
    with pytest.raises(BadAsOf) as error:
        parse_as_of(text, "UTC")
    assert repr(text) in error.value.message
    assert "2024-05-31" in str(error.value.hint)


@pytest.mark.parametrize(
    ("text", "timezone"), [("0001-01-01", "Asia/Kolkata"), ("9999-12-31T23:59", "America/New_York")]
)
def test_a_date_that_falls_off_the_calendar_is_refused_too(text, timezone):
    with pytest.raises(BadAsOf):
        parse_as_of(text, timezone)


NOW = datetime(2024, 6, 1, 15)


def test_it_never_goes_backwards():
    newest, last = datetime(2024, 5, 1, 10), datetime(2024, 5, 9)
    assert resolve_as_of(None, newest, "UTC", None, NOW) == datetime(2024, 5, 2)
    assert resolve_as_of(None, newest, "UTC", datetime(2024, 5, 1), NOW) == datetime(2024, 5, 2)
    assert resolve_as_of(None, newest, "UTC", last, NOW) == last  # the newest events were taken back
    assert resolve_as_of(last, newest, "UTC", last, NOW) == last
    assert resolve_as_of(datetime(2024, 6, 1), newest, "UTC", last, NOW) == datetime(2024, 6, 1)
    with pytest.raises(BadAsOf, match="before the last refresh's 2024-05-09"):
        resolve_as_of(datetime(2024, 5, 8, 23, 59), newest, "UTC", last, NOW)


def test_it_never_runs_ahead_of_what_can_be_known():
    newest = datetime(2024, 5, 1, 10)
    assert resolve_as_of(datetime(2024, 6, 2), newest, "UTC", None, NOW) == datetime(2024, 6, 2)
    with pytest.raises(BadAsOf, match="future of the data"):
        resolve_as_of(datetime(2024, 6, 2, 0, 1), newest, "UTC", None, NOW)


def test_an_event_on_the_last_day_of_the_calendar_has_no_midnight_after_it():
    with pytest.raises(BadAsOf, match="last day of the calendar"):
        first_midnight_after(datetime(9999, 12, 31, 12), "UTC")
