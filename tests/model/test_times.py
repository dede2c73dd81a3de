from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.model.times import parse, unreadable


def read(text: str, time_format: str | None = None, zone: str = "UTC") -> str | None:
    time = parse(pl.Series([text]), time_format, zone)[0]
    return None if time is None else time.isoformat()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-03-05T10:07:29.0421232Z", "2021-03-05T10:07:29.042123"),
        ("2021-03-05T10:07:29.5", "2021-03-05T10:07:29.500000"),
        ("2021-03-05 10:07", "2021-03-05T10:07:00"),
        ("2021-3-5", "2021-03-05T00:00:00"),
        ("2022-12-07 20:47:21 -0600", "2022-12-08T02:47:21"),
        ("2022-12-07T20:47:21+05:30", "2022-12-07T15:17:21"),
        ("2022-12-07 20:47:21 UTC", "2022-12-07T20:47:21"),
        ("2021-03-05T24:00:00Z", "2021-03-06T00:00:00"),
        ("2021/03/05 10:07:29", "2021-03-05T10:07:29"),
        ("20210305", "2021-03-05T00:00:00"),
        ("20210305T100729Z", "2021-03-05T10:07:29"),
        ("20210305100729", "2021-03-05T10:07:29"),
        ("5/14/2020 7:06:11 PM", "2020-05-14T19:06:11"),
        ("5/14/2020 12:06:11 AM", "2020-05-14T00:06:11"),
        ("5/14/2020 12:06:11 PM", "2020-05-14T12:06:11"),
        ("1/21/21 13:34", "2021-01-21T13:34:00"),
        ("9/29/2022\xa0", "2022-09-29T00:00:00"),
        ("1/1/99", "1999-01-01T00:00:00"),
        ("Tue, 05 Mar 2021 10:07:29 +0100", "2021-03-05T09:07:29"),
        ("05 Mar 2021 10:07:29 GMT", "2021-03-05T10:07:29"),
        ("05-Mar-2021", "2021-03-05T00:00:00"),
        ("March 5, 2021", "2021-03-05T00:00:00"),
        ("Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05"),
        ("1600000000", "2020-09-13T12:26:40"),
        ("1600000000.25", "2020-09-13T12:26:40"),
        ("1600000000123", "2020-09-13T12:26:40.123000"),
        ("1600000000123456", "2020-09-13T12:26:40.123456"),
        ("1600000000123456789", "2020-09-13T12:26:40.123456"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59"),
    ],
)
def test_shapes(text: str, expected: str) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2021-13-05",
        "2021-02-30",
        "2021-03-05T25:00:00",
        "13/14/2020",
        "5/14/2020 13:06:11 PM",
        "5/14/2020 0:06:11 AM",
        "0001-01-01T00:00:00",
        "1969-12-31",
        "99999-01-01",
        "yesterday",
        "12",
        "\x00",
        "9" * 400,
    ],
)
def test_unreadable_is_null_and_counted(text: str) -> None:
    column = pl.Series([text, "", None, "2021-03-05"])
    times = parse(column)
    assert times.to_list()[:3] == [None, None, None]
    assert unreadable(column, times) == 1


def test_an_explicit_format_and_zone() -> None:
    assert read("29.09.2022 13:00", "%d.%m.%Y %H:%M", "Europe/Rome") == "2022-09-29T11:00:00"
    assert read("29/09/2022", "%d/%m/%Y") == "2022-09-29T00:00:00"
    assert read("2020-01-01 00:00:00 +0100", "%Y-%m-%d %H:%M:%S %z", "Europe/Rome") == "2019-12-31T23:00:00"
    assert read("2022-09-29", "%d.%m.%Y") is None


def test_a_zone_in_the_text_beats_the_sources() -> None:
    assert read("2021-07-01 00:00:00", None, "Europe/Rome") == "2021-06-30T22:00:00"
    assert read("2021-07-01 00:00:00Z", None, "Europe/Rome") == "2021-07-01T00:00:00"


def test_a_column_may_mix_shapes_and_be_empty() -> None:
    mixed = parse(pl.Series(["9/29/2022", None, "1600000000", "x", "2021-03-05"]))
    assert [time is not None for time in mixed] == [True, False, True, False, True]
    assert parse(pl.Series([], dtype=pl.String)).dtype == pl.Datetime("us")


moments = st.datetimes(datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("9998-01-01"))
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, zones)
def test_iso_agrees_with_the_standard_library(moment: datetime, zone: timezone) -> None:
    aware = moment.replace(tzinfo=zone)
    assert parse(pl.Series([aware.isoformat()]))[0] == aware.astimezone(UTC).replace(tzinfo=None)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_null(text: str) -> None:
    assert len(parse(pl.Series([text]))) == 1
