"""An instrument: one feed as the broker sees it, bar after bar."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from math import inf, isnan
from typing import Any

from backtrader import TimeFrame

from bt_margin.core.path import BarPath, Polyline

from .series import EPOCH_DAY, Bar, CandleSeries, FundingSeries, mark_path

__all__ = ["DAY_MS", "Instrument", "Stamp", "day_number", "utc"]

DAY_MS = 86_400_000
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
        marks: CandleSeries | None,
        funding: FundingSeries | None,
        detail: CandleSeries | None = None,
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
        self._detail = detail
        self._next_stamp = 0
        self._line_read: int | None = None
        self._seen: tuple[int, float] | None = None
        self._length = 1
        self._length_is_known = False

    @property
    def has_detail(self) -> bool:
        """Whether finer candles tell how the price went inside the bar."""
        return self._detail is not None

    @property
    def coarse_mark(self) -> tuple[int, float, float] | None:
        """Start (ms), low and high of the mark candle, if coarser than the bar."""
        marks, bar = self._marks, self.bar
        if marks is None or bar is None or marks.length <= bar.length:
            return None
        found = marks.at(bar.start)
        return None if found is None else (found[0], found[1][2], found[1][1])

    @property
    def marks(self) -> CandleSeries | None:
        """Its mark candles; ``None``: mark is last."""
        return self._marks

    @property
    def length_is_known(self) -> bool:
        """Whether the length of a bar is certain, and not just the smallest seen."""
        return self._length_is_known

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

    def number_of(self, moment: float) -> float:
        """The Backtrader number of the bar that ends at a moment (ms)."""
        return day_number(moment - self._length if self._opens_at_time else moment)

    def catch_up(self, ago: int) -> None:
        """Take a bar that was slept through, ``ago`` bars before the feed's present."""
        self._take((len(self.data) + ago, float(self.data.datetime[ago])), 0.0, ago)

    @property
    def seen(self) -> int:
        """How many bars of the feed were brought or slept through, up to the last."""
        return self._seen[0] if self._seen else 0

    def advance(self, size: float = 0.0) -> bool:
        """Take the feed's new bar; False: it brought none and stands still.

        Args:
            size: signed size held when the bar opens.
        """
        data = self.data
        if not len(data):
            return False
        seen = (len(data), float(data.datetime[0]))
        if seen == self._seen:
            return False
        self._take(seen, size)
        return True

    def _take(self, seen: tuple[int, float], size: float, ago: int = 0) -> None:
        """Make the feed's bar at ``ago`` the bar of the moment."""
        self._measure(seen[1])
        self._seen = seen
        self.bar = bar = self._read(seen[1], size, ago)
        detailed = self._detail.path(bar) if self._detail else None
        self.last = self.mark = detailed or bar.path()
        if self._marks is not None:
            self.mark = mark_path(bar, self.last, self._marks, self._detail)

    def _measure(self, time: float) -> None:
        """Learn the length of a bar: the feed's own word, or the smallest spacing.

        Not its timeframe, unless it was resampled to that: feeds of minute candles
        often keep the default of days. A feed that is not preloaded shows no spacing
        at its first bar, nor is a resampled one asked for it. No position can be open
        then, and a length of 1 ms leaves the stamps to the bars that follow.
        """
        if self._length_is_known:
            return
        own = self._own_length()
        if own:
            self._length = own
            self._length_is_known = True
        elif self._seen is None:
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
        data = self.data
        # Ticks are the newest piece of a replayed bar. Elsewhere they can be those of
        # the bar before, as for the last bar of a resampled feed.
        prices = []
        for name in ("open", "high", "low", "close"):
            tick = getattr(data, f"tick_{name}", None) if data.replaying else None
            prices.append(float(getattr(data, name)[ago] if tick is None else tick))
        opened, high, low, closed = prices
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
