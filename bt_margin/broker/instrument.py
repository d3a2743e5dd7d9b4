"""An instrument: one feed as the broker sees it, bar after bar."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from math import inf, isnan
from typing import Any

import numpy as np
from backtrader import TimeFrame

from bt_margin.core.path import BarPath, Polyline

from .series import (
    EPOCH_DAY,
    Bar,
    CandleSeries,
    FundingSeries,
    Numbers,
    mark_path,
)

__all__ = ["DAY_MS", "Instrument", "Stamp", "day_number", "utc"]

DAY_MS = 86_400_000
_PRICES = ("open", "high", "low", "close")
# Of months and years the length varies.
_RESAMPLED_MS = {
    TimeFrame.Seconds: 1_000,
    TimeFrame.Minutes: 60_000,
    TimeFrame.Days: DAY_MS,
    TimeFrame.Weeks: 7 * DAY_MS,
}


def utc(milliseconds: float) -> datetime:
    """A moment from milliseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def day_number(moment: float) -> float:
    """Backtrader's number of a moment (ms since 1970; infinite: never)."""
    return EPOCH_DAY + moment / DAY_MS


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
        detail: finer candles of the last price, or ``None``.

    Attributes:
        bar: the bar of the moment; ``None`` before the first one.
        marks: mark candles; ``None``: mark is last.
        detail: finer candles of the last price; ``None``: there are none.
    """

    def __init__(
        self,
        data: Any,
        symbol: str,
        *,
        bar_path: BarPath,
        bar_time: str,
        marks: CandleSeries | None,
        funding: FundingSeries | None,
        detail: CandleSeries | None = None,
    ) -> None:
        self.data = data
        self.symbol = symbol
        self.bar: Bar | None = None
        self.marks = marks
        self.detail = detail
        self._last: Polyline | None = None
        self._mark: Polyline | None = None
        self._bar_path = bar_path
        self._opens_at_time = bar_time == "open"
        self._funding = funding
        self._next_stamp = 0
        self._line_read: int | None = None
        self._seen: tuple[int, float] | None = None
        self._length = 1
        self._length_is_known = False
        lines = data.lines
        self._time, self._close = lines.datetime, lines.close
        self._prices = (lines.open, lines.high, lines.low, lines.close)
        self._learn_length()

    @property
    def last(self) -> Polyline | None:
        """Path of the last price in the bar of the moment."""
        if self._last is None and self.bar is not None:
            detailed = self.detail.path(self.bar) if self.detail else None
            self._last = detailed or self.bar.path()
        return self._last

    @property
    def mark(self) -> Polyline | None:
        """Path of the mark price in the bar of the moment."""
        last = self.last
        if self.marks is None or self.bar is None or last is None:
            return last
        if self._mark is None:
            self._mark = mark_path(self.bar, last, self.marks, self.detail)
        return self._mark

    def closing_mark(self, ago: int = 0) -> float:
        """Mark at the end of the feed's bar ``ago`` bars (0, -1) from its present one.

        It is where `mark` ends when that bar is the bar of the moment.
        """
        marks = self.marks
        close = float(self._close[ago])
        if marks is None and self.detail is None:
            return close
        if self.detail is not None or marks is None or marks.length < self._length:
            self.go_to(ago)
            return float(self.mark.prices[-1]) if self.mark else close
        start = self.start_of(self._time[ago])
        found = marks.at(start)
        if found is None:
            return close
        opened, (_, high, low, mark) = found
        if opened == start and marks.length == self._length:
            return mark
        return min(max(close, low), high)

    @property
    def tells_marks(self) -> bool:
        """Whether `closing_marks` can be asked."""
        marks = self.marks
        return self.detail is None and (marks is None or marks.length >= self._length)

    def closing_marks(self, times: Numbers) -> Numbers:
        """`closing_mark` of the feed's last bar at each of some past times."""
        count = self._time.lencount
        clock = np.array(self._time.array[:count])
        places = np.searchsorted(clock, times, "right") - 1
        closes = np.array(self._close.array[:count])[places]
        if self.marks is None:
            return closes
        starts = np.rint((clock[places] - EPOCH_DAY) * DAY_MS).astype(np.int64)
        if not self._opens_at_time:
            starts -= self._length
        return self.marks.closings(starts, self._length, closes)

    def coarse_mark(self, ago: int = 0) -> tuple[int, float, float] | None:
        """Start (ms), low and high of the mark candle, if coarser than the bar.

        Args:
            ago: of which bar of the feed: 0 the present one, -1 the one before.
        """
        marks = self.marks
        if marks is None or not self._time.lencount or marks.length <= self._length:
            return None
        found = marks.at(self.start_of(self._time[ago]))
        return None if found is None else (found[0], found[1][2], found[1][1])

    @property
    def length_is_known(self) -> bool:
        """Whether the length of a bar is certain, and not just the smallest seen."""
        return self._length_is_known

    @property
    def bar_length(self) -> int:
        """Length of a bar as far as it is known, ms."""
        return self._length

    def end(self, ago: int = 0) -> int:
        """End (ms) of the feed's bar ``ago`` bars (0, -1) from its present one."""
        return self.end_of(self._time[ago])

    def recency(self, ago: int = 0) -> tuple[float, int]:
        """A key by which the latest bar comes last, of several the finest.

        Of the feeds of a symbol that one shows its mark.
        """
        return self._time[ago], -self._length

    @property
    def has_funding_line(self) -> bool:
        """Whether the feed brings funding as a line of its own."""
        return hasattr(self.data.lines, "funding_rate")

    @property
    def next_stamp(self) -> float:
        """The next funding stamp that was not yet given, ms; infinite: none."""
        series = self._funding
        if series is None or self._next_stamp >= len(series.times):
            return inf
        return series.times[self._next_stamp]

    def start_of(self, time: float) -> int:
        """The start (ms) of the bar of a Backtrader number."""
        stamp = round((time - EPOCH_DAY) * DAY_MS)
        return stamp if self._opens_at_time else stamp - self._length

    def end_of(self, time: float) -> int:
        """The end (ms) of the bar of a Backtrader number."""
        return self.start_of(time) + self._length

    def number_of(self, moment: float) -> float:
        """The Backtrader number of the bar that ends at a moment (ms)."""
        return day_number(moment - self._length if self._opens_at_time else moment)

    def go_to(self, ago: int) -> None:
        """Take the bar that is ``ago`` bars (0, -1) from the feed's present one."""
        self._take((len(self.data) + ago, float(self._time[ago])), 0.0, ago)

    def advance(self, size: float = 0.0) -> bool:
        """Take the feed's new bar; False: it brought none and stands still.

        Args:
            size: signed size held when the bar opens.
        """
        count = self._time.lencount
        if not count:
            return False
        seen = (count, float(self._time[0]))
        if seen == self._seen:
            return False
        self._take(seen, size)
        return True

    def _take(self, seen: tuple[int, float], size: float, ago: int = 0) -> None:
        """Make the feed's bar at ``ago`` the bar of the moment."""
        self._measure(seen[1])
        self._seen = seen
        self.bar = self._read(seen[1], size, ago)
        self._last = self._mark = None

    def _learn_length(self) -> None:
        """Take the feed's own word for the length of a bar, if it gives one."""
        own = self._own_length()
        if own:
            self._length, self._length_is_known = own, True

    def _measure(self, time: float) -> None:
        """Learn the length of a bar otherwise: the smallest spacing of the feed.

        Not its timeframe, unless it was resampled to that: feeds of minute candles
        often keep the default of days. A feed that is not preloaded shows no spacing
        at its first bar, nor is a resampled one asked for it. No position can be open
        then, and a length of 1 ms leaves the stamps to the bars that follow.
        """
        if self._length_is_known:
            return
        if self._seen is None:
            times = list(self.data.datetime.array)[:500]
            times = [] if self.data.resampling else times
            steps = [round((b - a) * DAY_MS) for a, b in pairwise(times) if b > a]
            self._length = min(steps, default=1)
            self._length_is_known = bool(steps)
        elif time > self._seen[1]:
            step = round((time - self._seen[1]) * DAY_MS)
            self._length = step if self._length == 1 else min(self._length, step)

    def _own_length(self) -> int:
        """The length (ms) of a bar by the feed's own word; 0: it gives none."""
        data = self.data
        if data.resampling and not data.replaying:
            return int(data._compression) * _RESAMPLED_MS.get(data._timeframe, 0)
        own = None if data.resampling else getattr(data, "bar_length", None)
        return round(own / timedelta(milliseconds=1)) if own else 0

    def _read(self, time: float, size: float, ago: int) -> Bar:
        """The feed's bar; while a bar is being replayed, its newest piece."""
        prices = [float(line[ago]) for line in self._prices]
        if self.data.replaying:
            # Elsewhere ticks can be those of the bar before, as for the last bar of a
            # resampled feed.
            ticks = [getattr(self.data, f"tick_{name}", None) for name in _PRICES]
            known = zip(ticks, prices, strict=True)
            prices = [price if tick is None else tick for tick, price in known]
        opened, high, low, closed = map(float, prices)
        start = self.start_of(time)
        return Bar(
            start,
            start + self._length,
            (opened, high, low, closed),
            partial(self._bar_path.low_comes_first, size=size),
        )

    def stamps_before(self, end: int) -> list[Stamp]:
        """The stamps up to ``end`` (ms, exclusive) that were not yet given."""
        series = self._funding
        if series is None:
            return self._stamp_of_line()
        found = []
        times = series.times
        while self._next_stamp < len(times) and times[self._next_stamp] < end:
            i = self._next_stamp
            found.append(Stamp(times[i], series.rates[i], series.marks[i]))
            self._next_stamp = i + 1
        return found

    def _stamp_of_line(self) -> list[Stamp]:
        """The stamp at a bar's start that a feed's line ``funding_rate`` holds.

        0 and NaN are no stamp.
        """
        line = getattr(self.data.lines, "funding_rate", None)
        if line is None or self.bar is None or self.bar.start == self._line_read:
            return []
        self._line_read = self.bar.start
        rate = float(line[0])
        if not rate or isnan(rate):
            return []
        return [Stamp(self.bar.start, rate, None)]
