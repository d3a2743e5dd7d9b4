"""Resampling: the bars of Backtrader's ``Resampler``, as arrays.

A bar closes at a row of its source: together with it where the row is on the edge of
the bar, or before it where the row is beyond. Edges and sessions are the resampler's;
what it would do otherwise for rows that come late raises `Unsupported`.
"""

from array import array
from bisect import bisect_right
from copy import copy
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import reduce
from operator import add
from types import SimpleNamespace
from typing import Any

import backtrader as bt
import numpy as np
from backtrader import TimeFrame
from numpy.typing import NDArray

from .windows import Floats, Unsupported

__all__ = ["COLUMNS", "Resampled", "Rest", "refusal", "resample"]

COLUMNS = ("close", "low", "high", "open", "volume", "openinterest", "datetime")
"""A feed's lines, in Backtrader's order."""

Rows = dict[str, Floats]
"""The columns of a source."""

_Ends = tuple[datetime | None, float]
"""The end of session that a resampler has set itself, and the last one noticed."""

_DAY = 86_400 * 10**6  # microseconds
_UNITS = {TimeFrame.Minutes: 60 * 10**6, TimeFrame.Seconds: 10**6}
_CALENDAR = (TimeFrame.Weeks, TimeFrame.Months, TimeFrame.Years)
_ROUNDED = (10, 999_990)  # microseconds below and above which num2date rounds


@dataclass(frozen=True)
class Resampled:
    """Bars made of rows.

    Attributes:
        columns: of the bars, by name.
        made: the row whose coming delivers each bar, without the last if that is open.
        rest: the bar that the end of the rows leaves open, if it does.
    """

    columns: dict[str, "array[float]"]
    made: NDArray[np.intp]
    rest: "Rest | None"


def refusal(resampler: Any) -> str | None:
    """Why a filter's bars cannot be arrays; ``None``: they can."""
    if type(resampler) is not bt.resamplerfilter.Resampler:
        return f"a filter is a {type(resampler).__name__}"
    p = resampler.p
    if p.timeframe not in (*_UNITS, *_CALENDAR, TimeFrame.Days):
        return f"it resamples to {TimeFrame.getname(p.timeframe)}"
    whole = type(p.compression) is int and type(p.boundoff) is int
    if not whole or p.compression < 1:
        return "compression or boundoff is no whole number"
    if resampler._nexteos is not None or resampler.compcount or resampler.bar.isopen():
        return "the resampler remembers an earlier run"
    return None


def resample(
    rows: Rows, resampler: Any, session_end: time, *, is_clone: bool
) -> Resampled:
    """The bars that a resampler makes of all rows of a source.

    Args:
        rows: the source.
        resampler: a filter that `refusal` has nothing against; it stays as it is.
        session_end: when the feed's sessions end.
        is_clone: whether Cerebro asks the resampler again after a row without a bar.

    Raises:
        Unsupported: saying why a bar would depend on more than the rows before it.
    """
    numbers = rows["datetime"]
    _check(rows)
    stamper = _Stamper(resampler)
    if resampler.componly:
        edge, over = _by_count(len(numbers), resampler), _no(len(numbers))
        sessions = _Sessions(session_end)
    else:
        edge, over, sessions = _closes(numbers, resampler, session_end)
    is_open = not edge[-1]
    firsts = np.flatnonzero(over | _after(edge))
    firsts = np.concatenate([[0], firsts]).astype(np.intp)
    lasts = np.append(firsts[1:], len(numbers)) - 1
    stamps = numbers[lasts].copy()
    closed = lasts[:-1] if is_open else lasts
    made = np.where(edge[closed], closed, closed + 1)
    if resampler.doadjusttime:
        is_exact = edge[closed] & (not resampler.componly)
        for bar in np.flatnonzero(~is_exact).tolist():
            last = float(stamps[bar])
            ends = sessions.at(last, int(made[bar]), by_count=resampler.componly)
            stamps[bar] = stamper.stamp(last, ends, greater=True)
    rest = None
    if is_open:
        if is_clone and not over[-1]:  # it is asked, and sets itself an end
            sessions.next_end = sessions.next_end or sessions.end_of(numbers[-1])
        rest = Rest(float(numbers[-1]), sessions, stamper)
        stamps[-1] = rest.stamp_at_end(has_passed=False)
    _check_late(numbers, made, stamps, resampler)
    return Resampled(_columns(rows, firsts, lasts, stamps), made, rest)


def _check(rows: Rows) -> None:
    numbers = rows["datetime"]
    if not len(numbers):
        raise Unsupported("a resampled feed has no candles")
    if any(np.isnan(column).any() for column in rows.values()):
        raise Unsupported("a candle holds NaN")
    if not (np.diff(numbers) > 0).all():
        raise Unsupported("the candles are not in order")


def _check_late(
    numbers: Floats, made: NDArray[np.intp], stamps: Floats, resampler: Any
) -> None:
    """Refuse rows that come no later than the bar before them was stamped."""
    is_followed = made + 1 < len(numbers)
    following = numbers[made[is_followed] + 1]
    if resampler.subdays and (following <= stamps[: len(made)][is_followed]).any():
        raise Unsupported("a candle comes after a bar of a later time")


def _columns(
    rows: Rows, firsts: NDArray[np.intp], lasts: NDArray[np.intp], stamps: Floats
) -> dict[str, "array[float]"]:
    # The resampler adds volumes one by one, which numpy would not.
    volumes = rows["volume"].tolist()
    bounds = zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)
    columns = {
        "close": rows["close"][lasts],
        "low": np.minimum.reduceat(rows["low"], firsts),
        "high": np.maximum.reduceat(rows["high"], firsts),
        "open": rows["open"][firsts],
        "volume": np.array([reduce(add, volumes[a:b], 0.0) for a, b in bounds]),
        "openinterest": rows["openinterest"][lasts],
        "datetime": stamps,
    }
    return {name: array("d", columns[name].tobytes()) for name in COLUMNS}


# Where bars close


def _closes(
    numbers: Floats, resampler: Any, session_end: time
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], "_Sessions"]:
    """Rows that close their bar, rows before which one closes, and the sessions."""
    p, moments = resampler.p, _moments(numbers)
    edge = _no(len(numbers))
    beyond = _no(len(numbers))
    sessions = _Sessions(session_end)
    if resampler.subdays:
        point, rest = _points(moments, p.timeframe)
        point += p.boundoff
        edge = (rest == 0) & (point % p.compression == 0)
        beyond[1:] = np.diff(point // p.compression if p.bar2edge else point) > 0
    if resampler.subweeks:
        sessions.walk(numbers, edge)
        beyond[list(sessions.resets)] = True
    else:
        beyond[1:] = np.diff(_periods(moments, p.timeframe)) > 0
    over = beyond & ~edge & ~_after(edge)
    over[0] = False
    if not (resampler.subdays and p.bar2edge):
        over &= np.cumsum(over) % p.compression == 0
    return edge, over, sessions


def _by_count(count: int, resampler: Any) -> NDArray[np.bool_]:
    """Rows that are the last of as many as a bar holds."""
    closes: NDArray[np.bool_] = np.arange(1, count + 1) % resampler.p.compression == 0
    return closes


def _no(count: int) -> NDArray[np.bool_]:
    return np.zeros(count, dtype=np.bool_)


def _after(edge: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The rows that come after a row that closes its bar."""
    return np.concatenate([[False], edge[:-1]])


def _moments(numbers: Floats) -> NDArray[np.int64]:
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


def _points(
    moments: NDArray[np.int64], timeframe: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Units of the timeframe since midnight, and what is left of them."""
    point, rest = np.divmod(moments % _DAY, _UNITS[timeframe])
    return point, rest


def _periods(moments: NDArray[np.int64], timeframe: int) -> NDArray[np.int64]:
    """A number of the week, month or year of each row, that grows with time."""
    days, places = np.unique(moments // _DAY, return_inverse=True)
    numbers = []
    for day in map(datetime.fromordinal, days.tolist()):
        if timeframe == TimeFrame.Weeks:
            year, part, _ = day.isocalendar()
        else:
            year = day.year
            part = day.month if timeframe == TimeFrame.Months else 0
        numbers.append(year * 100 + part)
    return np.asarray(np.array(numbers)[places])


# Sessions


class _Sessions:
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


class _Stamper:
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

    def __init__(self, last: float, sessions: _Sessions, stamper: _Stamper) -> None:
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
        points, _ = _points(_moments(steps), p.timeframe)
        (own,), _ = _points(_moments(np.array([self.last])), p.timeframe)
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
