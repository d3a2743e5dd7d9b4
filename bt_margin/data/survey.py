"""What a market lacks: nothing is filled in, but it is said."""

from collections.abc import Iterator

import pandas as pd

from .market import Market, SymbolData

__all__ = ["check_market", "constant_funding"]

# A funding interval may change (8h to 4h to 1h); a stamp is missing only where the
# wait is longer than half as much again as both neighbouring intervals.
_LONGER = 1.5


def check_market(market: Market) -> list[str]:
    """What is missing or assumed in a market, a sentence for each.

    Gaps of the candles, stretches without mark or funding, and marks coarser than
    the bars. Bad rows are refused when the market is loaded.
    """
    return [note for data in market.values() for note in _notes(data)]


def constant_funding(
    start: pd.Timestamp, end: pd.Timestamp, funding_rate: float, interval: str = "8h"
) -> pd.DataFrame:
    """Stamps of one rate at every multiple of ``interval`` since midnight UTC.

    Args:
        start: first moment.
        end: last moment, exclusive.
        funding_rate: + longs pay, a fraction for each interval.
        interval: such as ``"8h"`` or ``"1h"``.
    """
    first = pd.Timestamp(start).ceil(interval)
    times = pd.date_range(first, end, freq=interval, inclusive="left", name="datetime")
    return pd.DataFrame(
        {"funding_rate": funding_rate, "mark_price": float("nan")}, index=times
    )


def _notes(data: SymbolData) -> Iterator[str]:
    yield from _candle_notes(data)
    yield from _mark_notes(data)
    yield from _funding_notes(data)


def _candle_notes(data: SymbolData) -> Iterator[str]:
    if len(data.trade) < 2:
        return
    steps = pd.Series(data.trade.index).diff().dropna()
    gaps = steps[steps > data.interval]
    if len(gaps):
        missing = round(sum(gap / data.interval - 1 for gap in gaps))
        where = data.trade.index[gaps.index[0] - 1]
        yield (
            f"{data.symbol}: {missing} candles are missing in {len(gaps)} gaps, the"
            f" first after {_when(where)}; the price jumps over them"
        )


def _mark_notes(data: SymbolData) -> Iterator[str]:
    first, last = data.trade.index[0], data.trade.index[-1]
    if data.mark is None:
        yield f"{data.symbol}: no mark candles; mark is the last price"
        return
    if len(data.mark) < 2 or len(data.trade) < 2:
        return
    length = pd.Series(data.mark.index).diff().min()
    if length > data.interval:
        yield (
            f"{data.symbol}: mark candles of {_length(length)} are coarser than bars of"
            f" {_length(data.interval)}; mark is the last price clamped into their"
            " range"
        )
    if data.mark.index[0] > first:
        start = _when(data.mark.index[0])
        yield f"{data.symbol}: mark begins at {start}; before it mark is the last price"
    if data.mark.index[-1] + length <= last:
        end = _when(data.mark.index[-1] + length)
        yield f"{data.symbol}: mark ends at {end}; after it mark is the last price"


def _funding_notes(data: SymbolData) -> Iterator[str]:
    first, last = data.trade.index[0], data.trade.index[-1]
    if data.funding is None:
        yield f"{data.symbol}: no funding stamps; none is paid"
        return
    if len(data.funding) < 3:
        return
    times = pd.Series(data.funding.index)
    steps = times.diff()
    usual = pd.concat([steps.shift(1), steps.shift(-1)], axis=1).max(axis=1)
    for index in steps.index[steps > usual * _LONGER]:
        yield (
            f"{data.symbol}: no funding from {_when(times[index - 1])} to"
            f" {_when(times[index])}; none is paid there"
        )
    if times.iloc[0] - first > steps.iloc[1]:
        yield f"{data.symbol}: funding begins at {_when(times.iloc[0])}"
    if last - times.iloc[-1] > steps.iloc[-1] * _LONGER:
        yield f"{data.symbol}: funding ends at {_when(times.iloc[-1])}"


def _when(time: pd.Timestamp) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _length(length: pd.Timedelta) -> str:
    minutes = length / pd.Timedelta(minutes=1)
    return f"{minutes / 60:g}h" if minutes >= 60 else f"{minutes:g}m"
