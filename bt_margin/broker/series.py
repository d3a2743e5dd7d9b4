"""Candles and funding stamps as columns that a bar can be looked up in."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, inf
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bt_margin.core.path import Polyline

__all__ = [
    "EPOCH_DAY",
    "Bar",
    "CandleSeries",
    "FundingSeries",
    "LowFirst",
    "Numbers",
    "day_numbers",
    "doubles",
    "epoch_ms",
    "mark_path",
    "stretch_outside",
]

EPOCH_DAY = 719_163  # Backtrader's day number of 1970-01-01
_DAY_US = 86_400 * 10**6

LowFirst: TypeAlias = Callable[[float, float, float], bool]  # of open, high and low
Numbers: TypeAlias = NDArray[np.float64]
Candle: TypeAlias = tuple[float, float, float, float]  # open, high, low, close


def epoch_ms(index: pd.DatetimeIndex) -> list[int]:
    """Times of an index as milliseconds since 1970, UTC."""
    return [int(stamp) for stamp in index.as_unit("ms").asi8]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar as a Backtrader feed shows it.

    Attributes:
        start: its first moment, ms since 1970, UTC.
        end: the moment it ends, ms.
        candle: open, high, low and close of the last price.
        low_first: which extreme of a candle comes first.
    """

    start: int
    end: int
    candle: Candle
    low_first: LowFirst

    @property
    def length(self) -> int:
        """Its length in ms."""
        return self.end - self.start

    def path(self, candle: Candle | None = None) -> Polyline:
        """Last price inside the bar, or another candle's price the same way round."""
        opened, high, low, _ = self.candle
        low_first = self.low_first(opened, high, low)
        return Polyline.from_candle(*(candle or self.candle), low_first=low_first)

    def share(self, time: int) -> float:
        """The share of the bar elapsed at ``time`` (ms)."""
        return (time - self.start) / (self.end - self.start)


def doubles(column: "pd.Series[Any]") -> "array[float]":
    """A column as an array of doubles."""
    found = array("d")
    found.frombytes(column.to_numpy(dtype=np.float64).tobytes())
    return found


def day_numbers(index: pd.DatetimeIndex) -> "array[float]":
    """Times of an index as Backtrader's numbers: its ``date2num``, to the last bit.

    That is the correctly rounded sum of the day and of the shares that hours,
    minutes, seconds and microseconds are of one; times of day come again every day.
    """
    days, times = divmod(index.as_unit("us").asi8, _DAY_US)
    places, different = pd.factorize(times)
    shares = np.array([_day_share(time) for time in different.tolist()])
    share, rest = shares.reshape(-1, 2)[places].T
    day = (days + EPOCH_DAY).astype(np.float64)
    total = day + share
    lost = share - (total - day)  # exact: a day is more than its share (Dekker)
    found = array("d")
    found.frombytes((total + (lost + rest)).tobytes())
    return found


def _day_share(time: int) -> tuple[float, float]:
    """The share of a day (time in microseconds) as a double and what that leaves."""
    seconds, rest = divmod(time, 10**6)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    parts = (hour / 24, minute / 1440, second / 86_400, rest / _DAY_US)
    share = fsum(parts)
    return share, fsum((*parts, -share))


class CandleSeries:
    """Candles of one symbol.

    Args:
        candles: open, high, low, close, indexed by the candle's open in UTC.

    Attributes:
        length: of a candle, ms: the smallest spacing.
    """

    __slots__ = ("_columns", "_latest", "_starts", "length")

    def __init__(self, candles: pd.DataFrame) -> None:
        starts = epoch_ms(pd.DatetimeIndex(candles.index))
        self.length = min((b - a for a, b in pairwise(starts)), default=60_000)
        self._starts = array("q", starts)
        names = ("open", "high", "low", "close")
        self._columns = tuple(doubles(candles[name]) for name in names)
        self._latest = 0  # the candle that was asked for last

    def at(self, time: int) -> tuple[int, Candle] | None:
        """Start (ms) and prices of the candle that holds ``time``, if there is one."""
        index, starts = self._latest, self._starts
        if not starts[index] <= time < starts[index] + self.length:
            index = bisect_right(starts, time) - 1
            if index < 0 or starts[index] + self.length <= time:
                return None
            self._latest = index
        return starts[index], self._candle(index)

    def _candle(self, index: int) -> Candle:
        opens, highs, lows, closes = self._columns
        return opens[index], highs[index], lows[index], closes[index]

    def closings(self, starts: Any, length: int, closes: Numbers) -> Numbers:
        """Mark at the end of bars: the candle's own close, or the last held inside it.

        Args:
            starts: of the bars, ms.
            length: of the bars, ms; no longer than the candles.
            closes: last price at the end of each bar.
        """
        opened = np.array(self._starts)
        places = np.searchsorted(opened, starts, "right") - 1
        is_known = (places >= 0) & (opened[places] + self.length > starts)
        _, highs, lows, marks = (np.array(column)[places] for column in self._columns)
        held = np.minimum(np.maximum(closes, lows), highs)
        is_same = (opened[places] == starts) & (self.length == length)
        return np.where(is_known, np.where(is_same, marks, held), closes)

    def first_outside(self, start: int, end: int, least: float, most: float) -> float:
        """When a candle first reaches a bound.

        Args:
            start: where to begin, ms.
            end: where to stop, ms, exclusive.
            least: price at or below which a candle counts.
            most: price at or above which it does.

        Returns:
            The start of that candle, ms; infinite: none between ``start`` and ``end``.
        """
        first = max(0, bisect_right(self._starts, start) - 1)
        last = bisect_left(self._starts, end)
        _, highs, lows, _ = self._columns
        found = stretch_outside(highs, lows, first, last, least, most)
        return self._starts[found] if found < last else inf

    def pieces(self, bar: Bar) -> Iterator[tuple[int, float, float, Candle]]:
        """The candles inside ``bar``: start (ms), first and last share, prices."""
        first = bisect_right(self._starts, bar.start - self.length)
        for index in range(first, len(self._starts)):
            start = self._starts[index]
            if start >= bar.end:
                return
            last_share = min(bar.share(start + self.length), 1.0)
            yield start, max(bar.share(start), 0.0), last_share, self._candle(index)

    def path(self, bar: Bar, ranges: "CandleSeries | None" = None) -> Polyline | None:
        """The candles of ``bar`` end to end; between two of them the price jumps.

        Args:
            bar: where to look.
            ranges: coarser candles into whose range the price is clamped.

        Returns:
            ``None`` when there are no candles in the bar.
        """
        points: list[tuple[float, float]] = []
        for time, first, last, candle in self.pieces(bar):
            low_first = bar.low_first(*candle[:3])
            piece = Polyline.from_candle(*candle, low_first=low_first)
            coarse = ranges.at(time) if ranges else None
            if coarse is not None:
                _, high, low, _ = coarse[1]
                piece = piece.clamped(low, high)
            if points and first > points[-1][0]:  # no candle: it stood still, and jumps
                points.append((first, points[-1][1]))
            points += [
                (first + (last - first) * share, price)
                for share, price in zip(piece.shares, piece.prices, strict=True)
            ]
        if not points:
            return None
        return Polyline([(0.0, points[0][1]), *points, (1.0, points[-1][1])])


def stretch_outside(
    highs: Any, lows: Any, first: int, last: int, least: float, most: float
) -> int:
    """The first place from ``first`` to ``last`` at which a price is not within bounds.

    Args:
        highs: array of high prices.
        lows: array of low prices, of the same length.
        first: place to begin at.
        last: place to stop before.
        least: no price may be below or at it.
        most: no price may be above or at it.

    Returns:
        The place, or ``last``. NaN is not within.
    """
    if first >= last:
        return last
    # Looked at in place, and let go at once: a feed may still have to grow.
    highs = np.frombuffer(highs, np.float64, last - first, 8 * first)
    lows = np.frombuffer(lows, np.float64, last - first, 8 * first)
    within = (lows > least) & (highs < most)
    place = int(within.argmin())
    return last if within[place] else first + place


def mark_path(
    bar: Bar, last: Polyline, marks: CandleSeries, detail: CandleSeries | None
) -> Polyline:
    """Mark price inside ``bar``, whose last price is ``last``.

    On the bars' own grid the mark candle's four prices go the same way round as the
    bar's. A grid finer than what is known of the last price is walked candle by
    candle. Of a coarser one only the range is known to hold: mark is the last price
    clamped into it, an assumption that misses a mark-only extreme and knows the
    candle's range early. Without a candle mark is last.
    """
    if detail is not None and marks.length > detail.length:
        return detail.path(bar, marks) or last
    if detail is not None or marks.length < bar.length:
        return marks.path(bar) or last
    found = marks.at(bar.start)
    if found is None:
        return last
    start, candle = found
    if start == bar.start and marks.length == bar.length:
        return bar.path(candle)
    _, high, low, _ = candle
    return last.clamped(low, high)


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
