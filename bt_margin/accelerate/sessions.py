"""Sessions and stamps: how Backtrader's ``Resampler`` knows the time of a bar."""

from bisect import bisect_right
from copy import copy
from datetime import datetime, time, timedelta
from types import SimpleNamespace
from typing import Any

import backtrader as bt
import numpy as np
from backtrader import TimeFrame
from numpy.typing import NDArray

from .windows import Floats, Unsupported

__all__ = ["DAY", "UNITS", "Rest", "Sessions", "Stamper", "moments_of", "points_of"]

DAY = 86_400 * 10**6  # microseconds
UNITS = {TimeFrame.Minutes: 60 * 10**6, TimeFrame.Seconds: 10**6}

_ROUNDED = (10, 999_990)  # microseconds below and above which num2date rounds

_Ends = tuple[datetime | None, float]
"""The end of session that a resampler has set itself, and the last one noticed."""


def moments_of(numbers: Floats) -> NDArray[np.int64]:
    """Microseconds since the year 1 began, rounded as ``num2date`` rounds."""
    days = np.floor(numbers)
    hour, part = np.divmod(24.0 * (numbers - days), 1)
    minute, part = np.divmod(60.0 * part, 1)
    second, part = np.divmod(60.0 * part, 1)
    rest = (1e6 * part).astype(np.int64)
    low, high = _ROUNDED
    rest = np.where(rest < low, 0, np.where(rest > high, 10**6, rest))
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    return np.asarray(seconds.astype(np.int64) * 10**6 + rest)


def points_of(
    moments: NDArray[np.int64], timeframe: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Units of the timeframe since midnight, and what is left of them."""
    point, rest = np.divmod(moments % DAY, UNITS[timeframe])
    return point, rest


class Sessions:
    """The ends of session that a resampler notices on its way through the rows.

    It sets itself an end, notices the first bar beyond it, and sets the next one with
    the row after that. Where a bar closes on its edge just there it notices nothing,
    now or later.

    Attributes:
        resets: rows that come after the end of a session, and that end's number.
        next_end: the end that is set after the last row, if one is.
        last_end: the number of the end noticed last.
    """

    def __init__(self, session_end: time) -> None:
        self._session_end = session_end
        self.resets: dict[int, float] = {}
        self.next_end: tuple[datetime, float] | None = None
        self.last_end = 0.0

    def walk(self, numbers: Floats, edge: NDArray[np.bool_]) -> None:
        """Go through all rows; marks rows exactly at an end as edges."""
        times, row = numbers.tolist(), 0
        while row < len(times):
            self.next_end = self.end_of(times[row])
            end = self.next_end[1]
            row = bisect_right(times, end, row)
            if times[row - 1] == end:
                edge[row - 1] = True
            elif row == len(times) or edge[row - 1] or edge[row]:
                return
            else:
                self.resets[row] = end
                row += 1
                has_next = row < len(times)
                if has_next and self.end_of(times[row]) != self.end_of(times[row - 1]):
                    raise Unsupported("a session has a single candle")
            self.next_end, self.last_end = None, end

    def end_of(self, number: float) -> tuple[datetime, float]:
        """The first end of a session at or after a moment; see ``_getnexteos``."""
        moment = bt.num2date(number)
        end = datetime.combine(moment, self._session_end)
        end = bt.num2date(bt.date2num(end))
        while moment > end:
            end += timedelta(days=1)
        return end, bt.date2num(end)

    def at(self, last: float, row: int, *, by_count: bool) -> _Ends:
        """The state in which a bar is stamped whose last row is ``last``.

        Args:
            last: number of the row.
            row: whose coming delivers the bar.
            by_count: whether the bar holds a number of rows.
        """
        if by_count:
            return None, self.end_of(last)[1]
        if row in self.resets:
            return None, self.resets[row]
        return datetime.max, 0.0


class Stamper:
    """Stamps bars with the resampler's own arithmetic."""

    def __init__(self, resampler: Any) -> None:
        self._probe = copy(resampler)
        self.p = resampler.p
        self.adjusts = resampler.doadjusttime
        self.by_count = resampler.componly
        self.is_subweekly = resampler.subweeks

    def stamp(self, last: float, ends: _Ends, *, greater: bool) -> float:
        """The time of a bar whose last row is at ``last``."""
        self._set(last, ends)
        self._probe._adjusttime(greater=greater)
        return float(self._probe.bar.datetime)

    def edge(self, last: float, ends: _Ends) -> float:
        """The edge of a bar, whether its time becomes that or not."""
        self._set(last, ends)
        return float(self._probe._calcadjtime(greater=True))

    def _set(self, last: float, ends: _Ends) -> None:
        self._probe.bar = SimpleNamespace(datetime=last)
        self._probe._nexteos, self._probe._lastdteos = ends


class Rest:
    """The bar that the end of the rows leaves open.

    Args:
        last: the number of its last row.
        sessions: of the rows.
        stamper: of the resampler.
    """

    def __init__(self, last: float, sessions: Sessions, stamper: Stamper) -> None:
        self.last = last
        self._sessions = sessions
        self._stamper = stamper

    def stamp_at_end(self, *, has_passed: bool) -> float:
        """Its time when it is delivered because all feeds have ended.

        Args:
            has_passed: whether the other feeds went on beyond its session.
        """
        sessions, stamper = self._sessions, self._stamper
        if not stamper.adjusts:
            return self.last
        if stamper.by_count:
            ends: _Ends = (None, sessions.end_of(self.last)[1])
        elif sessions.next_end is None:
            ends = (None, sessions.last_end)
        else:
            end, number = sessions.next_end
            ends = (None, number) if has_passed else (end, 0.0)
        return stamper.stamp(self.last, ends, greater=False)

    def forced(self, steps: Floats) -> tuple[int | None, float]:
        """When other feeds, which go on, push it out, and its time then.

        Args:
            steps: the times at which other feeds bring bars after its last row was
                read, ascending.

        Returns:
            The place among these times, ``None``: the end of all feeds.
        """
        stamper, set_end = self._stamper, self._sessions.next_end
        if not stamper.is_subweekly or stamper.by_count or not len(steps):
            return None, self.stamp_at_end(has_passed=False)
        if set_end is None:
            raise Unsupported("a feed ends with the first candle of a session")
        passed = (steps >= set_end[1]) & (self.last <= set_end[1])
        p = stamper.p
        if p.timeframe != TimeFrame.Minutes or not p.bar2edge:
            return None, self.stamp_at_end(has_passed=bool(passed.any()))
        edge = stamper.edge(self.last, set_end)
        points, _ = points_of(moments_of(steps), p.timeframe)
        (own,), _ = points_of(moments_of(np.array([self.last])), p.timeframe)
        here = (own + p.boundoff) // p.compression
        beyond = (points + p.boundoff) // p.compression > here
        found = np.flatnonzero(passed | (beyond & (steps >= max(self.last, edge))))
        if not len(found):
            return None, self.stamp_at_end(has_passed=False)
        place = int(found[0])
        if not stamper.adjusts:
            return place, self.last
        if passed[place]:
            return place, stamper.stamp(self.last, (None, set_end[1]), greater=True)
        return place, stamper.stamp(self.last, set_end, greater=True)
