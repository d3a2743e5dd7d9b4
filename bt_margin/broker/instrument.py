"""An instrument: one feed as the broker sees it, bar after bar."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import backtrader as bt

from bt_margin.core.path import BarPath, Polyline

from .series import Bar, FundingSeries, MarkSeries

__all__ = ["Instrument", "Stamp", "utc"]

_EPOCH_DAY = 719_163  # Backtrader's day number of 1970-01-01
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_UNIT_MS = {
    bt.TimeFrame.Seconds: 1_000,
    bt.TimeFrame.Minutes: _MINUTE_MS,
    bt.TimeFrame.Days: _DAY_MS,
    bt.TimeFrame.Weeks: 7 * _DAY_MS,
}


def utc(milliseconds: float) -> datetime:
    """A moment from milliseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A funding settlement: time in ms, rate, and the mark then if known."""

    time: int
    funding_rate: float
    mark_price: float | None


class Instrument:
    """One feed: its bar of the moment, its mark and its funding.

    Args:
        data: the Backtrader feed.
        symbol: its name in the account.
        bar_path: which extreme comes first.
        bar_time: whether a bar's time is its ``"open"`` or its ``"close"``.
        marks: mark candles, or ``None``: mark is last.
        funding: funding stamps, or ``None``: there are none.

    Attributes:
        bar: the bar of the moment; ``None`` before the first one.
        last: path of the last price in that bar.
        mark: path of the mark price in that bar.
    """

    def __init__(
        self,
        data: Any,
        symbol: str,
        *,
        bar_path: BarPath,
        bar_time: str,
        marks: MarkSeries | None,
        funding: FundingSeries | None,
    ) -> None:
        self.data = data
        self.symbol = symbol
        self.bar: Bar | None = None
        self.last: Polyline | None = None
        self.mark: Polyline | None = None
        self._bar_path = bar_path
        self._opens_at_time = bar_time == "open"
        self._marks = marks
        self._funding = funding
        self._next_stamp = 0
        self._seen: tuple[int, float] | None = None
        self._length: int | None = None

    def advance(self) -> bool:
        """Take the feed's new bar; False: it brought none and stands still."""
        data = self.data
        if not len(data):
            return False
        seen = (len(data), float(data.datetime[0]))
        if seen == self._seen:
            return False
        self._seen = seen
        self.bar = self._read(seen[1])
        self.last = self.bar.path()
        self.mark = self._marks.path(self.bar, self.last) if self._marks else self.last
        return True

    def _read(self, time: float) -> Bar:
        """The feed's bar; while a bar is being replayed, its newest piece."""
        data = self.data
        prices = []
        for name in ("open", "high", "low", "close"):
            tick = getattr(data, f"tick_{name}", None)
            prices.append(float(getattr(data, name)[0] if tick is None else tick))
        opened, high, low, closed = prices
        low_first = self._bar_path.low_comes_first(opened, high, low)
        stamp = round((time - _EPOCH_DAY) * _DAY_MS)
        length = self._bar_length()
        start = stamp if self._opens_at_time else stamp - length
        return Bar(start, start + length, opened, high, low, closed, low_first)

    def _bar_length(self) -> int:
        """Length of a bar in ms: the feed's own word, its spacing, its timeframe.

        The spacing comes before the timeframe since feeds of minute candles often
        keep Backtrader's default of days.
        """
        if self._length is None:
            own = getattr(self.data, "bar_length", None)
            self._length = (
                round(own / timedelta(milliseconds=1)) if own else self._spacing()
            )
        return self._length

    def _spacing(self) -> int:
        times = list(self.data.datetime.array)[:500]
        steps = [b - a for a, b in pairwise(times) if b > a]
        if steps:
            return max(1, round(float(min(steps)) * _DAY_MS))
        unit = _UNIT_MS.get(self.data._timeframe, _MINUTE_MS)
        return int(unit * self.data._compression)

    def stamps_before(self, end: int) -> list[Stamp]:
        """The stamps up to ``end`` (ms, exclusive) that were not yet given."""
        series = self._funding
        if series is None:
            return []
        found = []
        times = series.times
        while self._next_stamp < len(times) and times[self._next_stamp] < end:
            i = self._next_stamp
            found.append(Stamp(times[i], series.rates[i], series.marks[i]))
            self._next_stamp = i + 1
        return found
