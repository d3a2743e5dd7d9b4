"""Resampling: the bars of Backtrader's ``Resampler``, as arrays.

A bar closes at a row of its source: together with it where the row is on the edge of
the bar, or before it where the row is beyond. Edges and sessions are the resampler's;
what it would do otherwise for rows that come late raises `Unsupported`.
"""

from array import array
from dataclasses import dataclass
from datetime import datetime, time
from functools import reduce
from operator import add
from typing import Any

import backtrader as bt
import numpy as np
from backtrader import TimeFrame
from numpy.typing import NDArray

from .sessions import DAY, UNITS, Rest, Sessions, Stamper, moments_of, points_of
from .windows import Floats, Unsupported

__all__ = ["COLUMNS", "Resampled", "Rest", "refusal", "resample"]

COLUMNS = ("close", "low", "high", "open", "volume", "openinterest", "datetime")
"""A feed's lines, in Backtrader's order."""

Rows = dict[str, Floats]
"""The columns of a source."""

_CALENDAR = (TimeFrame.Weeks, TimeFrame.Months, TimeFrame.Years)


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
    if p.timeframe not in (*UNITS, *_CALENDAR, TimeFrame.Days):
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
    stamper = Stamper(resampler)
    if resampler.componly:
        edge, over = _by_count(len(numbers), resampler), _no(len(numbers))
        sessions = Sessions(session_end)
    else:
        edge, over, sessions = _closes(numbers, resampler, session_end)
    is_open = not edge[-1]
    firsts = np.flatnonzero(over | _after(edge))
    firsts = np.concatenate([[0], firsts]).astype(np.intp)
    lasts = np.append(firsts[1:], len(numbers)) - 1
    stamps = numbers[lasts]
    closed = lasts[:-1] if is_open else lasts
    made = np.where(edge[closed], closed, closed + 1)
    moved = np.flatnonzero(~edge[closed] | resampler.componly)
    for bar in moved.tolist() if resampler.doadjusttime else ():
        ends = sessions.at(stamps[bar], int(made[bar]), by_count=resampler.componly)
        stamps[bar] = stamper.stamp(stamps[bar], ends, greater=True)
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
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], "Sessions"]:
    """Rows that close their bar, rows before which one closes, and the sessions."""
    p, moments = resampler.p, moments_of(numbers)
    edge = _no(len(numbers))
    beyond = _no(len(numbers))
    sessions = Sessions(session_end)
    if resampler.subdays:
        point, rest = points_of(moments, p.timeframe)
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


def _periods(moments: NDArray[np.int64], timeframe: int) -> NDArray[np.int64]:
    """A number of the week, month or year of each row, that grows with time."""
    days, places = np.unique(moments // DAY, return_inverse=True)
    numbers = []
    for day in map(datetime.fromordinal, days.tolist()):
        if timeframe == TimeFrame.Weeks:
            year, part, _ = day.isocalendar()
        else:
            year = day.year
            part = day.month if timeframe == TimeFrame.Months else 0
        numbers.append(year * 100 + part)
    return np.asarray(np.array(numbers)[places])
