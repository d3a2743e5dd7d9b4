"""A market: the candles and funding of a few symbols, in memory."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeAlias

import pandas as pd

from bt_margin.core.errors import DataError, ParameterError, UnknownNameError

__all__ = ["Market", "SymbolData"]

_Time: TypeAlias = str | datetime | pd.Timestamp


@dataclass(frozen=True, slots=True, eq=False)
class SymbolData:
    """What is known of one symbol. Treat the frames as read-only.

    Attributes:
        symbol: the name that orders and reports use.
        trade: candles of traded prices: open, high, low, close, volume, indexed by
            "datetime", the candle's open in UTC. `as_candles` makes such a frame.
        mark: candles of the mark price, without volume, or None. Their interval may
            differ from the one of the trade candles.
        funding: funding_rate (a fraction; positive: longs pay) and mark_price (NaN
            where unknown), indexed by settlement time in UTC, or None.
    """

    symbol: str
    trade: pd.DataFrame
    mark: pd.DataFrame | None = None
    funding: pd.DataFrame | None = None

    @property
    def interval(self) -> pd.Timedelta:
        """The smallest spacing of the trade candles."""
        interval = _spacing(self.trade)
        if interval is None:
            raise DataError(
                f"{self.symbol} trade",
                f"an interval needs two candles, and there is {len(self.trade)}",
                "give at least two candles",
            )
        return interval


class _UnknownSymbolError(UnknownNameError, KeyError):
    """A KeyError too, as Mapping expects one for ``in`` and ``get``."""


class Market(Mapping[str, SymbolData]):
    """The symbols that are traded side by side. It does not change.

    Args:
        name: how reports call this market.
        symbols: the data of each symbol, in the order of the market.
    """

    def __init__(self, name: str, symbols: Iterable[SymbolData]) -> None:
        found = tuple(symbols)
        names = tuple(data.symbol for data in found)
        if not names or len(set(names)) < len(names):
            fix = "give at least one symbol, and each symbol once"
            raise ParameterError("symbols", names, fix)
        self._name = name
        self._symbols = dict(zip(names, found, strict=True))

    @property
    def name(self) -> str:
        """How reports call this market."""
        return self._name

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of the symbols, in the order of the market."""
        return tuple(self._symbols)

    def __getitem__(self, symbol: str) -> SymbolData:
        try:
            return self._symbols[symbol]
        except KeyError:
            raise _UnknownSymbolError("symbol", symbol, self.symbols) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._symbols)

    def __len__(self) -> int:
        return len(self._symbols)

    def __repr__(self) -> str:
        return f"Market({self.name!r}, {', '.join(self.symbols)})"

    def select(self, *symbols: str) -> "Market":
        """The market with these symbols alone, in this order."""
        return Market(self.name, [self[symbol] for symbol in symbols])

    def between(self, start: _Time | None = None, end: _Time | None = None) -> "Market":
        """The market from a start up to, and without, an end.

        Trade candles that open in the span stay, mark candles that overlap it, and
        funding stamps inside it. Mark or funding with nothing left becomes None.

        Args:
            start: time in UTC unless it has a zone; None: from the first candle.
            end: time in UTC unless it has a zone; None: to the last candle.

        Raises:
            ParameterError: a time cannot be read, the span is empty, or a symbol
                has no candle in it.
        """
        first, last = _utc("start", start), _utc("end", end)
        blamed = ("end", end) if start is None else ("start", start)
        if first is not None and last is not None and first >= last:
            fix = f"give a start before the end {end!r}; {_spans(self)}"
            raise ParameterError(*blamed, fix)
        cut = [_cut(data, first, last) for data in self.values()]
        empty = [data.symbol for data in cut if data.trade.empty]
        if len(empty) == len(cut):
            fix = f"give a span that holds a candle; {_spans(self)}"
            raise ParameterError(*blamed, fix)
        if empty:
            own = _spans(self.select(*empty))
            fix = f"give a span with candles of every symbol, or leave some out; {own}"
            raise ParameterError(*blamed, fix)
        return Market(self.name, cut)


def _spans(market: Market) -> str:
    return ", ".join(
        f"{data.symbol} has candles from {data.trade.index[0]} "
        f"to {data.trade.index[-1]}"
        for data in market.values()
    )


def _utc(name: str, time: _Time | None) -> pd.Timestamp | None:
    if time is None:
        return None
    known = isinstance(time, str | date)
    found = pd.to_datetime(time, utc=True, errors="coerce") if known else pd.NaT
    if not isinstance(found, pd.Timestamp):
        fix = "give a time such as 2024-01-31 or 2024-01-31T08:00:00Z"
        raise ParameterError(name, time, fix)
    return found


def _spacing(candles: pd.DataFrame) -> pd.Timedelta | None:
    times = candles.index
    return (times[1:] - times[:-1]).min() if len(times) > 1 else None


def _cut(
    data: SymbolData, start: pd.Timestamp | None, end: pd.Timestamp | None
) -> SymbolData:
    mark, funding = data.mark, data.funding
    if mark is not None:
        mark = _rows(mark, _open_of_candle_at(start, mark), end)
    if funding is not None:
        funding = _rows(funding, start, end)
    return replace(
        data,
        trade=_rows(data.trade, start, end),
        mark=None if mark is None or mark.empty else mark,
        funding=None if funding is None or funding.empty else funding,
    )


def _rows(
    frame: pd.DataFrame, start: pd.Timestamp | None, end: pd.Timestamp | None
) -> pd.DataFrame:
    first = 0 if start is None else int(frame.index.searchsorted(start))
    last = len(frame) if end is None else int(frame.index.searchsorted(end))
    return frame.iloc[first:last]


def _open_of_candle_at(
    time: pd.Timestamp | None, candles: pd.DataFrame
) -> pd.Timestamp | None:
    """The open of the candle that holds a time; the time itself if none does."""
    if time is None:
        return None
    position = int(candles.index.searchsorted(time, side="right")) - 1
    if position < 0:
        return time
    opened = candles.index[position]
    # Nothing tells the length of a lone candle: it is taken to reach the time.
    spacing = _spacing(candles)
    return opened if spacing is None or time < opened + spacing else time
