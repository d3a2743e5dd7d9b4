"""Lookout: the first bar of a feed ahead at which something can happen.

The bars of a preloaded feed are known from the start. While the broker sleeps, prices
ahead are compared with bounds in stretches, so that a bar costs one comparison.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from math import inf
from typing import Any

from .instrument import Instrument
from .kinds import BY_THE_BAR, STOP_LIMITS, STOPS, TRAILS
from .series import stretch_outside

__all__ = ["Bounds", "Lookout"]

_SHORTEST, _LONGEST = 128, 65_536  # bars of a stretch; each is four times the last


@dataclass(slots=True)
class Bounds:
    """Within which prices, and until when, nothing can happen on a feed.

    Attributes:
        least: no price may be below or at it.
        most: no price may be above or at it.
        least_mark: no mark may be below or at it.
        most_mark: no mark may be above or at it.
        due: no bar may end at or after this moment, ms.
        valid: no bar may have a time after this, as Backtrader's number.
    """

    least: float = -inf
    most: float = inf
    least_mark: float = -inf
    most_mark: float = inf
    due: float = inf
    valid: float = inf

    def narrow(self, least: float, most: float) -> None:
        """Keep prices within these two as well."""
        self.least, self.most = max(self.least, least), min(self.most, most)

    def narrow_marks(self, least: float, most: float) -> None:
        """Keep marks within these two, and prices, which can stand for them."""
        self.narrow(least, most)
        self.least_mark = max(self.least_mark, least)
        self.most_mark = min(self.most_mark, most)

    def keep_from(self, order: Any) -> bool:
        """Keep prices from where an order fills; False: it may fill at any."""
        if order.valid:
            self.valid = min(self.valid, order.valid)
        if not order.active():  # until an event that the bounds rule out
            return True
        kind = order.exectype
        if kind in BY_THE_BAR or kind in TRAILS:
            return False
        waits = kind in STOPS or (kind in STOP_LIMITS and not order.triggered)
        price = order.created.pricelimit if order.triggered else order.created.price
        if order.isbuy() is waits:
            self.narrow(-inf, price)
        else:
            self.narrow(price, inf)
        return True


class Lookout:
    """Looks ahead on one feed.

    Args:
        instrument: the feed, whose bars come one by one and stay what they are.

    Attributes:
        instrument: the feed.
        line: of the feed; how long it is says which bar is the present one.
        wake: how long the line is at the first bar that has to be looked at, or at
            the first that was not yet compared.
    """

    __slots__ = (
        *("_bounds", "_end", "_high", "_is_found", "_low", "_size"),
        *("_time", "instrument", "line", "wake"),
    )

    def __init__(self, instrument: Instrument) -> None:
        lines = instrument.data.lines
        self.instrument = instrument
        self._time = self.line = lines.datetime
        self._high, self._low = lines.high, lines.low
        self._bounds, self.wake, self._is_found = Bounds(), 0, True

    @property
    def may_arrive(self) -> bool:
        """Whether a bar ahead may have to be looked at."""
        return not self._is_found or self.wake <= self.instrument.data.buflen()

    def keep(self, bounds: Bounds) -> None:
        """Look out for the first bar after the present one that is beyond bounds."""
        is_known = bounds is self._bounds or bounds == self._bounds
        if is_known and not self.has_arrived():
            return
        here, count = self.line.lencount, self.instrument.data.buflen()
        times, due = self._time.array, bounds.due
        self._bounds, self._end = bounds, count
        if due < inf:
            number = self.instrument.number_of(due)
            self._end = bisect_left(times, number, here, count)
        if bounds.valid < inf:
            self._end = bisect_right(times, bounds.valid, here, self._end)
        self.wake, self._is_found, self._size = here + 1, False, _SHORTEST
        if bounds.least == -inf and bounds.most == inf:
            self.wake, self._is_found = self._end + 1, True

    def has_arrived(self) -> bool:
        """Whether the present bar has to be looked at."""
        while self.line.lencount >= self.wake:
            if self._is_found:
                return True
            self._look_on()
        return False

    def _look_on(self) -> None:
        """Compare the next stretch of bars."""
        first = self.wake - 1
        last = min(first + self._size, self._end)
        found = self._first_outside(first, last)
        self._is_found = found < last or last == self._end
        self._size = min(4 * self._size, _LONGEST)
        self.wake = found + 1

    def _first_outside(self, first: int, last: int) -> int:
        """The first bar from ``first`` on that is beyond bounds, or ``last``."""
        bounds, instrument, times = self._bounds, self.instrument, self._time.array
        prices = (self._high.array, self._low.array)
        found = stretch_outside(*prices, first, last, bounds.least, bounds.most)
        finer = (
            (instrument.marks, bounds.least_mark, bounds.most_mark),
            (instrument.detail, bounds.least, bounds.most),
        )
        for series, least, most in finer:
            if series is not None and first < found:
                start = instrument.start_of(times[first])
                end = instrument.end_of(times[found - 1])
                moment = series.first_outside(start, end, least, most)
                if moment < inf:
                    number = instrument.number_of(moment)
                    found = bisect_left(times, number, first, found)
        return found
