"""Mark candles and funding stamps as columns that a bar can be looked up in."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bt_margin.core.path import Polyline

__all__ = ["Bar", "FundingSeries", "MarkSeries", "epoch_ms"]


def epoch_ms(index: pd.DatetimeIndex) -> list[int]:
    """Times of an index as milliseconds since 1970, UTC."""
    return [int(stamp) for stamp in index.as_unit("ms").asi8]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar as a Backtrader feed shows it.

    Attributes:
        start: its first moment, ms since 1970, UTC.
        end: the moment it ends, ms.
        open, high, low, close: last prices.
        low_first: whether the low is taken to come before the high.
    """

    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    low_first: bool

    def path(self) -> Polyline:
        """Last price inside the bar."""
        return Polyline.from_candle(
            self.open, self.high, self.low, self.close, low_first=self.low_first
        )

    def share(self, time: int) -> float:
        """The share of the bar elapsed at ``time`` (ms)."""
        return (time - self.start) / (self.end - self.start)


class MarkSeries:
    """Mark candles of one symbol.

    Args:
        candles: open, high, low, close, indexed by the candle's open in UTC.
        length: of a candle, ms; ``None``: the smallest spacing.
    """

    __slots__ = ("_columns", "_length", "_starts")

    def __init__(self, candles: pd.DataFrame, length: int | None = None) -> None:
        self._starts = epoch_ms(pd.DatetimeIndex(candles.index))
        self._columns: list[Sequence[float]] = [
            candles[name].tolist() for name in ("open", "high", "low", "close")
        ]
        steps = zip(self._starts, self._starts[1:], strict=False)
        self._length = length or min((b - a for a, b in steps), default=60_000)

    def path(self, bar: Bar, last: Polyline) -> Polyline:
        """Mark price inside ``bar``, whose last price is ``last``.

        On the bars' own grid the mark candle's four prices go the same way round as
        the bar's. A finer grid is walked candle by candle. Of a coarser one only the
        range is known to hold in the bar: mark is the last price clamped into it, an
        assumption that misses a mark-only extreme. Without a candle mark is last.
        """
        index = bisect_right(self._starts, bar.start) - 1
        if index < 0 or self._starts[index] + self._length <= bar.start:
            return last
        if self._length < bar.end - bar.start:
            return self._joined(index, bar)
        opened, high, low, closed = self._candle(index)
        if self._starts[index] == bar.start and self._length == bar.end - bar.start:
            return Polyline.from_candle(
                opened, high, low, closed, low_first=bar.low_first
            )
        return last.clamped(low, high)

    def _candle(self, index: int) -> list[float]:
        return [column[index] for column in self._columns]

    def _joined(self, index: int, bar: Bar) -> Polyline:
        """The finer candles of ``bar``, end to end; the mark stands still in gaps."""
        points: list[tuple[float, float]] = []
        while index < len(self._starts) and self._starts[index] < bar.end:
            opened, high, low, closed = self._candle(index)
            start = max(bar.share(self._starts[index]), 0.0)
            end = min(bar.share(self._starts[index] + self._length), 1.0)
            low_first = opened - low <= high - opened
            piece = Polyline.from_candle(opened, high, low, closed, low_first=low_first)
            points += [
                (start + (end - start) * share, price)
                for share, price in zip(piece.shares, piece.prices, strict=True)
            ]
            index += 1
        return Polyline([(0.0, points[0][1]), *points, (1.0, points[-1][1])])


class FundingSeries:
    """Funding stamps of one symbol.

    Args:
        stamps: funding_rate and mark_price (NaN where unknown), indexed by the
            settlement time in UTC.
    """

    __slots__ = ("marks", "rates", "times")

    def __init__(self, stamps: pd.DataFrame) -> None:
        self.times = epoch_ms(pd.DatetimeIndex(stamps.index))
        self.rates: list[float] = stamps["funding_rate"].tolist()
        known = stamps["mark_price"].notna().tolist()
        marks = stamps["mark_price"].tolist()
        self.marks: list[float | None] = [
            mark if is_known else None
            for mark, is_known in zip(marks, known, strict=True)
        ]
