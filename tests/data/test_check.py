"""Frames handed in by a user: what is accepted, and what the errors say."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bt_margin.core.errors import DataError
from bt_margin.data import as_candles, as_funding, check_candles, check_funding

MIDNIGHT = "2024-01-31 00:00:00+00:00"
TIMES = pd.date_range("2024-01-31", periods=3, freq="h", tz="UTC", name="datetime")


def candles(**changes: object) -> pd.DataFrame:
    """Three good candles, with columns changed; None drops a column."""
    columns: dict[str, Any] = {
        "datetime": TIMES,
        "open": [100.0, 101.0, 102.0],
        "high": [103.0, 103.0, 103.0],
        "low": [99.0, 99.0, 99.0],
        "close": [101.0, 102.0, 101.0],
        "volume": [5.0, 0.0, 7.0],
        **changes,
    }
    return pd.DataFrame({k: v for k, v in columns.items() if v is not None})


def funding(**changes: object) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "datetime": TIMES,
        "funding_rate": [0.0001, -0.0002, 0.0],
        "mark_price": [100.0, np.nan, 102.0],
        **changes,
    }
    return pd.DataFrame({k: v for k, v in columns.items() if v is not None})


GOOD_TIMES = {
    "datetimes in UTC": TIMES,
    "datetimes in another zone": TIMES.tz_convert("Asia/Tokyo"),
    "datetimes without a zone are UTC": TIMES.tz_localize(None),
    "datetimes of Python": [
        datetime(2024, 1, 31, hour, tzinfo=UTC) for hour in (0, 1, 2)
    ],
    "ISO strings with Z": [f"2024-01-31T0{hour}:00:00Z" for hour in (0, 1, 2)],
    "ISO strings with a space and no zone": [f"2024-01-31 0{h}:00" for h in (0, 1, 2)],
    "ISO strings with an offset": [f"2024-01-31T0{h}:00:00+03:00" for h in (3, 4, 5)],
    "ISO strings with and without a fraction of a second": [
        "2024-01-31T00:00:00.000Z",
        "2024-01-31T01:00:00Z",
        "2024-01-31T02:00:00.000000Z",
    ],
    "epoch milliseconds": [1706659200000, 1706662800000, 1706666400000],
    "epoch milliseconds as strings": [
        "1706659200000",
        "1706662800000",
        "1706666400000",
    ],
}


@pytest.mark.parametrize("times", GOOD_TIMES.values(), ids=GOOD_TIMES.keys())
def test_times_become_utc(times: Any) -> None:
    frame = as_candles(candles(datetime=times), where="BTCUSDT trade")
    assert frame.index.name == "datetime"
    assert frame.index.dtype == TIMES.as_unit("us").dtype
    assert list(frame.index) == list(TIMES)


def test_times_may_be_the_index() -> None:
    indexed = candles().set_index("datetime").rename_axis("Date")
    frame = as_candles(indexed, where="BTCUSDT trade")
    assert frame.index.equals(TIMES)
    assert frame.index.name == "datetime"


def test_columns_are_found_in_any_case_and_order_and_others_are_left() -> None:
    given = candles(trades=[1, 2, 3]).iloc[:, ::-1].rename(columns=str.title)
    frame = as_candles(given, where="BTCUSDT trade")
    assert list(frame) == ["open", "high", "low", "close", "volume"]


def test_whole_numbers_and_strings_of_numbers_become_floats() -> None:
    given = candles(open=["100", "101", "102"], volume=[1, 0, 2])
    frame = as_candles(given, where="BTCUSDT trade")
    assert set(frame.dtypes) == {np.dtype("float64")}
    assert frame["open"].tolist() == [100.0, 101.0, 102.0]


def test_the_given_frame_stays_as_it_was() -> None:
    given = candles()
    before = given.copy(deep=True)
    frame = as_candles(given.set_index("datetime"), where="BTCUSDT trade")
    frame.loc[:, "open"] = 1.0
    pd.testing.assert_frame_equal(given, before)


def test_mark_candles_need_no_volume() -> None:
    frame = as_candles(candles(volume=None), where="BTCUSDT mark", mark=True)
    assert list(frame) == ["open", "high", "low", "close"]


def test_a_checked_frame_passes_the_check_again() -> None:
    trade = as_candles(candles(), where="BTCUSDT trade")
    pd.testing.assert_frame_equal(as_candles(trade, where="BTCUSDT trade"), trade)


PRICE_FIX = "write a price above zero"
BAD_CANDLES: dict[str, tuple[dict[str, object], int | None, str, str]] = {
    "a price is missing": (
        {"open": [100, np.nan, 102]},
        1,
        "open is missing (NaN)",
        PRICE_FIX,
    ),
    "a price is zero": ({"low": [99, 99, 0.0]}, 2, "low is 0.0", PRICE_FIX),
    "a price is negative": ({"low": [-99.5, 99, 99]}, 0, "low is -99.5", PRICE_FIX),
    "a price is infinite": ({"high": [103, np.inf, 103]}, 1, "high is inf", PRICE_FIX),
    "a price is a word": (
        {"close": ["101", "abc", "101"]},
        1,
        "close is 'abc'",
        "write a plain number",
    ),
    "high is below low": (
        {"high": [103, 98.5, 103]},
        1,
        "high is 98.5 and low is 99.0",
        "high must not be below low",
    ),
    "open is above high": (
        {"open": [100, 101, 103.5]},
        2,
        "open is 103.5 and low is 99.0 and high is 103.0",
        "open must lie from low to high",
    ),
    "close is below low": (
        {"close": [98.9, 102, 101]},
        0,
        "close is 98.9 and low is 99.0",
        "close must lie from low to high",
    ),
    "volume is missing": (
        {"volume": [5, 0, np.nan]},
        2,
        "volume is missing (NaN)",
        "write the volume, 0 where nothing was traded",
    ),
    "volume is negative": ({"volume": [5, -2.5, 0]}, 1, "volume is -2.5", "0 where"),
    "the first of two bad rows is named": (
        {"open": [100, 101, np.nan], "volume": [5, -1.0, 0]},
        1,
        "volume is -1.0",
        "write the volume",
    ),
    "a time is there twice": (
        {"datetime": TIMES[[0, 0, 2]]},
        1,
        f"datetime {MIDNIGHT} is there twice",
        "delete one of the two rows",
    ),
    "a time comes after a later one": (
        {"datetime": TIMES[[1, 2, 0]]},
        2,
        f"datetime {MIDNIGHT} comes after a later time",
        "sort rows by datetime",
    ),
    "a time is missing": (
        {"datetime": [TIMES[0], pd.NaT, TIMES[2]]},
        1,
        "datetime is empty",
        "write UTC times such as",
    ),
    "a time is a word": (
        {"datetime": ["2024-01-31", "2024-02-01", "soon"]},
        2,
        "datetime is 'soon'",
        "write UTC times such as",
    ),
    "one epoch is a word": (
        {"datetime": ["1706659200000", "abc", "1706666400000"]},
        1,
        "datetime is 'abc'",
        "epoch milliseconds",
    ),
    "times are epoch seconds": (
        {"datetime": [1706659200, 1706662800, 1706666400]},
        0,
        "datetime is '1706659200'",
        "epoch milliseconds",
    ),
    "times are epoch microseconds": (
        {"datetime": [1706659200000000, 1706662800000000, 1706666400000000]},
        0,
        "datetime is '1706659200000000'",
        "epoch milliseconds",
    ),
    "a column is missing": (
        {"high": None},
        None,
        "no column 'high' among datetime, open, low, close, volume",
        "name the columns datetime, open, high, low, close, volume",
    ),
    "there are no times": (
        {"datetime": None},
        None,
        "no column 'datetime'",
        "name the columns datetime, open",
    ),
    "a column is there twice": (
        {"Open": [1, 2, 3]},
        None,
        "two columns 'open'",
        "name the columns",
    ),
}


@pytest.mark.parametrize(
    ("changes", "row", "seen", "fix"), BAD_CANDLES.values(), ids=BAD_CANDLES.keys()
)
def test_bad_candles_are_refused(
    changes: dict[str, object], row: int | None, seen: str, fix: str
) -> None:
    with pytest.raises(DataError) as caught:
        check_candles(candles(**changes), where="BTCUSDT trade")
    place = "BTCUSDT trade: " if row is None else f"BTCUSDT trade, row {row}: "
    assert str(caught.value).startswith(place)
    assert seen in str(caught.value)
    assert fix in str(caught.value)


def test_candles_without_rows_are_refused() -> None:
    with pytest.raises(DataError, match="there are no rows; give at least one row"):
        check_candles(candles().iloc[:0], where="BTCUSDT trade")


def test_rows_count_from_the_first_row_given() -> None:
    bad = candles(low=[99, 99, -1.0])
    with pytest.raises(DataError, match=r"row 4: low is -1\.0"):
        check_candles(bad, where="BTCUSDT trade", first_row=2)


def test_funding_without_mark_prices_has_unknown_ones() -> None:
    frame = as_funding(funding(mark_price=None), where="BTCUSDT funding")
    assert list(frame) == ["funding_rate", "mark_price"]
    assert frame["mark_price"].isna().all()


BAD_FUNDING: dict[str, tuple[dict[str, object], int | None, str, str]] = {
    "a rate is missing": (
        {"funding_rate": [0.0001, np.nan, 0]},
        1,
        "funding_rate is missing (NaN)",
        "write the rate of that settlement",
    ),
    "a rate is infinite": (
        {"funding_rate": [0.0001, 0, -np.inf]},
        2,
        "funding_rate is -inf",
        "write the rate of that settlement",
    ),
    "a rate is a percentage": (
        {"funding_rate": [1.0, 0.01, 0.01]},
        0,
        "funding_rate is 1.0",
        "a fraction, not percent: write 0.0001 for 0.01%",
    ),
    "a mark price is zero": (
        {"mark_price": [100, np.nan, 0.0]},
        2,
        "mark_price is 0.0",
        "leave it empty where it is not known",
    ),
    "a settlement is there twice": (
        {"datetime": TIMES[[0, 1, 1]]},
        2,
        "datetime 2024-01-31 01:00:00+00:00 is there twice",
        "delete one of the two rows",
    ),
    "there are no rates": (
        {"funding_rate": None},
        None,
        "no column 'funding_rate'",
        "name the columns datetime, funding_rate",
    ),
}


@pytest.mark.parametrize(
    ("changes", "row", "seen", "fix"), BAD_FUNDING.values(), ids=BAD_FUNDING.keys()
)
def test_bad_funding_is_refused(
    changes: dict[str, object], row: int | None, seen: str, fix: str
) -> None:
    with pytest.raises(DataError) as caught:
        check_funding(funding(**changes), where="BTCUSDT funding")
    place = "BTCUSDT funding: " if row is None else f"BTCUSDT funding, row {row}: "
    assert str(caught.value).startswith(place)
    assert seen in str(caught.value)
    assert fix in str(caught.value)


SPANS_WITH_FUNDING = {
    "funding starts before the candles": ("2024-01-31T02:00Z", "2024-02-03T00:00Z"),
    "funding ends after the candles": ("2024-01-30T00:00Z", "2024-01-31T00:30Z"),
    "candles lie between two stamps": ("2024-01-31T00:10Z", "2024-01-31T00:20Z"),
}


@pytest.mark.parametrize(
    "span", SPANS_WITH_FUNDING.values(), ids=SPANS_WITH_FUNDING.keys()
)
def test_funding_partly_outside_the_candles_is_fine(span: tuple[str, str]) -> None:
    first, end = map(pd.Timestamp, span)
    check_funding(funding(), where="BTCUSDT funding", span=(first, end))


SPANS_WITHOUT_FUNDING = {
    "funding ends before the first candle": ("2024-01-31T02:01Z", "2024-02-03T00:00Z"),
    "funding starts as the last candle ends": (
        "2024-01-30T00:00Z",
        "2024-01-31T00:00Z",
    ),
}


@pytest.mark.parametrize(
    "span", SPANS_WITHOUT_FUNDING.values(), ids=SPANS_WITHOUT_FUNDING.keys()
)
def test_funding_outside_the_candles_is_refused(span: tuple[str, str]) -> None:
    first, end = map(pd.Timestamp, span)
    with pytest.raises(DataError) as caught:
        check_funding(funding(), where="BTCUSDT funding", span=(first, end))
    assert f"funding from {MIDNIGHT}" in str(caught.value)
    assert "is outside the data" in str(caught.value)
    assert "give the funding of that span" in str(caught.value)
