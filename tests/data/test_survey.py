"""What a market lacks is said, not filled."""

import pandas as pd
import pytest

from bt_margin import check_market, sample_market
from bt_margin.data import Market, SymbolData, as_candles, as_funding, constant_funding


def candles(
    start: str, count: int, freq: str = "1h", drop: tuple[int, ...] = ()
) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 1.0},
        index=pd.date_range(start, periods=count, freq=freq),
    )
    return as_candles(frame.drop(frame.index[list(drop)]), where="X")


def stamps(*times: str) -> pd.DataFrame:
    frame = pd.DataFrame({"funding_rate": 0.0001}, index=pd.DatetimeIndex(times))
    return as_funding(frame, where="X")


def notes(
    trade: pd.DataFrame, mark: pd.DataFrame | None, funding: pd.DataFrame | None
) -> list[str]:
    return check_market(Market("m", [SymbolData("X", trade, mark, funding)]))


DAY = candles("2024-01-01", 24)
EVERY_8H = stamps("2024-01-01 00:00", "2024-01-01 08:00", "2024-01-01 16:00")


def test_a_whole_market_has_nothing_to_say() -> None:
    assert notes(DAY, DAY, EVERY_8H) == []
    assert check_market(sample_market()) == []


@pytest.mark.parametrize(
    ("trade", "mark", "funding", "expected"),
    [
        pytest.param(
            candles("2024-01-01", 24, drop=(3, 4)),
            DAY,
            EVERY_8H,
            "X: 2 candles are missing in 1 gaps, the first after 2024-01-01 02:00 UTC",
            id="two candles missing",
        ),
        pytest.param(DAY, None, EVERY_8H, "X: no mark candles", id="no mark"),
        pytest.param(
            DAY,
            candles("2024-01-01", 3, "8h"),
            EVERY_8H,
            "mark candles of 8h are coarser than bars of 1h",
            id="coarse mark",
        ),
        pytest.param(
            DAY,
            candles("2024-01-01 06:00", 18),
            EVERY_8H,
            "mark begins at 2024-01-01 06:00 UTC",
            id="mark begins late",
        ),
        pytest.param(
            DAY,
            candles("2024-01-01", 12),
            EVERY_8H,
            "mark ends at 2024-01-01 12:00 UTC",
            id="mark ends early",
        ),
        pytest.param(
            DAY, DAY, None, "no funding stamps; none is paid", id="no funding"
        ),
        pytest.param(
            candles("2024-01-01", 72),
            candles("2024-01-01", 72),
            constant_funding(
                pd.Timestamp("2024-01-01", tz="UTC"),
                pd.Timestamp("2024-01-04", tz="UTC"),
                0.0001,
            ).drop(pd.Timestamp("2024-01-02 08:00", tz="UTC")),
            "no funding from 2024-01-02 00:00 UTC to 2024-01-02 16:00 UTC",
            id="one stamp missing",
        ),
    ],
)
def test_what_is_missing_is_said(
    trade: pd.DataFrame,
    mark: pd.DataFrame | None,
    funding: pd.DataFrame | None,
    expected: str,
) -> None:
    (note,) = notes(trade, mark, funding)
    assert expected in note


def test_an_interval_that_changes_is_no_gap() -> None:
    times = ("00:00", "08:00", "16:00", "20:00", "21:00", "22:00", "23:00")
    assert notes(DAY, DAY, stamps(*(f"2024-01-01 {time}" for time in times))) == []


def test_constant_funding_counts_from_midnight() -> None:
    frame = constant_funding(
        pd.Timestamp("2024-01-01 03:00", tz="UTC"),
        pd.Timestamp("2024-01-02 00:00", tz="UTC"),
        0.0002,
    )
    assert [f"{time:%H:%M}" for time in frame.index] == ["08:00", "16:00"]
    assert frame["funding_rate"].tolist() == [0.0002, 0.0002]
