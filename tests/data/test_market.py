"""The market in memory: a mapping that can be narrowed and never changes."""

import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from bt_margin.core.errors import DataError, ParameterError, UnknownNameError
from bt_margin.data import Market, SymbolData


def prices(start: str, periods: int, freq: str, *, mark: bool = False) -> pd.DataFrame:
    times = pd.date_range(start, periods=periods, freq=freq, tz="UTC", name="datetime")
    names = ["open", "high", "low", "close", *([] if mark else ["volume"])]
    return pd.DataFrame(100.0, index=times, columns=names)


def rates(start: str, periods: int, freq: str) -> pd.DataFrame:
    times = pd.date_range(start, periods=periods, freq=freq, tz="UTC", name="datetime")
    columns = {"funding_rate": 0.0001, "mark_price": 100.0}
    return pd.DataFrame(columns, index=times)


@pytest.fixture
def market() -> Market:
    """BTC has one day of hours, 8h mark and 8h funding; ETH the second half day."""
    btc = SymbolData(
        "BTCUSDT",
        prices("2024-01-31", 24, "h"),
        prices("2024-01-31", 3, "8h", mark=True),
        rates("2024-01-31", 3, "8h"),
    )
    eth = SymbolData("ETHUSDT", prices("2024-01-31 12:00", 12, "h"))
    return Market("two", [btc, eth])


def hours(frame: pd.DataFrame | None) -> list[int]:
    assert frame is not None
    return [time.hour for time in pd.DatetimeIndex(frame.index)]


def test_a_market_is_a_mapping_of_its_symbols(market: Market) -> None:
    assert isinstance(market, Mapping)
    assert market.name == "two"
    assert market.symbols == tuple(market) == ("BTCUSDT", "ETHUSDT")
    assert len(market) == 2
    assert market["ETHUSDT"].symbol == "ETHUSDT"
    assert "ETHUSDT" in market
    assert "DOGEUSDT" not in market
    assert market.get("DOGEUSDT") is None


def test_an_unknown_symbol_is_told_with_the_known_ones(market: Market) -> None:
    with pytest.raises(UnknownNameError) as caught:
        market["DOGEUSDT"]
    assert str(caught.value) == (
        "unknown symbol 'DOGEUSDT': choose one of BTCUSDT, ETHUSDT"
    )


def test_a_market_cannot_be_changed(market: Market) -> None:
    with pytest.raises(AttributeError):
        market.name = "three"  # type: ignore[misc]
    with pytest.raises(TypeError):
        market["X"] = market["BTCUSDT"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        market["BTCUSDT"].symbol = "X"  # type: ignore[misc]


def test_a_market_travels_to_another_process(market: Market) -> None:
    copy = pickle.loads(pickle.dumps(market))
    assert copy.symbols == market.symbols
    pd.testing.assert_frame_equal(copy["BTCUSDT"].trade, market["BTCUSDT"].trade)


@pytest.mark.parametrize("count", [0, 2], ids=["no symbol", "one symbol twice"])
def test_a_market_has_each_symbol_once(market: Market, count: int) -> None:
    with pytest.raises(ParameterError, match="give at least one symbol, and each"):
        Market("bad", [market["BTCUSDT"]] * count)


def test_select_keeps_the_order_asked_for(market: Market) -> None:
    assert market.select("ETHUSDT", "BTCUSDT").symbols == ("ETHUSDT", "BTCUSDT")
    assert market.select("ETHUSDT")["ETHUSDT"] is market["ETHUSDT"]


def test_select_of_an_unknown_symbol_is_refused(market: Market) -> None:
    with pytest.raises(UnknownNameError, match="DOGEUSDT"):
        market.select("BTCUSDT", "DOGEUSDT")


def test_interval_is_the_smallest_spacing_of_the_trade_candles() -> None:
    gapped = prices("2024-01-31", 10, "5min").iloc[[0, 1, 5, 9]]
    assert SymbolData("BTCUSDT", gapped).interval == pd.Timedelta(minutes=5)


def test_one_candle_has_no_interval() -> None:
    with pytest.raises(DataError, match="BTCUSDT trade: an interval needs two candles"):
        _ = SymbolData("BTCUSDT", prices("2024-01-31", 1, "h")).interval


def test_between_includes_the_start_and_excludes_the_end(market: Market) -> None:
    cut = market.between("2024-01-31T14:00Z", "2024-01-31T16:00Z")
    assert hours(cut["BTCUSDT"].trade) == [14, 15]
    assert hours(cut["ETHUSDT"].trade) == [14, 15]
    assert cut.name == market.name
    assert hours(market["BTCUSDT"].trade) == list(range(24))


def test_between_without_bounds_keeps_everything(market: Market) -> None:
    whole = market.between()
    for symbol, data in market.items():
        pd.testing.assert_frame_equal(whole[symbol].trade, data.trade)
    assert hours(whole["BTCUSDT"].mark) == [0, 8, 16]


def test_between_keeps_the_mark_candle_that_holds_the_start(market: Market) -> None:
    btc = market.between("2024-01-31T14:00Z", "2024-01-31T17:00Z")["BTCUSDT"]
    assert hours(btc.mark) == [8, 16]
    assert hours(btc.funding) == [16]


def test_between_drops_the_mark_candle_that_ends_at_the_start(market: Market) -> None:
    btc = market.between(start="2024-01-31T16:00Z")["BTCUSDT"]
    assert hours(btc.mark) == [16]
    assert hours(btc.funding) == [16]


def test_between_drops_a_mark_candle_that_a_gap_parts_from_the_start() -> None:
    mark = prices("2024-01-31", 24, "h", mark=True).iloc[[0, 1, 20]]
    data = SymbolData("BTCUSDT", prices("2024-01-31", 24, "h"), mark)
    cut = Market("gap", [data]).between("2024-01-31T05:00Z")
    assert hours(cut["BTCUSDT"].mark) == [20]


def test_between_twice_keeps_the_lone_mark_candle(market: Market) -> None:
    once = market.between("2024-01-31T12:00Z", "2024-01-31T15:00Z")
    twice = once.between("2024-01-31T13:00Z")
    assert hours(twice["BTCUSDT"].mark) == [8]


def test_between_with_nothing_left_of_mark_or_funding_has_none(market: Market) -> None:
    btc = market.between("2024-01-31T12:00Z", "2024-01-31T15:00Z")["BTCUSDT"]
    assert btc.funding is None
    early = prices("2024-01-30", 2, "h", mark=True)
    data = SymbolData("BTCUSDT", market["BTCUSDT"].trade, early)
    assert Market("early", [data]).between("2024-01-31")["BTCUSDT"].mark is None


STARTS = {
    "a naive string is UTC": "2024-01-31 20:00",
    "a string with an offset": "2024-01-31T22:00:00+02:00",
    "a naive datetime is UTC": datetime(2024, 1, 31, 20),
    "a datetime with a zone": datetime(
        2024, 1, 31, 22, tzinfo=timezone(timedelta(hours=2))
    ),
    "a datetime in UTC": datetime(2024, 1, 31, 20, tzinfo=UTC),
    "a naive Timestamp is UTC": pd.Timestamp("2024-01-31 20:00"),
    "a Timestamp with a zone": pd.Timestamp("2024-01-31 21:00", tz="Europe/Berlin"),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
def test_between_takes_times_of_any_kind(
    market: Market, start: str | datetime | pd.Timestamp
) -> None:
    assert hours(market.between(start)["BTCUSDT"].trade) == [20, 21, 22, 23]


BTC_SPAN = (
    "BTCUSDT has candles from 2024-01-31 00:00:00+00:00 to 2024-01-31 23:00:00+00:00"
)
ETH_SPAN = (
    "ETHUSDT has candles from 2024-01-31 12:00:00+00:00 to 2024-01-31 23:00:00+00:00"
)
BAD_SPANS: dict[str, tuple[str | None, str | None, list[str]]] = {
    "the start is after the end": (
        "2024-01-31T14:00Z",
        "2024-01-31T13:00Z",
        [
            "start is '2024-01-31T14:00Z'",
            "before the end '2024-01-31T13:00Z'",
            BTC_SPAN,
        ],
    ),
    "the start is the end": (
        "2024-01-31",
        "2024-01-31",
        ["start is '2024-01-31'", "give a start before the end", ETH_SPAN],
    ),
    "the start is after the data": (
        "2025-01-01",
        None,
        [
            "start is '2025-01-01'",
            "give a span that holds a candle",
            BTC_SPAN,
            ETH_SPAN,
        ],
    ),
    "the end is before the data": (
        None,
        "2023-01-01",
        ["end is '2023-01-01'", "give a span that holds a candle", BTC_SPAN],
    ),
    "the span lies between two candles": (
        "2024-01-31T14:10Z",
        "2024-01-31T14:20Z",
        ["start is '2024-01-31T14:10Z'", "give a span that holds a candle"],
    ),
    "one symbol has no candle in the span": (
        None,
        "2024-01-31T12:00Z",
        ["end is '2024-01-31T12:00Z'", "or leave some out", ETH_SPAN],
    ),
    "the start is no time": (
        "soon",
        None,
        ["start is 'soon'", "give a time such as 2024-01-31"],
    ),
}


@pytest.mark.parametrize(
    ("start", "end", "parts"), BAD_SPANS.values(), ids=BAD_SPANS.keys()
)
def test_a_bad_span_is_refused(
    market: Market, start: str | None, end: str | None, parts: list[str]
) -> None:
    with pytest.raises(ParameterError) as caught:
        market.between(start, end)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "start",
    ["", pd.NaT, 1706659200000],
    ids=["an empty string", "not a time", "a number, whose unit nobody knows"],
)
def test_what_is_no_time_is_refused(market: Market, start: Any) -> None:
    with pytest.raises(ParameterError, match="give a time such as 2024-01-31"):
        market.between(start)


def test_only_the_symbols_without_candles_are_blamed(market: Market) -> None:
    with pytest.raises(ParameterError) as caught:
        market.between(end="2024-01-31T12:00Z")
    assert "BTCUSDT" not in str(caught.value)
